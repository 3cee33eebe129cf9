"""One patient's record as padded arrays, and a cohort's records stacked for one program."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from latentpk.kinetics.doses import NUMBERS, Doses, Paths
from latentpk.records.subject import Subject

if TYPE_CHECKING:
    Held = Array
else:  # on the host until a program receives them: cutting them into blocks compiles nothing
    Held = Array | np.ndarray

Stacked = TypeVar("Stacked")
SIZES = (4, 16, 64, 256)  # doses, levels and outputs are padded to one of these
PIECES = (1, 4, 16, 64, 256)  # one piece: covariates are constant
OCCASIONS = (1, 2, 4, 8, 16, 32, 64)
TIGHT = range(4, 257, 4)
BLOCKS = (1, 32, 256)  # subjects


class Record(eqx.Module):
    """What was given to one patient and what was measured; padding is masked.

    Times are hours on the subject's own clock, amounts mg, levels mg/L. `order` resolves equal
    times: a dose counts at a level when its (time, order) is the smaller.
    """

    doses: Doses  # each field (dose,), but their state (dose, covariate)
    time: Float[Held, "*batch level"]
    order: Float[Held, "*batch level"]
    value: Float[Held, "*batch level"]  # a censored level holds its limit of quantification
    censored: Bool[Held, "*batch level"]
    mask: Bool[Held, "*batch level"]
    change: Float[Held, "*batch piece"]  # a row of covariates holds from here on
    covariates: Float[Held, "*batch piece covariate"]
    occasion: Int[Held, "*batch piece"]  # which of the occasions a piece belongs to
    paths: Paths = eqx.field(static=True)
    occasions: int = eqx.field(static=True)  # there are, padding included


def padded_size(count: int, sizes: Sequence[int] = SIZES) -> int:
    """Round a count up to a compiled size; past the largest, to a multiple of it."""
    for size in sizes:
        if count <= size:
            return size
    return -(-count // sizes[-1]) * sizes[-1]


def stack_records(
    subjects: Sequence[Subject],
    *,
    undecided: float = 0.0,
    until_last_level: bool = True,
    tight: bool = False,
    spare: int = 0,
) -> Record:
    """Pad and stack the records of several subjects.

    Args:
        subjects: The subjects.
        undecided: Where doses of undecided route go: 0 central, 1 the absorption site.
        until_last_level: Leave out doses and occasions after a subject's last level, which no
            level can tell of; False keeps all, for predictions.
        tight: Pad to the next multiple of 4 instead of a shared size: for training, and for
            cohorts so large that less padding saves more than one more program costs.
        spare: Occasions beyond those of the records, for what is yet to come.

    Returns:
        A Record whose arrays have a leading axis (subject,).
    """
    counted = [_counted(s, until_last_level) for s in subjects]
    doses = [_dose_rows(s, few, undecided) for s, few in zip(subjects, counted, strict=True)]
    sizes = TIGHT if tight else SIZES
    dose_size = padded_size(max((d.shape[1] for d in doses), default=1), sizes)
    level_size = padded_size(max((s.levels.time.size for s in subjects), default=1), sizes)
    piece_size = padded_size(max((s.covariate_time.size for s in subjects), default=1), PIECES)
    table = np.stack([_pad(d, dose_size) for d in doses], axis=1)
    state = [
        pad_state(s.doses.state[few], dose_size) for s, few in zip(subjects, counted, strict=True)
    ]
    said = any(s.shape[1] for s in state)  # what is said of no dose is no field of a program
    levels = [s.levels for s in subjects]
    mask = np.stack([np.arange(level_size) < s.time.size for s in levels])
    occasion = [
        np.minimum(s.occasion, _told(s) - 1) if until_last_level else s.occasion for s in subjects
    ]
    occasions = padded_size(max((int(o[-1]) + 1 for o in occasion), default=1) + spare, OCCASIONS)
    fields: dict[str, Any] = {
        "doses": Doses(*table, state=np.stack(state) if said else None),
        "time": np.stack([_pad(s.time, level_size) for s in levels]),
        "order": np.stack([_pad(s.order, level_size) for s in levels]),
        "value": np.stack([_pad(s.value, level_size, fill=1.0) for s in levels]),
        "censored": np.stack([_pad(s.censored, level_size) for s in levels]).astype(bool),
        "mask": mask,
        "change": np.stack([_hold(s.covariate_time[:, None], piece_size)[:, 0] for s in subjects]),
        "covariates": np.stack([_hold(s.covariates, piece_size) for s in subjects]),
        "occasion": np.stack([_hold(o[:, None], piece_size)[:, 0] for o in occasion]),
    }
    paths = Paths.of(Doses(*np.concatenate(doses, axis=1)))
    return Record(**fields, paths=paths, occasions=occasions)


def told_occasions(subject: Subject) -> int:
    """How many occasions a subject's levels can tell of, at least 1, padding included."""
    return padded_size(_told(subject), OCCASIONS)


def _told(subject: Subject) -> int:
    if subject.levels.time.size == 0:
        return 1
    place = np.searchsorted(subject.covariate_time, subject.levels.time.max(), side="right") - 1
    return int(subject.occasion[max(place, 0)]) + 1


def _counted(subject: Subject, until_last_level: bool) -> np.ndarray:
    """Which doses count: all, or those that some level can tell of; shape (dose,)."""
    if not until_last_level:
        return np.ones(len(subject.doses), bool)
    last = subject.levels.time.max() if subject.levels.time.size else -np.inf
    return subject.doses.time <= last


def _dose_rows(subject: Subject, counted: np.ndarray, undecided: float) -> np.ndarray:
    """All numbers of these doses as rows of one (field, dose) array."""
    table = np.stack([np.asarray(getattr(subject.doses, name), np.float64) for name in NUMBERS])
    depot = NUMBERS.index("depot")
    table[depot] = np.where(np.isnan(table[depot]), undecided, table[depot])
    return table[:, counted]


class Queries(NamedTuple):
    """When to predict stacked patients.

    Attributes:
        time: Times [h], shape (subject, time).
        order: Record order at equal times, shape (subject, time).
    """

    time: Float[np.ndarray, "subject time"]
    order: Float[np.ndarray, "subject time"]


def stack_queries(subjects: Sequence[Subject], *, tight: bool = False) -> Queries:
    """Pad and stack times and orders of the output rows; padding repeats time 0."""
    sizes = TIGHT if tight else SIZES
    size = padded_size(max((s.outputs.time.size for s in subjects), default=1), sizes)
    time = np.stack([_pad(s.outputs.time, size) for s in subjects])
    return Queries(time, np.stack([_pad(s.outputs.order, size) for s in subjects]))


def _pad(x: np.ndarray, size: int, fill: float = 0.0) -> np.ndarray:
    short = size - x.shape[-1]
    empty = np.full((*x.shape[:-1], short), fill)
    return np.concatenate([np.asarray(x, np.float64), empty], axis=-1)


def _hold(covariates: np.ndarray, size: int) -> np.ndarray:
    """Repeat the last row: a piece that starts where the last one did lasts no time."""
    return np.concatenate([covariates, np.repeat(covariates[-1:], size - len(covariates), axis=0)])


def pad_state(state: np.ndarray, size: int) -> np.ndarray:
    """Pad covariates of doses by the last one's: the logarithm of a made-up one could be none.

    Where there are no doses they are 1, of which there is every shape of effect.
    """
    some = state if len(state) else np.ones((1, state.shape[1]))
    return np.concatenate([state, np.repeat(some[-1:], size - len(state), axis=0)])


def take(records: Stacked, index: int | np.ndarray | Array) -> Stacked:
    """Select subjects of anything stacked along them; a whole number drops the axis."""
    return jax.tree_util.tree_map(lambda x: x[index], records)


def group_by_length(
    records: Record, *, worth: float, most: int = 4
) -> list[tuple[Int[np.ndarray, " member"], Record]]:
    """Subjects with records of like length, each group padded to its own longest record.

    A dose counts at every level, so the cost of a subject goes with doses times levels of the
    longest one in the group. Each group is one program more.

    Args:
        records: Stacked records, leading axis (subject,).
        worth: Pairs of dose and level that a division must save.
        most: Groups.

    Returns:
        Places of the subjects, which together are all of them, and their records.
    """
    given = (np.asarray(records.doses.amount) != 0) | (np.asarray(records.doses.rate) != 0)
    doses = np.max(given * np.arange(1, given.shape[1] + 1), axis=1, initial=0)
    size = np.stack([_tight(doses), _tight(np.asarray(records.mask).sum(axis=1))], axis=1)
    groups = [np.arange(len(size))]
    while len(groups) < most:
        found = [_division(size, group) for group in groups]
        best = int(np.argmax([saved for saved, _ in found]))
        saved, parts = found[best]
        if saved < worth:
            break
        groups[best : best + 1] = parts
    return [
        (group, _cut(take(records, group), *size[group].max(axis=0).tolist())) for group in groups
    ]


def _tight(counts: np.ndarray) -> Int[np.ndarray, " subject"]:
    return TIGHT.step * np.maximum(-(-counts // TIGHT.step), 1)


def _cost(size: np.ndarray) -> int:
    return len(size) * int(np.prod(size.max(axis=0)))


def _division(size: np.ndarray, group: np.ndarray) -> tuple[float, list[np.ndarray]]:
    """The division of a group, shorter records from longer ones, that saves most pairs."""
    own, best = size[group], (0.0, [group])
    for longer in (own[:, 0], own[:, 1], own[:, 0] * own[:, 1]):
        for edge in np.unique(longer)[1:]:
            parts = [group[longer < edge], group[longer >= edge]]
            saved = float(_cost(own) - sum(_cost(size[part]) for part in parts))
            if saved > best[0]:
                best = saved, parts
    return best


def _cut(records: Record, doses: int, levels: int) -> Record:
    """Records without padding beyond as many doses and levels."""
    fewer = jax.tree_util.tree_map(lambda x: x[:, :doses], records.doses)
    of_levels = ("time", "order", "value", "censored", "mask")
    return eqx.tree_at(
        lambda r: (r.doses, *(getattr(r, name) for name in of_levels)),
        records,
        (fewer, *(getattr(records, name)[:, :levels] for name in of_levels)),
    )
