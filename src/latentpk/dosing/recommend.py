"""A dose and an interval from a patient's posterior: chances, losses, alternatives, a verdict."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from latentpk.dosing.exposure import Window, heights
from latentpk.dosing.history import due, until
from latentpk.dosing.judge import EARLY, Alternative, DoseOptions, Judge, counted
from latentpk.dosing.metric import DAY, LATEST, At
from latentpk.dosing.patient import Seen, few
from latentpk.dosing.regimen import Regimen
from latentpk.dosing.sample import NextSample, next_sample
from latentpk.dosing.target import Target
from latentpk.errors import InputError
from latentpk.inference.trust import Trust, reasons, worst

HOLD_LONGEST, HOLD_STEP, HOLD_FINE = 14 * DAY, DAY / 2, 0.5  # h; first coarse, then fine
HARDLY = 0.1  # chance of the range below which even the best regimen is a caution
FEW = 256  # evenly weighted draws that stand for a posterior where each course is simulated


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


def recommend(
    posterior: Informed,
    target: Target,
    options: DoseOptions,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Recommendation:
    """Recommend a regimen for one patient.

    Args:
        posterior: From `Predictor.posterior`.
        target: What to aim at.
        options: What to choose among, and when.
        progress: Called with (done, about how many) after each course that must be simulated.

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
    hold = _hold(few(until(patient, start), EARLY), target, start)
    waited = ""
    if hold is not None:
        waited, ends = _waited(hold, start), hold < start + HOLD_LONGEST
        if ends and options.start is None and (options.at == "ss" or hold <= options.at):
            start, waited = hold, ""  # the first new dose is given when the wait is over
    before = until(patient, start)
    judge = Judge(before, target, options, start, counted(regimens, progress))
    ranked = sorted(judge.alternatives(regimens), key=judge.rank)
    best = ranked[0]
    doubts = [
        judge.exposures(best.regimen).doubt(best.regimen),
        *judge.beyond(best.regimen),
        waited,
        _hardly(best),
        _too_much(best),
        _barely(target, options.at, start),
        _contradiction(best),
    ]
    said = " ".join(answer.reasons)  # of the regimen too where the file holds one like it
    sample, doubts = None, [doubt for doubt in doubts if doubt and doubt not in said]
    if options.sample:
        values = judge.exposures(best.regimen).of([best.regimen])[0]
        sample = next_sample(judge.given(best.regimen), values, start, best.regimen.interval)
    return replace(
        answer,
        verdict="caution" if doubts else answer.verdict,
        reasons=(*answer.reasons, *doubts, *_limits_hit(best, regimens)),
        start=start,
        alternatives=tuple(ranked),
        recommended=0,
        optimal_amount=tuple(judge.optimal(regimens)),
        hold_until=hold,
        next_sample=sample,
    )


def _check_times(patient: Seen, target: Target, at: At, start: float) -> None:
    """Refuse a start that the record has overtaken, and a window that no new dose reaches.

    Raises:
        InputError: Either.
    """
    if not abs(start) <= LATEST:
        raise InputError(
            f"--start {start:g}: a time is at most {LATEST:g} h from the first record. Correct it."
        )
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
    begin, span = start, HOLD_LONGEST
    for step in (HOLD_STEP, HOLD_FINE):
        time = begin + step * np.arange(round(span / step) + 1)
        fallen = np.flatnonzero(~above(time))
        if fallen.size == 0:
            return float(time[-1])
        begin, span = float(time[fallen[0] - 1]), step
    return float(begin + HOLD_FINE * fallen[0])


def _hardly(best: Alternative) -> str:
    """What to say where the target is out of reach, "" where it is not."""
    if best.probability >= HARDLY:
        return ""
    return (
        f"Even the best regimen offered reaches the target with a chance of only "
        f"{100 * best.probability:.2g} %: widen the grid, or reconsider the target."
    )


def _too_much(best: Alternative) -> str:
    """What to say where even the best regimen rather gives too much."""
    toxic = best.probability_toxic
    if toxic is None or toxic <= best.probability:
        return ""
    return (
        f"The best regimen offered is likelier above the limit ({100 * toxic:.0f} %) than in the "
        f"range ({100 * best.probability:.0f} %): offer smaller amounts or longer intervals."
    )


def _barely(target: Target, at: At, start: float) -> str:
    """What to say where the new doses fill less than half of the window that is judged."""
    measure = target.measure
    if at == "ss" or measure.kind == "auc_cum" or start <= at + measure.hours / 2:
        return ""
    return (
        f"Of the window from {at:g} to {at + measure.hours:g} h only the last "
        f"{at + measure.hours - start:.3g} h come after the first new dose: judge later (--at)."
    )


def _contradiction(best: Alternative) -> str:
    """What to say where models that are averaged do not overlap."""
    spreads = [said.exposure for said in best.opinions]
    if not spreads or max(s.lo for s in spreads) <= min(s.hi for s in spreads):
        return ""
    return (
        "The models contradict each other: their 90 % intervals of this exposure do not overlap. "
        "Look at each one's own answer."
    )


def _waited(hold: float, start: float) -> str:
    """What to say where doses are judged from before the concentration has fallen."""
    if hold >= start + HOLD_LONGEST:
        return (
            "The concentration stays above what the target allows for a fortnight and longer: "
            "check the doses and levels, and measure again."
        )
    return (
        f"The concentration is likelier than not above what the target allows until {hold:g} h. "
        f"The figures are of doses from {start:g} h on and do not count that wait."
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
