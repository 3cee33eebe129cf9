"""One subject as arrays (doses, levels, output rows, covariates), and a cohort of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Literal, TypeVar, overload

import numpy as np

from latentpk.records.definition import Derive
from latentpk.records.renal import RenalState
from latentpk.units import Units

Kind = Literal["continuous", "binary", "categorical"]
Table = TypeVar("Table", "DoseTable", "LevelTable", "OutputTable")


@dataclass(frozen=True, eq=False)
class DoseTable:
    """The doses of one subject, ADDL expanded, sorted by time; float64, shape (dose,) but `state`.

    Attributes:
        time: TIME of the record on the running clock [h]; an absorption lag is not in it.
        order: Position of the record in its subject; it decides between equal times. A dose made
            from ADDL has the order of its record.
        amount: Amount [mg].
        rate: Rate [mg/h] of a constant infusion at steady state; read only where steady is 3.
        duration: Duration of the infusion [h]; 0 is instantaneous.
        depot: 1 into the absorption site, 0 into the central compartment, nan where undecided.
        interval: II [h]; read only where steady is 1 or 2.
        steady: 0 none; 1 or 2 steady state of this dose; 3 steady state of a constant infusion
            which stops at `time`.
        until: From here on [h] the dose contributes nothing (reset, later SS=1); inf is never.
        until_order: Order of the record that cancels it; inf where never.
        state: The covariates of each dose, internal units, shape (dose, covariate).
    """

    time: np.ndarray
    order: np.ndarray
    amount: np.ndarray
    rate: np.ndarray
    duration: np.ndarray
    depot: np.ndarray
    interval: np.ndarray
    steady: np.ndarray
    until: np.ndarray
    until_order: np.ndarray
    state: np.ndarray

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True, eq=False)
class LevelTable:
    """The levels of one subject that are conditioned on; shape (level,).

    Attributes:
        time: Time on the running clock [h].
        order: Position in the subject, or -inf / inf where `ties` is "pre" / "post".
        value: Concentration [mg/L]; the limit of quantification where censored.
        lloq: Lower limit of quantification [mg/L], nan if none.
        censored: Whether the true value is only known to lie below `lloq`.
        row: Index of the record in the file's table, from 0.
    """

    time: np.ndarray
    order: np.ndarray
    value: np.ndarray
    lloq: np.ndarray
    censored: np.ndarray
    row: np.ndarray

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True, eq=False)
class OutputTable:
    """The rows to answer, one per level and prediction time, in file order; shape (output,).

    Attributes:
        time: Time on the running clock [h].
        order: Position in the subject, or -inf / inf where `ties` is "pre" / "post".
        row: Index of the record in the file's table, from 0.
        cmt: CMT as in the file, nan if missing.
        dvid: DVID as in the file, nan if missing.
        dv: DV in the file's own unit, nan where it is no number; only copied, never conditioned on.
        dv_text: DV as the file wrote it.
        time_text: TIME as the file wrote it.
        is_level: Whether the record is a level (EVID 0, MDV 0), conditioned on or not.
    """

    time: np.ndarray
    order: np.ndarray
    row: np.ndarray
    cmt: np.ndarray
    dvid: np.ndarray
    dv: np.ndarray
    dv_text: np.ndarray
    time_text: np.ndarray
    is_level: np.ndarray

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True, eq=False)
class Subject:
    """One subject of a file.

    Attributes:
        id: ID as the file wrote it.
        doses: What was given.
        levels: What is conditioned on.
        outputs: What is to be answered.
        covariate_time: Start of each piece [h], shape (piece,); the first also holds before.
        covariates: Values from `covariate_time` on, internal units, shape (piece, covariate).
        occasion: Index of each piece's occasion, from 0; all 0 for a model without, shape (piece,).
        renal: What is known of the kidneys beside the covariates.
    """

    id: str
    doses: DoseTable
    levels: LevelTable
    outputs: OutputTable
    covariate_time: np.ndarray
    covariates: np.ndarray
    occasion: np.ndarray
    renal: RenalState = field(default_factory=RenalState)

    def after(self, levels: int) -> "Subject":
        """The subject with the first levels alone; doses, covariates and occasions all stay.

        Args:
            levels: How many levels were seen, in order of time; with all of them nothing changes.
        """
        drawn = np.lexsort((self.levels.order, self.levels.time))
        if levels >= len(drawn):
            return self
        columns = {part.name: getattr(self.levels, part.name) for part in fields(self.levels)}
        seen = {name: column[drawn[:levels]] for name, column in columns.items()}
        return replace(self, levels=LevelTable(**seen))


Bounded = tuple[tuple[np.ndarray, ...], np.ndarray]


def split(
    ids: Sequence[str],
    *,
    doses: tuple[DoseTable, np.ndarray],
    levels: tuple[LevelTable, np.ndarray],
    outputs: tuple[OutputTable, np.ndarray],
    pieces: Bounded,
    renal: Sequence[RenalState],
) -> tuple[Subject, ...]:
    """Cut tables of all subjects into subjects; the arrays are read-only views.

    Args:
        ids: ID of each subject.
        doses: All doses, and where each subject's begin, shape (subject + 1,).
        levels: All levels, and where each subject's begin.
        outputs: All output rows, and where each subject's begin.
        pieces: Times, covariates and occasions of all pieces, and where each subject's begin.
        renal: What is known of each subject's kidneys.

    Returns:
        The subjects.
    """
    columns, start = pieces
    for column in columns:
        column.flags.writeable = False
    given, read, answered = _cut(doses), _cut(levels), _cut(outputs)
    parts = zip(
        ids, given, read, answered, *(_slices(c, start) for c in columns), renal, strict=True
    )
    return tuple(Subject(*part) for part in parts)


def _cut(bounded: tuple[Table, np.ndarray]) -> Iterator[Table]:
    table, start = bounded
    columns = [getattr(table, part.name) for part in fields(table)]
    for column in columns:
        column.flags.writeable = False
    kind = type(table)
    return (kind(*parts) for parts in zip(*(_slices(c, start) for c in columns), strict=True))


def _slices(column: np.ndarray, start: np.ndarray) -> Iterator[np.ndarray]:
    bounds = start.tolist()
    return (column[a:b] for a, b in pairwise(bounds))


@dataclass(frozen=True, eq=False)
class Cohort:
    """All subjects of a file, with every choice that was made in reading it.

    Attributes:
        subjects: In file order.
        covariate_names: Columns of `Subject.covariates`.
        covariate_kinds: Kind of each covariate.
        units: Units of the file, declared or default; the arrays are in internal units.
        interpolation: Rule between covariate records: "locf", "nocb" or "linear".
        ties: Rule at equal times: "file", "pre" or "post".
        notices: Every choice made, as sentences to print.
        source_hash: SHA-256 of the file or of the frame's text.
        dvid: DVID of the levels, None where the file has no DVID.
        derive: How covariates were computed, None where none was.
        computed: The same as sentences, one for each such covariate.
        occasional: Whether occasions were looked for, as a model asks whose patients vary so.
        dose_covariates: Columns of `DoseTable.state`, read on the records of doses alone.
        dose_kinds: Kind of each of them.
    """

    subjects: tuple[Subject, ...]
    covariate_names: tuple[str, ...]
    covariate_kinds: tuple[Kind, ...]
    units: Units
    interpolation: str
    ties: str
    notices: tuple[str, ...]
    source_hash: str
    dvid: float | None
    derive: Derive | None = None
    computed: tuple[str, ...] = ()
    occasional: bool = False
    dose_covariates: tuple[str, ...] = ()
    dose_kinds: tuple[Kind, ...] = ()

    def __len__(self) -> int:
        return len(self.subjects)

    def __iter__(self) -> Iterator[Subject]:
        return iter(self.subjects)

    @overload
    def __getitem__(self, index: int) -> Subject: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Subject, ...]: ...
    def __getitem__(self, index: int | slice) -> Subject | tuple[Subject, ...]:
        return self.subjects[index]

    @property
    def described_units(self) -> str:
        """Units of all columns that the cohort was read from, in words."""
        return self.units.describe((*self.covariate_names, *self.dose_covariates))

    def subset(self, indices: Sequence[int] | np.ndarray) -> "Cohort":
        """The same cohort with only the subjects at `indices`, in that order."""
        return replace(self, subjects=tuple(self.subjects[int(i)] for i in indices))
