"""What a subject's kidneys are known by: creatinine in time, dialysis, how clearance was made."""

from dataclasses import dataclass, field

import numpy as np

from latentpk.records.clock import Clock
from latentpk.records.columns import parsed
from latentpk.records.definition import RenalDefinition
from latentpk.records.findings import Findings
from latentpk.records.recipes import CREATININE, DIALYSIS
from latentpk.units import Units

WITHIN = 48.0  # hours
SHARE = 0.5
STEP = 26.5 / 88.4  # 26.5 umol/L in mg/dL


@dataclass(frozen=True, eq=False)
class RenalState:
    """Renal facts of one subject, covariates of a model or not.

    Attributes:
        time: When creatinine was recorded [h], shape (record,), never decreasing.
        creatinine: What it was [mg/dL], shape (record,).
        dialysis: Whether a column such as DIAL or HD is ever 1.
        definition: What the file's renal function was computed by; None where nothing was.
    """

    time: np.ndarray = field(default_factory=lambda: np.zeros(0))
    creatinine: np.ndarray = field(default_factory=lambda: np.zeros(0))
    dialysis: bool = False
    definition: RenalDefinition | None = None

    def leap(self) -> tuple[float, float, float] | None:
        """The largest move of creatinine that denies a steady state.

        Two values within 48 h must not differ by more than 26.5 umol/L or half the earlier one.

        Returns:
            The earlier and the later value [mg/dL] and the hours between; None where steady.

        Example:
            >>> RenalState(np.array([0.0, 24.0]), np.array([1.0, 1.6])).leap()
            (1.0, 1.6, 24.0)
        """
        found, worst = None, 0.0
        ends = np.searchsorted(self.time, self.time + WITHIN, side="right")
        for i, end in enumerate(ends):
            before, after = self.creatinine[i], self.creatinine[i:end]
            moves = np.abs(after - before)
            j = int(moves.argmax())
            if moves[j] > min(STEP, SHARE * before) and moves[j] > worst:
                worst = float(moves[j])
                found = (float(before), float(after[j]), float(self.time[i + j] - self.time[i]))
        return found


def read_renal(
    findings: Findings,
    units: Units,
    clock: Clock,
    *,
    until: float | None,
    definition: RenalDefinition | None,
) -> list[RenalState]:
    """Read what the file tells of the kidneys of each subject, without a word on bad cells.

    Args:
        findings: The table.
        units: Its units.
        clock: Times of its records.
        until: Records later than this [h] are not looked at.
        definition: What renal function was computed by.

    Returns:
        One for each subject.
    """
    table, time = findings.table, clock.running
    seen = np.ones(len(table), bool) if until is None else time <= until
    column = next((name for name in CREATININE if table.has(name)), CREATININE[0])
    creatinine = parsed(findings, column) * units.factor(column)
    known = seen & np.isfinite(creatinine) & (creatinine > 0)
    dialysis = np.zeros(len(table), bool)
    for name in DIALYSIS:
        dialysis |= seen & (parsed(findings, name) == 1)
    states = []
    for start, end in zip(table.start[:-1].tolist(), table.start[1:].tolist(), strict=True):
        rows = start + np.flatnonzero(known[start:end])
        state = RenalState(
            time[rows], creatinine[rows], bool(dialysis[start:end].any()), definition
        )
        states.append(state)
    return states
