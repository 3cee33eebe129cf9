import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from latentpk.models.config import CompartmentConfig, CovariateConfig, EncoderConfig, ModelConfig
from latentpk.models.encoder import Gaussian, kl_from_prior, log_density
from latentpk.models.latent import build

CONFIG = ModelConfig(
    covariates=(CovariateConfig(name="WT", log=True), CovariateConfig(name="SEX", kind="binary")),
    decoder=CompartmentConfig(structure="1c-iv"),
    encoder=EncoderConfig(hidden=6, level_scale=2.0, dose_scale=50.0, time_scale=10.0),
)


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    start = build(CONFIG)
    return jax.tree_util.tree_map(lambda x: x + 0.3 * rng.standard_normal(x.shape), start)


@pytest.fixture(scope="module")
def encode(model):
    program = eqx.filter_jit(lambda model, record: model.encode(record))
    return lambda record: program(model, record)


def with_levels(record, index):
    """The record with its levels in another order."""
    fields = ("time", "order", "value", "censored", "mask")
    return eqx.tree_at(
        lambda r: [getattr(r, name) for name in fields],
        record,
        [getattr(record, name)[index] for name in fields],
    )


def test_no_levels_is_exactly_the_prior(encode, infused):
    none = eqx.tree_at(lambda r: r.mask, infused, np.zeros(4, bool))
    q = encode(none)
    np.testing.assert_array_equal(q.mean, np.zeros(2))
    np.testing.assert_array_equal(q.chol, np.eye(2))
    assert float(kl_from_prior(q)) == 0.0
    assert float(kl_from_prior(encode(infused))) > 0.01


def test_the_order_of_levels_does_not_matter(encode, infused):
    q, turned = encode(infused), encode(with_levels(infused, np.array([3, 1, 0, 2])))
    np.testing.assert_allclose(turned.mean, q.mean, rtol=1e-10)
    np.testing.assert_allclose(turned.chol, q.chol, rtol=1e-10)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_number_of_levels(encode, infused, count):
    q = encode(eqx.tree_at(lambda r: r.mask, infused, np.arange(4) < count))
    assert np.isfinite(q.mean).all()
    assert (np.diag(q.chol) > 0).all()
    assert q.chol[0, 1] == 0
    if count < 3:
        assert not np.allclose(q.mean, encode(infused).mean)


def test_a_level_beyond_belief_keeps_the_gaussian_in_bounds(encode, infused):
    q = encode(eqx.tree_at(lambda r: r.value, infused, 1e9 * infused.value))
    assert (np.abs(q.mean) <= 4.0).all()
    assert (np.diag(q.chol) < 2.7183).all()


def test_tokens_hold_times_levels_and_dosing(model, infused):
    tokens = np.asarray(eqx.filter_jit(model.encoder.tokens)(infused, jnp.full(4, 1.5)))
    assert tokens.shape == (4, 11)
    # the third level: at 15 h, 3 h after the second dose of 80 mg in 1 h, 2.1 mg/L
    expected = [
        15 / 10,
        np.log1p(15 / 1.0),
        3 / 10,
        np.log1p(3 / 0.5),
        np.log(2.1 / 2.0),
        np.log(2.1 / 1.5),
        np.log(1.5 / 2.0),
        np.log(80 / 50),
        0.1,
        np.log1p(2),
        0.0,
    ]
    np.testing.assert_allclose(tokens[2], expected, rtol=1e-12)


def test_a_level_before_the_dose_of_the_same_time_is_after_the_one_before(record_of, model):
    rows = [
        (1, 0, 100, 0, None, 2, 70, 1),
        (1, 12, 0, 0, 0.8, 2, 70, 1),
        (1, 12, 80, 0, None, 2, 70, 1),
        (1, 12, 0, 0, 2.8, 2, 70, 1),
    ]
    tokens = eqx.filter_jit(model.encoder.tokens)(record_of(rows), jnp.full(4, 1.0))
    np.testing.assert_allclose(tokens[:2, 2], [1.2, 0.0])
    np.testing.assert_allclose(tokens[:2, 9], np.log1p([1, 2]))


def test_density_and_divergence_are_those_of_a_gaussian():
    chol = np.array([[0.8, 0.0], [0.3, 0.5]])
    q = Gaussian(jnp.array([0.4, -1.0]), jnp.asarray(chol))
    eps = jnp.array([0.1, 0.2])
    expected = multivariate_normal(q.mean, chol @ chol.T).logpdf(eps)
    assert float(log_density(q, eps)) == pytest.approx(expected, rel=1e-12)
    assert float(log_density(Gaussian(jnp.zeros(2), jnp.eye(2)), eps)) == pytest.approx(
        multivariate_normal(np.zeros(2)).logpdf(eps)
    )
    trace, square = np.trace(chol @ chol.T), 0.4**2 + 1.0
    closed = 0.5 * (trace + square - 2 - np.log(np.linalg.det(chol @ chol.T)))
    assert float(kl_from_prior(q)) == pytest.approx(closed, rel=1e-12)
