"""Pareto-smoothed importance weights and their diagnostic k-hat."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentpk import precision  # noqa: F401  (sets x64 before any array)


class Smoothed(NamedTuple):
    """Self-normalised log weights, their Pareto shape and effective sample size."""

    log_weight: Float[Array, " draw"]
    k: Float[Array, ""]
    ess: Float[Array, ""]


def pareto_smooth(log_ratio: Float[Array, " draw"]) -> Smoothed:
    r"""Replace the largest importance weights by quantiles of a fitted Pareto tail.

    The tail holds the min(0.2 S, 3 sqrt S) largest ratios; its shape k-hat, regularised towards
    1/2 by ten pseudo-observations, tells whether the weights' mean can be trusted.

    Args:
        log_ratio: log p(y, eps) - log q(eps), shape (draw,).

    Returns:
        Log weights that sum (exponentiated) to 1, shape (draw,); k-hat; Kish's effective sample
        size.

    References:
        Vehtari, Simpson, Gelman, Yao, Gabry, JMLR 25 (2024) 1-58; Zhang, Stephens,
        Technometrics 51 (2009) 316-325.
    """
    size = log_ratio.shape[0]
    tail = int(np.ceil(min(0.2 * size, 3 * np.sqrt(size))))
    shifted = log_ratio - jnp.max(log_ratio)
    top, index = jax.lax.top_k(shifted, tail + 1)
    cutoff = jnp.exp(top[-1])
    excess = jnp.exp(top[:-1][::-1]) - cutoff  # ascending
    shape, scale = _fit_generalized_pareto(jnp.maximum(excess, 1e-300))
    rank = (jnp.arange(tail) + 0.5) / tail
    quantile = cutoff + _pareto_quantile(rank, shape, scale)
    smoothed = jnp.minimum(jnp.log(jnp.maximum(quantile, 1e-300)), 0.0)
    # a flat tail has no excess to fit: the raw weights are already perfect
    flat = excess[-1] <= 1e-12
    replaced = shifted.at[index[:-1]].set(jnp.where(flat, top[:-1], smoothed[::-1]))
    normal = replaced - jax.scipy.special.logsumexp(replaced)
    ess = jnp.exp(-jax.scipy.special.logsumexp(2 * normal))
    return Smoothed(normal, jnp.where(flat, -jnp.inf, shape), ess)


def _fit_generalized_pareto(x: Float[Array, " tail"]) -> tuple[Array, Array]:
    """Zhang and Stephens' estimate for ascending excesses, with a weak prior on the shape."""
    size = x.shape[0]
    grid = 30 + int(np.sqrt(size))
    quarter = x[int(size / 4 + 0.5) - 1]
    place = 1 - jnp.sqrt(grid / (jnp.arange(1, grid + 1) - 0.5))
    theta = 1 / x[-1] + place / 3 / quarter
    inside = jnp.log1p(-theta[:, None] * x[None, :])
    shapes = jnp.mean(inside, axis=1)
    likelihood = size * (jnp.log(-theta / shapes) - shapes - 1)
    weight = jax.nn.softmax(jnp.where(jnp.isfinite(likelihood), likelihood, -jnp.inf))
    best = jnp.sum(weight * theta)
    raw = jnp.mean(jnp.log1p(-best * x))
    return (raw * size + 10 * 0.5) / (size + 10), -raw / best


def _pareto_quantile(p: Float[Array, " tail"], k: Array, sigma: Array) -> Float[Array, " tail"]:
    safe = jnp.where(jnp.abs(k) < 1e-8, 1.0, k)
    curved = sigma * jnp.expm1(-safe * jnp.log1p(-p)) / safe
    return jnp.where(jnp.abs(k) < 1e-8, -sigma * jnp.log1p(-p), curved)


def k_threshold(draws: int) -> float:
    """Largest k-hat to trust: min(1 - 1/log10 S, 0.7).

    Example:
        >>> round(k_threshold(1000), 3)
        0.667
    """
    return min(1 - 1 / float(np.log10(draws)), 0.7)


def weighted_quantile(
    values: Float[Array, " draw"], weight: Float[Array, " draw"], levels: Float[Array, " level"]
) -> Float[Array, " level"]:
    """Quantiles of a weighted sample, interpolated between midpoints of its steps."""
    index = jnp.argsort(values)
    ordered, mass = values[index], weight[index]
    middle = jnp.cumsum(mass) - 0.5 * mass
    return jnp.interp(levels, middle, ordered)
