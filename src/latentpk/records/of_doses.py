"""Covariates of a dose, valued on its record: whether there was a meal, which form it had."""

from collections.abc import Sequence

import numpy as np

from latentpk.records.covariates import Columns, kind_of, read_column, refuse_constant
from latentpk.records.events import Events
from latentpk.records.findings import Findings
from latentpk.records.subject import Kind
from latentpk.records.table import RESERVED
from latentpk.units import PHYSICAL, Units

OFTEN = 0.1  # share of the subjects with several doses in whom a column of doses changes


def read_of_doses(
    findings: Findings,
    units: Units,
    names: Sequence[str],
    events: Events,
    *,
    covariates: Sequence[str] | None,
    purpose: str,
) -> Columns:
    """Read some columns on the records of doses alone, and check that they are there.

    What other records say of them is not looked at. A dose made by ADDL has what its record says.

    Args:
        findings: Where problems go.
        units: Their units.
        names: The columns.
        events: Which records are doses.
        covariates: Those of the patient that were asked for, None where it is all others.
        purpose: In a "fit" they must vary; else they need not.

    Returns:
        The columns, nan on all records but those of doses.
    """
    table, kept, columns = findings.table, [], []
    known = {name.strip().upper() for name in covariates or ()}
    for name in dict.fromkeys(names):
        where = f"covariate of doses {name}"
        if name in RESERVED:
            rule = "A covariate of doses is a column of its own"
            findings.add(where, "it is a reserved column", rule, "Leave it out")
        elif not table.has(name):
            there = ", ".join(c for c in table.frame.columns if c not in RESERVED) or "none"
            rule = "Every covariate of doses is a column"
            findings.add(where, "the column is missing", rule, f"Add it, or choose of: {there}")
        elif name in known:
            rule = "A covariate says something of the patient or of a dose, not of both"
            mend = "Leave it out of the covariates, or of the covariates of doses"
            findings.add(where, "it is a covariate of the patient, too", rule, mend)
        else:
            own = read_column(findings, units, name, within=events.dose)
            rule, mend = f"Each dose says its {name}", "Fill it in"
            findings.flag(events.dose & np.isnan(own), name, f"{name} is missing", rule, mend)
            kept.append(name)
            columns.append(own)
    if kept:
        findings.notice(f"Covariates of doses, read on their records alone: {', '.join(kept)}.")
    if purpose == "fit":
        refuse_constant(findings, kept, columns)
    pairs = zip(kept, columns, strict=True)
    kinds: tuple[Kind, ...] = tuple(kind_of(name, own) for name, own in pairs)
    values = np.stack(columns, axis=1) if columns else np.zeros((len(table), 0))
    return Columns(tuple(kept), kinds, values)


def propose_of_doses(findings: Findings, columns: Columns, events: Events) -> None:
    """Say which covariates seem to belong to doses, since they change with these alone.

    Args:
        findings: Where the notice goes.
        columns: The covariates as recorded.
        events: Which records are doses.
    """
    found = [
        name
        for name, values in zip(columns.names, columns.values.T, strict=True)
        if name not in PHYSICAL and _changes_with_doses(findings, values, events)
    ]
    if found:
        listed = ", ".join(found)
        findings.notice(
            f"{listed} changes from dose to dose and never between two doses. If it says something "
            f"of the dose, as a meal does, name it a covariate of doses (--dose-covariates "
            f"{','.join(found)}): then it acts on the absorption of that dose alone."
        )


def _changes_with_doses(findings: Findings, values: np.ndarray, events: Events) -> bool:
    """Whether every dose has a value that holds until the next, and often not for longer."""
    if not events.dose.any() or np.isnan(values[events.dose]).any():
        return False
    start, rows = findings.table.start, np.arange(len(values))
    last = np.maximum.accumulate(np.where(events.dose, rows, -1))
    dosed = last >= np.repeat(start[:-1], np.diff(start))
    held = values[np.where(dosed, last, rows)]
    if np.any(~np.isnan(values) & (values != held)):
        return False
    count = np.add.reduceat(events.dose, start[:-1], dtype=np.int64)
    least = np.minimum.reduceat(np.where(events.dose, values, np.inf), start[:-1])
    most = np.maximum.reduceat(np.where(events.dose, values, -np.inf), start[:-1])
    several = count > 1
    return bool(np.sum(several & (most > least)) > OFTEN * np.sum(several))
