"""The posterior of patients: encode, refine, importance-weight, and climb where that fails."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from latentpk.inference.modes import Modes, find_modes, starts
from latentpk.inference.nuts import CHAINS, nuts_batch
from latentpk.inference.psis import k_threshold
from latentpk.inference.sampling import (
    BaseDraws,
    Mixture,
    Sample,
    base_draws,
    matched_mixture,
    mode_mixture,
    sample_mixture,
    with_empty_component,
)
from latentpk.models.config import Frozen
from latentpk.models.latent import LatentModel
from latentpk.models.record import BLOCKS, Record, padded_size, take

Method = Literal["is", "adaptive", "nuts"]
ROUNDS = 3  # of the second rung
Progress = Callable[[int, int, str], None]


class PosteriorSettings(Frozen):
    """How posteriors are computed.

    Attributes:
        draws: Draws of the first rung, and of every posterior returned.
        adaptive_draws: Draws of the second rung.
        least_ess: Effective draws below which the next rung is climbed, as a share of `draws`.
        begin: Where refinement begins: everywhere, or only at the encoder or the prior's mean.
        ladder: False stays at the first rung.
        seed: Of the standard draws.
    """

    draws: int = 1024
    adaptive_draws: int = 10_000
    least_ess: float = 0.1
    begin: Literal["all", "encoder", "prior"] = "all"
    ladder: bool = True
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Posteriors:
    """Posteriors of a block of patients over eps, the latent patient relative to the prior.

    Attributes:
        eps: Draws, shape (subject, draw, effect).
        weight: Their normalised weights, shape (subject, draw).
        mode: The highest mode (MAP), shape (subject, effect).
        objective: -log joint density at the mode, shape (subject,).
        k: Pareto k-hat, shape (subject,).
        ess: Effective sample size, shape (subject,).
        log_evidence: Marginal log likelihood of the levels, shape (subject,).
        method: The rung that answered, one per subject.
        rhat: Split R-hat where NUTS answered, else nan, shape (subject,).
    """

    eps: Float[np.ndarray, "subject draw effect"]
    weight: Float[np.ndarray, "subject draw"]
    mode: Float[np.ndarray, "subject effect"]
    objective: Float[np.ndarray, " subject"]
    k: Float[np.ndarray, " subject"]
    ess: Float[np.ndarray, " subject"]
    log_evidence: Float[np.ndarray, " subject"]
    method: tuple[Method, ...]
    rhat: Float[np.ndarray, " subject"]


def posteriors(
    model: LatentModel,
    records: Record,
    settings: PosteriorSettings = PosteriorSettings(),
    progress: Progress | None = None,
) -> Posteriors:
    """Compute the posterior of every stacked record.

    Args:
        model: The model.
        records: Stacked records, leading axis (subject,).
        settings: How.
        progress: Called with (done, total, label).

    Returns:
        One posterior per subject, in order.
    """
    base = base_draws(settings.draws, model.effects, settings.seed)
    sample, modes = in_blocks(
        lambda block: _rung_one(model, block, base, settings.begin), records, progress, "posteriors"
    )
    first = _collect(sample, modes, "is")
    if not settings.ladder:
        return first
    threshold = k_threshold(settings.draws)
    short = first.ess < settings.least_ess * settings.draws
    flagged = np.flatnonzero((first.k > threshold) | short | ~np.isfinite(first.k + first.ess))
    flagged = np.array([i for i in flagged if not np.isneginf(first.k[i]) or short[i]], int)
    if flagged.size == 0:
        return first
    second = _second_rung(model, take(records, flagged), take(modes, flagged), settings, progress)
    limit = k_threshold(settings.adaptive_draws)
    failed = (second.k > limit) | ~(second.ess >= settings.least_ess * settings.draws)
    result = _replace_rows(first, flagged, second)
    if failed.any():
        still = flagged[failed]
        begin = second.eps[failed, :CHAINS]
        third = _third_rung(model, take(records, still), begin, second, failed, settings, progress)
        result = _replace_rows(result, still, third)
    return result


@eqx.filter_jit
def _rung_one(
    model: LatentModel, records: Record, base: BaseDraws, begin: str
) -> tuple[Sample, Modes]:
    def one(record: Record) -> tuple[Sample, Modes]:
        location = model.location(record)
        modes = _modes(model, record, location, begin)
        return sample_mixture(model, record, location, mode_mixture(modes), base), modes

    return jax.lax.map(one, records)


@eqx.filter_jit
def _rung_two(model: LatentModel, records: Record, modes: Modes, base: BaseDraws) -> Sample:
    """Rounds of many draws, each from a mixture moment-matched to the one before."""

    def one(item: tuple[Record, Modes]) -> Sample:
        record, found = item
        location = model.location(record)

        def adapt(state: tuple[Mixture, Sample], _: None) -> tuple[tuple[Mixture, Sample], None]:
            sample = sample_mixture(model, record, location, state[0], base)
            return (matched_mixture(state[0], sample), sample), None

        mixture = with_empty_component(mode_mixture(found))
        size, effects = base.normal.shape
        nothing = jnp.zeros(())
        empty = Sample(jnp.zeros((size, effects)), jnp.zeros(size), nothing, nothing, nothing)
        return jax.lax.scan(adapt, (mixture, empty), None, length=ROUNDS)[0][1]

    return jax.lax.map(one, (records, modes))


def _modes(model: LatentModel, record: Record, location: Array, begin: str) -> Modes:
    if begin == "prior":
        places = jnp.zeros((1, model.effects))
    else:
        places = starts(model.encode(record).mean)
        places = places[1:2] if begin == "encoder" else places
    return find_modes(model, record, location, places)


def _second_rung(
    model: LatentModel,
    records: Record,
    modes: Modes,
    settings: PosteriorSettings,
    progress: Progress | None,
) -> Posteriors:
    base = base_draws(settings.adaptive_draws, model.effects, settings.seed + 1)
    sample = in_blocks(
        lambda block: _rung_two(model, block[0], block[1], base),
        (records, modes),
        progress,
        "adaptive draws",
    )
    full = _collect(sample, modes, "adaptive")
    eps = np.stack(
        [_resample(e, w, settings.draws) for e, w in zip(full.eps, full.weight, strict=True)]
    )
    even = np.full(eps.shape[:2], 1 / settings.draws)
    return replace(full, eps=eps, weight=even, ess=np.minimum(full.ess, settings.draws))


def _third_rung(
    model: LatentModel,
    records: Record,
    begin: np.ndarray,
    second: Posteriors,
    failed: np.ndarray,
    settings: PosteriorSettings,
    progress: Progress | None,
) -> Posteriors:
    keys = jax.random.split(jax.random.key(settings.seed + 3), 1)
    items = (records, begin)
    draws, rhat = in_blocks(
        lambda block: nuts_batch(
            model, block[0], block[1], jnp.broadcast_to(keys, block[1].shape[:1])
        ),
        items,
        progress,
        "NUTS",
    )
    even = np.full(draws.shape[:2], 1 / draws.shape[1])
    eps = np.stack([_resample(e, w, settings.draws) for e, w in zip(draws, even, strict=True)])
    weight = np.full(eps.shape[:2], 1 / settings.draws)
    rows = np.flatnonzero(failed)
    kept = _rows(second, rows)
    return replace(kept, eps=eps, weight=weight, method=("nuts",) * len(rows), rhat=rhat)


def in_blocks(
    program: Callable[[PyTree], PyTree], items: PyTree, progress: Progress | None, label: str
) -> PyTree:
    """Run a program on blocks of compiled sizes; the last block repeats its last row."""
    count = jax.tree_util.tree_leaves(items)[0].shape[0]
    size = min(padded_size(count, BLOCKS), 32)
    done: list[PyTree] = []
    if progress is not None:
        progress(0, count, label)  # compiling comes first, and takes the longest
    for start in range(0, count, size):
        index = np.minimum(np.arange(start, start + size), count - 1)
        block = jax.tree_util.tree_map(lambda x: x[index], items)  # noqa: B023
        done.append(jax.tree_util.tree_map(np.asarray, program(block)))
        if progress is not None:
            progress(min(start + size, count), count, label)
    return jax.tree_util.tree_map(lambda *parts: np.concatenate(parts)[:count], *done)


def _collect(sample: Sample, modes: Modes, method: Method) -> Posteriors:
    return Posteriors(
        eps=sample.eps,
        weight=np.exp(sample.log_weight),
        mode=modes.eps[:, 0],
        objective=modes.objective[:, 0],
        k=sample.k,
        ess=sample.ess,
        log_evidence=sample.log_evidence,
        method=(method,) * sample.k.shape[0],
        rhat=np.full(sample.k.shape, np.nan),
    )


def _resample(eps: np.ndarray, weight: np.ndarray, size: int) -> np.ndarray:
    """Systematic resampling: evenly weighted draws without further noise."""
    edges = np.cumsum(weight) / np.sum(weight)
    index = np.searchsorted(edges, (np.arange(size) + 0.5) / size)
    return eps[np.minimum(index, eps.shape[0] - 1)]


def _rows(posterior: Posteriors, index: Sequence[int] | np.ndarray) -> Posteriors:
    arrays = {
        name: getattr(posterior, name)[np.asarray(index)]
        for name in ("eps", "weight", "mode", "objective", "k", "ess", "log_evidence", "rhat")
    }
    return Posteriors(**arrays, method=tuple(posterior.method[i] for i in index))


def _replace_rows(into: Posteriors, index: np.ndarray, rows: Posteriors) -> Posteriors:
    def put(name: str) -> np.ndarray:
        whole = getattr(into, name).copy()
        whole[index] = getattr(rows, name)
        return whole

    method = list(into.method)
    for place, name in zip(index, rows.method, strict=True):
        method[place] = name
    names = ("eps", "weight", "mode", "objective", "k", "ess", "log_evidence", "rhat")
    return Posteriors(**{name: put(name) for name in names}, method=tuple(method))
