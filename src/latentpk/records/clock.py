"""TIME, clock times and dates to hours, and one clock per subject that never runs back."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from latentpk.records.columns import missing, numbers
from latentpk.records.findings import Findings
from latentpk.units import Units

_CLOCK = r"^(\d{1,3}):([0-5]?\d)(?::([0-5]?\d(?:\.\d+)?))?$"
_DATES = {
    "Y-M-D": (r"^(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})$", (1, 2, 3)),
    "M/D/Y": (r"^(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})$", (3, 1, 2)),
    "D/M/Y": (r"^(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})$", (3, 2, 1)),
}


@dataclass(frozen=True, eq=False)
class Clock:
    """When the records of a table are; shape (row,).

    Attributes:
        written: TIME as in the file [h]; with DATE or HH:MM, since the subject's first record.
        running: The same, but going on where a reset (EVID 3 or 4) restarts TIME [h].
    """

    written: np.ndarray
    running: np.ndarray


def read_clock(findings: Findings, units: Units, *, reset: np.ndarray) -> Clock:
    """Read TIME, with DATE where there is one.

    Clock times are naive: a change to or from summer time is not known to them.

    Args:
        findings: Where problems and notices go.
        units: Unit of TIME and the order of a date's parts.
        reset: Which records are EVID 3 or 4, shape (row,).

    Returns:
        The hours of each record.
    """
    table = findings.table
    if not table.has("TIME"):
        zero = np.zeros(len(table))
        return Clock(zero, zero)
    lost = missing(findings, "TIME")
    findings.flag(lost, "TIME", "TIME is missing", "Every record has a TIME", "Fill it in")
    hours = _hours_of_day(findings, units)
    dated = table.has("DATE")
    if dated or _is_clock(findings):
        # days and hours apart: 24 x days since 1970 would cost the hours' last digits
        days = _days(findings, units) if dated else np.zeros(len(table))
        hours = _since_first(table.start, hours) + 24.0 * _since_first(table.start, days)
        findings.notice("TIME is hours since the subject's first record.")
    return Clock(hours, _run(findings, hours, reset))


def _since_first(start: np.ndarray, values: np.ndarray) -> np.ndarray:
    first = np.repeat(values[start[:-1]], np.diff(start))
    return np.where(np.isnan(first), values, values - first)


def _is_clock(findings: Findings) -> bool:
    column = findings.table.frame["TIME"]
    return column.dtype == pl.String and bool(column.str.contains(":", literal=True).any())


def _hours_of_day(findings: Findings, units: Units) -> np.ndarray:
    if not _is_clock(findings):
        return numbers(findings, "TIME") * units.factor("TIME")
    parts = findings.table.frame["TIME"].str.extract_groups(_CLOCK).struct.unnest()
    hour, minute, second = (c.cast(pl.Float64, strict=False) for c in parts.get_columns())
    hours = (hour + minute / 60 + second.fill_null(0.0) / 3600).fill_null(float("nan")).to_numpy()
    dated = findings.table.has("DATE")
    bad = ~missing(findings, "TIME") & ~((hours >= 0) & ((hours < 24) | (not dated)))
    rule = "A clock TIME is HH:MM or HH:MM:SS, with a DATE from 00:00 to 23:59"
    findings.flag(bad, "TIME", "TIME is {}", rule, "Write all of TIME as HH:MM")
    return np.where(bad, np.nan, hours)


def _days(findings: Findings, units: Units) -> np.ndarray:
    """Days since 1970; whole numbers up to 99999 count days themselves, as NM-TRAN allows."""
    table = findings.table
    text = table.frame["DATE"].cast(pl.String)
    lost = missing(findings, "DATE")
    findings.flag(lost, "DATE", "DATE is missing", "Every record has a DATE", "Fill it in")
    if bool(text.str.contains(r"^\d{1,5}$").fill_null(True).all()):
        return text.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
    pattern, (y, m, d) = _DATES[units.date]
    parts = [text.str.extract(pattern, group).str.zfill(2) for group in (y, m, d)]
    dates = (parts[0] + "-" + parts[1] + "-" + parts[2]).str.to_date("%Y-%m-%d", strict=False)
    days = dates.to_physical().cast(pl.Float64).fill_null(float("nan")).to_numpy()
    others = " or ".join(f"DATE={order}" for order in _DATES if order != units.date)
    rule = f"DATE is a day written {units.date}, its year in four digits"
    mend = f"Write it so, or state {others} in the units"
    findings.flag(~lost & np.isnan(days), "DATE", "DATE is {}", rule, mend)
    findings.notice(f"DATE is read as {units.date}.")
    return days


def _run(findings: Findings, hours: np.ndarray, reset: np.ndarray) -> np.ndarray:
    """The running clock; a TIME that decreases without a reset is a problem."""
    table = findings.table
    running = hours.copy()
    # a missing TIME was blamed already: compare with the last one known
    known = np.where(np.isnan(hours), -1, np.arange(len(hours)))
    before = np.concatenate([[-1], np.maximum.accumulate(known)[:-1]])
    same = before >= np.repeat(table.start[:-1], np.diff(table.start))
    previous = np.where(same, hours[np.maximum(before, 0)], -np.inf)
    back = same & (hours < previous)
    findings.flag(
        back & ~reset,
        "TIME",
        lambda row: f"TIME {table.cell(row, 'TIME')} is before the previous record's",
        "Times must not decrease within a subject",
        "Sort by ID and TIME, or reset with EVID=3",
    )
    restarts = np.flatnonzero(back & reset)
    ends = table.start[np.searchsorted(table.start, restarts, side="right")]
    for row, end in zip(restarts, ends, strict=True):
        running[row:end] += running[before[row]] - running[row]
    if len(restarts):
        findings.notice(
            f"TIME restarts at {len(restarts)} resets (EVID 3 or 4); later records of the subject "
            "are counted on from there."
        )
    return running
