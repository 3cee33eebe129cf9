"""How an exposure depends on the regimen: by sums where doses add up, else by simulation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from latentpk.dosing.exposure import (
    COARSE,
    Window,
    at_steady_state,
    heights,
    interval_ends,
    measure,
    steady,
)
from latentpk.dosing.history import both, times_given
from latentpk.dosing.linear import Curved, Straight, Widening
from latentpk.dosing.metric import At, Metric
from latentpk.dosing.patient import Seen, factor_on
from latentpk.dosing.regimen import Practice, Regimen, schedule
from latentpk.dosing.simulated import Simulated
from latentpk.dosing.spread import Spread
from latentpk.kinetics.doses import Doses
from latentpk.models.record import take


@runtime_checkable
class Line(Protocol):
    """An exposure of regimens of one interval and infusion, under every draw of a patient."""

    @property
    def weight(self) -> Float[np.ndarray, " draw"]:
        """Of the draws."""
        ...

    def of(self, regimens: Sequence[Regimen]) -> Float[np.ndarray, "regimen draw"]:
        """Exposures of every regimen and draw."""
        ...

    def spreads(
        self, regimens: Sequence[Regimen], values: Float[np.ndarray, "regimen draw"]
    ) -> list[Spread]:
        """Spread of each regimen's exposures, which are `values`."""
        ...

    def best(self, kind: Regimen, aim: float, top: float) -> float:
        """The amount of least expected |aim - exposure|; `top` is the largest that is offered."""
        ...

    def doubt(self, regimen: Regimen) -> str:
        """What there is to say against the exposures of a regimen; empty where nothing is."""
        ...


@dataclass(frozen=True, eq=False)
class Lines:
    """The exposures of one patient's regimens, each line computed once.

    Attributes:
        patient: With the doses before the start alone.
        start: Time of the first new dose [h].
        depot: 1 for doses into the absorption site, 0 for central ones.
        practice: What the ward can give: its intervals, infusions, and whether there is a loading.
        on_course: Called after each course that had to be simulated.
    """

    patient: Seen
    start: float
    depot: float
    practice: Practice
    on_course: Callable[[], None] = lambda: None
    known: dict[Any, Any] = field(default_factory=dict)

    def of(self, regimen: Regimen, metric: Metric, at: At) -> Line:
        """The exposure of regimens with this one's interval and infusion.

        Args:
            regimen: Its amount does not matter.
            metric: What is judged.
            at: Start of the window [h], or "ss".

        Returns:
            By sums where doses add up, by simulation else.
        """
        key = (regimen.interval, regimen.infusion, metric, at)
        if key not in self.known:
            self.known[key] = self._made(regimen, metric, at)
        return self.known[key]

    def _made(self, regimen: Regimen, metric: Metric, at: At) -> Line:
        if any(part.model.decoder.simulated for part in self.patient.parts):
            course = self.patient, metric, at, self.start, self.depot
            return Simulated(*course, on_course=self.on_course)
        return self._steady(regimen, metric) if at == "ss" else self._window(regimen, metric, at)

    def _steady(self, regimen: Regimen, metric: Metric) -> Line:
        one = steady(regimen.interval, regimen.infusion, self.depot)
        weight, patient = self.patient.weight, self.patient.settled().bare().given(one)
        none, seen = np.zeros(weight.size), self._widening("ss", regimen.interval)
        if metric.kind != "ft_mic":  # the lowest or highest of a curve grows with it
            unit = at_steady_state(metric, patient, regimen.interval)
            return Straight(weight, none, unit, none, seen)
        window = Window.of(0.0, regimen.interval, one, COARSE)
        return Curved(weight, metric, window, {1: _turned(heights(patient, window))}, seen)

    def _widening(self, at: At, end: float) -> Widening:
        """What a regimen multiplies each draw by, at the end of its window or at steady state."""

        def factor(regimen: Regimen) -> np.ndarray | None:
            return factor_on(self.patient, self.doses(regimen, at, end), end)

        return factor

    def doses(self, regimen: Regimen, at: At, end: float) -> Doses:
        """What the patient was given and a regimen adds up to an end; one dose at steady state."""
        if at == "ss":
            interval, amount = regimen.interval, regimen.amount
            return steady(interval, regimen.infusion, self.depot, amount=amount)
        plan = self.patient.stated(schedule(regimen, self.start, end, self.depot))
        return both(self.patient.record.doses, plan)

    def _window(self, regimen: Regimen, metric: Metric, at: float) -> Line:
        end = at if metric.kind == "auc_cum" else at + metric.hours
        plan = schedule(replace(regimen, amount=1.0, loading=None), self.start, end, self.depot)
        first = take(plan, np.array([0]))
        bare, seen = self.patient.bare(), self._widening(at, end)
        patients = {0: bare, 1: bare.given(plan)}
        if self.practice.loading:
            patients[2] = bare.given(first)
        weight = bare.weight
        if metric.kind in ("auc", "average", "auc_cum"):
            begin = float(np.min(times_given(self.patient.record.doses), initial=self.start))
            if (metric, at) not in self.known:  # the history is that of every regimen
                self.known[metric, at] = measure(metric, bare, at, first=begin)
            parts = [measure(metric, one, at, first=begin) for k, one in patients.items() if k > 0]
            none = [np.zeros_like(parts[0])] * (2 - len(parts))
            unit, loading = [*parts, *none]
            return Straight(weight, self.known[metric, at], unit, loading, seen)
        if metric.kind == "trough" and at == self.start:
            window = interval_ends(self.start, regimen.interval)
            curves = {k: _turned(heights(one, window)) for k, one in patients.items()}
            return Curved(weight, metric, window, curves, seen)
        if (at, end) not in self.known:  # a window for all regimens: the history is followed once
            window = self._common_window(at, end)
            self.known[at, end] = window, _turned(heights(bare, window))
        window, history = self.known[at, end]
        plans = {k: _turned(heights(one, window)) for k, one in patients.items() if k > 0}
        return Curved(weight, metric, window, {0: history, **plans}, seen)

    def _common_window(self, at: float, end: float) -> Window:
        """A window that holds the doses of every regimen."""
        doses = self.patient.record.doses
        for interval, infusion in product(self.practice.intervals, self.practice.infusions):
            regimen = Regimen(1.0, interval, min(infusion, interval))
            plan = self.patient.stated(schedule(regimen, self.start, end, self.depot))
            doses = both(doses, plan)
        return Window.of(at, end, doses, COARSE)


def _turned(curve: Float[np.ndarray, "draw time"]) -> Float[np.ndarray, "time draw"]:
    """Time first, contiguous."""
    return np.ascontiguousarray(curve.T)
