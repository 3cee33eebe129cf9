"""Peaks, troughs and steady-state intervals against a dense search and textbook formulas."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.exposure import peak, steady_exposure, trough
from latentpk.kinetics.response import Response
from latentpk.kinetics.structure import Structure
from latentpk.kinetics.superposition import concentration

STRUCTURE = Structure.parse("2c-oral-lag")
PARAMETERS = jnp.array([5.2, 20.0, 8.0, 60.0, 0.9, 0.75])
BODY = STRUCTURE.response(PARAMETERS)
WINDOW = jnp.array(0.0), jnp.array(48.0)
PATHS = Paths(steady=False, release=False, overlap=False)
FIELDS = {
    "oral": {"depot": 1.0},
    "infusions": {"duration": [2.0, 1.0]},
    "a reset at the end of the infusion": {"duration": 2.0, "until": [2.0, 2.0]},
    "boluses": {},
}
highest = jax.jit(partial(peak, response=BODY, paths=PATHS))
value = jax.jit(partial(concentration, response=BODY, paths=PATHS))


@pytest.mark.parametrize("case", FIELDS)
def test_peak_is_the_top_of_a_dense_search(case):
    doses = Doses.of([0.0, 11.0], [100.0, 120.0], **FIELDS[case])
    found = highest(doses, *WINDOW)
    time = jnp.unique(jnp.concatenate([jnp.linspace(0.0, 48.0, 48001), found.tmax[None]]))
    dense = jnp.maximum(value(doses, time), value(doses, time, jnp.full_like(time, -jnp.inf)))
    np.testing.assert_allclose(found.cmax, dense.max(), rtol=1e-7)
    assert found.cmax >= dense.max() * (1 - 1e-14)
    np.testing.assert_allclose(found.tmax, time[jnp.argmax(dense)], atol=2e-3)


def test_textbook_peak_and_its_derivative():
    ka, ke = 1.0, 0.1
    oral = Doses.of([0.0], 100.0, depot=1.0)

    def cmax(ka):
        one, none = jnp.array([1.0]), jnp.zeros(1)
        body = Response(jnp.array([ke]), jnp.array([0.02]), one, ka[None], none)
        found = peak(oral, *WINDOW, response=body, paths=PATHS)
        return found.cmax, found.tmax

    slope, tmax = jax.jit(jax.jacfwd(cmax, has_aux=True))(jnp.array(ka))
    np.testing.assert_allclose(tmax, np.log(ka / ke) / (ka - ke), rtol=1e-6)
    step = 1e-5
    formula = [2 * (x / ke) ** (-ke / (x - ke)) for x in (ka - step, ka + step)]
    np.testing.assert_allclose(slope, (formula[1] - formula[0]) / (2 * step), rtol=1e-6)


@pytest.mark.long
def test_peaks_of_many_draws_are_found_at_once():
    doses = Doses.of([0.0, 11.0], 100.0, depot=1.0)
    draws = PARAMETERS * jnp.exp(0.3 * jax.random.normal(jax.random.key(0), (5, 6)))

    def one(parameters):
        return peak(doses, *WINDOW, response=STRUCTURE.response(parameters), paths=PATHS)

    many = jax.jit(jax.vmap(one))(draws)
    single = jax.jit(one)
    for i, parameters in enumerate(draws):
        np.testing.assert_allclose(many.cmax[i], single(parameters).cmax, rtol=1e-12)


def test_trough_is_before_the_dose():
    doses = Doses.of([0.0, 12.0], 100.0)
    found = trough(doses, jnp.array([0.0, 12.0]), response=BODY, paths=PATHS)
    np.testing.assert_allclose(found[0], 0.0)
    np.testing.assert_allclose(
        found[1],
        value(doses._replace(amount=jnp.array([100.0, 0.0])), jnp.array([12.0]))[0],
        rtol=1e-12,
    )


@pytest.mark.parametrize(("fields", "share"), [({"depot": 1.0}, 0.8), ({"duration": 1.5}, 1.0)])
def test_steady_interval_holds_dose_over_clearance(fields, share):
    body = BODY._replace(share=jnp.array([0.8]))
    dose = Doses.of([0.0], 100.0, interval=8.0, **fields)
    found = jax.jit(
        partial(steady_exposure, response=body, paths=Paths(release=False, overlap=False))
    )(dose)
    np.testing.assert_allclose(found.auc, 100.0 * share / 5.2, rtol=1e-12)
    np.testing.assert_allclose(found.average, found.auc / 8.0, rtol=1e-15)
    assert found.trough < found.average < found.cmax
    assert 0 < found.tmax < 8
