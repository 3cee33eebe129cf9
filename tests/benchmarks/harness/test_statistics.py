import numpy as np
import pytest
from benchmarks.harness.statistics import bootstrap, median_seconds, root_mean_square


def test_root_mean_square_weighs_rows_not_subjects():
    squares, counts = np.array([4.0, 0.0]), np.array([1.0, 3.0])
    assert root_mean_square(squares, counts, np.array([0, 1])) == 1
    assert root_mean_square(squares, counts, np.array([0, 0])) == 2


def test_the_bootstrap_of_a_mean_has_the_textbook_width():
    values = np.random.default_rng(1).standard_normal(400)
    found = bootstrap(lambda chosen: float(values[chosen[0]].mean()), [400], draws=2000)
    expected = 2 * 1.96 * values.std() / 20
    assert found.high - found.low == pytest.approx(expected, rel=0.1)
    assert found.value == values.mean()


def test_medians_carry_their_extremes():
    assert median_seconds([3.0, 1.0, 2.0]) == {
        "median": 2.0,
        "least": 1.0,
        "greatest": 3.0,
        "repeats": 3,
    }
