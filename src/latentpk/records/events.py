"""What each record is: EVID and MDV, given or derived."""

from dataclasses import dataclass

import numpy as np

from latentpk.records.columns import missing, numbers, whole
from latentpk.records.findings import Findings


@dataclass(frozen=True, eq=False)
class Events:
    """The kind of each record; every field bool, shape (row,).

    Attributes:
        dose: EVID 1 or 4.
        reset: EVID 3 or 4.
        level: EVID 0 and MDV 0: a measurement.
        output: A level or a time to predict at (EVID 2, or EVID 0 with MDV 1).
        below: The file marks the level as below the limit of quantification (CENS or BLQ).
    """

    dose: np.ndarray
    reset: np.ndarray
    level: np.ndarray
    output: np.ndarray
    below: np.ndarray


def read_events(findings: Findings, amount: np.ndarray) -> Events:
    """Tell doses, resets, levels and prediction times apart.

    Args:
        findings: Where problems and notices go.
        amount: AMT as written, nan where missing, shape (row,).

    Returns:
        The kinds.
    """
    evid = _evid(findings, amount)
    below = _below(findings)
    mdv = _mdv(findings, evid, below)
    bad = (amount > 0) & np.isin(evid, (0, 2, 3))
    findings.flag(
        bad,
        "AMT",
        lambda row: f"AMT {{}} on a record with EVID {evid[row]:.0f}",
        "Only EVID 1 and 4 give a dose",
        "Set EVID=1 if it is a dose, or AMT to 0",
    )
    level = (evid == 0) & (mdv == 0)
    output = (evid == 0) | (evid == 2)
    return Events(np.isin(evid, (1, 4)), np.isin(evid, (3, 4)), level, output, below & level)


def _evid(findings: Findings, amount: np.ndarray) -> np.ndarray:
    evid = whole(
        findings,
        "EVID",
        (0, 1, 2, 3, 4),
        rule="EVID is 0 observation, 1 dose, 2 other, 3 reset, 4 reset and dose",
        mend="Use one of these, or leave EVID out to have it derived from AMT",
    )
    rate, steady = (np.nan_to_num(numbers(findings, name)) for name in ("RATE", "SS"))
    given = (amount > 0) | ((rate > 0) & (steady > 0))  # an endless infusion has no amount
    lost = np.isnan(evid) & ~findings.blamed("EVID")
    if lost.any() and findings.table.has("AMT"):
        findings.notice("A missing EVID is 1 where AMT is above 0, else 0.")
    derived = np.where(given | (amount < 0), 1.0, 0.0)  # a negative dose is blamed as a dose
    return np.where(lost, derived, evid)


def _below(findings: Findings) -> np.ndarray:
    rule = "CENS and BLQ are 1 where a level is below the limit of quantification, else 0"
    flags = [
        whole(findings, column, (0, 1), rule=rule, mend="Use 0 or 1 (M1 and M3 know no other)")
        for column in ("CENS", "BLQ")
    ]
    return (flags[0] == 1) | (flags[1] == 1)


def _mdv(findings: Findings, evid: np.ndarray, below: np.ndarray) -> np.ndarray:
    rule = "MDV is 0 where DV is a measurement and 1 where it is not"
    mdv = whole(findings, "MDV", (0, 1), rule=rule, mend="Use 0 or 1, or leave MDV out")
    empty = missing(findings, "DV")
    limit = ~missing(findings, "LLOQ")
    unseen = empty & ~(below & limit)  # a level known only to be below a limit is a level
    lost = np.isnan(mdv)
    if (lost & (evid == 0)).any():
        findings.notice("A missing MDV is 1 where DV is empty or EVID is not 0, else 0.")
    mdv = np.where(lost, np.where(unseen | (evid != 0), 1.0, 0.0), mdv)
    if findings.table.has("DV"):
        findings.flag(
            (evid == 0) & (mdv == 0) & unseen,
            "DV",
            "DV is missing on a level (EVID 0, MDV 0)",
            "A level has a value",
            "Fill it in, or set MDV=1 to have this time predicted",
        )
    return mdv
