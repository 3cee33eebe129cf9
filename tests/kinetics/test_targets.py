import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.ode import course
from latentpk.kinetics.piecewise import Pieces
from latentpk.kinetics.system import Inputs
from latentpk.kinetics.systems import parse_system

QSS = {"cl": 0.2, "v1": 3.0, "q2": 0.5, "v2": 3.0, "kss": 0.625, "ksyn": 1.0, "kdeg": 0.5}
QSS |= {"kint": 0.3}


def followed(name, parameters, doses, time, steps=64):
    system = parse_system(name)
    pieces = Pieces(jnp.zeros(1), jnp.array([[parameters[n] for n in system.names]]))
    settings = {"system": system, "paths": Paths.of(doses), "steps": steps}
    return jax.jit(lambda p, t: course(doses, t, pieces=p, **settings))(pieces, jnp.asarray(time))


def test_equilibrium_binding_obeys_the_law_of_mass_action():
    system = parse_system("tmdd-equilibrium")
    values = jnp.array([1.0, 1, 1, 6, 4, 1, 1, 0.2, 0.15, 1])
    p = dict(zip(system.names, values, strict=True))
    state = jnp.array([30.0, 3.0, 0.0])
    free, target, bound = system._parts(state, p)
    kd = 0.2 * (30 / 3) ** 0.15
    assert float(free * target / bound) == pytest.approx(kd, rel=1e-12)
    assert float(free * 6 + bound * 4) == pytest.approx(30, rel=1e-12)


@pytest.mark.parametrize("amount", [0.5, 6.0, 600.0])
def test_quasi_steady_binding_obeys_its_law_whatever_is_in_excess(amount):
    system = parse_system("tmdd-qss-iv")
    p = {name: jnp.array(value) for name, value in QSS.items()}
    state = jnp.array([amount, 1.0, 6.0])
    free, bound = system._parts(state, p)
    target = 6.0 / 3.0 - bound
    assert float(free * target) == pytest.approx(0.625 * float(bound), rel=1e-12)
    assert float(free + bound) == pytest.approx(amount / 3.0, rel=1e-12)


def test_what_is_neither_cleared_nor_internalized_stays():
    system = parse_system("tmdd-qss-oral")
    p = {name: jnp.array(value) for name, value in (QSS | {"ka": 0.7}).items()}
    p |= {"cl": jnp.array(0.0), "kint": jnp.array(0.0)}
    slope = system.slope(jnp.array([9.0, 2.0, 6.0, 4.0]), p, Inputs(jnp.array(1.0), jnp.array(0.0)))
    assert float(slope[0] + slope[1] + slope[3]) == pytest.approx(0, abs=1e-12)


@pytest.mark.long
@pytest.mark.parametrize("amount", [30.0, 600.0])
def test_the_full_model_with_fast_binding_is_quasi_steady(amount):
    """KSS = (koff + kint) / kon; the faster the binding, the closer, in proportion."""
    time = np.array([0.5, 2.0, 7.0, 14.0, 28.0])
    doses = Doses.of([0.0], amount)
    quick = followed("tmdd-qss-iv", QSS, doses, time).concentration
    apart = []
    for kon in (100.0, 1000.0):
        full = QSS | {"kon": kon, "koff": 0.625 * kon - 0.3, "ka": 1.0, "f": 1.0}
        slow = followed("tmdd", full, doses, time, steps=200).concentration
        apart.append(float(np.abs(np.log(slow / quick)).max()))
    assert apart[1] < 2e-3
    assert apart[1] < 0.2 * apart[0]


@pytest.mark.parametrize("name", ["tmdd", "tmdd-equilibrium", "tmdd-qss-oral"])
def test_slopes_and_their_derivatives_are_finite_without_any_drug(name):
    system = parse_system(name)
    p = dict.fromkeys(system.names, jnp.array(0.7))
    still = Inputs(jnp.array(0.0), jnp.array(0.0))
    for state in (system.start(p), jnp.zeros(system.size)):
        found = jax.jacfwd(lambda y: system.slope(y, p, still))(state)
        assert np.isfinite(found).all()
