"""The posterior of patients: encode, refine, importance-weight, and climb where that fails."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, PyTree

from latentpk.compilation import threads
from latentpk.inference.grouped import WORTH, group_probabilities, join
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
from latentpk.inference.weighted import Method, Posteriors, evenly, replace_rows, rows
from latentpk.models.config import Frozen
from latentpk.models.latent import LatentModel
from latentpk.models.record import BLOCKS, Record, padded_size, take

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
    found = _climbed(ladder, records) if model.groups == 1 else _grouped(ladder, records)
    if not ladder.settings.rival:
        return found

    def evidence(rival: LatentModel) -> np.ndarray:  # by the same compiled program
        silent = replace(ladder, model=rival, progress=None)
        each = np.stack(
            [one.first(records)[0].log_evidence for one in _within_groups(silent)], axis=1
        )
        return each[:, 0] if model.groups == 1 else group_probabilities(rival, records, each)[1]

    found = replace(found, log_evidence_wide=evidence(model.widened(WIDER)))
    slow = model.slowed(SLOWER)
    return found if slow is None else replace(found, log_evidence_slow=evidence(slow))


def _grouped(ladder: "_Ladder", records: Record) -> Posteriors:
    """The posterior within each group of people, joined; improbable groups climb no further."""
    ladders = _within_groups(ladder)
    begun = [one.first(records) for one in ladders]
    evidence = np.stack([first.log_evidence for first, _ in begun], axis=1)
    probable = group_probabilities(ladder.model, records, evidence)[0] > WORTH
    parts = [
        _further(one, records, *first, worth=probable[:, k])
        for k, (one, first) in enumerate(zip(ladders, begun, strict=True))
    ]
    return join(ladder.model, records, parts)


def _within_groups(ladder: "_Ladder") -> list["_Ladder"]:
    model = ladder.model
    return [replace(ladder, model=model.of_group(k)) for k in range(model.groups)]


def _climbed(ladder: "_Ladder", records: Record) -> Posteriors:
    """The first rung for everyone, and the next ones for those it fails."""
    return _further(ladder, records, *ladder.first(records))


def _further(
    ladder: "_Ladder",
    records: Record,
    first: Posteriors,
    modes: Modes,
    worth: Bool[np.ndarray, " subject"] | bool = True,
) -> Posteriors:
    """The next rungs for those whom the first one fails, and who are worth them."""
    if not ladder.settings.ladder:
        return first
    flagged = np.flatnonzero(ladder.fails(first, ladder.settings.draws) & worth)
    if flagged.size == 0:
        return first
    second = ladder.second(take(records, flagged), take(modes, flagged))
    result = replace_rows(first, flagged, second)
    failed = np.flatnonzero(ladder.fails(second, ladder.settings.adaptive_draws))
    if failed.size == 0:
        return result
    if ladder.model.decoder.simulated:
        return result  # NUTS would simulate for hours: gate A says what the draws are worth
    still = flagged[failed]
    return replace_rows(result, still, ladder.third(take(records, still), rows(second, failed)))


def laplace(model: LatentModel, records: Record, progress: Progress | None = None) -> Modes:
    """The modes of every stacked record, best first, in a population of one group."""
    return _Ladder(model, PosteriorSettings(draws=64), progress).first(records)[1]


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
        drawn = [evenly(e, w, size) for e, w in zip(eps, weight, strict=True)]
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
