import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import kstest, multivariate_normal, multivariate_t, norm
from scipy.stats import t as student

from latentpk.inference.sampling import (
    BaseDraws,
    Mixture,
    Sample,
    base_draws,
    many_base_draws,
    matched_mixture,
    propose,
    with_empty_components,
)

SCALES = np.array([[[0.5, 0.0], [0.2, 0.3]], [[0.2, 0.0], [-0.1, 0.4]]])
PLACES = np.array([[0.0, 3.0], [-2.0, -1.0]])
WEIGHT = np.array([0.6, 0.3])


@pytest.fixture(scope="module")
def mixture():
    return Mixture(*map(jnp.asarray, (PLACES, SCALES, np.linalg.inv(SCALES), WEIGHT)))


@pytest.fixture(scope="module")
def proposed(mixture):
    eps, prior, density = jax.jit(propose)(mixture, BaseDraws(*map(np.asarray, base())))
    return np.asarray(eps), np.asarray(prior), np.asarray(density)


def base(draws=2048):
    return base_draws(draws, 2, 0)


def test_shared_draws_are_standard_and_the_same_every_time():
    one = base()
    assert one.normal.shape == one.student.shape == (2048, 2)
    for column in range(2):
        assert kstest(one.normal[:, column], norm.cdf).statistic < 0.01  # even: 0.03 if random
        assert kstest(one.student[:, column], student(5).cdf).statistic < 0.02
    assert kstest(one.rank, "uniform").statistic < 0.01
    assert abs(np.corrcoef(one.normal.T)[0, 1]) < 0.02
    base_draws.cache_clear()
    np.testing.assert_array_equal(base().student, one.student)
    assert not np.isclose(base_draws(2048, 2, 1).normal, one.normal).any()


def test_a_students_two_effects_share_their_scale():
    one = base()
    ratio = one.student / one.normal
    np.testing.assert_allclose(ratio[:, 0], ratio[:, 1], rtol=1e-10)


def test_draws_of_many_subjects_differ_between_them():
    many = many_base_draws(3, 500, 2, 0)
    assert many.normal.shape == (3, 500, 2)
    assert abs(np.corrcoef(many.normal[0, :, 0], many.normal[1, :, 0])[0, 1]) < 0.15
    assert kstest(many.normal.ravel(), norm.cdf).statistic < 0.03
    assert kstest(many.student[..., 1].ravel(), student(5).cdf).statistic < 0.04
    np.testing.assert_allclose(np.sort(many.rank[2]), (np.arange(500) + 0.5) / 500)


def test_the_density_of_a_proposal_is_that_of_its_mixture(proposed):
    eps, prior, density = proposed
    terms = [np.log(0.1) + multivariate_normal(np.zeros(2)).logpdf(eps)]
    for place, scale, weight in zip(PLACES, SCALES, WEIGHT, strict=True):
        shape = multivariate_t(place, scale @ scale.T, df=5)
        terms.append(np.log(weight) + shape.logpdf(eps))
    np.testing.assert_allclose(density, logsumexp(terms, axis=0), rtol=1e-9)
    np.testing.assert_allclose(prior, multivariate_normal(np.zeros(2)).logpdf(eps), rtol=1e-9)


def test_draws_come_from_the_components_in_their_shares(proposed):
    eps, prior, density = proposed
    # importance weights of the prior against the mixture: their mean is 1, the shares' proof
    assert np.mean(np.exp(prior - density)) == pytest.approx(1.0, abs=0.02)
    mean = WEIGHT @ PLACES
    np.testing.assert_allclose(eps.mean(axis=0), mean, atol=0.02)


def test_empty_components_change_no_draw_and_no_density(mixture, proposed):
    wider = with_empty_components(mixture)
    assert wider.weight.shape == (4,)
    again = jax.jit(propose)(wider, base())
    np.testing.assert_allclose(again[0], proposed[0], rtol=1e-12)
    np.testing.assert_allclose(again[2], proposed[2], rtol=1e-12)


def test_a_matched_mixture_covers_the_sample_and_keeps_the_priors_share(mixture):
    rng = np.random.default_rng(0)
    eps = np.array([1.0, -1.0]) + rng.standard_normal((4000, 2)) @ [[0.3, 0.1], [0.0, 0.2]]
    log_weight = np.full(4000, -np.log(4000))
    nothing = jnp.zeros(())
    sample = Sample(jnp.asarray(eps), jnp.asarray(log_weight), nothing, nothing, nothing)
    matched = jax.jit(matched_mixture)(with_empty_components(mixture), sample)
    assert float(matched.weight.sum()) == pytest.approx(0.9)
    assert (np.asarray(matched.weight) > 0).all()
    np.testing.assert_allclose(matched.place[2], eps.mean(axis=0), rtol=1e-10)
    scale = np.asarray(matched.scale[2])
    np.testing.assert_allclose(scale @ scale.T, 1.2**2 * np.cov(eps.T), rtol=2e-3)
    for low, inverse in zip(matched.scale, matched.precision, strict=True):
        np.testing.assert_allclose(low @ inverse, np.eye(2), atol=1e-9)
