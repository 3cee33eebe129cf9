"""Covariates of a dose, valued on its record: whether there was a meal, which form it had."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from latentpk.records.clock import Clock
from latentpk.records.covariates import Columns
from latentpk.records.events import Events
from latentpk.records.findings import Findings


def keep_of_doses(
    findings: Findings, columns: Columns, names: Sequence[str], clock: Clock, events: Events
) -> Columns:
    """Take some covariates from the records of doses alone, and check that they are there.

    What other records say of them is not looked at. A dose made by ADDL has the value of the last
    dose record before it; a subject without any dose the column's least, which nothing reads.

    Args:
        findings: Where problems go.
        columns: All covariates as recorded.
        names: Those of doses.
        clock: Times of the records.
        events: Which records are doses.

    Returns:
        The covariates, those of doses nan on all other records but a doseless subject's first.
    """
    values, table = columns.values.copy(), findings.table
    for name in names:
        if name not in columns.names:
            rule, mend = "A covariate of a dose is among the covariates", "Ask for it there, too"
            findings.add(f"column {name}", "it is none of the covariates", rule, mend)
            continue
        place = columns.names.index(name)
        own = np.where(events.dose, values[:, place], np.nan)
        rule, mend = f"Each dose says its {name}", "Fill it in"
        findings.flag(events.dose & np.isnan(own), name, f"{name} is missing", rule, mend)
        _refuse_two(findings, name, own, clock, events)
        given = np.add.reduceat(events.dose, table.start[:-1], dtype=np.int64) > 0
        own[table.start[:-1][~given]] = np.nanmin(own) if np.isfinite(own).any() else 0.0
        values[:, place] = own
    return replace(columns, values=values)


def _refuse_two(
    findings: Findings, name: str, own: np.ndarray, clock: Clock, events: Events
) -> None:
    """Two doses of one time that differ: which is which could not be told later."""
    at = np.flatnonzero(events.dose)
    subject = np.searchsorted(findings.table.start, at, side="right")
    alike = (np.diff(clock.running[at]) == 0) & (np.diff(subject) == 0)
    differ = alike & (np.abs(np.diff(own[at])) > 0)
    bad = np.zeros(len(own), bool)
    bad[at[1:][differ]] = True
    rule = f"Doses of one time have the same {name}"
    findings.flag(bad, name, f"{name} is {{}}", rule, "Move one of them by a minute")
