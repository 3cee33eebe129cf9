"""Hours since a subject's first dose, as a covariate that the reading itself counts in steps."""

from collections.abc import Sequence

import numpy as np

from latentpk.records.clock import Clock
from latentpk.records.events import Events
from latentpk.records.findings import Findings
from latentpk.records.interpolation import Pieces, cut_at

ELAPSED = "TAFD"  # what the covariate is called


def first_doses(findings: Findings, clock: Clock, events: Events) -> np.ndarray:
    """Time of each subject's first dose [h], of the first record without one; shape (subject,)."""
    start = findings.table.start
    first = clock.running[start[:-1]].copy()
    dosed = np.flatnonzero(events.dose)[::-1]
    first[np.searchsorted(start, dosed, side="right") - 1] = clock.running[dosed]  # earliest last
    return first


def add_elapsed(
    findings: Findings, pieces: Pieces, first: np.ndarray, steps: Sequence[float]
) -> Pieces:
    """Add TAFD as the last covariate: the last of the steps that has passed, before them 0.

    Args:
        findings: Where the notice goes.
        pieces: The other covariates.
        first: Time of each subject's first dose [h], shape (subject,).
        steps: Hours after it at which something changes.

    Returns:
        The pieces, which begin at the steps too.
    """
    hours = np.asarray(steps, float)
    begin = first[:, None] + hours
    pieces = cut_at(pieces, begin)
    passed = pieces.time[:, None] >= np.repeat(begin, np.diff(pieces.start), axis=0)
    column = np.append(0.0, hours)[passed.sum(axis=1)]
    told = ", ".join(f"{hour:g}" for hour in hours)
    findings.notice(f"{ELAPSED}, hours since the first dose, is counted in steps: {told} h.")
    values = np.column_stack([pieces.values, column])
    return Pieces(pieces.time, values, pieces.start, pieces.occasion)
