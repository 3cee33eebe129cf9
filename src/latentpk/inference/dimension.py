"""How many latent dimensions the levels speak of: the rest are switched off, one after another.

Directions are those of the posterior means' covariance over subjects, in the latent space where
every prior is standard normal: along a direction of which the levels say nothing all posterior
means are the prior's, and their variance is 0 (an inactive unit); where they say all it is 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentpk.inference.bank import (
    Bank,
    densities,
    leave_one_out,
    log_mean,
    make_bank,
    standard_ratio,
)
from latentpk.inference.posterior import block_size, in_blocks
from latentpk.models.latent import LatentModel
from latentpk.models.record import Record

Progress = Callable[[int, int, str], None]
ACTIVE = 0.01  # variance of posterior means from which a unit is active (Burda et al. 2016)
LEAST_SD = float(np.exp(-7.0))  # that a learned prior can have
NOISE = 32  # draws of the encoder's ELBO


class Directions(NamedTuple):
    """Principal directions of posterior means, the widest first.

    Attributes:
        variance: Of posterior means along each, shape (direction,).
        vectors: The directions, shape (effect, direction).
    """

    variance: Float[np.ndarray, " direction"]
    vectors: Float[np.ndarray, "effect direction"]


@dataclass(frozen=True, eq=False)
class Dimension:
    """What is lost as directions are switched off to the prior's mean; index k keeps the first k.

    Attributes:
        variance: Of posterior means along each direction, descending, shape (direction,).
        evidence: Mean log evidence of a subject [nats], shape (direction + 1,).
        held_out: Mean log density of a level given the subject's others [nats], same shape.
        behind: Standard error of its difference to the best, same shape.
        elbo: The encoder's ELBO, median over subjects [nats], same shape; None without an encoder.
            A few subjects that the encoder reads badly would decide a mean.
        criterion: Bayesian information criterion of the population, same shape.
        subjects: How many it was computed on.
    """

    variance: Float[np.ndarray, " direction"]
    evidence: Float[np.ndarray, " kept"]
    held_out: Float[np.ndarray, " kept"]
    behind: Float[np.ndarray, " kept"]
    elbo: Float[np.ndarray, " kept"] | None
    criterion: Float[np.ndarray, " kept"]
    subjects: int

    @property
    def active(self) -> int:
        """Number of active units."""
        return int(np.sum(self.variance > ACTIVE))

    @property
    def by_criterion(self) -> int:
        """The dimension of the least criterion."""
        return int(np.argmin(self.criterion))

    @property
    def by_held_out(self) -> int:
        """The smallest dimension that forecasts held-out levels within one standard error."""
        return int(np.flatnonzero(self.held_out.max() - self.held_out <= self.behind)[0])

    @property
    def by_elbo(self) -> int | None:
        """The dimension of the highest ELBO."""
        return None if self.elbo is None else int(np.argmax(self.elbo))


def directions(bank: Bank, weight: Float[np.ndarray, "subject draw"]) -> Directions:
    """Principal directions of the posterior means.

    Args:
        bank: Draws under the standard normal prior.
        weight: Posterior weights, which sum to 1.
    """
    means = np.einsum("nsd,ns->nd", bank.eps, weight)
    values, vectors = np.linalg.eigh(
        np.cov(means, rowvar=False, bias=True).reshape(2 * (means.shape[1],))
    )
    return Directions(np.maximum(values[::-1], 0.0), vectors[:, ::-1])


def informed(
    bank: Bank, weight: Float[np.ndarray, "subject draw"]
) -> Float[np.ndarray, " subject"]:
    r"""Directions that each subject's own levels inform, :math:`\sum_d (1 - \mathrm{var}_d)`."""
    mean = np.einsum("nsd,ns->nd", bank.eps, weight)
    variance = np.einsum("nsd,ns->nd", bank.eps**2, weight) - mean**2
    return np.sum(np.clip(1 - variance, 0.0, 1.0), axis=1)


def restricted(
    model: LatentModel, vectors: Float[np.ndarray, "effect direction"], kept: int
) -> LatentModel:
    """The model whose subjects vary along the first directions alone; the program is the same."""
    chol = np.asarray(model.prior.chol())
    part = chol @ vectors * (np.arange(vectors.shape[1]) < kept)
    # any factor of the same covariance: part = lower @ rotation
    lower = np.linalg.qr(part.T)[1].T
    lower = lower * np.where(np.diag(lower) < 0, -1.0, 1.0)
    # as `LearnedPrior` keeps it: the diagonal by its logarithm
    diagonal = np.log(np.maximum(np.diag(lower), LEAST_SD))
    factor = jnp.asarray(np.tril(lower, -1) + np.diag(diagonal))
    return eqx.tree_at(lambda m: m.prior.factor, model, factor)  # type: ignore[attr-defined]


def measure_dimension(
    model: LatentModel,
    records: Record,
    along: Directions,
    *,
    draws: int = 512,
    seed: int = 0,
    progress: Progress | None = None,
) -> Dimension:
    """Switch directions off and see what is lost; nothing is trained again.

    Args:
        model: The trained model.
        records: Stacked records of the subjects it is judged by.
        along: From `directions`.
        draws: Of each subject's posterior.
        seed: Of them.
        progress: Called with (done, total, label).
    """
    variance, vectors = along
    size, count = len(variance), int(np.asarray(records.mask).shape[0])
    evidence, levels = [], []
    for kept in range(size + 1):
        own = restricted(model, vectors, kept)
        bank = make_bank(own, records, draws=draws, seed=seed)
        each, ratio = densities(bank, model.residual), standard_ratio(bank)
        evidence.append(log_mean(each.sum(axis=2) + ratio))
        levels.append(np.nanmean(leave_one_out(own, bank, seed=seed).log_density, axis=1))
        if progress is not None:
            progress(kept + 1, size + 1, "latent dimension")
    held = np.stack(levels)  # (kept, subject)
    best = held[int(np.argmax(held.mean(axis=1)))]
    behind = np.std(best - held, axis=1) / np.sqrt(count)
    total = np.stack(evidence).sum(axis=1)
    k = np.arange(size + 1)
    numbers = size * k - k * (k - 1) // 2  # of a loading of k directions, up to rotation
    elbo = None if model.encoder is None else encoder_elbo(model, records, vectors, seed=seed)
    return Dimension(
        variance=variance,
        evidence=total / count,
        held_out=held.mean(axis=1),
        behind=behind,
        elbo=None if elbo is None else np.median(elbo, axis=0),
        criterion=-2 * total + numbers * np.log(count),
        subjects=count,
    )


def encoder_elbo(
    model: LatentModel,
    records: Record,
    vectors: Float[np.ndarray, "effect direction"],
    *,
    seed: int = 0,
) -> Float[np.ndarray, "subject kept"]:
    r"""ELBO of the encoder with the first k directions alone [nats].

    .. math:: E_q \log p(y | \epsilon_{1..k}, 0) - KL(q(\epsilon_{1..k}) \| N(0, I))

    Args:
        model: With an encoder.
        records: Stacked records.
        vectors: The directions, shape (effect, direction).
        seed: Of the draws.

    Returns:
        Shape (subject, direction + 1).
    """
    size = vectors.shape[1]
    rng = np.random.Generator(np.random.Philox([seed, NOISE, size]))
    noise = rng.standard_normal((NOISE, size))
    return in_blocks(
        lambda block: _elbo(model, block, jnp.asarray(vectors), jnp.asarray(noise)),
        records,
        None,
        "",
        size=block_size(model),
    )


@eqx.filter_jit
def _elbo(model: LatentModel, records: Record, vectors: Array, noise: Array) -> Array:
    size = vectors.shape[1]
    keep = jnp.arange(size)[None] < jnp.arange(size + 1)[:, None]  # (kept, direction)

    def one(record: Record) -> Array:
        location, q = model.location(record), model.encode(record)
        mean = vectors.T @ q.mean
        factor = jnp.linalg.cholesky(vectors.T @ q.chol @ q.chol.T @ vectors)
        drawn = mean + noise @ factor.T
        points = jnp.einsum("kd,sd,ed->kse", keep.astype(drawn.dtype), drawn, vectors)
        flat = points.reshape(-1, vectors.shape[0])
        likely = model.over_draws(lambda e: model.log_likelihood(e, location, record), flat)
        each = 0.5 * (jnp.sum(factor**2, axis=1) + mean**2 - 1) - jnp.log(jnp.diag(factor))
        kl = jnp.concatenate([jnp.zeros(1), jnp.cumsum(each)])
        return jnp.mean(likely.reshape(size + 1, -1), axis=1) - kl

    return jax.lax.map(one, records)
