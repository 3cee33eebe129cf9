import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.errors import InputError
from latentpk.kinetics.doses import Doses
from latentpk.kinetics.system import Inputs
from latentpk.kinetics.systems import is_system, parse_system

NAMES = (
    *("1c-mm-iv", "2c-mm-cl-oral-lag", "1c-mm-oral-f", "2c-mm-cl-inh-oral-lag-f", "tmdd"),
    *("tmdd-equilibrium", "ehc", "ehc-binding", "transit1", "transit9", "dual-absorption"),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_gives_a_system_that_gives_its_name_back(name):
    system = parse_system(name)
    assert str(system) == name
    assert is_system(name)
    assert hash(system) == hash(parse_system(name))
    assert len(set(system.names)) == len(system.names)


@pytest.mark.parametrize("name", ["2c-iv", "3c-mm-iv", "1c-mm-iv-f", "transit0", "TMDD", ""])
def test_an_unknown_name_is_refused_with_the_known_ones(name):
    assert not is_system(name)
    with pytest.raises(InputError, match="tmdd-equilibrium"):
        parse_system(name)


@pytest.mark.parametrize("name", NAMES)
def test_without_a_dose_nothing_moves(name):
    system = parse_system(name)
    p = dict.fromkeys(system.names, jnp.array(0.7))
    if name == "tmdd-equilibrium":
        p["base"] = p["kin"] / p["clt"]
    state = system.start(p)
    assert state.shape == (system.size,)
    slope = system.slope(state, p, Inputs(jnp.array(3.0), jnp.array(1.0)))
    np.testing.assert_allclose(slope, 0, atol=1e-15)
    assert float(system.concentration(state, p)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", ["ehc", "ehc-binding"])
def test_what_circulates_leaves_only_by_elimination(name):
    system = parse_system(name)
    rng = np.random.default_rng(0)
    p = dict(zip(system.names, jnp.asarray(rng.uniform(0.2, 2.0, len(system.names))), strict=True))
    p["cl" if name == "ehc" else "clm"] = jnp.array(0.0)
    state = jnp.asarray(rng.uniform(0.1, 3.0, system.size))
    slope = system.slope(state, p, Inputs(jnp.array(3.0), jnp.array(1.0)))
    assert float(jnp.sum(slope)) == pytest.approx(0, abs=1e-12)


def test_the_gallbladder_empties_after_each_dose_but_not_past_the_next():
    system = parse_system("ehc")
    p = dict.fromkeys(system.names, jnp.array(1.0)) | {"tgb": jnp.array(7.5)}
    doses = Doses.of([0.0, 8.0, 0.0], [100.0, 100.0, 0.0], depot=1.0)  # the last is padding
    start, stop = system.windows(doses, p)
    np.testing.assert_allclose(start[:2], [7.5, 15.5])
    np.testing.assert_allclose(stop[:2], [8.0, 16.5])
    assert stop[2] <= start[2]


def test_equilibrium_binding_obeys_the_law_of_mass_action():
    system = parse_system("tmdd-equilibrium")
    values = jnp.array([1.0, 1, 1, 6, 4, 1, 1, 0.2, 0.15, 1])
    p = dict(zip(system.names, values, strict=True))
    state = jnp.array([30.0, 3.0, 0.0])
    free, target, bound = system._parts(state, p)
    kd = 0.2 * (30 / 3) ** 0.15
    assert float(free * target / bound) == pytest.approx(kd, rel=1e-12)
    assert float(free * 6 + bound * 4) == pytest.approx(30, rel=1e-12)
