"""Exposures where doses do not add up: each regimen's course is followed dose by dose."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator

from latentpk.dosing.best_amount import amounts_tried, least_loss
from latentpk.dosing.exposure import heights, interval_ends, measure, of_curve
from latentpk.dosing.history import put_on, times_given
from latentpk.dosing.metric import At, Metric
from latentpk.dosing.patient import Seen
from latentpk.dosing.regimen import Regimen
from latentpk.dosing.settling import settle
from latentpk.dosing.spread import Spread, spread

DOUBLINGS = 10  # of the largest amount offered: each is simulated
KNOTS = 9  # amounts that are simulated where the best one is looked for
REFINED = 2  # further ones, each at the best amount so far


@dataclass(frozen=True, eq=False)
class Simulated:
    """An exposure of courses that are followed dose by dose; each regimen is simulated once."""

    patient: Seen
    metric: Metric
    at: At
    start: float
    depot: float
    known: dict[Regimen, tuple[np.ndarray, str]] = field(default_factory=dict)
    on_course: Callable[[], None] = lambda: None

    @property
    def weight(self) -> Float[np.ndarray, " draw"]:
        """Of the draws."""
        return self.patient.weight

    def of(self, regimens: Sequence[Regimen]) -> Float[np.ndarray, "regimen draw"]:
        """Exposures of every regimen and draw."""
        return np.stack([self._one(regimen)[0] for regimen in regimens])

    def spreads(
        self, regimens: Sequence[Regimen], values: Float[np.ndarray, "regimen draw"]
    ) -> list[Spread]:
        """Spread of each regimen's exposures, which are `values`."""
        return [spread(row, self.patient.weight) for row in values]

    def best(self, kind: Regimen, aim: float, top: float) -> float:
        """On a monotone interpolation through simulated amounts, refined where it is least."""
        weight = self.patient.weight

        def values(amount: float) -> np.ndarray:
            return self._one(replace(kind, amount=amount))[0]

        tried = amounts_tried(values, aim, weight, top, DOUBLINGS)
        amounts = sorted({0.0, *tried, *(tried[-1] * k / (KNOTS - 1) for k in range(KNOTS))})
        best = 0.0
        for _ in range(REFINED + 1):
            line = PchipInterpolator(amounts, np.stack([values(a) for a in amounts]))
            best = least_loss(line, aim, weight, amounts[-1])
            if min(abs(best - a) for a in amounts) < 1e-4 * amounts[-1]:
                break
            amounts = sorted([*amounts, best])
        return best

    def doubt(self, regimen: Regimen) -> str:
        """Where its steady state was not reached."""
        return self._one(regimen)[1]

    def _one(self, regimen: Regimen) -> tuple[np.ndarray, str]:
        if self.at == "ss":  # which does not know how it began
            regimen = replace(regimen, loading=None)
        if regimen not in self.known:
            self.known[regimen] = self._followed(regimen)
            self.on_course()
        return self.known[regimen]

    def _followed(self, regimen: Regimen) -> tuple[np.ndarray, str]:
        metric, at = self.metric, self.at
        if at == "ss":
            found = settle(metric, self.patient, regimen, self.depot)
            return found.values, found.doubt(self.patient.weight)
        end = at if metric.kind == "auc_cum" else at + metric.hours
        on = put_on(self.patient, regimen, self.start, end, self.depot)
        if metric.kind == "trough" and at == self.start:
            window = interval_ends(self.start, regimen.interval)
            return of_curve(metric, window, heights(on, window)), ""
        first = float(np.min(times_given(on.record.doses), initial=self.start))
        return measure(metric, on, at, first=first), ""
