"""Levels to condition on and rows to answer: DVID, limits of quantification, duplicates, ties."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from latentpk.records.clock import Clock
from latentpk.records.columns import missing, numbers, parsed
from latentpk.records.events import Events
from latentpk.records.findings import Findings
from latentpk.records.options import Options
from latentpk.records.subject import LevelTable, OutputTable
from latentpk.units import Units


@dataclass(frozen=True, eq=False)
class Levels:
    """What was measured, internal units; shape (row,).

    Attributes:
        level: Which records are levels of the chosen DVID.
        output: Which records are answered.
        value: Concentration [mg/L], the limit where censored, nan elsewhere.
        lloq: Limit of quantification [mg/L], nan without one.
        censored: Below the limit.
        dvid: The chosen DVID, None where the file has none.
    """

    level: np.ndarray
    output: np.ndarray
    value: np.ndarray
    lloq: np.ndarray
    censored: np.ndarray
    dvid: float | None


def read_levels(
    findings: Findings, units: Units, *, events: Events, clock: Clock, options: Options
) -> Levels:
    """Read and check DV, LLOQ, CENS, BLQ and DVID.

    Args:
        findings: Where problems and notices go.
        units: Unit of DV and LLOQ.
        events: Kinds of the records.
        clock: Times of the records, to find duplicates.
        options: Which DVID to keep, and what to do with a negative level.

    Returns:
        The levels.
    """
    kinds = numbers(findings, "DVID")
    chosen = _choose(findings, kinds, events.level, options.dvid)
    # a prediction time with DVID 0 or without DVID is meant for whatever is modeled
    mine = np.ones(len(kinds), bool) if chosen is None else (kinds == chosen) | np.isnan(kinds)
    level = events.level & mine
    output = level | (events.output & ~events.level & (mine | (kinds == 0)))
    dropped = _negative(findings, level & ~events.below, options.negative)
    level = level & ~dropped
    value, lloq, censored = _values(findings, units, level, events.below)
    _duplicates(findings, level, clock, value)
    _note_sites(findings, level)
    return Levels(level, output, value, lloq, censored, chosen)


def _negative(findings: Findings, level: np.ndarray, policy: str) -> np.ndarray:
    """Negative levels that are dropped; they are refused unless something else was asked for."""
    written = parsed(findings, "DV")
    bad = level & (written < 0) & np.isfinite(written)
    if policy == "drop" and bad.any():
        findings.notice(f"{int(bad.sum())} negative levels are not conditioned on, as asked for.")
        return bad
    if policy == "keep":
        if bad.any():
            findings.notice(f"{int(bad.sum())} negative levels are kept as they are.")
        return np.zeros(len(level), bool)
    findings.flag(
        bad,
        "DV",
        "DV is {}",
        "A level is not negative",
        "Correct it, mark it CENS=1 with an LLOQ, set MDV=1, or ask to drop negative levels",
    )
    return np.zeros(len(level), bool)


def _choose(
    findings: Findings, kinds: np.ndarray, level: np.ndarray, dvid: float | None
) -> float | None:
    found = np.unique(kinds[level])
    found = found[~np.isnan(found)]
    if dvid is not None:
        if len(found) and dvid not in found:
            rule = "The asked-for DVID occurs among the levels"
            there = ", ".join(f"{kind:g}" for kind in found[:20])
            findings.add("column DVID", f"no level has DVID {dvid:g}", rule, f"Use one of {there}")
        return float(dvid) if findings.table.has("DVID") else None
    if not len(found):
        return None
    if len(found) > 1:
        others = ", ".join(f"{kind:g}" for kind in found[1:20])
        findings.notice(f"DVID {found[0]:g} is taken; levels with DVID {others} are left out.")
    return float(found[0])


def _note_sites(findings: Findings, level: np.ndarray) -> None:
    sites = np.unique(parsed(findings, "CMT")[level])
    sites = sites[~np.isnan(sites)]
    if len(sites) > 1:
        there = ", ".join(f"{site:g}" for site in sites[:20])
        findings.notice(
            f"Warning: levels of CMT {there} are read as one quantity; tell them apart by DVID."
        )


def _values(
    findings: Findings, units: Units, level: np.ndarray, below: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    limit = numbers(findings, "LLOQ", within=level)
    rule, mend = "A limit of quantification is above 0", "Correct it or leave it empty"
    findings.flag(limit <= 0, "LLOQ", "LLOQ is {}", rule, mend)
    limit = limit * units.factor("LLOQ")
    marked = level & below
    # the DV of a record marked as below a known limit is never read: laboratories write anything
    value = numbers(findings, "DV", within=level & ~(marked & ~np.isnan(limit)))
    value = value * units.factor("DV")
    marked_alone = marked & np.isnan(limit)
    findings.flag(
        marked_alone & ~(value > 0),
        "DV",
        "a level marked by CENS or BLQ has no limit",
        "A censored level has LLOQ, or the limit itself as DV",
        "Add an LLOQ column",
    )
    limit = np.where(marked_alone, value, limit)
    censored = marked | (level & (value < limit))
    zero = int((level & (value == 0) & ~censored).sum())
    if zero:
        findings.notice(
            f"{zero} levels are 0 without a limit of quantification (LLOQ): kept as measured "
            "zeros, which only an additive error can explain."
        )
    return np.where(censored, limit, value), limit, censored


def _duplicates(findings: Findings, level: np.ndarray, clock: Clock, value: np.ndarray) -> None:
    """Levels that repeat another record in every column are problems, in TIME and DV a notice."""
    table = findings.table
    at = np.flatnonzero(level)
    subject = np.searchsorted(table.start, at, side="right")
    keys = pl.DataFrame(
        {
            "subject": subject,
            "time": clock.running[at],
            "value": value[at],
            "cmt": parsed(findings, "CMT")[at],
            "dvid": parsed(findings, "DVID")[at],
        }
    )
    repeated = keys.is_duplicated().to_numpy()
    if not repeated.any():
        return
    suspects = at[repeated]
    records = table.frame[suspects].with_columns(
        pl.Series("(subject)", subject[repeated]), pl.Series("(time)", clock.running[suspects])
    )
    again = _again(records)
    bad = np.zeros(len(table), bool)
    bad[suspects[again]] = True
    findings.flag(
        bad,
        "DV",
        "the record is an exact copy of an earlier level of this subject",
        "A level is recorded once",
        "Drop the copy; give replicates a column that tells them apart",
    )
    rest = int(_again(keys).sum()) - int(again.sum())
    if rest:
        findings.notice(f"{rest} levels repeat TIME and DV of another level; all are kept.")


def _again(frame: pl.DataFrame) -> np.ndarray:
    """Rows that copy an earlier row."""
    return ~frame.select(pl.struct(pl.all()).is_first_distinct()).to_series().to_numpy()


def tables(
    findings: Findings, levels: Levels, *, clock: Clock, ties: str, blq: str, until: float | None
) -> tuple[tuple[LevelTable, np.ndarray], tuple[OutputTable, np.ndarray]]:
    """The levels to condition on and the rows to answer, of all subjects.

    Args:
        findings: Where notices go.
        levels: What was measured.
        clock: Times of the records.
        ties: "file", "pre" or "post".
        blq: "M1" drops censored levels, "M3" keeps them.
        until: Levels later than this [h] are not conditioned on; None keeps all.

    Returns:
        Each table with where every subject's rows begin, shape (subject + 1,).
    """
    table = findings.table
    order = {"pre": -np.inf, "post": np.inf}.get(ties, table.order.astype(float))
    order = np.broadcast_to(order, len(table))
    late = levels.level & (clock.running > (np.inf if until is None else until))
    kept = levels.level & ~late & ~(levels.censored & (blq == "M1"))
    _note(findings, levels, late, blq, until)
    at, out = np.flatnonzero(kept), np.flatnonzero(levels.output)
    read = LevelTable(
        time=clock.running[at],
        order=order[at],
        value=levels.value[at],
        lloq=levels.lloq[at],
        censored=levels.censored[at],
        row=at,
    )
    answered = OutputTable(
        time=clock.running[out],
        order=order[out],
        row=out,
        cmt=parsed(findings, "CMT")[out],
        dvid=parsed(findings, "DVID")[out],
        dv=np.where(missing(findings, "DV"), np.nan, parsed(findings, "DV"))[out],
        dv_text=_text(table.written["DV"].gather(out)),
        time_text=_text(table.written["TIME"].gather(out)),
        is_level=levels.level[out],
    )
    return (read, np.searchsorted(at, table.start)), (answered, np.searchsorted(out, table.start))


def _note(
    findings: Findings, levels: Levels, late: np.ndarray, blq: str, until: float | None
) -> None:
    below = int(levels.censored.sum())
    if below:
        fate = "dropped (M1)" if blq == "M1" else "kept as censored (M3)"
        findings.notice(f"{below} levels are below their limit of quantification: {fate}.")
    if until is not None:
        findings.notice(
            f"{int(late.sum())} levels later than {until:g} h are not conditioned on, nor are "
            "later covariates (hours on the file's TIME, counted on through resets)."
        )


def _text(column: pl.Series) -> np.ndarray:
    """Text as objects, equal texts as one object: a column repeats itself a lot."""
    distinct = column.unique()
    codes = column.cast(pl.Enum(distinct)).to_physical().to_numpy()
    return np.array(distinct.to_list(), dtype=object)[codes]
