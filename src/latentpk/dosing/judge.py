"""Regimens judged: what each would do for one patient, and how they rank."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from latentpk.compilation import threads
from latentpk.dosing.history import put_on, usual_interval
from latentpk.dosing.lines import Line, Lines
from latentpk.dosing.metric import DAY, At, Metric
from latentpk.dosing.patient import Seen, few
from latentpk.dosing.regimen import Practice, Regimen
from latentpk.dosing.simulated import KNOTS
from latentpk.dosing.spread import Spread, spread
from latentpk.dosing.target import Target

EARLY = 2048  # evenly weighted draws for the first day's curves, which are told, not ranked by
Item = TypeVar("Item")
Found = TypeVar("Found")


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


@dataclass(frozen=True, eq=False)
class Judge:
    """One patient's regimens against one target.

    Attributes:
        patient: With the doses before the start alone.
        target: What is aimed at.
        options: What there is to choose among, and when it is judged.
        start: Time of the first new dose [h].
        on_course: Called after each course that had to be simulated.
    """

    patient: Seen
    target: Target
    options: DoseOptions
    start: float
    on_course: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        patients = {"_lines": self.patient, "_early": few(self.patient, EARLY)}
        for name, one in patients.items():
            lines = Lines(
                one, self.start, self.options.depot, self.options.practice, self.on_course
            )
            object.__setattr__(self, name, lines)

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

        Equals, to a tenth of a percent and a thousandth of the aim, which draws cannot tell apart,
        are decided by the expected loss, then for the interval that the patient has, then for the
        smaller amount a day and the longer interval.
        """
        named = self.target.toxic is not None
        chance = one.probability - (one.probability_toxic or 0.0) * named
        usual = usual_interval(self.patient)
        regimen = one.regimen
        other = float(usual is None or abs(regimen.interval - usual) > 1)
        loss = round(one.expected_loss / self.target.aim, 3)
        return (-round(chance, 3), loss, other, regimen.daily, -regimen.interval)

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
                probability=float(np.clip(inside[i], 0, 1)),
                probability_toxic=None if toxic is None else float(np.clip(toxic[i], 0, 1)),
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
            Opinion(float(np.clip(inside @ part.weight, 0, 1)), spread(own, part.weight))
            for part, own, inside in each
        )

    def exposures(self, regimen: Regimen) -> Line:
        """The target's metric at the time asked."""
        return self._line(regimen, self.target.measure, self.options.at)

    def beyond(self, regimen: Regimen) -> list[str]:
        """What of a regimen the models were not trained on, as sentences, each said once."""
        lines: Lines = vars(self)["_lines"]
        at, measure = self.options.at, self.target.measure
        ends = at if at == "ss" or measure.kind == "auc_cum" else at + measure.hours
        doses = lines.doses(regimen, at, regimen.interval if ends == "ss" else ends)
        models = [part.model.beyond for part in self.patient.parts]
        said = [words for one in models if one is not None for words in one.words(doses)]
        return list(dict.fromkeys(said))

    def first_day(self, regimen: Regimen) -> Line:
        """The target's metric over the first 24 h."""
        metric = self.target.measure
        if metric.kind == "auc_cum":
            return self._line(regimen, metric, self.start + DAY)
        if metric.kind in ("auc", "average"):
            return self._line(regimen, replace(metric, hours=DAY), self.start)
        hours = metric.hours if metric.kind == "trough" else DAY
        early: Lines = vars(self)["_early"]
        return early.of(regimen, replace(metric, hours=hours), self.start)

    def _line(self, regimen: Regimen, metric: Metric, at: At) -> Line:
        lines: Lines = vars(self)["_lines"]
        return lines.of(regimen, metric, at)

    def _loaded(self, regimen: Regimen) -> Regimen:
        """The regimen with the best first dose: the first day's exposure nearest the aim."""
        practice = self.options.practice
        later = regimen.amount * (np.ceil(DAY / regimen.interval - 1e-9) - 1)  # of the first day
        choices = {regimen.amount} | {
            k * amount
            for amount in practice.rounded()
            for k in (1, 2)
            if k * amount >= regimen.amount
            and (practice.most_single is None or k * amount <= practice.most_single)
            and (practice.most_daily is None or k * amount + later <= practice.most_daily)
        }
        tried = [replace(regimen, loading=amount) for amount in sorted(choices)]
        early = self.first_day(regimen)
        loss = np.abs(self.target.aim - early.of(tried)) @ early.weight
        best = tried[int(np.argmin(loss))]
        return best if best.loading != regimen.amount else regimen

    def optimal(self, regimens: Sequence[Regimen]) -> list[dict[str, float]]:
        """For each interval and infusion, the amount of least expected loss, within the limits.

        A range without an upper end has no best amount but "more": there the largest that is
        offered bounds it.
        """
        kinds = dict.fromkeys(Regimen(1.0, r.interval, r.infusion) for r in regimens)
        practice, aim = self.options.practice, self.target.aim
        top = max(practice.rounded())
        amounts = _shared(lambda kind: self.exposures(kind).best(kind, aim, top), kinds)

        def limited(kind: Regimen, amount: float) -> float:
            limits = [top] if self.target.high is None else []
            limits += [] if practice.most_single is None else [practice.most_single]
            daily = practice.most_daily
            limits += [] if daily is None else [daily * kind.interval / DAY]
            return min([amount, *limits])

        return [
            {"interval": one.interval, "infusion": one.infusion, "amount": limited(one, amount)}
            for one, amount in zip(kinds, amounts, strict=True)
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


def counted(
    regimens: Sequence[Regimen], progress: Callable[[int, int], None] | None
) -> Callable[[], None]:
    """Count courses: each regimen's exposure and first day, and those of the optimal amounts.

    Args:
        regimens: To be judged.
        progress: Called with (done, about how many).
    """
    kinds = {(regimen.interval, regimen.infusion) for regimen in regimens}
    total, done = 2 * len(regimens) + KNOTS * len(kinds), itertools.count(1)

    def count() -> None:
        if progress is not None:
            progress(min(next(done), total), total)

    return count
