import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.kinetics.structure import Structure
from latentpk.kinetics.systems import parse_system
from latentpk.kinetics.terminal import slowest_half_life

BINDING = {
    "cl": 0.0073,
    "dcl": 0.0059,
    "clt": 0.071,
    "v1": 5.9,
    "vc": 3.6,
    "ka": 0.02,
    "kin": 0.024,
    "kd0": 0.16,
    "alpha": 0.157,
    "base": 0.38,
}


def half_life(name, **p):
    return slowest_half_life(parse_system(name), {k: jnp.array(v, float) for k, v in p.items()})


def test_at_a_low_concentration_saturable_elimination_is_a_clearance():
    p = {"v1": 50.0, "q2": 12.0, "v2": 60.0, "ka": 0.9}
    found = half_life("2c-mm-cl-oral", vmax=20.0, km=5.0, cl=1.0, **p)
    linear = Structure.parse("2c-oral").modes(jnp.array([5.0, *p.values()]))[0]
    assert found == pytest.approx(np.log(2) / float(jnp.min(linear)), rel=1e-6)


def test_the_turnover_of_a_target_is_none_of_the_drug_s():
    fast = half_life("tmdd-equilibrium", **BINDING)
    slow = half_life("tmdd-equilibrium", **BINDING | {"clt": 0.071e-4, "kin": 0.024e-4})
    assert slow == pytest.approx(fast, rel=1e-6)
    assert 50 < fast < 1000


def test_without_elimination_there_is_none():
    assert np.isnan(half_life("1c-mm-iv", vmax=0.0, km=5.0, v1=50.0))
