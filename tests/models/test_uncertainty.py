"""How far intervals reach."""

import numpy as np
import pytest

from latentpk.errors import ArtifactError
from latentpk.models.uncertainty import Uncertainty


@pytest.fixture
def found():
    return Uncertainty(np.array([4.0, 1.0]), np.array([0.0, 3.0]), np.array([1.5, 2.0]), np.ones(2))


def test_the_reach_is_its_formula(found):
    spread, stretch = np.array([[1.0, 1.0], [0.0, 4.0]]), np.array([1.0, 3.0])
    expected = [[1.5 * 2, 2 * np.sqrt(1 + 3)], [1.5 * 2 * 3, 2 * np.sqrt(1 + 3 * 16) * 3]]
    down, up = found.reach(spread, stretch)
    np.testing.assert_allclose(down, expected)
    np.testing.assert_allclose(up, expected / np.array([1.5, 2.0]))


def test_it_is_stored_to_the_last_bit(found):
    again = Uncertainty.from_arrays(found.to_arrays(), targets=2)
    for name, value in found.to_arrays().items():
        np.testing.assert_array_equal(getattr(again, name), value)


@pytest.mark.parametrize(
    "change",
    [
        {"floor": np.array([-1.0, 1.0])},
        {"slope": np.array([0.0, -0.1])},
        {"down": np.array([1.0, np.nan])},
        {"up": np.array([1.0, -0.1])},
        {"up": np.ones(3)},
        {"more": np.ones(2)},
    ],
)
def test_what_is_damaged_is_refused(found, change):
    with pytest.raises(ArtifactError):
        Uncertainty.from_arrays(found.to_arrays() | change, targets=2)
