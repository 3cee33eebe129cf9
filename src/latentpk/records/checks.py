"""What a table must hold to be fitted, or to be forecast from."""

import numpy as np

from latentpk.records.doses import DoseRecords
from latentpk.records.events import Events
from latentpk.records.findings import Findings
from latentpk.records.levels import Levels

_DOSE_MEND = "Add dose records (EVID=1 with AMT above 0)"
_LEVEL_MEND = "Add levels (EVID=0 with a DV)"


def check_purpose(
    findings: Findings, *, purpose: str, events: Events, records: DoseRecords, levels: Levels
) -> None:
    """Problems of a table that cannot serve its purpose.

    Both need doses. A fit needs levels above their limit, of two subjects or more, and a dose for
    every subject with levels; a forecast needs a dose for every subject, and no levels; for the
    choice of a dose a subject may have neither.

    Args:
        findings: Where problems and notices go.
        purpose: "fit", "adapt", "forecast" or "dose".
        events: Kinds of the records.
        records: What the dose records say.
        levels: What was measured.
    """
    given = events.dose & ((records.amount > 0) | (records.steady == 3))
    dosed = _any(findings, given)
    measured = _any(findings, levels.level)
    # a dose or level that was blamed above is there, only wrong
    if purpose == "dose" and not dosed.any():
        _check_dosed(findings, measured)
    elif not dosed.any() and findings.table.has("AMT") and not findings.blamed("AMT").any():
        rule = "A table holds doses"
        findings.add("records", "none of them is a dose", rule, _DOSE_MEND)
    elif dosed.any():
        _check_dosed(findings, ~dosed & (measured | (purpose == "forecast")))
    if purpose in ("fit", "adapt") and findings.table.has("DV") and not findings.blamed("DV").any():
        _check_levels(findings, measured, levels)


def _any(findings: Findings, rows: np.ndarray) -> np.ndarray:
    """Whether each subject has such a record, shape (subject,)."""
    return np.add.reduceat(rows, findings.table.start[:-1], dtype=np.int64) > 0


def _check_dosed(findings: Findings, lacking: np.ndarray) -> None:
    table = findings.table
    rows = np.zeros(len(table), bool)
    rows[table.start[:-1][lacking]] = True
    rows &= ~_subject_of(findings, findings.blamed("AMT"))
    rule, mend = "A subject to predict has a dose", f"{_DOSE_MEND}, or drop the subject"
    findings.flag(rows, "AMT", "the subject has no dose", rule, mend)


def _subject_of(findings: Findings, rows: np.ndarray) -> np.ndarray:
    """Every record of the subjects that own one of `rows`."""
    return np.repeat(_any(findings, rows), np.diff(findings.table.start))


def _check_levels(findings: Findings, measured: np.ndarray, levels: Levels) -> None:
    count = int(measured.sum())
    if count == 0:
        rule = "A table to learn from holds levels"
        findings.add("records", "none of them is a level", rule, _LEVEL_MEND)
    elif levels.censored[levels.level].all():
        rule = "Some levels lie above their limit of quantification"
        mend = "Check LLOQ, its unit, and CENS or BLQ"
        findings.add("column LLOQ", "every level is below its limit", rule, mend)
    elif count < 2:
        rule = "A fit needs levels of two subjects or more"
        findings.add("records", "only one subject has levels", rule, _LEVEL_MEND)
    elif count < len(measured):
        findings.notice(f"{len(measured) - count} subjects have no levels.")
