"""Occasions: stretches of a record between which a patient's parameters vary around their own."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from latentpk.records.clock import Clock
from latentpk.records.columns import missing, numbers
from latentpk.records.doses import DoseRecords
from latentpk.records.elapsed import first_doses
from latentpk.records.events import Events
from latentpk.records.findings import Findings
from latentpk.records.interpolation import Pieces, cut_at

_INSTANT = 1e-9  # h: a level before a dose of its time ends an occasion that the dose begins


@dataclass(frozen=True, eq=False)
class Occasions:
    """When the occasions of all subjects begin.

    Attributes:
        time: Begin of each on the running clock [h]; the first is -inf, shape (occasion,).
        start: Where each subject's occasions begin, shape (subject + 1,).
    """

    time: np.ndarray
    start: np.ndarray


def read_occasions(
    findings: Findings,
    clock: Clock,
    *,
    events: Events,
    records: DoseRecords,
    starts: Sequence[float] | None,
) -> tuple[Clock, Occasions | None]:
    """Read OCC, or begin occasions by the rule where the file has none.

    An occasion holds until the next one begins, the last one for ever. Where records of one time
    belong to two occasions, those of the earlier are put an instant before, so that a trough drawn
    before a dose keeps its own.

    Args:
        findings: Where problems and notices go.
        clock: Times of the records.
        events: Kinds of the records.
        records: What the dose records say; ADDL doses may come after the last record.
        starts: Hours after the first dose at which an occasion begins, where there is no OCC;
            None for a model without occasions, which does not look at OCC.

    Returns:
        The clock, and the occasions; None for a model without.
    """
    if starts is None:
        return clock, None
    if findings.table.has("OCC"):
        index, occasions = _read(findings, clock)
    else:
        index, occasions = _ruled(findings, clock, events, records, np.asarray(starts, float))
    subject = _owner(findings.table.start)
    following = np.minimum(occasions.start[subject] + index + 1, len(occasions.time) - 1)
    later = occasions.start[subject] + index + 1 < occasions.start[subject + 1]
    shared = later & (occasions.time[following] <= clock.running)
    running = np.where(shared, occasions.time[following] - _INSTANT, clock.running)
    return replace(clock, running=running), occasions


def cut(pieces: Pieces, occasions: Occasions | None) -> Pieces:
    """Cut pieces of covariates also where an occasion begins; each knows its occasion, from 0."""
    if occasions is None:
        return pieces
    begins = [occasions.time[a:b] for a, b in pairwise(occasions.start.tolist())]
    pieces = cut_at(pieces, [begin[1:] for begin in begins])
    change = [pieces.time[a:b] for a, b in pairwise(pieces.start.tolist())]
    pairs = zip(begins, change, strict=True)
    place = [np.searchsorted(begin, time, side="right") - 1 for begin, time in pairs]
    return replace(pieces, occasion=np.concatenate(place))


def _read(findings: Findings, clock: Clock) -> tuple[np.ndarray, Occasions]:
    """Index of each record's occasion in its subject, and when they begin, from the column."""
    table, owner = findings.table, _owner(findings.table.start)
    values = numbers(findings, "OCC")
    rule = "Every record has an OCC where the model's parameters vary between occasions"
    mend = "Fill it in, or leave the column out"
    findings.flag(missing(findings, "OCC"), "OCC", "OCC is missing", rule, mend)
    bad = np.isfinite(values) & (values % 1 != 0)
    findings.flag(bad, "OCC", "OCC is {}", "OCC is a whole number", "Number the occasions 1, 2, 3")
    step = np.diff(values, prepend=values[:1])
    step[table.start[:-1]] = 0
    findings.flag(
        step < 0,
        "OCC",
        lambda row: f"OCC {table.cell(row, 'OCC')} follows OCC {table.cell(row - 1, 'OCC')}",
        "Occasions follow each other: OCC does not decrease within a subject",
        "Number the occasions in the order of time",
    )
    begins = step > 0
    count = np.cumsum(begins)
    index = count - count[table.start[:-1]][owner]
    first = np.zeros(len(table), bool)
    first[table.start[:-1]] = True
    at = np.flatnonzero(begins | first)
    time = np.where(first[at], -np.inf, clock.running[at])
    each = np.bincount(owner[at], minlength=len(table.ids))
    span = f"{each.min()}" if each.min() == each.max() else f"{each.min()} to {each.max()}"
    findings.notice(
        f"Occasions: column OCC, {span} for each subject; one begins at its first record."
    )
    return index, Occasions(time, np.concatenate([[0], np.cumsum(each)]))


def _ruled(
    findings: Findings, clock: Clock, events: Events, records: DoseRecords, starts: np.ndarray
) -> tuple[np.ndarray, Occasions]:
    """The same by the rule; what comes after a record's end has an occasion of its own."""
    table, owner = findings.table, _owner(findings.table.start)
    begin = first_doses(findings, clock, events)[:, None] + starts
    index = (clock.running[:, None] >= begin[owner]).sum(axis=1)
    at_once = (clock.running[:, None] == begin[owner]).any(axis=1)
    index -= at_once & _before_dose(clock, events, owner)
    ends = clock.running + records.additional * records.interval
    last = np.maximum.reduceat(ends, table.start[:-1])
    each = 1 + np.minimum((begin <= last[:, None]).sum(axis=1) + 1, len(starts))
    time = [np.append(-np.inf, t[: n - 1]) for t, n in zip(begin, each, strict=True)]
    if len(starts):
        hours = ", ".join(f"{hour:g}" for hour in starts)
        told = f"an occasion begins {hours} h after the first dose"
    else:
        told = "each subject's record is one occasion"
    findings.notice(f"Occasions: the file has no OCC, so {told}.")
    return index, Occasions(np.concatenate(time), np.concatenate([[0], np.cumsum(each)]))


def _before_dose(clock: Clock, events: Events, owner: np.ndarray) -> np.ndarray:
    """Which records are no dose, and followed by a dose of the same subject and time."""
    rows = np.arange(len(owner))
    place = np.where(events.dose, rows, len(rows))
    following = np.minimum.accumulate(place[::-1])[::-1]
    safe = np.minimum(following, len(rows) - 1)
    same = (owner[safe] == owner) & (clock.running[safe] == clock.running)
    return ~events.dose & (following < len(rows)) & same


def _owner(start: np.ndarray) -> np.ndarray:
    """Index of each record's subject, shape (row,)."""
    return np.repeat(np.arange(len(start) - 1), np.diff(start))
