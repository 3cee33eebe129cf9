"""How an exposure depends on the regimen: by sums where doses add up, else by simulation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator
from scipy.optimize import minimize_scalar

from latentpk.dosing.exposure import (
    COARSE,
    Patient,
    Window,
    at_steady_state,
    heights,
    measure,
    of_curve,
    of_sums,
    steady,
)
from latentpk.dosing.history import both, put_on, times_given
from latentpk.dosing.metric import DAY, At, Metric
from latentpk.dosing.regimen import Regimen, schedule
from latentpk.dosing.settling import settle
from latentpk.kinetics.doses import Doses

DOUBLINGS, FEWER = 60, 10  # of the largest amount offered; the second where each is simulated
NEGLIGIBLE = 1e-12
ENOUGH = 0.95  # probability of exceeding the aim beyond which no larger amount is tried
KNOTS = 9  # amounts that are simulated where the best one is looked for
REFINED = 2  # further ones, each at the best amount so far


@runtime_checkable
class Line(Protocol):
    """An exposure of regimens of one interval and infusion, under every draw of a patient."""

    def of(self, regimens: Sequence[Regimen]) -> Float[np.ndarray, "regimen draw"]:
        """Exposures of every regimen and draw."""
        ...

    def best(self, kind: Regimen, aim: float, top: float) -> float:
        """The amount of least expected |aim - exposure|; `top` is the largest that is offered."""
        ...

    def doubt(self, regimen: Regimen) -> str:
        """What there is to say against the exposures of a regimen; empty where nothing is."""
        ...


@dataclass(frozen=True, eq=False)
class Straight:
    """An exposure linear in the amounts: history + amount x unit + (loading - amount) x first."""

    weight: Float[np.ndarray, " draw"]
    base: Float[np.ndarray, " draw"]
    unit: Float[np.ndarray, " draw"]
    first: Float[np.ndarray, " draw"]

    def of(self, regimens: Sequence[Regimen]) -> Float[np.ndarray, "regimen draw"]:
        """Exposures of every regimen and draw."""
        return _amounts(regimens) @ np.stack([self.base, self.unit, self.first])

    def best(self, kind: Regimen, aim: float, top: float) -> float:
        """A sum of |a_i - amount| u_i is least at a weighted median, exactly."""
        unit = np.maximum(self.unit, NEGLIGIBLE)
        return max(_weighted_median((aim - self.base) / unit, self.weight * unit), 0.0)

    def doubt(self, regimen: Regimen) -> str:
        """Nothing."""
        return ""


@dataclass(frozen=True, eq=False)
class Curved:
    """An exposure read off curves that are linear in the amounts."""

    weight: Float[np.ndarray, " draw"]
    metric: Metric
    window: Window
    parts: tuple[np.ndarray, np.ndarray, np.ndarray]

    def of(self, regimens: Sequence[Regimen]) -> Float[np.ndarray, "regimen draw"]:
        """Exposures of every regimen and draw."""
        return of_sums(self.metric, self.window, self.parts, _amounts(regimens))

    def best(self, kind: Regimen, aim: float, top: float) -> float:
        """By a line search on the stored curves."""

        def values(amount: float) -> np.ndarray:
            return self.of([replace(kind, amount=amount)])[0]

        most = _enough(values, aim, self.weight, top, DOUBLINGS)[-1]
        return _least(values, aim, self.weight, most)

    def doubt(self, regimen: Regimen) -> str:
        """Nothing."""
        return ""


@dataclass(frozen=True, eq=False)
class Simulated:
    """An exposure of courses that are followed dose by dose; each regimen is simulated once."""

    patient: Patient
    metric: Metric
    at: At
    start: float
    depot: float
    known: dict[Regimen, tuple[np.ndarray, str]] = field(default_factory=dict)

    def of(self, regimens: Sequence[Regimen]) -> Float[np.ndarray, "regimen draw"]:
        """Exposures of every regimen and draw."""
        return np.stack([self._one(regimen)[0] for regimen in regimens])

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
        return measure(metric, on, at, first=first, points=COARSE), ""


def line(
    patient: Patient, regimen: Regimen, metric: Metric, at: At, *, start: float, depot: float
) -> Line:
    """The exposure of regimens with this one's interval and infusion.

    Args:
        patient: With the doses before the start alone.
        regimen: Its amount does not matter.
        metric: What is judged.
        at: Start of the window [h], or "ss".
        start: Time of the first new dose [h].
        depot: 1 for doses into the absorption site, 0 for central ones.

    Returns:
        By sums where doses add up, by simulation else.
    """
    if not patient.model.decoder.linear:
        return Simulated(patient, metric, at, start, depot)
    if at == "ss":
        return _steady(patient, regimen, metric, depot)
    return _window(patient, regimen, metric, at, start, depot)


def _steady(patient: Patient, regimen: Regimen, metric: Metric, depot: float) -> Line:
    one = steady(regimen.interval, regimen.infusion, depot)
    weight, patient = patient.weight, patient.settled().given(one)
    none = np.zeros(weight.size)
    if metric.kind != "ft_mic":  # the lowest or highest of a curve grows with it
        return Straight(weight, none, at_steady_state(metric, patient, regimen.interval), none)
    window = Window.of(0.0, regimen.interval, one, COARSE)
    unit = heights(patient, window)
    nothing = np.zeros_like(unit)
    return Curved(weight, metric, window, (nothing, unit, nothing))


def _window(
    patient: Patient, regimen: Regimen, metric: Metric, at: float, start: float, depot: float
) -> Line:
    end = at if metric.kind == "auc_cum" else at + metric.hours
    plan = schedule(replace(regimen, amount=1.0, loading=None), start, end, depot)
    first = Doses(*(field[:1] for field in plan))
    three = (patient, patient.given(plan), patient.given(first))
    if metric.kind in ("auc", "average", "auc_cum"):
        begin = float(np.min(times_given(patient.record.doses), initial=start))
        parts = (measure(metric, one, at, first=begin) for one in three)
        return Straight(patient.weight, *parts)
    if metric.kind == "trough" and at == start:
        window = _interval_ends(start, regimen.interval)
    else:
        window = Window.of(at, end, both(patient.record.doses, plan), COARSE)
    base, unit, alone = (heights(one, window) for one in three)
    return Curved(patient.weight, metric, window, (base, unit, alone))


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
        options={"xatol": 1e-6 * top},
    )
    return float(found.x)


def _weighted_median(values: np.ndarray, weight: np.ndarray) -> float:
    ranked = np.argsort(values)
    share = np.cumsum(weight[ranked])
    return float(values[ranked][np.searchsorted(share, share[-1] / 2)])
