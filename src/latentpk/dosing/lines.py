"""How an exposure depends on the regimen: by sums where doses add up, else by simulation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator
from scipy.optimize import minimize_scalar

from latentpk.dosing.exposure import (
    COARSE,
    Window,
    at_steady_state,
    heights,
    measure,
    of_curve,
    of_sums,
    quantiles,
    steady,
)
from latentpk.dosing.history import both, put_on, times_given
from latentpk.dosing.metric import DAY, At, Metric
from latentpk.dosing.patient import Seen, factor_on
from latentpk.dosing.regimen import Practice, Regimen, schedule
from latentpk.dosing.settling import settle
from latentpk.kinetics.doses import Doses
from latentpk.models.record import take

Widening = Callable[[Regimen], Float[np.ndarray, " draw"] | None]
BAND = (0.05, 0.5, 0.95)
DOUBLINGS, FEWER = 60, 10  # of the largest amount offered; the second where each is simulated
NEGLIGIBLE = 1e-12
ENOUGH = 0.95  # probability of exceeding the aim beyond which no larger amount is tried
KNOTS = 9  # amounts that are simulated where the best one is looked for
REFINED = 2  # further ones, each at the best amount so far


@dataclass(frozen=True)
class Spread:
    """A quantity under the posterior: its median, and its 5 and 95 % quantiles."""

    median: float
    lo: float
    hi: float


def spread(values: Float[np.ndarray, " draw"], weight: Float[np.ndarray, " draw"]) -> Spread:
    """Median, 5 and 95 % quantiles."""
    lo, median, hi = quantiles(values, weight, BAND)
    return Spread(median, lo, hi)


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


def _as_seen(regimen: Regimen) -> None:
    """A regimen that is not beyond what the model was trained on."""
    return


@dataclass(frozen=True, eq=False)
class Straight:
    """An exposure linear in the amounts: history + amount x unit + (loading - amount) x first.

    Where a regimen is beyond what the model was trained on, each draw is multiplied by its factor.
    """

    weight: Float[np.ndarray, " draw"]
    base: Float[np.ndarray, " draw"]
    unit: Float[np.ndarray, " draw"]
    first: Float[np.ndarray, " draw"]
    widening: Widening = _as_seen

    def of(self, regimens: Sequence[Regimen]) -> Float[np.ndarray, "regimen draw"]:
        """Exposures of every regimen and draw."""
        values = _amounts(regimens) @ np.stack([self.base, self.unit, self.first])
        factor = _factors(self.widening, regimens, self.weight)
        return values if factor is None else values * factor

    def spreads(
        self, regimens: Sequence[Regimen], values: Float[np.ndarray, "regimen draw"]
    ) -> list[Spread]:
        """Spread of each regimen's exposures; without a history all draws keep their order."""
        factor = _factors(self.widening, regimens, self.weight)
        if self.base.any() or self.first.any() or factor is not None:
            return [spread(row, self.weight) for row in values]
        unit = spread(self.unit, self.weight)
        return [
            Spread(one.amount * unit.median, one.amount * unit.lo, one.amount * unit.hi)
            for one in regimens
        ]

    def best(self, kind: Regimen, aim: float, top: float) -> float:
        """A sum of |a_i - amount| u_i is least at a weighted median, exactly.

        Where an amount is beyond what was seen, the best one is looked for on the line.
        """
        unit = np.maximum(self.unit, NEGLIGIBLE)
        found = max(_weighted_median((aim - self.base) / unit, self.weight * unit), 0.0)
        if self.widening(replace(kind, amount=found)) is None:
            return found
        return _searched(self, kind, aim, top)

    def doubt(self, regimen: Regimen) -> str:
        """Nothing."""
        return ""


@dataclass(frozen=True, eq=False)
class Curved:
    """An exposure read off curves that are linear in the amounts."""

    weight: Float[np.ndarray, " draw"]
    metric: Metric
    window: Window
    parts: dict[int, Float[np.ndarray, "time draw"]]  # by column of `_amounts`; absent: zero
    widening: Widening = _as_seen

    def of(self, regimens: Sequence[Regimen]) -> Float[np.ndarray, "regimen draw"]:
        """Exposures of every regimen and draw."""
        amounts = _amounts(regimens)[:, list(self.parts)]
        factor = _factors(self.widening, regimens, self.weight)
        return of_sums(self.metric, self.window, tuple(self.parts.values()), amounts, factor)

    def spreads(
        self, regimens: Sequence[Regimen], values: Float[np.ndarray, "regimen draw"]
    ) -> list[Spread]:
        """Spread of each regimen's exposures, which are `values`."""
        return [spread(row, self.weight) for row in values]

    def best(self, kind: Regimen, aim: float, top: float) -> float:
        """By a line search on the stored curves."""
        return _searched(self, kind, aim, top)

    def doubt(self, regimen: Regimen) -> str:
        """Nothing."""
        return ""


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

        tried = _enough(values, aim, weight, top, FEWER)
        amounts = sorted({0.0, *tried, *(tried[-1] * k / (KNOTS - 1) for k in range(KNOTS))})
        best = 0.0
        for _ in range(REFINED + 1):
            line = PchipInterpolator(amounts, np.stack([values(a) for a in amounts]))
            best = _least(line, aim, weight, amounts[-1])
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
            window = _interval_ends(self.start, regimen.interval)
            return of_curve(metric, window, heights(on, window)), ""
        first = float(np.min(times_given(on.record.doses), initial=self.start))
        return measure(metric, on, at, first=first), ""


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
            window = _interval_ends(self.start, regimen.interval)
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


def _interval_ends(start: float, interval: float) -> Window:
    """Just before each dose after the first within a day, at least one.

    The first interval begins low whatever is given: its troughs are its intervals' ends.
    """
    count = max(int(DAY / interval + 1e-9), 1)
    time = start + interval * np.arange(1, count + 1)
    return Window(start, float(time[-1]), time, np.full(count, -np.inf))


def _amounts(regimens: Sequence[Regimen]) -> Float[np.ndarray, "regimen part"]:
    """What history, unit and first dose are multiplied by."""
    extra = [0.0 if r.loading is None else r.loading - r.amount for r in regimens]
    return np.array([[1.0, r.amount, more] for r, more in zip(regimens, extra, strict=True)])


def _factors(
    widening: Widening, regimens: Sequence[Regimen], weight: Float[np.ndarray, " draw"]
) -> Float[np.ndarray, "regimen draw"] | None:
    """What each draw is multiplied by under each regimen; None where all are as trained on."""
    each = [widening(regimen) for regimen in regimens]
    if all(one is None for one in each):
        return None
    return np.stack([np.ones(weight.size) if one is None else one for one in each])


def _searched(line: Line, kind: Regimen, aim: float, top: float) -> float:
    """The amount of least expected loss, by a line search."""

    def values(amount: float) -> np.ndarray:
        return line.of([replace(kind, amount=amount)])[0]

    most = _enough(values, aim, line.weight, top, DOUBLINGS)[-1]
    return _least(values, aim, line.weight, most)


def _enough(
    values: Callable[[float], np.ndarray],
    aim: float,
    weight: np.ndarray,
    top: float,
    doublings: int,
) -> list[float]:
    """Amounts from `top` on, doubled until every more would be too much."""
    tried = [top]
    for _ in range(doublings):
        if weight @ (values(tried[-1]) >= aim) > ENOUGH:
            break
        tried.append(2 * tried[-1])
    return tried


def _least(
    values: Callable[[float], np.ndarray], aim: float, weight: np.ndarray, top: float
) -> float:
    """The amount up to `top` of least expected |aim - exposure|."""
    found = minimize_scalar(
        lambda amount: float(weight @ np.abs(aim - values(amount))),
        bounds=(0.0, top),
        method="bounded",
        options={"xatol": 1e-4 * top},
    )
    return float(found.x)


def _weighted_median(values: np.ndarray, weight: np.ndarray) -> float:
    ranked = np.argsort(values)
    share = np.cumsum(weight[ranked])
    return float(values[ranked][np.searchsorted(share, share[-1] / 2)])
