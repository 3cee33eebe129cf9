import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import lognorm, norm

from latentpk.models.residual import FORMULAS, Residual, hazard_below, log_below

A, B = 0.3, 0.2
KINDS = list(FORMULAS)
F = jnp.array([0.0, 0.5, 4.0, 100.0])
SD = {
    "additive": [0.3, 0.3, 0.3, 0.3],
    "proportional": [1e-6, 0.1, 0.8, 20.0],
    "combined1": [0.3, 0.4, 1.1, 20.3],
    "combined2": [0.3, np.sqrt(0.1), np.sqrt(0.73), np.sqrt(400.09)],
    "lognormal": [0.2, 0.2, 0.2, 0.2],
}


def residual(kind, dtype=jnp.float64):
    logs = jnp.log(jnp.array([A, B], dtype))
    return Residual(log_a=logs[0], log_b=logs[1], kind=kind, floor=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_sd_follows_the_formula_of_its_name(kind):
    np.testing.assert_allclose(residual(kind).sd(F), SD[kind], rtol=2e-3, atol=2e-9)
    assert "sd" in FORMULAS[kind] or "log y" in FORMULAS[kind]


def test_the_two_combined_errors_differ_as_a_sum_and_a_root_of_squares():
    f = jnp.array([3.0])
    assert residual("combined1").sd(f)[0] == pytest.approx(A + B * 3)
    assert residual("combined2").sd(f)[0] == pytest.approx(np.hypot(A, B * 3))


@pytest.mark.parametrize("kind", KINDS)
def test_a_seen_level_has_its_normal_density(kind):
    y, f = jnp.array([0.7, 3.0, 90.0]), F[1:]
    sd = np.asarray(residual(kind).sd(f))
    if kind == "lognormal":
        expected = lognorm.logpdf(y, s=sd, scale=f)
    else:
        expected = norm.logpdf(y, loc=f, scale=sd)
    found = residual(kind).log_density(y, f, jnp.zeros(3, bool))
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_a_censored_level_has_the_probability_of_lying_below(kind):
    y, f = jnp.array([0.4, 3.0, 95.0]), F[1:]
    sd = np.asarray(residual(kind).sd(f))
    if kind == "lognormal":
        expected = lognorm.logcdf(y, s=sd, scale=f)
    else:
        expected = norm.logcdf(y, loc=f, scale=sd)
    found = residual(kind).log_density(y, f, jnp.ones(3, bool))
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert (np.asarray(found) < 0).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_densities_and_gradients_are_finite_at_the_edges(kind, dtype):
    y = jnp.array([0.0, 1e-3, 1e5, 1.0, 1.0, 1e5], dtype)
    f = jnp.array([0.0, 1e5, 0.0, 0.0, 1e7, 1e-3], dtype)
    below = jnp.array([False, False, False, True, True, True])
    model = residual(kind, dtype)

    def total(model, f):
        return jnp.sum(model.log_density(y, f, below))

    slopes = jax.grad(total, argnums=(0, 1))(model, f)
    for value in (model.log_density(y, f, below), slopes[0].log_a, slopes[0].log_b, slopes[1]):
        assert value.dtype == dtype
        assert np.isfinite(value).all()


@pytest.mark.parametrize("kind", KINDS)
def test_new_measurements_are_never_negative_and_spread_as_the_error(kind):
    noise = jnp.asarray(norm.ppf((np.arange(2000) + 0.5) / 2000))
    model, f = residual(kind), jnp.full(2000, 4.0)
    measured = np.asarray(model.perturb(f, noise))
    centered = np.log(measured / 4.0) if kind == "lognormal" else measured - 4.0
    assert np.std(centered) == pytest.approx(SD[kind][2], rel=0.01)
    assert np.median(centered) == pytest.approx(0.0, abs=1e-3)
    assert (np.asarray(model.perturb(0.01 * f, 50 * noise)) >= 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_standardized_residuals_undo_a_perturbation(kind):
    noise = jnp.array([-1.0, 0.5, 2.0])
    model = residual(kind)
    again = model.standardized(model.perturb(F[1:], noise), F[1:])
    np.testing.assert_allclose(again, noise, rtol=1e-9)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_the_probability_below_has_its_slope_however_far(dtype):
    z = jnp.array([-1e9, -1e4, -300.0, -30.001, -29.999, -5.0, 0.0, 5.0, 1e9], dtype)
    slope = jax.vmap(jax.grad(log_below))(z)
    assert np.isfinite(slope).all()
    tolerance = 1e-4 if dtype == jnp.float32 else 1e-5
    np.testing.assert_allclose(slope, hazard_below(z), rtol=tolerance, atol=1e-6)
    wanted = norm.logcdf(np.asarray(z, np.float64))
    np.testing.assert_allclose(log_below(z), wanted, rtol=1e-6, atol=1e-7)
