"""Steady state where doses do not add up: a regimen is followed until its exposure settles."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from latentpk.dosing.exposure import COARSE, Patient, Window, cumulative, heights, of_curve
from latentpk.dosing.metric import DAY, Metric
from latentpk.dosing.regimen import Regimen, schedule

LENGTHS = (16, 64)  # doses that are followed; the next only where an exposure still moves
SETTLED = 0.03  # change of an exposure when twice as many doses are followed
OUTLIERS, DOUBTFUL = 0.01, 0.05  # shares of the draws that need not settle; that are told of


@dataclass(frozen=True, eq=False)
class Settled:
    """An exposure of every draw after many doses.

    Attributes:
        values: In the metric's unit, shape (draw,).
        settled: Whether it changed by at most SETTLED since half as many doses, shape (draw,). An
            exposure that comes near its limit by halves is then within a thousandth of it.
        doses: How many were followed.
        hours: How long [h].
    """

    values: Float[np.ndarray, " draw"]
    settled: Bool[np.ndarray, " draw"]
    doses: int
    hours: float

    def doubt(self, weight: Float[np.ndarray, " draw"]) -> str:
        """What there is to say where too many draws have not settled, else nothing."""
        share = float(weight @ ~self.settled)
        if share <= DOUBTFUL:
            return ""
        return (
            f"With a probability of {100 * share:.2g} % the exposure still rises after "
            f"{self.doses} doses ({self.hours / DAY:.3g} days): elimination is slow, or saturated, "
            "and then there may be no steady state. Such exposures are those of the last interval "
            "followed."
        )


def settle(metric: Metric, patient: Patient, regimen: Regimen, depot: float) -> Settled:
    """Follow a regimen from an empty body until the exposure of an interval settles.

    Args:
        metric: What; an area is brought to `metric.hours`.
        patient: Its doses are replaced, its last covariates hold for ever.
        regimen: What is given for ever, without a loading dose.
        depot: 1 into the absorption site, 0 into the central compartment.

    Returns:
        The exposure of the last interval that was followed.
    """
    found = Settled(np.zeros(0), np.zeros(0, bool), 0, 0.0)
    for doses in LENGTHS:
        plan = schedule(regimen, 0.0, doses * regimen.interval, depot)
        on = patient.settled().given(plan)
        half, whole = _intervals(metric, on, regimen.interval, doses)
        still = np.abs(whole - half) <= SETTLED * np.maximum(whole, np.finfo(float).tiny)
        found = Settled(whole, still | (whole == half), doses, doses * regimen.interval)
        if patient.weight @ ~found.settled <= OUTLIERS:
            break
    return found


def _intervals(
    metric: Metric, patient: Patient, interval: float, doses: int
) -> tuple[Float[np.ndarray, " draw"], Float[np.ndarray, " draw"]]:
    """A metric over the middle one and the last one of many intervals."""
    starts = (doses // 2 - 1) * interval, (doses - 1) * interval
    if metric.kind in ("auc", "average"):
        edges = np.array([edge for start in starts for edge in (start, start + interval)])
        area = cumulative(patient, edges)
        hours = metric.hours if metric.kind == "auc" else 1.0
        half, whole = area[:, 1] - area[:, 0], area[:, 3] - area[:, 2]
        return half * hours / interval, whole * hours / interval
    windows = [Window.of(start, start + interval, patient.record.doses, COARSE) for start in starts]
    time, order = np.concatenate([(w.time, w.order) for w in windows], axis=1)
    curve = heights(patient, Window(0.0, float(time[-1]), time, order))
    parts = np.split(curve, [windows[0].time.size], axis=1)
    half, whole = (of_curve(metric, w, c) for w, c in zip(windows, parts, strict=True))
    return half, whole
