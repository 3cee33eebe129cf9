"""Reading off which branches doses need."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.kinetics.doses import Doses, Paths

NONE = Paths.none()
NEEDS = [
    ({}, {}),
    ({"depot": 1.0}, {"central": False, "depot": True}),
    ({"duration": 2.0}, {"infusion": True}),
    ({"depot": 1.0, "duration": 2.0}, {"central": False, "depot": True, "release": True}),
    ({"steady": 1.0, "interval": 8.0}, {"steady": True}),
    (
        {"steady": 2.0, "interval": 8.0, "duration": 9.0},
        {"steady": True, "infusion": True, "overlap": True},
    ),
    ({"duration": 9.0, "interval": 8.0}, {"infusion": True}),
    ({"amount": 0.0, "rate": 5.0, "steady": 3.0}, {"steady": True}),
    ({"amount": 0.0, "depot": 1.0, "duration": 2.0, "steady": 1.0}, {"central": False}),
]


@pytest.mark.parametrize(("fields", "needed"), NEEDS)
def test_paths_are_those_some_dose_needs(fields, needed):
    doses = Doses.of([0.0], **{"amount": 100.0, **fields})
    expected = Paths(**{**vars(NONE), **needed})
    assert Paths.of(doses) == expected
    padded = jax.tree.map(lambda field: jnp.pad(field, (0, 3)), doses)
    many = jax.tree.map(lambda field: np.stack([field, field]), padded)
    assert Paths.of(many) == expected


def test_fields_have_neutral_values_and_the_precision_of_time():
    doses = Doses.of(jnp.array([0.0, 3.0], jnp.float32), 100.0, depot=[1, 0])
    assert {field.dtype for field in jax.tree.leaves(doses)} == {jnp.dtype("float32")}
    np.testing.assert_array_equal(doses.order, [0, 1])
    np.testing.assert_array_equal(doses.until, np.inf)
    assert Doses.of([1, 2], 5).time.dtype == jnp.float64


def test_what_is_no_field_is_refused():
    with pytest.raises(TypeError, match="stedy"):
        Doses.of([0.0], 1.0, stedy=1.0)
