import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.errors import InputError
from latentpk.kinetics.system import Inputs
from latentpk.kinetics.systems import is_system, parse_system

NAMES = (
    *(
        "tmdd-qss-iv",
        "tmdd-qss-oral",
        "tmdd-qss-oral-f",
        "1c-mm-iv",
        "2c-mm-cl-oral-lag",
        "1c-mm-oral-f",
        "2c-mm-cl-inh-oral-lag-f",
        "tmdd",
    ),
    *(
        "tmdd-equilibrium",
        "ehc",
        "ehc-meals1",
        "ehc-meals4",
        "ehc-binding",
        "transit1",
        "transit9",
        "dual-absorption",
    ),
)
CLOSED = ("1c-transit", "2c-transit-ka", "1c-transit-ka-f", "2c-transit-f")


@pytest.mark.parametrize("name", [*NAMES, *CLOSED])
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
    if name.startswith("tmdd-qss"):
        p["ksyn"] = 0.4 * p["kdeg"]
    if name == "tmdd-equilibrium":
        p["base"] = p["kin"] / p["clt"]
    state = system.start(p)
    assert state.shape == (system.size,)
    slope = system.slope(state, p, Inputs(jnp.array(3.0), jnp.array(1.0)))
    np.testing.assert_allclose(slope, 0, atol=1e-15)
    assert float(system.concentration(state, p)) == pytest.approx(0, abs=1e-12)
