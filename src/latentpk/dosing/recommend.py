"""A dose and an interval from a patient's posterior: chances, losses, alternatives, a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize_scalar

from latentpk.dosing.exposure import (
    Patient,
    Window,
    at_steady_state,
    heights,
    measure,
    of_sums,
    quantiles,
    steady,
)
from latentpk.dosing.metric import DAY, At, Metric
from latentpk.dosing.regimen import Practice, Regimen, schedule
from latentpk.dosing.sample import NextSample, next_sample
from latentpk.dosing.target import Target
from latentpk.errors import InputError
from latentpk.inference.trust import Trust, reasons, worst
from latentpk.kinetics.doses import Doses
from latentpk.models.record import take

BAND = (0.05, 0.5, 0.95)
HOLD_POINTS, HOLD_STEP = 28, DAY / 2  # a falling level is followed for a fortnight
DOUBLINGS = 60
COARSE = 49  # points of a window where many regimens are read, beside its events
NEGLIGIBLE = 1e-12


@runtime_checkable
class Informed(Protocol):
    """A patient's posterior as `Predictor.posterior` gives it."""

    @property
    def gates(self) -> tuple[Trust, ...]:
        """Verdicts of gates A, B and C."""
        ...

    @property
    def seed(self) -> int:
        """Seed of its draws."""
        ...

    def patient(self) -> Patient:
        """The record and the draws."""
        ...


@dataclass(frozen=True)
class DoseOptions:
    """What to choose among, and when.

    Attributes:
        practice: What the ward can give.
        at: Start of the window that is judged [h], or "ss".
        start: Time of the first new dose [h]; None takes when the next one is due.
        depot: 1 for doses into the absorption site, 0 for central ones.
        sample: Whether to say when to draw the next level.
    """

    practice: Practice
    at: At = "ss"
    start: float | None = None
    depot: float = 0.0
    sample: bool = True


@dataclass(frozen=True)
class Spread:
    """A quantity under the posterior: its median, and its 5 and 95 % quantiles."""

    median: float
    lo: float
    hi: float


@dataclass(frozen=True)
class Alternative:
    """One regimen with what it would do.

    Attributes:
        regimen: The regimen.
        probability: That the exposure lies in the target's range.
        probability_toxic: That it lies above the toxic limit; None where there is none.
        expected_loss: Posterior mean of |best value - exposure|, in the target's unit.
        exposure: At the time asked.
        first_day: Over the first 24 h after the start.
    """

    regimen: Regimen
    probability: float
    probability_toxic: float | None
    expected_loss: float
    exposure: Spread
    first_day: Spread


@dataclass(frozen=True)
class Recommendation:
    """An answer, or the reasons why there is none.

    Attributes:
        verdict: ok, caution or refuse.
        gates: The three gates.
        reasons: Everything there is to say against the answer.
        target: What was aimed at.
        at: Start of the window judged [h], or "ss".
        start: Time of the first new dose [h].
        alternatives: Best first; empty where refused.
        recommended: Index into them, None where refused.
        optimal_amount: For each interval and infusion, the unrounded amount [mg] of least
            expected |best value - exposure|.
        hold_until: When the concentration will have fallen far enough to dose again [h]; None
            where nothing need be waited for.
        next_sample: When to draw the next level; None where not asked.
    """

    verdict: str
    gates: tuple[Trust, ...]
    reasons: tuple[str, ...]
    target: Target
    at: At
    start: float
    alternatives: tuple[Alternative, ...]
    recommended: int | None
    optimal_amount: tuple[dict[str, float], ...]
    hold_until: float | None
    next_sample: NextSample | None


def recommend(posterior: Informed, target: Target, options: DoseOptions) -> Recommendation:
    """Recommend a regimen for one patient.

    Args:
        posterior: From `Predictor.posterior`.
        target: What to aim at.
        options: What to choose among, and when.

    Returns:
        Ranked alternatives with their chances; none where a gate refuses.

    Raises:
        InputError: An empty grid, a decoder that does not add doses up, a cumulative area at
            steady state.
    """
    patient = posterior.patient()
    if not patient.model.decoder.linear:
        raise InputError(
            "In this model the effects of doses do not add up (a nonlinear system, or the grid "
            "decoder), and regimens are not judged yet. Write the planned doses into the file and "
            "ask `exposure` or `forecast`, or fit with --decoder compartment or kernel."
        )
    if target.measure.kind == "auc_cum" and options.at == "ss":
        raise InputError("A cumulative area has no steady state. Name its end with --at H.")
    regimens = options.practice.grid()
    start = due(patient) if options.start is None else options.start
    answer = Recommendation(
        verdict=worst(posterior.gates),
        gates=posterior.gates,
        reasons=tuple(reasons(posterior.gates)),
        target=target,
        at=options.at,
        start=start,
        alternatives=(),
        recommended=None,
        optimal_amount=(),
        hold_until=None,
        next_sample=None,
    )
    if answer.verdict == "refuse":
        return answer
    before = _until(patient, start)
    judge = _Judge(before, target, options, start)
    ranked = sorted(judge.alternatives(regimens), key=judge.rank)
    best = ranked[0]
    sample = None
    if options.sample:
        values = judge.exposures(best.regimen).of([best.regimen])[0]
        sample = next_sample(judge.given(best.regimen), values, start, best.regimen.interval)
    return replace(
        answer,
        reasons=(*answer.reasons, *_limits_hit(best, regimens)),
        alternatives=tuple(ranked),
        recommended=0,
        optimal_amount=tuple(judge.optimal(regimens)),
        hold_until=_hold(before, target, start),
        next_sample=sample,
    )


def due(patient: Patient) -> float:
    """When the next dose is due [h]: an interval after the last one, not before the last level."""
    doses, levels = patient.record.doses, patient.record.time[np.asarray(patient.record.mask)]
    given = _times_given(doses)
    latest = float(np.max(levels, initial=-np.inf))
    if given.size == 0:
        return latest if np.isfinite(latest) else 0.0
    return max(float(given[-1]) + (usual_interval(patient) or 0.0), latest)


def usual_interval(patient: Patient) -> float | None:
    """The interval of the last doses [h]: their II, else the gap between them; None if unknown."""
    doses = patient.record.doses
    given = np.unique(_times_given(doses))
    if given.size == 0:
        return None
    last = np.asarray(doses.time) == given[-1]
    stated = np.asarray(doses.interval)[last & (np.asarray(doses.steady) > 0)]
    if stated.size and stated.max() > 0:
        return float(stated.max())
    return float(given[-1] - given[-2]) if given.size > 1 else None


def last_dose(patient: Patient) -> tuple[float, float, float]:
    """Amount [mg], duration [h] and site (1 absorption, 0 central) of the last dose.

    Raises:
        InputError: No dose was given.
    """
    doses = patient.record.doses
    given = np.flatnonzero((np.asarray(doses.amount) > 0) | (np.asarray(doses.rate) > 0))
    if given.size == 0:
        raise InputError("A patient without any dose has no regimen. Give one with `dose`.")
    last = given[np.argmax(np.asarray(doses.time)[given])]
    amount, duration, depot = (
        float(np.asarray(field)[last]) for field in (doses.amount, doses.duration, doses.depot)
    )
    return amount, duration, depot


@dataclass(frozen=True, eq=False)
class _Straight:
    """An exposure linear in the amounts: history + amount x unit + (loading - amount) x first."""

    base: Float[np.ndarray, " draw"]
    unit: Float[np.ndarray, " draw"]
    first: Float[np.ndarray, " draw"]

    def of(self, regimens: Sequence[Regimen]) -> Float[np.ndarray, "regimen draw"]:
        """Exposures of every regimen and draw."""
        rows = _amounts(regimens)
        return rows @ np.stack([self.base, self.unit, self.first])


@dataclass(frozen=True, eq=False)
class _Curved:
    """An exposure read off curves that are linear in the amounts."""

    metric: Metric
    window: Window
    parts: tuple[np.ndarray, np.ndarray, np.ndarray]

    def of(self, regimens: Sequence[Regimen]) -> Float[np.ndarray, "regimen draw"]:
        """Exposures of every regimen and draw."""
        return of_sums(self.metric, self.window, self.parts, _amounts(regimens))


_Line = _Straight | _Curved


def _amounts(regimens: Sequence[Regimen]) -> Float[np.ndarray, "regimen part"]:
    """What history, unit and first dose are multiplied by."""
    extra = [0.0 if r.loading is None else r.loading - r.amount for r in regimens]
    return np.array([[1.0, r.amount, more] for r, more in zip(regimens, extra, strict=True)])


@dataclass(frozen=True, eq=False)
class _Judge:
    """One patient's regimens against one target."""

    patient: Patient
    target: Target
    options: DoseOptions
    start: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "_lines", {})

    def alternatives(self, regimens: Sequence[Regimen]) -> list[Alternative]:
        """Every regimen, judged; with loading doses where the ward gives them."""
        if self.options.practice.loading:
            regimens = [self._loaded(regimen) for regimen in regimens]
        kinds: dict[tuple[float, float], list[Regimen]] = {}
        for regimen in regimens:
            kinds.setdefault((regimen.interval, regimen.infusion), []).append(regimen)
        return [one for few in kinds.values() for one in self._judged(few)]

    def rank(self, one: Alternative) -> tuple[float, ...]:
        """Best first: the chance of the range, less that of harm where a limit is named.

        Equals are decided by the expected loss, then for the interval that the patient has, then
        for the smaller amount a day and the longer interval.
        """
        named = self.target.toxic is not None
        chance = one.probability - (one.probability_toxic or 0.0) * named
        usual = usual_interval(self.patient)
        regimen = one.regimen
        other = float(usual is None or abs(regimen.interval - usual) > 1)
        loss = float(f"{one.expected_loss:.6g}")
        return (-round(chance, 6), loss, other, regimen.daily, -regimen.interval)

    def _judged(self, regimens: Sequence[Regimen]) -> list[Alternative]:
        """Regimens of one interval and infusion."""
        weight, target = self.patient.weight, self.target
        values = self.exposures(regimens[0]).of(regimens)
        first = self.first_day(regimens[0]).of(regimens)
        inside = ((values >= target.low) & (values <= (target.high or np.inf))) @ weight
        limit = target.limit
        toxic = None if limit is None else (values > limit) @ weight
        loss = np.abs(target.aim - values) @ weight
        return [
            Alternative(
                regimen,
                probability=float(inside[i]),
                probability_toxic=None if toxic is None else float(toxic[i]),
                expected_loss=float(loss[i]),
                exposure=spread(values[i], weight),
                first_day=spread(first[i], weight),
            )
            for i, regimen in enumerate(regimens)
        ]

    def exposures(self, regimen: Regimen) -> _Line:
        """The target's metric at the time asked."""
        return self._line(regimen, self.target.measure, self.options.at)

    def first_day(self, regimen: Regimen) -> _Line:
        """The target's metric over the first 24 h."""
        metric = self.target.measure
        if metric.kind == "auc_cum":
            return self._line(regimen, metric, self.start + DAY)
        if metric.kind == "trough":
            return self._line(regimen, metric, self.start)
        return self._line(regimen, replace(metric, hours=DAY), self.start)

    def _line(self, regimen: Regimen, metric: Metric, at: At) -> _Line:
        key = (regimen.interval, regimen.infusion, metric, at)
        lines: dict[Any, _Line] = vars(self)["_lines"]
        if key not in lines:
            lines[key] = (
                self._steady(regimen, metric) if at == "ss" else self._window(regimen, metric, at)
            )
        return lines[key]

    def _steady(self, regimen: Regimen, metric: Metric) -> _Line:
        one = steady(regimen.interval, regimen.infusion, self.options.depot)
        patient = self.patient.settled().given(one)
        none = np.zeros(self.patient.weight.size)
        if metric.kind != "ft_mic":  # the lowest or highest of a curve grows with it
            return _Straight(none, at_steady_state(metric, patient, regimen.interval), none)
        window = Window.of(0.0, regimen.interval, one, COARSE)
        unit = heights(patient, window)
        nothing = np.zeros_like(unit)
        return _Curved(metric, window, (nothing, unit, nothing))

    def _window(self, regimen: Regimen, metric: Metric, at: float) -> _Line:
        end = at if metric.kind == "auc_cum" else at + metric.hours
        plan = schedule(replace(regimen, amount=1.0, loading=None), self.start, end, self._depot)
        first = Doses(*(field[:1] for field in plan))
        three = (self.patient, self.patient.given(plan), self.patient.given(first))
        if metric.kind in ("auc", "average", "auc_cum"):
            begin = float(np.min(_times_given(self.patient.record.doses), initial=self.start))
            return _Straight(*(measure(metric, one, at, first=begin) for one in three))
        if metric.kind == "trough" and at == self.start:
            # the first interval begins low whatever is given: its troughs are its intervals' ends
            window = _interval_ends(self.start, regimen.interval)
        else:
            window = Window.of(at, end, _both(self.patient.record.doses, plan), COARSE)
        base, unit, alone = (heights(one, window) for one in three)
        return _Curved(metric, window, (base, unit, alone))

    @property
    def _depot(self) -> float:
        return self.options.depot

    def _loaded(self, regimen: Regimen) -> Regimen:
        """The regimen with the best first dose: the first day's exposure nearest the aim."""
        practice = self.options.practice
        choices = {regimen.amount} | {
            k * amount
            for amount in practice.rounded()
            for k in (1, 2)
            if k * amount >= regimen.amount
            and (practice.most_single is None or k * amount <= practice.most_single)
            and (practice.most_daily is None or k * amount <= practice.most_daily)
        }
        tried = [replace(regimen, loading=amount) for amount in sorted(choices)]
        loss = np.abs(self.target.aim - self.first_day(regimen).of(tried)) @ self.patient.weight
        best = tried[int(np.argmin(loss))]
        return best if best.loading != regimen.amount else regimen

    def optimal(self, regimens: Sequence[Regimen]) -> list[dict[str, float]]:
        """For each interval and infusion, the amount of least expected loss."""
        kinds = dict.fromkeys((r.interval, r.infusion) for r in regimens)
        return [
            {
                "interval": interval,
                "infusion": infusion,
                "amount": self._best_amount(Regimen(1.0, interval, infusion)),
            }
            for interval, infusion in kinds
        ]

    def _best_amount(self, kind: Regimen) -> float:
        line, weight, aim = self.exposures(kind), self.patient.weight, self.target.aim
        if isinstance(line, _Straight):
            # the loss is a sum of |a_i - amount| u_i: least at a weighted median, exactly
            unit = np.maximum(line.unit, NEGLIGIBLE)
            return max(_weighted_median((aim - line.base) / unit, weight * unit), 0.0)

        def values(amount: float) -> np.ndarray:
            return line.of([replace(kind, amount=amount)])[0]

        top = max(self.options.practice.rounded())
        for _ in range(DOUBLINGS):  # an amount beyond which every more is too much
            if weight @ (values(top) >= aim) > 0.95:
                break
            top *= 2
        found = minimize_scalar(
            lambda amount: float(weight @ np.abs(aim - values(amount))),
            bounds=(0.0, top),
            method="bounded",
            options={"xatol": 1e-6 * top},
        )
        return float(found.x)

    def given(self, regimen: Regimen) -> Patient:
        """The patient on a regimen from its start on."""
        end = self.start + 2 * regimen.interval
        return put_on(self.patient, regimen, self.start, end, self.options.depot)


def put_on(patient: Patient, regimen: Regimen, start: float, end: float, depot: float) -> Patient:
    """A patient on a regimen: the doses given before its start, and its own up to an end.

    Args:
        patient: With the record's doses; those at or after the start are replaced.
        regimen: What is given.
        start: Time of its first dose [h].
        end: No dose is given at or after this time [h].
        depot: 1 into the absorption site, 0 into the central compartment.

    Returns:
        The same patient with other doses.
    """
    plan = schedule(regimen, start, end, depot)
    return patient.given(_both(_until(patient, start).record.doses, plan))


def spread(values: Float[np.ndarray, " draw"], weight: Float[np.ndarray, " draw"]) -> Spread:
    """Median, 5 and 95 % quantiles."""
    lo, median, hi = quantiles(values, weight, BAND)
    return Spread(median, lo, hi)


def _times_given(doses: Doses) -> np.ndarray:
    """Times of the doses that are there, increasing; padding is not."""
    given = (np.asarray(doses.amount) > 0) | (np.asarray(doses.rate) > 0)
    return np.sort(np.asarray(doses.time)[given])


def _until(patient: Patient, start: float) -> Patient:
    """The patient with only the doses before a time; what was planned after it is replaced."""
    doses = patient.record.doses
    given = (np.asarray(doses.amount) > 0) | (np.asarray(doses.rate) > 0)
    keep = np.flatnonzero(given & (np.asarray(doses.time) < start))
    return patient.given(take(doses, keep))


def _both(first: Doses, second: Doses) -> Doses:
    pairs = zip(first, second, strict=True)
    fields: list[Any] = [np.concatenate([np.asarray(a), np.asarray(b)]) for a, b in pairs]
    return Doses(*fields)


def _weighted_median(values: np.ndarray, weight: np.ndarray) -> float:
    ranked = np.argsort(values)
    share = np.cumsum(weight[ranked])
    return float(values[ranked][np.searchsorted(share, share[-1] / 2)])


def _hold(patient: Patient, target: Target, start: float) -> float | None:
    """When to dose again, where the concentration now is above what the target allows.

    An area's limit is read as the mean concentration that would give it.
    """
    metric, limit = target.measure, target.limit
    if limit is None or metric.kind in ("ft_mic", "auc_cum"):
        return None
    highest = limit / metric.hours if metric.kind == "auc" else limit
    begin = end = start
    for step in (HOLD_STEP, HOLD_STEP / HOLD_POINTS):  # first by half days, then by half hours
        time = begin + step * np.arange(HOLD_POINTS + 1)
        window = Window(begin, float(time[-1]), time, np.full_like(time, np.inf))
        above = patient.weight @ (heights(patient, window) > highest) > 0.5
        if not above[0]:
            return None
        fallen = np.flatnonzero(~above)
        if fallen.size == 0:
            return float(time[-1])
        begin, end = float(time[fallen[0] - 1]), float(time[fallen[0]])
    return end


def _interval_ends(start: float, interval: float) -> Window:
    """Just before each dose after the first within a day, at least one."""
    count = max(int(DAY / interval + 1e-9), 1)
    time = start + interval * np.arange(1, count + 1)
    return Window(start, float(time[-1]), time, np.full(count, -np.inf))


def _limits_hit(best: Alternative, regimens: Sequence[Regimen]) -> list[str]:
    """What a wider grid might have improved."""
    amounts = sorted({r.amount for r in regimens if r.interval == best.regimen.interval})
    if len(amounts) < 2:
        return []
    if best.regimen.amount == amounts[-1]:
        return ["The best amount is the largest that is offered at this interval."]
    if best.regimen.amount == amounts[0]:
        return ["The best amount is the smallest that is offered at this interval."]
    return []
