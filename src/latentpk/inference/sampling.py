"""Importance sampling of one patient's posterior from a mixture of Student-t proposals."""

from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import gammaincinv, ndtri

from latentpk.inference.modes import Modes
from latentpk.inference.psis import Smoothed, pareto_smooth
from latentpk.inference.small_matrix import cholesky, inverse_lower
from latentpk.models.latent import LatentModel
from latentpk.models.record import Record

Host = Array | np.ndarray  # made on the host, traced on the way
DEGREES = 5  # of the Student-t proposals
WIDEN = 1.2  # a Laplace scale is too narrow in the tails
PRIOR_SHARE = 0.1  # defensive draws from the prior


class BaseDraws(NamedTuple):
    """Standard draws shared by every patient, so that an answer depends on nobody else.

    Attributes:
        normal: Standard normal, shape (draw, effect).
        student: Standard Student-t(5), shape (draw, effect).
        rank: Evenly spread in (0, 1); chooses the component, shape (draw,).
    """

    normal: Float[Host, "*subject draw effect"]
    student: Float[Host, "*subject draw effect"]
    rank: Float[Host, "*subject draw"]


class Mixture(NamedTuple):
    """Student-t components and their weights, which with the prior's share sum to 1."""

    place: Float[Array, "component effect"]
    scale: Float[Array, "component effect effect"]
    precision: Float[Array, "component effect effect"]
    weight: Float[Array, " component"]


class Sample(NamedTuple):
    """Weighted draws of one patient's eps.

    Attributes:
        eps: Draws, shape (draw, effect).
        log_weight: Smoothed, exponentials sum to 1, shape (draw,).
        k: Pareto k-hat.
        ess: Kish's effective sample size.
        log_evidence: log of the mean raw weight: the marginal log likelihood.
    """

    eps: Float[Array, "draw effect"]
    log_weight: Float[Array, " draw"]
    k: Float[Array, ""]
    ess: Float[Array, ""]
    log_evidence: Float[Array, ""]


@lru_cache(maxsize=32)
def base_draws(draws: int, effects: int, seed: int) -> BaseDraws:
    """Make the standard draws on the host, from a scrambled Sobol sequence.

    Its evenness matters: the draws are shared, so their error would be every patient's error.
    """
    points = _sobol(draws, effects + 2, seed)
    normal = ndtri(points[:, :effects])
    chi = 2 * gammaincinv(DEGREES / 2, points[:, effects : effects + 1]) / DEGREES
    return BaseDraws(normal, normal / np.sqrt(chi), points[:, effects + 1])


def many_base_draws(count: int, draws: int, effects: int, seed: int) -> BaseDraws:
    """Independent draws for each of `count` subjects; fields have a leading axis (subject,)."""
    rng = np.random.Generator(np.random.Philox([seed, draws, effects]))
    normal = rng.standard_normal((count, draws, effects))
    chi = rng.chisquare(DEGREES, (count, draws, 1)) / DEGREES
    rank = (np.argsort(rng.random((count, draws)), axis=1) + 0.5) / draws
    return BaseDraws(normal, normal / np.sqrt(chi), rank)


def _sobol(draws: int, dimension: int, seed: int) -> np.ndarray:
    from scipy.stats import qmc  # takes half a second to import, which few callers need

    engine = qmc.Sobol(dimension, scramble=True, rng=np.random.Generator(np.random.Philox(seed)))
    points = engine.random_base2(int(np.ceil(np.log2(max(draws, 2)))))[:draws]
    return np.clip(points, 1e-9, 1 - 1e-9)


def mode_mixture(modes: Modes) -> Mixture:
    """One component at each mode, its Laplace scale widened."""
    return Mixture(
        modes.eps, WIDEN * modes.scale, modes.precision / WIDEN, (1 - PRIOR_SHARE) * modes.weight
    )


def sample_mixture(
    model: LatentModel,
    record: Record,
    location: Float[Array, "piece latent"],
    mixture: Mixture,
    base: BaseDraws,
) -> Sample:
    r"""Draw from a mixture and weight by the joint density.

    .. math:: w_s \propto \frac{p(y|\epsilon_s)\,p(\epsilon_s)}
              {\alpha\,p(\epsilon_s) + \sum_c \pi_c\, t_5(\epsilon_s; m_c, S_c)}

    Args:
        model: The model.
        record: One patient's record.
        location: The prior's location for it.
        mixture: The proposal.
        base: Standard draws.

    Returns:
        The weighted sample, Pareto-smoothed.
    """
    eps, log_prior, log_q = propose(mixture, base)
    likelihood = model.over_draws(lambda e: model.log_likelihood(e, location, record), eps)
    ratio = likelihood + log_prior - log_q
    ratio = jnp.where(jnp.isfinite(ratio), ratio, -1e10)
    smooth: Smoothed = pareto_smooth(ratio)
    evidence = jax.scipy.special.logsumexp(ratio) - jnp.log(ratio.shape[0])
    return Sample(eps, smooth.log_weight, smooth.k, smooth.ess, evidence)


def propose(
    mixture: Mixture, base: BaseDraws
) -> tuple[Float[Array, "draw effect"], Float[Array, " draw"], Float[Array, " draw"]]:
    """Draws from a mixture, with the log density of the prior and of the mixture at each."""
    eps = _transform(mixture, base)
    size = eps.shape[1]
    log_prior = -0.5 * jnp.sum(eps**2, axis=1) - 0.5 * size * np.log(2 * np.pi)
    return eps, log_prior, _log_mixture(mixture, eps, log_prior)


def matched_mixture(mixture: Mixture, sample: Sample) -> Mixture:
    """Fill the last two components from a sample: its moments, and what was proposed too rarely.

    The second is placed on the hundredth of the draws with the largest weights: a region that
    the proposal neglects shows there, and nowhere else.
    """
    drawn = jnp.exp(sample.log_weight)
    top = max(drawn.shape[0] // 100, 8)
    rare, index = jax.lax.top_k(drawn, top)
    all_ = _moments(sample.eps, drawn, 1e-6)
    neglected = _moments(sample.eps[index], rare / jnp.sum(rare), 0.02)
    others = mixture.weight[:-2] / jnp.sum(mixture.weight[:-2])
    share = 1 - PRIOR_SHARE
    place, scale, precision = (
        field.at[-2].set(first).at[-1].set(second)
        for field, first, second in zip(mixture[:3], all_, neglected, strict=True)
    )
    weight = jnp.concatenate([0.4 * share * others, share * jnp.array([0.4, 0.2])])
    return Mixture(place, scale, precision, weight)


def with_empty_components(mixture: Mixture) -> Mixture:
    """Add two components of no weight, for `matched_mixture` to fill."""
    place, scale, precision = (
        jnp.concatenate([field, field[:1], field[:1]]) for field in mixture[:3]
    )
    return Mixture(place, scale, precision, jnp.concatenate([mixture.weight, jnp.zeros(2)]))


def _moments(
    eps: Float[Array, "draw effect"], weight: Float[Array, " draw"], floor: float
) -> tuple[Array, Array, Array]:
    """Weighted mean, factor of the widened covariance, and the factor's inverse."""
    mean = weight @ eps
    centered = eps - mean
    covariance = (centered * weight[:, None]).T @ centered
    scale = WIDEN * cholesky(covariance + floor * jnp.eye(mean.shape[0]))
    return mean, scale, inverse_lower(scale)


def _transform(mixture: Mixture, base: BaseDraws) -> Float[Array, "draw effect"]:
    """Send each standard draw to the component its rank falls in, or leave it to the prior."""
    edges = jnp.cumsum(mixture.weight)
    component = jnp.sum(base.rank[:, None] >= edges[None, :], axis=1)
    eps = jnp.asarray(base.normal)
    for c in range(mixture.weight.shape[0]):
        moved = mixture.place[c] + _rows_times(base.student, mixture.scale[c])
        eps = jnp.where((component == c)[:, None], moved, eps)
    return eps


def _rows_times(rows: Float[Host, "draw effect"], matrix: Float[Array, "effect effect"]) -> Array:
    """Rows @ matrix.T as sums of columns: a library product costs more for a few columns."""
    return jnp.stack(
        [
            sum(rows[:, j] * matrix[i, j] for j in range(i + 1))  # lower triangular
            for i in range(matrix.shape[0])
        ],
        axis=1,
    )


def _log_mixture(
    mixture: Mixture, eps: Float[Array, "draw effect"], log_prior: Float[Array, " draw"]
) -> Float[Array, " draw"]:
    size = eps.shape[1]
    constant = (
        jax.scipy.special.gammaln((DEGREES + size) / 2)
        - jax.scipy.special.gammaln(DEGREES / 2)
        - 0.5 * size * np.log(DEGREES * np.pi)
    )
    terms = [jnp.log(1 - jnp.sum(mixture.weight)) + log_prior]
    for c in range(mixture.weight.shape[0]):
        white = _rows_times(eps - mixture.place[c], mixture.precision[c])
        log_det = jnp.sum(jnp.log(jnp.diag(mixture.precision[c])))
        tail = -0.5 * (DEGREES + size) * jnp.log1p(jnp.sum(white**2, axis=1) / DEGREES)
        log_weight = jnp.log(jnp.maximum(mixture.weight[c], 1e-300))
        terms.append(constant + log_det + tail + log_weight)
    return jax.scipy.special.logsumexp(jnp.stack(terms), axis=0)
