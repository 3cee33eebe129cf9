import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import genpareto

from latentpk.inference.psis import k_threshold, pareto_smooth, weighted_quantile

SIZE = 4096
SMOOTH = jax.jit(pareto_smooth)


def ratios(k, seed=None):
    """Log importance ratios whose tail is generalized Pareto of shape k, in random order."""
    rng = np.random.default_rng(seed)
    rank = (np.arange(SIZE) + 0.5) / SIZE if seed is None else rng.random(SIZE)
    return np.log(rng.permutation(genpareto.ppf(rank, k)))


@pytest.mark.parametrize("k", [0.2, 0.5, 0.9])
def test_k_hat_is_the_shape_of_a_known_tail(k):
    assert float(SMOOTH(ratios(k)).k) == pytest.approx(k, abs=0.05)
    drawn = [float(SMOOTH(ratios(k, seed)).k) for seed in range(20)]
    # 20 samples of a tail of 192: standard error of the mean is (1 + k) / sqrt(20 * 192)
    assert np.mean(drawn) == pytest.approx(k, abs=4 * (1 + k) / np.sqrt(20 * 192))


def test_weights_are_normalized_and_ess_is_kishs():
    smooth = SMOOTH(ratios(0.5))
    weight = np.exp(smooth.log_weight)
    assert weight.sum() == pytest.approx(1.0, rel=1e-12)
    assert float(smooth.ess) == pytest.approx(1 / np.sum(weight**2), rel=1e-10)


def test_only_the_tail_is_replaced_and_keeps_its_order():
    log_ratio = ratios(0.8, seed=5)
    weight = np.asarray(SMOOTH(log_ratio).log_weight)
    order, tail = np.argsort(log_ratio), 192
    assert (np.diff(weight[order]) >= 0).all()
    shift = weight[order[:-tail]] - log_ratio[order[:-tail]]
    np.testing.assert_allclose(shift, np.full(SIZE - tail, shift[0]), atol=1e-10)
    assert np.ptp(weight[order[-tail:]] - log_ratio[order[-tail:]]) > 0.05
    assert weight.max() - weight[order[0]] <= np.ptp(log_ratio) + 1e-12  # never above the largest


def test_the_tail_becomes_the_quantiles_of_its_fit():
    k = 0.5
    log_ratio = ratios(k)
    weight = np.asarray(SMOOTH(log_ratio).log_weight)
    order = np.argsort(log_ratio)
    middle = order[-150:-5]  # exact quantiles go in: the fit gives them back
    shift = np.mean(weight[order[:100]] - log_ratio[order[:100]])
    np.testing.assert_allclose(weight[middle] - shift, log_ratio[middle], atol=0.02)


def test_smoothing_steadies_the_mean_of_heavy_tails():
    raw, smooth = [], []
    for seed in range(40):
        log_ratio = ratios(0.7, seed)
        own = np.exp(log_ratio) / np.exp(log_ratio).sum()
        raw.append(own.max())
        smooth.append(np.exp(SMOOTH(log_ratio).log_weight).max())
    assert np.std(smooth) < 0.7 * np.std(raw)


def test_equal_weights_are_perfect():
    smooth = SMOOTH(np.full(SIZE, -700.0))
    assert float(smooth.k) == -np.inf
    assert float(smooth.ess) == pytest.approx(SIZE)


def test_one_weight_that_dwarfs_the_rest_is_flagged():
    log_ratio = np.random.default_rng(0).standard_normal(SIZE)
    log_ratio[17] = 200.0
    smooth = SMOOTH(log_ratio)
    assert np.isfinite(smooth.log_weight).all()
    assert not (float(smooth.k) <= k_threshold(SIZE) and float(smooth.ess) > 100)


def test_the_threshold_falls_with_fewer_draws():
    assert k_threshold(100) == pytest.approx(0.5)
    assert k_threshold(10_000) == pytest.approx(0.7)
    assert k_threshold(10**6) == 0.7


def test_weighted_quantiles_interpolate_midpoints_of_the_steps():
    rng = np.random.default_rng(1)
    values, levels = rng.standard_normal(50), jnp.array([0.05, 0.37, 0.5, 0.95])
    even = weighted_quantile(jnp.asarray(values), jnp.full(50, 0.02), levels)
    np.testing.assert_allclose(even, np.quantile(values, levels, method="hazen"), rtol=1e-12)


def test_weighted_quantiles_count_a_weight_as_that_many_draws():
    values, count = np.array([3.0, 1.0, 2.0, 9.0]), np.array([200, 500, 300, 0])
    levels = np.array([0.1, 0.6, 0.9])
    found = weighted_quantile(jnp.asarray(values), jnp.asarray(count / 1000), jnp.asarray(levels))
    middle = np.array([0.25, 0.65, 0.9, 1.0])
    np.testing.assert_allclose(found, np.interp(levels, middle, [1.0, 2.0, 3.0, 9.0]))
