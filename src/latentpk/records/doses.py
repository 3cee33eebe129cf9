"""Dose records to single doses: RATE, DUR, ADDL, II and SS checked, expanded and cancelled."""

from dataclasses import dataclass

import numpy as np

from latentpk.records.clock import Clock
from latentpk.records.columns import numbers, whole
from latentpk.records.events import Events
from latentpk.records.findings import Findings
from latentpk.records.subject import DoseTable
from latentpk.units import Units

MAX_ADDL = 10_000  # doses of one record; 27 years of daily doses
MAX_DOSES = 20_000_000  # doses of one file
_ADDL_MEND = "Give II, the time between doses, or set ADDL to 0"
_SS_MEND = "Give II, the time between doses, or set SS to 0"
_NO_AMOUNT = "A dose has an amount, or is SS=1 with RATE>0, AMT=0, II=0 (constant infusion)"


@dataclass(frozen=True, eq=False)
class DoseRecords:
    """What the dose records say, internal units; nan-free on doses, shape (row,).

    Attributes:
        amount: AMT [mg].
        rate: RATE [mg/h], 0 where it is not above 0.
        duration: Duration of the infusion [h], 0 where there is none.
        additional: ADDL.
        interval: II [h].
        steady: 0, 1, 2 as SS; 3 a constant infusion at steady state.
    """

    amount: np.ndarray
    rate: np.ndarray
    duration: np.ndarray
    additional: np.ndarray
    interval: np.ndarray
    steady: np.ndarray


def read_doses(findings: Findings, units: Units, *, events: Events) -> DoseRecords:
    """Read and check the columns of a dose.

    Args:
        findings: Where problems and notices go.
        units: Units of AMT, RATE, DUR and II.
        events: Which records are doses.

    Returns:
        The dose of each record; other records hold zeros.
    """
    dose = events.dose
    names = ("AMT", "RATE", "DUR", "ADDL", "II")
    amount, rate, duration, additional, interval = (
        numbers(findings, name, default=0.0, within=dose) for name in names
    )
    rule, mend = "SS is 0, 1 (steady state) or 2 (steady state added)", "Use one of these"
    steady = np.nan_to_num(whole(findings, "SS", (0, 1, 2), rule=rule, mend=mend)) * dose
    endless = (steady > 0) & (amount == 0) & (rate > 0)
    _check_amount(findings, amount, dose & ~endless)
    duration = _duration(findings, units, dose, (amount, rate, duration))
    interval = interval * units.factor("II")
    _check_repeats(findings, dose, (additional, interval, steady, endless, duration))
    return DoseRecords(
        amount * units.factor("AMT"),
        np.maximum(rate, 0.0) * units.factor("RATE"),
        duration,
        np.clip(additional, 0, MAX_ADDL),
        interval,
        np.where(endless, 3.0, steady),
    )


def _check_amount(findings: Findings, amount: np.ndarray, dose: np.ndarray) -> None:
    mend = "Fill in AMT, or set EVID=0 (level) or 2 (time to predict)"
    if findings.table.has("AMT"):
        empty = findings.table.frame["AMT"].is_null().to_numpy() & dose
        findings.flag(empty, "AMT", "AMT is missing on a dose", _NO_AMOUNT, mend)
        rule = "A dose is not negative"
        findings.flag(dose & (amount < 0), "AMT", "AMT is {}", rule, "Correct the amount")
        zero = int((dose & (amount == 0) & ~findings.blamed("AMT")).sum())
        if zero:
            findings.notice(f"{zero} dose records have AMT 0: no drug is given by them.")


def _duration(
    findings: Findings, units: Units, dose: np.ndarray, columns: tuple[np.ndarray, ...]
) -> np.ndarray:
    """Duration of each infusion [h], from RATE, else from DUR."""
    amount, rate, duration = columns
    findings.flag(
        rate == -1,
        "RATE",
        "RATE is -1, a rate to be modeled",
        "Modeled rates are not supported",
        "Give the rate, or RATE=-2 with DUR",
    )
    rule = "RATE is 0, above 0, or -2 with DUR above 0"
    findings.flag((rate < 0) & (rate != -2), "RATE", "RATE is {}", rule, "Correct the rate")
    findings.flag(duration < 0, "DUR", "DUR is {}", "A duration is not negative", "Correct it")
    lacking = (rate == -2) & ~(duration > 0)
    findings.flag(lacking, "RATE", "RATE is -2 without DUR", rule, "Give DUR")
    given = duration * units.factor("DUR")
    safe = np.where(rate > 0, rate * units.factor("RATE"), 1.0)
    implied = np.where(rate > 0, amount * units.factor("AMT") / safe, 0.0)
    both = dose & (rate > 0) & (duration > 0) & (amount > 0)
    findings.flag(
        both & (np.abs(given - implied) > 0.01 * implied),
        "DUR",
        lambda row: f"DUR is {given[row]:g} h, but AMT/RATE is {implied[row]:g} h",
        "Where both are given they agree within 1 %",
        "Leave one of RATE and DUR empty",
    )
    return np.where(rate > 0, implied, np.maximum(given, 0.0))


def _check_repeats(findings: Findings, dose: np.ndarray, columns: tuple[np.ndarray, ...]) -> None:
    additional, interval, steady, endless, duration = columns
    rule = f"ADDL is a whole number from 0 to {MAX_ADDL}"
    bad = (additional < 0) | (additional % 1 != 0) | (additional > MAX_ADDL)
    findings.flag(bad, "ADDL", "ADDL is {}", rule, "Correct it")
    findings.flag(interval < 0, "II", "II is {}", "An interval is not negative", "Correct it")
    lacking = (additional > 0) & ~endless & ~(interval > 0)
    rule = "Additional doses (ADDL) need an interval (II) above 0"
    findings.flag(lacking, "ADDL", "ADDL is {} without II", rule, _ADDL_MEND)
    lacking = (steady > 0) & ~endless & ~(interval > 0)
    findings.flag(lacking, "SS", "SS is {} with II 0", "Steady state needs II above 0", _SS_MEND)
    rule = "A constant infusion at steady state (AMT=0, RATE>0) has II 0, ADDL 0 and SS 1"
    bad = endless & ((interval > 0) | (additional > 0) | (steady == 2))
    findings.flag(bad, "SS", "II, ADDL or SS=2 with a constant infusion", rule, "Set them so")
    repeated = dose & (interval > 0) & ((additional > 0) | (steady > 0)) & ~endless
    findings.flag(
        repeated & (duration > interval * (1 + 1e-9)),
        "II",
        lambda row: f"an infusion of {duration[row]:g} h is repeated every {interval[row]:g} h",
        "An infusion is not longer than its interval",
        "Correct RATE, DUR or II, or write the overlapping infusions as single doses",
    )
    if additional.clip(0, MAX_ADDL).sum() + dose.sum() > MAX_DOSES:
        rule, mend = f"A file holds at most {MAX_DOSES} doses", "Split the file or correct ADDL"
        findings.add("column ADDL", "it asks for more doses than that", rule, mend)


def expand_doses(
    findings: Findings,
    records: DoseRecords,
    depot: np.ndarray,
    state: np.ndarray,
    *,
    clock: Clock,
    events: Events,
) -> tuple[DoseTable, np.ndarray]:
    """Single doses of all subjects, sorted by subject, time and order.

    A dose made from ADDL keeps the order of its record. A reset or an SS=1 record cancels every
    earlier dose of the subject: running infusions, lagged doses, and the ADDL doses still to come,
    which are dropped.

    Args:
        findings: Names the subjects' records.
        records: What the dose records say.
        depot: Site of each record, shape (row,).
        state: Covariates of doses on each record, shape (row, covariate).
        clock: Times of the records.
        events: Kinds of the records.

    Returns:
        All doses in one table, and where each subject's begin, shape (subject + 1,).
    """
    table = findings.table
    order = table.order.astype(float)
    cancels = events.reset | (events.dose & np.isin(records.steady, (1, 3)))
    until, until_order = _cancelled(table.start, clock.running, cancels)
    at = np.flatnonzero(events.dose)
    count = 1 + records.additional[at].astype(np.int64)
    row = np.repeat(at, count)
    repeat = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    time = clock.running[row] + repeat * records.interval[row]
    kept = (repeat == 0) | (time < until[row])
    row, repeat, time = row[kept], repeat[kept], time[kept]
    subject = np.searchsorted(table.start, row, side="right") - 1
    if (np.diff(time) < 0).any() or len(row) != len(at):
        by = np.lexsort((order[row], time, subject))
        row, repeat, time, subject = row[by], repeat[by], time[by], subject[by]
    doses = DoseTable(
        time=time,
        order=order[row],
        amount=records.amount[row],
        rate=records.rate[row],
        duration=np.where(records.steady[row] == 3, 0.0, records.duration[row]),
        depot=depot[row],
        interval=records.interval[row],
        steady=np.where(repeat == 0, records.steady[row], 0.0),
        until=until[row],
        until_order=until_order[row],
        state=state[row],
    )
    return doses, np.searchsorted(subject, np.arange(len(table.ids) + 1))


def _cancelled(
    start: np.ndarray, time: np.ndarray, cancels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Time and order of the next cancelling record of the same subject, inf without one."""
    rows = np.flatnonzero(cancels)
    every = np.arange(len(time))
    place = np.searchsorted(rows, every, side="right")
    following = np.append(rows, len(time))[place]
    subject_end = np.repeat(start[1:], np.diff(start))
    subject_start = np.repeat(start[:-1], np.diff(start))
    found = following < subject_end
    safe = np.where(found, following, 0)
    return (
        np.where(found, time[safe], np.inf),
        np.where(found, (safe - subject_start).astype(float), np.inf),
    )


def note_repeated(findings: Findings, events: Events, clock: Clock, records: DoseRecords) -> None:
    """A notice of dose records that repeat another one; each is taken as a dose of its own."""
    at = np.flatnonzero(events.dose)
    subject = np.searchsorted(findings.table.start, at, side="right").astype(float)
    fields = (clock.running, records.amount, records.duration, records.steady)
    keys = np.column_stack([subject, *(field[at] for field in fields)])
    count = len(keys) - len(np.unique(keys, axis=0)) if len(keys) else 0
    if count:
        findings.notice(
            f"{count} dose records repeat another one (same subject, TIME and dose); each is taken "
            "as a dose given."
        )
