"""Covariates between and beyond their records: filled, imputed, and cut into pieces."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from latentpk.records.clock import Clock
from latentpk.records.covariates import Columns
from latentpk.records.findings import Findings


@dataclass(frozen=True, eq=False)
class Pieces:
    """Piecewise constant covariates of all subjects.

    Attributes:
        time: Start of each piece on the running clock [h], shape (piece,).
        values: What holds from there on, shape (piece, covariate).
        start: Where each subject's pieces begin, shape (subject + 1,).
        occasion: Index of each piece's occasion in its subject, shape (piece,).
    """

    time: np.ndarray
    values: np.ndarray
    start: np.ndarray
    occasion: np.ndarray


@dataclass(frozen=True)
class Rule:
    """How covariates are carried between their records.

    Attributes:
        interpolation: "locf" holds a value until the next record, "nocb" holds it since the
            record before, "linear" holds the mean of both between two records (a straight line
            in steps; codes are carried forward).
        impute: "median" fills a covariate that a subject lacks altogether; None makes it a problem.
        medians: Values to fill in, internal units; without one the other subjects' median.
        until: Records later than this [h] are not looked at, but for a subject's first.
    """

    interpolation: str = "locf"
    impute: str | None = None
    medians: Mapping[str, float] | None = None
    until: float | None = None


def interpolate(
    findings: Findings,
    columns: Columns,
    clock: Clock,
    rule: Rule,
    then: Callable[[np.ndarray], np.ndarray] = lambda values: values,
) -> Pieces:
    """Fill the covariates by the rule and cut them into pieces.

    Args:
        findings: Where problems and notices go.
        columns: The covariates as recorded.
        clock: Times of the records.
        rule: The rule.
        then: From the filled columns to the covariates, shape (time, column) both.

    Returns:
        The pieces; a subject whose covariates never change has one.
    """
    table, time = findings.table, clock.running
    rows = np.arange(len(table))
    first = np.repeat(table.start[:-1], np.diff(table.start))
    seen = np.ones(len(table), bool)
    if rule.until is not None:
        seen = (time <= rule.until) | (rows == first)
    last_at_time = np.append((np.diff(time) != 0) | (np.diff(first) != 0), True)
    end = np.flatnonzero(last_at_time)
    values = np.zeros((len(end), len(columns.names)))
    holes = []
    for j, (name, kind) in enumerate(zip(columns.names, columns.kinds, strict=True)):
        recorded = np.where(seen, columns.values[:, j], np.nan)
        recorded = _impute(findings, name, recorded, kind, rule)
        if np.isnan(recorded[seen]).any():
            holes.append(name)
        smooth = rule.interpolation if kind == "continuous" else "locf"
        way = rule.interpolation if rule.interpolation == "nocb" else smooth
        values[:, j] = _held(recorded, time, (first, end), way)
    _notice(findings, columns, rule, holes)
    return _cut(time[end], then(values), first[end], table.start)


def _held(
    recorded: np.ndarray, time: np.ndarray, ends: tuple[np.ndarray, np.ndarray], way: str
) -> np.ndarray:
    """Value from each distinct time of a subject until its next one."""
    first, end = ends
    before, after = _neighbours(recorded, first)
    back, ahead = recorded[before], recorded[after]
    if way == "locf":
        return back[end]
    following = np.minimum(end + 1, len(time) - 1)
    last = first[following] != first[end]
    following = np.where(last | (end + 1 == len(time)), end, following)
    if way == "nocb":
        return ahead[following]
    span = time[after] - time[before]
    share = np.where(span > 0, (time - time[before]) / np.where(span > 0, span, 1.0), 0.0)
    line = back + share * (ahead - back)
    return 0.5 * (line[end] + line[following])


def _neighbours(recorded: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the last and of the next recorded value; beyond the ends, the nearest one."""
    rows = np.arange(len(recorded))
    filled = ~np.isnan(recorded)
    before = np.maximum.accumulate(np.where(filled, rows, -1))
    after = np.minimum.accumulate(np.where(filled, rows, len(rows))[::-1])[::-1]
    has_before = before >= first
    has_after = (after < len(rows)) & (first[np.minimum(after, len(rows) - 1)] == first)
    lower = np.where(has_before, before, np.where(has_after, after, rows))
    upper = np.where(has_after, after, np.where(has_before, before, rows))
    return lower, upper


def _impute(
    findings: Findings, name: str, recorded: np.ndarray, kind: str, rule: Rule
) -> np.ndarray:
    """Fill a covariate that a subject lacks altogether, or blame the subject."""
    table = findings.table
    filled = np.add.reduceat(~np.isnan(recorded), table.start[:-1], dtype=np.int64) > 0
    if filled.all():
        return recorded
    lacking = np.zeros(len(table), bool)
    lacking[table.start[:-1][~filled]] = True
    known = (rule.medians or {}).get(name)
    if known is None and filled.any():
        known = _median(recorded, table.start, filled, kind)
    if rule.impute != "median" or known is None:
        span = "the whole subject" if rule.until is None else f"the subject up to {rule.until:g} h"
        law, mend = (
            "Every subject has each covariate",
            "Fill it in, impute the median, or leave it out",
        )
        findings.flag(lacking, name, f"{name} is missing for {span}", law, mend)
        return recorded
    findings.notice(f"{name} of {int((~filled).sum())} subjects is imputed as {known:g} (median).")
    return np.where(lacking, known, recorded)


def _median(recorded: np.ndarray, start: np.ndarray, filled: np.ndarray, kind: str) -> float:
    """Median over subjects of their first value; of codes, the lower of the middle ones."""
    rows = np.flatnonzero(~np.isnan(recorded))
    firsts = np.sort(recorded[rows[np.searchsorted(rows, start[:-1][filled])]])
    return float(np.median(firsts) if kind == "continuous" else firsts[(len(firsts) - 1) // 2])


def _cut(time: np.ndarray, values: np.ndarray, owner: np.ndarray, start: np.ndarray) -> Pieces:
    changes = np.ones(len(time), bool)
    changes[1:] = (np.diff(owner) != 0) | (np.diff(values, axis=0) != 0).any(axis=1)
    kept = np.flatnonzero(changes)
    start = np.searchsorted(owner[kept], start)
    return Pieces(time[kept], values[kept], start, np.zeros(len(kept), np.int64))


def cut_at(pieces: Pieces, moments: Sequence[np.ndarray] | np.ndarray) -> Pieces:
    """Begin a piece also at some moments of each subject [h]; what held before goes on."""
    times, rows = [], []
    for begin, end, at in zip(pieces.start[:-1], pieces.start[1:], moments, strict=True):
        change = pieces.time[begin:end]
        every = np.union1d(change, at)
        times.append(every)
        rows.append(begin + np.maximum(np.searchsorted(change, every, side="right") - 1, 0))
    start, row = np.cumsum([0, *map(len, times)]), np.concatenate(rows)
    return Pieces(np.concatenate(times), pieces.values[row], start, pieces.occasion[row])


def _notice(findings: Findings, columns: Columns, rule: Rule, holes: list[str]) -> None:
    words = {
        "locf": "locf, a value holds until the next record",
        "nocb": "nocb, a value holds since the record before",
        "linear": "linear, in steps: between two records the mean of both holds",
    }
    if columns.names:
        findings.notice(f"Covariates between records: {words[rule.interpolation]}.")
    if holes:
        findings.notice(f"Missing values of {', '.join(holes)} are filled by that rule.")
