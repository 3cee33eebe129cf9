"""Names of structures and what they stand for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.errors import InputError
from latentpk.kinetics.structure import Structure

NAMES = [
    f"{n}c-{rest}" for n in (1, 2, 3) for rest in ("iv", "oral", "oral-lag", "oral-f", "oral-lag-f")
]


@pytest.mark.parametrize("name", NAMES)
def test_names_go_round_and_shapes_follow(name):
    structure = Structure.parse(name)
    assert str(structure) == name
    parameters = jnp.linspace(0.5, 1.5, len(structure.names))
    response = structure.response(parameters)
    assert response.rate.shape == response.weight.shape == (structure.compartments,)
    assert response.share.shape == response.ka.shape == response.alag.shape == (structure.oral,)


@pytest.mark.parametrize("name", ["1c-iv", "2c-oral-f", "3c-oral-lag-f"])
def test_every_parameter_matters(name):
    structure = Structure.parse(name)
    parameters = jnp.linspace(0.5, 1.5, len(structure.names))
    slopes = jax.jit(jax.jacfwd(structure.response))(parameters)
    moved = jnp.concatenate([jnp.abs(slope) for slope in slopes]).max(0)
    assert jnp.all(moved > 0)


@pytest.mark.parametrize(
    "name", ["4c-iv", "1c", "2c-iv-f", "1c-iv-lag", "1C-IV", "", "2c-oral-f-lag"]
)
def test_unknown_names_are_refused(name):
    with pytest.raises(InputError, match="Write for instance"):
        Structure.parse(name)


def test_concentration_at_once_is_dose_over_volume():
    for name in ("1c-iv", "2c-iv", "3c-iv"):
        structure = Structure.parse(name)
        weight = structure.response(
            jnp.array([5.0, 40.0, 3.0, 20.0, 1.0, 90.0])[: len(structure.names)]
        )[1]
        np.testing.assert_allclose(weight.sum(), 1 / 40.0, rtol=1e-15)
