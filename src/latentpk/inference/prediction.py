"""Concentrations of patients at asked times, before and after their levels."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentpk.inference.posterior import Posteriors, block_size, in_blocks
from latentpk.inference.sampling import Host, base_draws
from latentpk.models.latent import LatentModel
from latentpk.models.record import Queries, Record

PRIOR_DRAWS = 400
BAND = (0.05, 0.95)


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions of stacked patients, each shape (subject, time) [mg/L].

    Attributes:
        pred: At the prior's location.
        pred_median: Median of the prior predictive of the concentration.
        ipred: Posterior median of the concentration.
        lo: Its 5 % quantile.
        hi: Its 95 % quantile.
        pi_lo: 5 % quantile of a new measurement.
        pi_hi: 95 % quantile of a new measurement.
    """

    pred: Float[np.ndarray, "subject time"]
    pred_median: Float[np.ndarray, "subject time"]
    ipred: Float[np.ndarray, "subject time"]
    lo: Float[np.ndarray, "subject time"]
    hi: Float[np.ndarray, "subject time"]
    pi_lo: Float[np.ndarray, "subject time"]
    pi_hi: Float[np.ndarray, "subject time"]


def predict(
    model: LatentModel,
    records: Record,
    queries: Queries,
    posterior: Posteriors,
    *,
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> Predictions:
    """Predict stacked patients at their own times.

    Args:
        model: The model.
        records: Stacked records with all doses up to the times asked.
        queries: When, for each patient.
        posterior: The patients' posteriors.
        seed: Of the prior's draws and of measurement noise.
        progress: Called with (done, total, label).

    Returns:
        The predictions.
    """
    prior = np.asarray(base_draws(PRIOR_DRAWS, model.effects, seed).normal)
    noise = _stratified_normal(posterior.eps.shape[1], seed)

    def program(block: tuple[Record, np.ndarray, np.ndarray, np.ndarray]) -> tuple[np.ndarray, ...]:
        curves, typical, before = _curves(model, *block, prior)
        measured = _measure(model, curves, noise)
        return _summary(*map(np.asarray, (typical, before, curves, measured)))

    items = (records, *queries, resample(posterior))
    size = block_size(model)
    parts = in_blocks(program, items, progress, "predictions", size=size)
    return Predictions(*parts)


def resample(posterior: Posteriors) -> Float[np.ndarray, "subject draw effect"]:
    """Evenly weighted draws of every patient, by systematic resampling."""
    edges = np.cumsum(posterior.weight, axis=1)
    edges /= edges[:, -1:]
    size = edges.shape[1]
    rank = (np.arange(size) + 0.5) / size
    index = np.stack([np.searchsorted(row, rank) for row in edges])
    return np.take_along_axis(posterior.eps, np.minimum(index, size - 1)[..., None], axis=1)


@eqx.filter_jit
def _curves(
    model: LatentModel, records: Record, time: Host, order: Host, eps: Host, prior: Host
) -> tuple[Array, Array, Array]:
    """Concentrations (subject, time, draw), at the prior's location, and of prior draws."""

    def one(item: tuple[Record, Array, Array, Array]) -> tuple[Array, Array, Array]:
        record, t, o, draws = item
        location = model.location(record)
        origin = jnp.zeros((1, draws.shape[1]))
        every = jnp.concatenate([draws, prior, origin])
        curves = model.over_draws(lambda e: model.concentration(e, location, record, t, o), every)
        size = draws.shape[0]
        return curves[:size].T, curves[-1], curves[size:-1].T

    return jax.lax.map(one, (records, time, order, eps))


@eqx.filter_jit
def _measure(model: LatentModel, curves: Host, noise: Host) -> Array:
    return model.residual.perturb(jnp.asarray(curves), jnp.asarray(noise))


def _summary(
    typical: np.ndarray, before: np.ndarray, curves: np.ndarray, measured: np.ndarray
) -> tuple[np.ndarray, ...]:
    low, middle, high = _quantiles(curves, (BAND[0], 0.5, BAND[1]))
    pi_low, pi_high = _quantiles(measured, BAND)
    (median,) = _quantiles(before, (0.5,))
    return typical, median, middle, low, high, pi_low, pi_high


def _quantiles(draws: np.ndarray, levels: tuple[float, ...]) -> list[np.ndarray]:
    """Quantiles over the last axis, of evenly weighted draws."""
    ordered = np.sort(draws, axis=2)
    size = ordered.shape[2]
    place = np.clip(np.asarray(levels) * size - 0.5, 0, size - 1)
    left = np.floor(place).astype(int)
    right = np.minimum(left + 1, size - 1)
    share = place - left
    return [
        (1 - s) * ordered[..., a] + s * ordered[..., b]
        for a, b, s in zip(left, right, share, strict=True)
    ]


def _stratified_normal(size: int, seed: int) -> np.ndarray:
    """Standard normal quantiles in random order: noise without its own sampling error."""
    rank = (np.random.Generator(np.random.Philox([seed, size])).permutation(size) + 0.5) / size
    return np.array([NormalDist().inv_cdf(r) for r in rank])
