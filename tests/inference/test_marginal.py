"""The marginal likelihood of a subject against independent figures, and its gradient."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from jax.flatten_util import ravel_pytree

from latentpk.inference.marginal import (
    Mode,
    find_mode,
    make_rule,
    minus_two_log_likelihood,
    moved,
)
from latentpk.models.population import PopulationConfig, build_population
from latentpk.models.record import stack_records, take
from latentpk.records.nonmem import read_nonmem

REFERENCE = Path(__file__).parents[1] / "reference"
SPREAD = np.array([0.5, 0.25, 0.2])  # of ka, cl, v
COLUMNS = {
    ("focei", None): ("M2LL_FOCEI", 1e-6),
    ("laplace", None): ("M2LL_LAPLACE", 1e-6),
    ("quadrature", 5): ("M2LL_AGHQ5", 1e-8),
    ("quadrature", 15): ("M2LL_AGHQ15", 1e-8),
}


@pytest.fixture(scope="module")
def model():
    """The population that the reference was computed at."""
    config = PopulationConfig(
        structure="1c-oral", parameters=("ka", "cl", "v1"), varying=("ka", "cl", "v1")
    )
    typical = np.array([1.2, 3.0, 20.0])
    made = build_population(config, typical, additive=0.15, proportional=0.12)
    return eqx.tree_at(lambda m: m.prior.log_diagonal, made, jnp.log(jnp.asarray(SPREAD)))


@pytest.fixture(scope="module")
def records():
    cohort = read_nonmem(REFERENCE / "popfit_simulated.csv", covariates=[], negative="keep")
    stacked = stack_records(cohort.subjects, tight=True)
    return jax.tree_util.tree_map(jnp.asarray, stacked)


@pytest.fixture(scope="module")
def reference():
    frame = pl.read_csv(
        REFERENCE / "popfit_simulated_fixed.csv", schema_overrides={"ID": pl.String}
    )
    return frame.filter(pl.col("ID") != "TOTAL")


@pytest.fixture(scope="module")
def modes(model, records):
    found = eqx.filter_jit(lambda m, r: jax.lax.map(lambda one: find_mode(m, one, jnp.zeros(3)), r))
    return found(model, records)


@pytest.mark.long
def test_modes_are_the_references(modes, reference):
    eta = reference.select("ETA_KA", "ETA_CL", "ETA_V").to_numpy()
    np.testing.assert_allclose(np.asarray(modes.eps) * SPREAD, eta, atol=1e-7)


@pytest.mark.long
def test_the_curvature_is_that_of_the_joint_density(model, records, modes):
    record, eps = take(records, 3), modes.eps[3]
    location = model.location(record)

    def height(e):
        return 0.5 * jnp.sum(e**2) - model.log_likelihood(e, location, record)

    np.testing.assert_allclose(modes.curvature[3], jax.hessian(height)(eps), rtol=1e-8)
    assert np.abs(jax.grad(height)(eps)).max() < 1e-8


@pytest.mark.long
@pytest.mark.parametrize(("method", "nodes"), COLUMNS, ids=lambda x: str(x))
def test_every_method_meets_its_reference(model, records, modes, reference, method, nodes):
    rule = make_rule(method, 3, nodes=nodes or 1)._replace(held=False)

    @eqx.filter_jit
    def values(m, r, mode):
        return jax.lax.map(lambda one: minus_two_log_likelihood(m, *one, rule), (r, mode))

    column, close = COLUMNS[method, nodes]
    found = np.asarray(values(model, records, modes))
    np.testing.assert_allclose(found, reference[column].to_numpy(), atol=close, rtol=0)


def test_points_that_are_held_need_no_exact_mode(model, records, reference):
    rule = make_rule("quadrature", 3, nodes=15)
    assert rule.held

    @eqx.filter_jit
    def values(m, r):
        def one(record):
            mode = find_mode(m, record, jnp.zeros(3), exact=False)
            return minus_two_log_likelihood(m, record, mode, rule)

        return jax.lax.map(one, r)

    exact = reference["M2LL_AGHQ15"].to_numpy()
    np.testing.assert_allclose(values(model, records), exact, atol=1e-6, rtol=0)


def test_sampling_agrees_with_quadrature(model, records, modes, reference):
    """Around the mode, and moved from beside it; there, on half the scale, it would not."""
    rule = make_rule("sampling", 3, draws=4096)

    @eqx.filter_jit
    def values(m, r, mode):
        def one(item):
            record, at = item
            wide = jnp.sqrt(jnp.diag(jnp.linalg.inv(at.curvature)))
            beside = Mode(at.eps + 0.5 * wide, 4 * at.curvature)
            places = (at, beside, moved(m, record, beside, rule))
            return [minus_two_log_likelihood(m, record, place, rule) for place in places]

        return jax.lax.map(one, (r, mode))

    around, beside, after = (np.asarray(x) for x in values(model, records, modes))
    exact = reference["M2LL_AGHQ25"].to_numpy()
    for found in (around, after):
        np.testing.assert_allclose(found, exact, atol=0.02)
        assert abs(found.sum() - exact.sum()) < 0.1
    assert abs(beside.sum() - exact.sum()) > 0.2


@pytest.mark.long
@pytest.mark.parametrize(
    ("method", "nodes", "close"),
    [("focei", 1, 1e-6), ("laplace", 1, 1e-6), ("quadrature", 3, 1e-6)],
)
def test_gradients_follow_the_mode(model, records, method, nodes, close):
    """Central differences of the value, whose mode is found anew at each place."""
    rule, record = make_rule(method, 3, nodes=nodes), take(records, 1)  # a skewed posterior
    params, static = eqx.partition(model, eqx.is_inexact_array)
    flat, unravel = ravel_pytree(params)

    @jax.jit
    def both(x):
        mode = find_mode(
            eqx.combine(unravel(jax.lax.stop_gradient(x)), static), record, jnp.zeros(3)
        )
        return jax.value_and_grad(
            lambda y: minus_two_log_likelihood(eqx.combine(unravel(y), static), record, mode, rule)
        )(x)

    slope = both(flat)[1]
    for k in range(flat.size):
        step = jnp.zeros(flat.size).at[k].set(1e-5)
        numeric = (both(flat + step)[0] - both(flat - step)[0]) / 2e-5
        assert float(slope[k]) == pytest.approx(float(numeric), abs=close, rel=1e-6)


@pytest.mark.long
def test_a_subject_without_levels_says_nothing(model, records, modes):
    record = take(records, 0)
    empty = eqx.tree_at(lambda r: r.mask, record, jnp.zeros_like(record.mask))
    rule = make_rule("quadrature", 3, nodes=9)
    mode = find_mode(model, empty, jnp.ones(3), exact=False)
    np.testing.assert_allclose(mode.eps, 0, atol=1e-9)
    assert float(minus_two_log_likelihood(model, empty, mode, rule)) == pytest.approx(0, abs=1e-9)


def test_quadrature_integrates_polynomials_exactly():
    rule = make_rule("quadrature", 2, nodes=4)
    weight = np.exp(rule.log_weight - 0.5 * np.sum(rule.point**2, axis=1)) / (2 * np.pi)
    x, y = rule.point.T
    assert weight.sum() == pytest.approx(1)
    assert (weight * x**6).sum() == pytest.approx(15)
    assert (weight * x**4 * y**2).sum() == pytest.approx(3)


def test_one_node_is_laplace_with_the_expected_curvature():
    one, focei = make_rule("quadrature", 3, nodes=1), make_rule("focei", 3)
    np.testing.assert_allclose(one.point, focei.point)
    np.testing.assert_allclose(one.log_weight, focei.log_weight)
