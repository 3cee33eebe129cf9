"""The posterior of patients: encode, refine, importance-weight, and climb where that fails."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from latentpk.compilation import threads
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
    with_empty_components,
)
from latentpk.models.config import Frozen
from latentpk.models.latent import LatentModel
from latentpk.models.record import BLOCKS, Record, padded_size, take

Method = Literal["is", "adaptive", "nuts"]
ROUNDS = 4  # at most, of the second rung
WIDER, SLOWER = 3.0, 5.0  # how much gate C's rivals differ: in spread, in clearance
FINITE_VARIANCE = 0.5  # k-hat below which the weights' variance is finite
Progress = Callable[[int, int, str], None]


class PosteriorSettings(Frozen):
    """How posteriors are computed.

    Attributes:
        draws: Draws of the first rung, and of every posterior returned.
        adaptive_draws: Draws of the second rung.
        least_ess: Effective draws below which the next rung is climbed, as a share of `draws`.
        begin: Where refinement begins: everywhere, or only at the encoder or the prior's mean.
        ladder: False stays at the first rung.
        rival: Whether to compute the evidence of gate C's rivals too.
        seed: Of the standard draws.
    """

    draws: int = 1024
    adaptive_draws: int = 10_000
    least_ess: float = 0.1
    begin: Literal["all", "encoder", "prior"] = "all"
    ladder: bool = True
    rival: bool = False
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Posteriors:
    """Posteriors of a block of patients over eps, the latent patient relative to the prior.

    Attributes:
        eps: Draws, shape (subject, draw, effect).
        weight: Their normalised weights, shape (subject, draw).
        mode: The highest mode (MAP), shape (subject, effect).
        objective: -log joint density at the mode, shape (subject,).
        residual: Standardized residuals at the mode, 0 where no level is, shape (subject, level).
        k: Pareto k-hat, shape (subject,).
        ess: Effective sample size, shape (subject,).
        log_evidence: Marginal log likelihood of the levels, shape (subject,).
        log_evidence_wide: The same for patients who differ WIDER times as much, nan where it was
            not asked for, shape (subject,).
        log_evidence_slow: The same for patients who clear the drug SLOWER times more slowly, nan
            where no parameter is a clearance, shape (subject,).
        method: The rung that answered, one per subject.
        rhat: Split R-hat where NUTS answered, else nan, shape (subject,).
    """

    eps: Float[np.ndarray, "subject draw effect"]
    weight: Float[np.ndarray, "subject draw"]
    mode: Float[np.ndarray, "subject effect"]
    objective: Float[np.ndarray, " subject"]
    residual: Float[np.ndarray, "subject level"]
    k: Float[np.ndarray, " subject"]
    ess: Float[np.ndarray, " subject"]
    log_evidence: Float[np.ndarray, " subject"]
    log_evidence_wide: Float[np.ndarray, " subject"]
    log_evidence_slow: Float[np.ndarray, " subject"]
    method: tuple[Method, ...]
    rhat: Float[np.ndarray, " subject"]


def posteriors(
    model: LatentModel,
    records: Record,
    settings: PosteriorSettings | None = None,
    progress: Progress | None = None,
) -> Posteriors:
    """Compute the posterior of every stacked record.

    Args:
        model: The model.
        records: Stacked records, leading axis (subject,).
        settings: How; None takes the defaults.
        progress: Called with (done, total, label).

    Returns:
        One posterior per subject, in order.
    """
    ladder = _Ladder(model, settings or PosteriorSettings(), progress)
    found = _climbed(ladder, records)
    if not ladder.settings.rival:
        return found

    def evidence(rival: LatentModel) -> np.ndarray:  # by the same compiled program
        return replace(ladder, model=rival, progress=None).first(records)[0].log_evidence

    found = replace(found, log_evidence_wide=evidence(model.widened(WIDER)))
    slow = model.slowed(SLOWER)
    return found if slow is None else replace(found, log_evidence_slow=evidence(slow))


def _climbed(ladder: "_Ladder", records: Record) -> Posteriors:
    """The first rung for everyone, and the next ones for those it fails."""
    first, modes = ladder.first(records)
    if not ladder.settings.ladder:
        return first
    flagged = np.flatnonzero(ladder.fails(first, ladder.settings.draws))
    if flagged.size == 0:
        return first
    second = ladder.second(take(records, flagged), take(modes, flagged))
    result = _replace_rows(first, flagged, second)
    failed = np.flatnonzero(ladder.fails(second, ladder.settings.adaptive_draws))
    if failed.size == 0:
        return result
    if ladder.model.decoder.simulated:
        return result  # NUTS would simulate for hours: gate A says what the draws are worth
    still = flagged[failed]
    return _replace_rows(result, still, ladder.third(take(records, still), rows(second, failed)))


@dataclass(frozen=True, eq=False)
class _Ladder:
    """Gate A's ladder: each rung is tried on the patients the one before failed."""

    model: LatentModel
    settings: PosteriorSettings
    progress: Progress | None

    def fails(self, found: Posteriors, draws: int) -> Bool[np.ndarray, " subject"]:
        """Whose weights have too heavy a tail, or too few effective draws."""
        enough = found.ess >= self.settings.least_ess * self.settings.draws
        return ~((found.k <= k_threshold(draws)) & enough)

    def first(self, records: Record) -> tuple[Posteriors, Modes]:
        """Modes, then few draws from their mixture."""
        size = self.model.dimension(records)
        base = base_draws(self.settings.draws, size, self.settings.seed)
        sample, modes = in_blocks(
            lambda block: _rung_one(self.model, block, base, self.settings.begin),
            records,
            self.progress,
            "posteriors",
            size=block_size(self.model),
        )
        return _collect(sample, modes, "is"), modes

    def second(self, records: Record, modes: Modes) -> Posteriors:
        """Many draws from mixtures that adapt."""
        many = self.settings.adaptive_draws
        base = base_draws(many, self.model.dimension(records), self.settings.seed + 1)
        enough = float(self.settings.draws)
        sample = in_blocks(
            lambda block: _rung_two(self.model, block[0], block[1], base, enough),
            (records, modes),
            self.progress,
            "adaptive draws",
            size=1,
        )
        full = _collect(sample, modes, "adaptive")
        return self._evenly(full, full.eps, full.weight)

    def third(self, records: Record, second: Posteriors) -> Posteriors:
        """NUTS, begun at draws of the second rung."""
        key = jax.random.key(self.settings.seed + 3)
        draws, rhat = in_blocks(
            lambda block: nuts_batch(self.model, block[0], block[1], key),
            (records, second.eps[:, :CHAINS]),
            self.progress,
            "NUTS",
            size=4,
        )
        even = np.ones(draws.shape[:2])
        return replace(self._evenly(second, draws, even), method=("nuts",) * len(rhat), rhat=rhat)

    def _evenly(self, found: Posteriors, eps: np.ndarray, weight: np.ndarray) -> Posteriors:
        """As many evenly weighted draws as the first rung has, by systematic resampling."""
        size = self.settings.draws
        drawn = [_resample(e, w, size) for e, w in zip(eps, weight, strict=True)]
        even = np.full((len(drawn), size), 1 / size)
        return replace(found, eps=np.stack(drawn), weight=even, ess=np.minimum(found.ess, size))


@eqx.filter_jit
def _rung_one(
    model: LatentModel, records: Record, base: BaseDraws, begin: str
) -> tuple[Sample, Modes]:
    def one(record: Record) -> tuple[Sample, Modes]:
        location = model.location(record)
        modes = _modes(model, record, location, begin)
        return sample_mixture(model, record, location, mode_mixture(modes), base), modes

    return jax.vmap(one)(records)


@eqx.filter_jit
def _rung_two(
    model: LatentModel, records: Record, modes: Modes, base: BaseDraws, enough: float
) -> Sample:
    """Rounds of many draws, each from a mixture moment-matched to the one before.

    The rounds end early at weights of finite variance with `enough` effective draws.
    """

    def one(item: tuple[Record, Modes]) -> Sample:
        record, found = item
        location = model.location(record)

        def unsettled(state: tuple[Array, Mixture, Sample]) -> Array:
            count, _, sample = state
            settled = (sample.k <= FINITE_VARIANCE) & (sample.ess >= enough)
            return (count == 0) | ((count < ROUNDS) & ~settled)

        def adapt(state: tuple[Array, Mixture, Sample]) -> tuple[Array, Mixture, Sample]:
            count, mixture, _ = state
            sample = sample_mixture(model, record, location, mixture, base)
            return count + 1, matched_mixture(mixture, sample), sample

        mixture = with_empty_components(mode_mixture(found))
        size, effects = base.normal.shape
        nothing = jnp.zeros(())
        empty = Sample(jnp.zeros((size, effects)), jnp.zeros(size), nothing, nothing, nothing)
        return jax.lax.while_loop(unsettled, adapt, (jnp.asarray(0), mixture, empty))[2]

    return jax.lax.map(one, (records, modes))


def _modes(model: LatentModel, record: Record, location: Array, begin: str) -> Modes:
    if begin == "prior":
        places = jnp.zeros((1, model.dimension(record)))
    else:
        places = starts(model.encode(record).mean, model.effects)
        places = places[1:2] if begin == "encoder" else places
    return find_modes(model, record, location, places)


def in_blocks(
    program: Callable[[PyTree], PyTree],
    items: PyTree,
    progress: Progress | None,
    label: str,
    *,
    size: int | None = None,
) -> PyTree:
    """Run a program on blocks of a compiled size, and join what it gives.

    The first block alone compiles; the others share the threads, a block on one thread, since
    XLA runs programs as small as these on one.
    """
    count = jax.tree_util.tree_leaves(items)[0].shape[0]
    todo = blocks(items, size)

    def run(block: PyTree) -> PyTree:
        return jax.tree_util.tree_map(np.asarray, program(block))

    def told(part: PyTree) -> PyTree:
        done.append(part)
        if progress is not None:
            share = jax.tree_util.tree_leaves(part)[0].shape[0]
            progress(min(len(done) * share, count), count, label)

    done: list[PyTree] = []
    if progress is not None:
        progress(0, count, label)  # compiling comes first, and takes the longest
    told(run(next(todo)))
    with ThreadPoolExecutor(threads()) as pool:
        for part in pool.map(run, todo):
            told(part)
    return jax.tree_util.tree_map(lambda *parts: np.concatenate(parts)[:count], *done)


def block_size(model: LatentModel) -> int | None:
    """Patients at once: one where every draw is simulated, which is work enough; else None."""
    return 1 if model.decoder.simulated else None


def blocks(items: PyTree, size: int | None = None) -> Iterator[PyTree]:
    """Cut stacked items into blocks of a compiled size; the last block repeats its last row."""
    count = jax.tree_util.tree_leaves(items)[0].shape[0]
    size = size or min(padded_size(count, BLOCKS), 32)
    for start in range(0, count, size):
        index = np.minimum(np.arange(start, start + size), count - 1)
        yield jax.tree_util.tree_map(lambda x: x[index], items)  # noqa: B023


def _collect(sample: Sample, modes: Modes, method: Method) -> Posteriors:
    return Posteriors(
        eps=np.asarray(sample.eps),
        weight=np.exp(np.asarray(sample.log_weight)),
        mode=np.asarray(modes.eps)[:, 0],
        objective=np.asarray(modes.objective)[:, 0],
        residual=np.asarray(modes.residual)[:, 0],
        k=np.asarray(sample.k),
        ess=np.asarray(sample.ess),
        log_evidence=np.asarray(sample.log_evidence),
        log_evidence_wide=np.full(sample.k.shape, np.nan),
        log_evidence_slow=np.full(sample.k.shape, np.nan),
        method=(method,) * sample.k.shape[0],
        rhat=np.full(sample.k.shape, np.nan),
    )


def _resample(eps: np.ndarray, weight: np.ndarray, size: int) -> np.ndarray:
    """Systematic resampling: evenly weighted draws without further noise."""
    edges = np.cumsum(weight) / np.sum(weight)
    index = np.searchsorted(edges, (np.arange(size) + 0.5) / size)
    return eps[np.minimum(index, eps.shape[0] - 1)]


_ARRAYS = (
    "eps",
    "weight",
    "mode",
    "objective",
    "residual",
    "k",
    "ess",
    "log_evidence",
    "log_evidence_wide",
    "log_evidence_slow",
    "rhat",
)


def rows(posterior: Posteriors, index: Sequence[int] | np.ndarray) -> Posteriors:
    """The posteriors of some subjects, in the order of `index`."""
    arrays = {name: getattr(posterior, name)[np.asarray(index)] for name in _ARRAYS}
    return Posteriors(**arrays, method=tuple(posterior.method[i] for i in index))


def _replace_rows(into: Posteriors, index: np.ndarray, rows: Posteriors) -> Posteriors:
    def put(name: str) -> np.ndarray:
        whole = getattr(into, name).copy()
        whole[index] = getattr(rows, name)
        return whole

    method = list(into.method)
    for place, name in zip(index, rows.method, strict=True):
        method[place] = name
    return Posteriors(**{name: put(name) for name in _ARRAYS}, method=tuple(method))
