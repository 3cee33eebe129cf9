"""A dose and an interval from a patient's posterior: chances, losses, alternatives, a verdict."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np

from latentpk.compilation import threads
from latentpk.dosing.exposure import Seen, Window, few, heights
from latentpk.dosing.history import due, put_on, until, usual_interval
from latentpk.dosing.lines import Line, Lines, Spread, spread
from latentpk.dosing.metric import DAY, At, Metric
from latentpk.dosing.regimen import Practice, Regimen
from latentpk.dosing.sample import NextSample, next_sample
from latentpk.dosing.target import Target
from latentpk.errors import InputError
from latentpk.inference.trust import Trust, reasons, worst

HOLD_POINTS, HOLD_STEP = 28, DAY / 2  # a falling level is followed for a fortnight
HARDLY = 0.1  # chance of the range below which even the best regimen is a caution
FEW = 256  # evenly weighted draws that stand for a posterior where each course is simulated
Item = TypeVar("Item")
Found = TypeVar("Found")


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

    def patient(self) -> Seen:
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
class Opinion:
    """What one model of several says of a regimen.

    Attributes:
        probability: That the exposure lies in the target's range.
        exposure: At the time asked.
    """

    probability: float
    exposure: Spread


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
        opinions: What each model says where there are several; empty for one.
    """

    regimen: Regimen
    probability: float
    probability_toxic: float | None
    expected_loss: float
    exposure: Spread
    first_day: Spread
    opinions: tuple[Opinion, ...] = ()


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
        draws: Draws that the regimens were judged by.
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
    draws: int


def recommend(posterior: Informed, target: Target, options: DoseOptions) -> Recommendation:
    """Recommend a regimen for one patient.

    Args:
        posterior: From `Predictor.posterior`.
        target: What to aim at.
        options: What to choose among, and when.

    Returns:
        Ranked alternatives with their chances; none where a gate refuses.

    Raises:
        InputError: An empty grid, a decoder that cannot tell what another regimen does, a
            cumulative area at steady state, a first new dose before the last level, a window that
            ends before it.
    """
    patient = posterior.patient()
    decoders = [part.model.decoder for part in patient.parts]
    if not all(decoder.linear or decoder.simulated for decoder in decoders):
        raise InputError(
            "The grid decoder cannot tell what another regimen does. Write the planned doses into "
            "the file and ask `exposure` or `forecast`, or fit with --decoder compartment or "
            "kernel."
        )
    if any(decoder.simulated for decoder in decoders):
        patient = few(patient, FEW)
    if target.measure.kind == "auc_cum" and options.at == "ss":
        raise InputError("A cumulative area has no steady state. Name its end with --at H.")
    regimens = options.practice.grid()
    start = due(patient) if options.start is None else options.start
    _check_times(patient, target, options.at, start)
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
        draws=patient.weight.size,
    )
    if answer.verdict == "refuse":
        return answer
    before = until(patient, start)
    judge = _Judge(before, target, options, start)
    ranked = sorted(judge.alternatives(regimens), key=judge.rank)
    best = ranked[0]
    doubts = [judge.exposures(best.regimen).doubt(best.regimen), _hardly(best)]
    sample, doubts = None, [doubt for doubt in doubts if doubt]
    if options.sample:
        values = judge.exposures(best.regimen).of([best.regimen])[0]
        sample = next_sample(judge.given(best.regimen), values, start, best.regimen.interval)
    return replace(
        answer,
        verdict="caution" if doubts else answer.verdict,
        reasons=(*answer.reasons, *doubts, *_limits_hit(best, regimens)),
        alternatives=tuple(ranked),
        recommended=0,
        optimal_amount=tuple(judge.optimal(regimens)),
        hold_until=_hold(before, target, start),
        next_sample=sample,
    )


def _check_times(patient: Seen, target: Target, at: At, start: float) -> None:
    """Refuse a start that the record has overtaken, and a window that no new dose reaches.

    Raises:
        InputError: Either.
    """
    levels = patient.record.time[np.asarray(patient.record.mask)]
    last = float(np.max(levels, initial=-np.inf))
    if start < last:
        raise InputError(
            f"--start {start:g}: the first new dose would come before a level at {last:g} h that "
            "is in the file. Give a later time, or leave the level out."
        )
    if at == "ss":
        return
    measure = target.measure
    end = at if measure.kind == "auc_cum" else at + measure.hours
    if end <= start:
        raise InputError(
            f"--at {at:g}: what is judged ends at {end:g} h, and the first new dose comes at "
            f"{start:g} h, so that no regimen would change it. Judge later; or, where doses of the "
            "file are only planned, leave them out or give --start."
        )


@dataclass(frozen=True, eq=False)
class _Judge:
    """One patient's regimens against one target."""

    patient: Seen
    target: Target
    options: DoseOptions
    start: float

    def __post_init__(self) -> None:
        lines = Lines(self.patient, self.start, self.options.depot, self.options.practice)
        object.__setattr__(self, "_lines", lines)

    def alternatives(self, regimens: Sequence[Regimen]) -> list[Alternative]:
        """Every regimen, judged; with loading doses where the ward gives them."""
        if self.options.practice.loading:
            regimens = [self._loaded(regimen) for regimen in regimens]
        kinds: dict[tuple[float, float], list[Regimen]] = {}
        for regimen in regimens:
            kinds.setdefault((regimen.interval, regimen.infusion), []).append(regimen)
        return [one for few in _shared(self._judged, kinds.values()) for one in few]

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
        line, early = self.exposures(regimens[0]), self.first_day(regimens[0])
        values, first = line.of(regimens), early.of(regimens)
        exposure, first_day = (
            one.spreads(regimens, found) for one, found in ((line, values), (early, first))
        )
        within = (values >= target.low) & (values <= (target.high or np.inf))
        inside = within @ weight
        limit = target.limit
        toxic = None if limit is None else (values > limit) @ weight
        loss = np.abs(target.aim - values) @ weight
        return [
            Alternative(
                regimen,
                probability=float(inside[i]),
                probability_toxic=None if toxic is None else float(toxic[i]),
                expected_loss=float(loss[i]),
                exposure=exposure[i],
                first_day=first_day[i],
                opinions=self._opinions(values[i], within[i]),
            )
            for i, regimen in enumerate(regimens)
        ]

    def _opinions(self, values: np.ndarray, within: np.ndarray) -> tuple[Opinion, ...]:
        """What each of several models says of one regimen."""
        parts = self.patient.parts
        if len(parts) == 1:
            return ()
        cuts = np.cumsum([part.weight.size for part in parts])[:-1]
        each = zip(parts, np.split(values, cuts), np.split(within, cuts), strict=True)
        return tuple(
            Opinion(float(inside @ part.weight), spread(own, part.weight))
            for part, own, inside in each
        )

    def exposures(self, regimen: Regimen) -> Line:
        """The target's metric at the time asked."""
        return self._line(regimen, self.target.measure, self.options.at)

    def first_day(self, regimen: Regimen) -> Line:
        """The target's metric over the first 24 h."""
        metric = self.target.measure
        if metric.kind == "auc_cum":
            return self._line(regimen, metric, self.start + DAY)
        if metric.kind == "trough":
            return self._line(regimen, metric, self.start)
        return self._line(regimen, replace(metric, hours=DAY), self.start)

    def _line(self, regimen: Regimen, metric: Metric, at: At) -> Line:
        lines: Lines = vars(self)["_lines"]
        return lines.of(regimen, metric, at)

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
        kinds = dict.fromkeys(Regimen(1.0, r.interval, r.infusion) for r in regimens)
        top, aim = max(self.options.practice.rounded()), self.target.aim
        amounts = _shared(lambda kind: self.exposures(kind).best(kind, aim, top), kinds)
        return [
            {"interval": kind.interval, "infusion": kind.infusion, "amount": amount}
            for kind, amount in zip(kinds, amounts, strict=True)
        ]

    def given(self, regimen: Regimen) -> Seen:
        """The patient on a regimen from its start on."""
        end = self.start + 2 * regimen.interval
        return put_on(self.patient, regimen, self.start, end, self.options.depot)


def _shared(work: Callable[[Item], Found], items: Iterable[Item]) -> list[Found]:
    """What work gives for each item: the first alone compiles, the others share the threads."""
    first, *others = items
    done = work(first)
    with ThreadPoolExecutor(threads()) as pool:
        return [done, *pool.map(work, others)]


def _hold(patient: Seen, target: Target, start: float) -> float | None:
    """When to dose again, where the concentration now is above what the target allows.

    An area's limit is read as the mean concentration that would give it.
    """
    metric, limit = target.measure, target.limit
    if limit is None or metric.kind in ("ft_mic", "auc_cum"):
        return None
    highest = limit / metric.hours if metric.kind == "auc" else limit

    def above(time: np.ndarray) -> np.ndarray:
        window = Window(float(time[0]), float(time[-1]), time, np.full_like(time, np.inf))
        return patient.weight @ (heights(patient, window) > highest) > 0.5

    if not above(np.array([start]))[0]:
        return None
    begin = end = start
    for step in (HOLD_STEP, HOLD_STEP / HOLD_POINTS):  # first by half days, then by half hours
        time = begin + step * np.arange(HOLD_POINTS + 1)
        fallen = np.flatnonzero(~above(time))
        if fallen.size == 0:
            return float(time[-1])
        begin, end = float(time[fallen[0] - 1]), float(time[fallen[0]])
    return end


def _hardly(best: Alternative) -> str:
    """What to say where the target is out of reach, "" where it is not."""
    if best.probability >= HARDLY:
        return ""
    return (
        f"Even the best regimen offered reaches the target with a chance of only "
        f"{100 * best.probability:.2g} %: widen the grid, or reconsider the target."
    )


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
