"""Concentrations of patients at asked times, before and after their levels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentpk.inference.posterior import Posteriors, block_size, in_blocks
from latentpk.inference.sampling import Host, base_draws
from latentpk.models.latent import LatentModel
from latentpk.models.record import Queries, Record, take

PRIOR_DRAWS = 400
BAND = (0.05, 0.95)
SHIFT = 0xBE  # of the seeds of draws: the column that no effect has


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions of stacked patients, each shape (subject, time) [mg/L].

    Attributes:
        pred: At the prior's location; of several groups of people the largest's.
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
    size = model.dimension(records)
    prior = _prior(model, size, seed)
    draws = with_untold(resample(posterior), size, seed)
    noise = _stratified_normal(posterior.eps.shape[1], seed)
    shift = shifts(posterior.eps.shape[1], seed)

    def program(block: tuple[tuple[Any, ...], np.ndarray]) -> tuple[np.ndarray, ...]:
        (one, time, moment, eps), sd = block
        found, typical, before = _curves(model, one, time, moment, eps, prior)
        curves = _widened(found, sd, shift)
        measured = _measure(model, curves, noise)
        return _summary(*map(np.asarray, (typical, before, curves, measured)))

    items = ((records, *queries, draws), beyond_training(model, records, queries))
    alone = block_size(model)
    parts = in_blocks(program, items, progress, "predictions", size=alone)
    return Predictions(*parts)


@dataclass(frozen=True, eq=False)
class Part:
    """One model's view of the same stacked patients, for an average.

    Attributes:
        model: The model.
        records: Stacked records with all doses up to the times asked.
        posterior: The patients' posteriors.
        share: Weight of the model for each patient, shape (subject,).
        before: The same before any level, shape (subject,).
    """

    model: LatentModel
    records: Record
    posterior: Posteriors
    share: Float[np.ndarray, " subject"]
    before: Float[np.ndarray, " subject"]


def predict_average(
    parts: Sequence[Part],
    queries: Queries,
    *,
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> Predictions:
    """Predict stacked patients by an average: each draw is one model's, in their shares.

    Args:
        parts: One for each model; their shares sum to 1 for every patient.
        queries: When, for each patient.
        seed: Of the prior's draws, of measurement noise, and of which draw is whose.
        progress: Called with (done, total, label).

    Returns:
        The predictions; `pred` is the mean of the models' own, in their shares before any level.
    """
    size = parts[0].posterior.eps.shape[1]
    noise, shift = _stratified_normal(size, seed), shifts(size, seed)
    rng = np.random.Generator(np.random.Philox([seed, size, len(parts)]))
    order, first = rng.permutation(size), rng.permutation(PRIOR_DRAWS)

    def program(block: tuple[tuple[Any, ...], ...]) -> tuple[np.ndarray, ...]:
        (time, moment), *views = block
        typical, before, curves, measured = [], [], [], []
        for part, (records, eps, _, _, sd) in zip(parts, views, strict=True):
            wide = part.model.dimension(part.records)
            prior = _prior(part.model, wide, seed)
            found, at, prior_curve = _curves(part.model, records, time, moment, eps, prior)
            curve = _widened(found, sd, shift)
            curves.append(np.asarray(curve))
            measured.append(np.asarray(_measure(part.model, curve, noise)))
            typical.append(np.asarray(at))
            before.append(np.asarray(prior_curve))
        share, earlier = (np.stack([view[k] for view in views]) for k in (2, 3))
        whole = np.einsum("ms,mst->st", earlier, np.stack(typical))
        return _summary(
            whole,
            _mixed(before, earlier, first),
            _mixed(curves, share, order),
            _mixed(measured, share, order),
        )

    draws = [
        with_untold(resample(part.posterior), part.model.dimension(part.records), seed)
        for part in parts
    ]
    views = tuple(
        (
            part.records,
            eps,
            part.share,
            part.before,
            beyond_training(part.model, part.records, queries),
        )
        for part, eps in zip(parts, draws, strict=True)
    )
    items = (tuple(queries), *views)
    alone = any(block_size(part.model) == 1 for part in parts)
    whole = in_blocks(program, items, progress, "predictions", size=1 if alone else None)
    return Predictions(*whole)


def _prior(model: LatentModel, size: int, seed: int) -> Float[np.ndarray, "draw size"]:
    base = base_draws(PRIOR_DRAWS, size, seed)
    return np.asarray(model.prior_draws(jnp.asarray(base.normal), jnp.asarray(base.rank)))


def _mixed(
    curves: Sequence[np.ndarray],
    share: Float[np.ndarray, "model subject"],
    order: np.ndarray,
) -> Float[np.ndarray, "subject time draw"]:
    """As many draws as each model's share, of each patient; `order` says which."""
    size = order.size
    edges = np.cumsum(share, axis=0)
    whose = np.sum(edges[:, :, None] <= (np.arange(size) + 0.5) / size, axis=0)
    whose = np.minimum(whose, len(curves) - 1)  # (subject, draw), and the sum of shares may round
    found = np.zeros((*curves[0].shape[:2], size))
    for m, curve in enumerate(curves):
        subject, draw = np.nonzero(whose == m)
        found[subject, :, draw] = curve[subject, :, order[draw]]
    return found


def resample(posterior: Posteriors) -> Float[np.ndarray, "subject draw effect"]:
    """Evenly weighted draws of every patient, by systematic resampling."""
    edges = np.cumsum(posterior.weight, axis=1)
    edges /= edges[:, -1:]
    size = edges.shape[1]
    rank = (np.arange(size) + 0.5) / size
    index = np.stack([np.searchsorted(row, rank) for row in edges])
    return np.take_along_axis(posterior.eps, np.minimum(index, size - 1)[..., None], axis=1)


def with_untold(
    eps: Float[np.ndarray, "*subject draw effect"], size: int, seed: int
) -> Float[np.ndarray, "*subject draw size"]:
    """Draws that go on over occasions no level tells of, as the prior has them.

    Args:
        eps: Draws of as many occasions as the levels tell of.
        size: The dimension they are to have; fewer than they have changes nothing.
        seed: Of the draws added; these are evenly spread, and the same for every subject.

    Returns:
        The draws with standard normal columns added.
    """
    draws, known = eps.shape[-2:]
    more = [_stratified_normal(draws, seed, column) for column in range(known, size)]
    if not more:
        return eps
    wide = np.broadcast_to(np.stack(more, axis=1), (*eps.shape[:-1], len(more)))
    return np.concatenate([eps, wide], axis=-1)


def shifts(draws: int, seed: int) -> Float[np.ndarray, " draw"]:
    """How far each draw lies from its own course where doses are beyond those trained on [SD].

    One number for a whole course, since what a decoder does not know of a regimen lasts; evenly
    spread, and the same for every patient.
    """
    return _stratified_normal(draws, seed, SHIFT)


def beyond_training(
    model: LatentModel, records: Record, queries: Queries
) -> Float[np.ndarray, "subject time"]:
    """SD of the log concentration beyond the regimens trained on; 0 within them."""
    if model.beyond is None:
        return np.zeros(queries.time.shape)
    whole = enumerate(queries.time)
    return np.stack([model.beyond.sd(take(records.doses, i), time) for i, time in whole])


def _widened(curves: Array, sd: np.ndarray, shift: np.ndarray) -> Array | np.ndarray:
    """Curves (subject, time, draw), each draw times its own factor."""
    return np.asarray(curves) * np.exp(sd[..., None] * shift) if sd.any() else curves


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


def _stratified_normal(size: int, *seed: int) -> np.ndarray:
    """Standard normal quantiles in random order: noise without its own sampling error."""
    order = np.random.Generator(np.random.Philox([seed[0], size, *seed[1:]])).permutation(size)
    rank = (order + 0.5) / size
    return np.array([NormalDist().inv_cdf(r) for r in rank])
