import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.kinetics.doses import Doses
from latentpk.kinetics.system import Inputs
from latentpk.kinetics.systems import parse_system


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


def test_the_gallbladder_empties_at_the_meals_of_two_days_after_each_dose():
    system = parse_system("ehc-meals2")
    meals = {"tmeal1": jnp.array(4.0), "tmeal2": jnp.array(10.0), "dmeal": jnp.array(0.5)}
    p = dict.fromkeys(system.names, jnp.array(1.0)) | meals
    doses = Doses.of([2.0, 26.0, 0.0], [100.0, 100.0, 0.0], depot=1.0)  # the last is padding
    start, stop = system.windows(doses, p)
    eaten = np.asarray(stop > start)
    np.testing.assert_allclose(np.sort(start[eaten]), [4, 10, 28, 34, 52, 58])
    np.testing.assert_allclose(stop[eaten] - start[eaten], 0.5)


def test_a_meal_of_tomorrow_is_a_meal_of_today():
    system = parse_system("ehc-meals1")
    p = dict.fromkeys(system.names, jnp.array(1.0))
    doses = Doses.of([6.0], [100.0], depot=1.0)
    today, tomorrow = (system.windows(doses, p | {"tmeal1": jnp.array(h)}) for h in (9.0, 33.0))
    np.testing.assert_allclose(today, tomorrow)
