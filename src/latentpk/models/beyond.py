r"""How far doses lie beyond those that a learned decoder was trained on, and what that costs.

A learned decoder says nothing of regimens that nobody was given. Inside what was seen it is taken
at its word; beyond, its curve is known up to a factor that a patient keeps,

.. math:: C(t) = f(t)\, e^{s(t)\,\xi}, \quad \xi \sim N(0, 1), \qquad
          s^2(t) = \max_{d:\, t_d \le t < u_d} \Big(1 - e^{-(t - t_d)/h}\Big)
          \sum_k \kappa_k^2\, x_{dk}

with u the time of a reset after the dose, and x the logarithm of how far a dose's amount, the
interval before it and the length of dosing until it are beyond the range seen: what is not known
walks off at random on the logarithm of the distance. The median stays where it was.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from latentpk.kinetics.doses import Doses
from latentpk.models.config import Frozen
from latentpk.records.subject import DoseTable

TAIL = 0.01  # of the training subjects, whose extremes are left out at either end
TOLERANCE = np.log(1.1)  # an amount is rounded, a clock wanders
STEADY = 16.0  # intervals that a dose at steady state has been repeated for
SWELL = 24.0  # the factor has come in after an interval over this
NEVER = np.log(4.0)  # how far a second dose or a route is where none was seen
Given = Doses | DoseTable  # of one subject


class Scale(NamedTuple):
    """SD of the log concentration one unit of log distance beyond what was seen."""

    amount: float
    interval: float
    length: float


# Of superposition on simulated drugs: python -m benchmarks.unseen_regimens.run (`superposed`).
# Where doses do not add up, a dose sooner is more drug in the body: as far as a larger amount.
SCALES: dict[str, Scale] = {
    "kernel": Scale(0.49, 0.25, 0.09),
    "hybrid": Scale(0.49, 0.49, 0.09),
    "neural_ode": Scale(0.49, 0.49, 0.09),
}


class Experience(Frozen):
    """What training subjects were given; ranges without the outermost subjects.

    Attributes:
        amount: Smallest and largest amount given at one time [mg]; None where no dose has one.
        interval: Shortest and longest time between doses [h]; None where nobody had a second one.
        length: Longest time from a first dose to a last [h]; a steady state counts sixteen
            intervals.
        doses: Largest number of doses; one at steady state counts sixteen.
        central: Whether some dose entered the central compartment.
        depot: Whether some dose entered an absorption site.
    """

    amount: tuple[float, float] | None
    interval: tuple[float, float] | None
    length: float
    doses: int
    central: bool
    depot: bool

    @staticmethod
    def of(given: Sequence[Given], undecided: float) -> "Experience":
        """What some subjects were given.

        Args:
            given: The doses of each.
            undecided: Where doses of undecided route go: 0 central, 1 the absorption site.
        """
        courses = [_course(doses, undecided) for doses in given]
        amounts = [course.amount[course.amount > 0] for course in courses]
        gaps = [course.gap[np.isfinite(course.gap)] for course in courses]
        return Experience(
            amount=_span(amounts),
            interval=_span(gaps),
            length=_high([float(np.max(course.length, initial=0.0)) for course in courses]),
            doses=round(_high([float(np.max(course.number, initial=0.0)) for course in courses])),
            central=any(bool(course.central.any()) for course in courses),
            depot=any(bool(course.depot.any()) for course in courses),
        )


class Beyond(NamedTuple):
    """What is asked of a learned decoder, against what it was trained on.

    Attributes:
        seen: What it was trained on.
        scale: What being beyond that costs.
        undecided: Where doses of undecided route go: 0 central, 1 the absorption site.
    """

    seen: Experience
    scale: Scale
    undecided: float = 0.0

    def sd(self, doses: Given, time: Float[np.ndarray, " time"]) -> Float[np.ndarray, " time"]:
        """SD of the log concentration that comes on top of the decoder's own.

        Args:
            doses: What was given and is planned.
            time: When [h], shape (time,).

        Returns:
            0 until a dose is beyond what was seen, then rising, shape (time,).
        """
        course = _course(doses, self.undecided)
        far = self._far(course)
        variance = np.stack(far, axis=1) @ np.asarray(self.scale) ** 2
        out = np.flatnonzero(variance > 0)
        if out.size == 0:
            return np.zeros(np.shape(time))
        since = np.asarray(time)[:, None] - course.time[out]
        pace = (self.seen.interval or (SWELL, SWELL))[0] / SWELL
        come = np.where(course.steady[out], 1.0, -np.expm1(-np.maximum(since, 0.0) / pace))
        there = (since >= 0) & (np.asarray(time)[:, None] < course.until[out])
        return np.sqrt(np.max(np.where(there, come, 0.0) * variance[out], axis=1))

    def words(self, doses: Given) -> list[str]:
        """What of the doses nobody in training was given, as sentences; none inside."""
        seen, course = self.seen, _course(doses, self.undecided)
        amount, gap, length = self._far(course)
        strange = self._strange(course)
        outside: list[tuple[str, str]] = []
        more = np.where(strange, 0.0, amount)
        if seen.amount is not None and more.any():
            given = course.amount[np.argmax(more)]
            outside.append((f"A dose of {given:.4g} mg", f"the {_range(seen.amount)} mg"))
        if strange.any():
            routes = ("An intravenous dose", "An absorbed dose (by mouth, say)")
            known = ("absorbed ones", "intravenous ones")
            depot = int(not seen.depot)
            outside.append((routes[depot], f"the {known[depot]}"))
        if seen.interval is None and gap.any():
            outside.append(("A second dose", "the single doses"))
        elif seen.interval is not None and gap.any():
            apart = course.gap[np.argmax(gap)]
            outside.append((f"An interval of {apart:.4g} h", f"the {_range(seen.interval)} h"))
        if length.any():
            most = int(np.argmax(length))
            long = (
                "A dose repeated until steady state"
                if course.steady[most]
                else f"Dosing for {course.length[most]:.4g} h"
            )
            outside.append((long, f"the {seen.length:.4g} h ({seen.doses} doses)"))
        if not outside:
            return []
        said = [
            f"{one} is beyond {known} that this model was trained on." for one, known in outside
        ]
        return [*said, "Intervals are wider for that."]

    def _far(self, course: "_Course") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Logs of how far each dose is beyond: its amount or route, its interval, the length."""
        seen = self.seen
        amount, gap, length = (np.zeros(course.time.size) for _ in range(3))
        told = course.amount > 0
        if seen.amount is not None:
            amount[told] = _distance(course.amount[told], seen.amount)
        amount = np.where(self._strange(course), np.maximum(amount, NEVER), amount)
        told = np.isfinite(course.gap)
        if seen.interval is None:
            gap[told] = NEVER
        else:
            gap[told] = _distance(course.gap[told], seen.interval)
            step = seen.interval[1]
            ratio = np.log((course.length + step) / (seen.length + step))
            length = np.maximum(ratio - TOLERANCE, 0.0)
        return amount, gap, length

    def _strange(self, course: "_Course") -> Bool[np.ndarray, " dose"]:
        """Which doses took a route that none took."""
        seen = self.seen
        return (course.central & (not seen.central)) | (course.depot & (not seen.depot))


class _Course(NamedTuple):
    """Doses, those at one time together; each field of shape (dose,).

    `central` and `depot` say whether some of them enter there; `gap` is the time since the dose
    before, nan for a first one; `length` and `number` count from the first, and begin anew after a
    reset, which is `until` when the doses count.
    """

    time: np.ndarray
    amount: np.ndarray
    central: np.ndarray
    depot: np.ndarray
    gap: np.ndarray
    length: np.ndarray
    number: np.ndarray
    steady: np.ndarray
    until: np.ndarray


def _course(doses: Given, undecided: float) -> _Course:
    amount, rate = np.asarray(doses.amount, float), np.asarray(doses.rate, float)
    there = np.flatnonzero((amount > 0) | (rate > 0))
    there = there[np.argsort(np.asarray(doses.time, float)[there], kind="stable")]

    def field(name: str) -> np.ndarray:
        return np.asarray(getattr(doses, name), float)[there]

    time, first = np.unique(field("time"), return_index=True)

    def together(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values, first) if time.size else np.zeros(0)

    site = np.where(np.isnan(field("depot")), undecided, field("depot"))
    steady = field("steady")[first] > 0
    gap = np.diff(time, prepend=np.nan)
    until = field("until")[first]
    gone = np.append(-np.inf, until[:-1])[: time.size]
    anew = np.isnan(gap) | (np.isfinite(gone) & (gone <= time))
    repeated = np.where(steady, field("interval")[first], 0.0)
    gap = np.where(repeated > 0, repeated, np.where(anew, np.nan, gap))
    length, number = np.zeros(time.size), np.zeros(time.size)
    for part in np.split(np.arange(time.size), np.flatnonzero(anew)):
        longest = np.maximum.accumulate(STEADY * repeated[part])
        length[part] = time[part] - time[part[:1]] + longest
        most = np.maximum.accumulate(np.where(steady[part], STEADY, 0.0))
        number[part] = np.arange(1, part.size + 1) + most
    return _Course(
        time=time,
        amount=together(amount[there]),
        central=together(site == 0) > 0,
        depot=together(site == 1) > 0,
        gap=gap,
        length=length,
        number=number,
        steady=steady,
        until=until,
    )


def _distance(value: np.ndarray, seen: tuple[float, float]) -> np.ndarray:
    """Log of how far a positive number is outside a range, past the tolerance."""
    log = np.log(value)
    outside = np.maximum(np.log(seen[0]) - log, log - np.log(seen[1]))
    return np.maximum(outside - TOLERANCE, 0.0)


def _span(values: Sequence[np.ndarray]) -> tuple[float, float] | None:
    """The subjects' smallest and largest numbers, the outermost subjects left out."""
    there = [one for one in values if one.size]
    if not there:
        return None
    return _quantile([one.min() for one in there], TAIL, "lower"), _high(
        [float(one.max()) for one in there]
    )


def _high(values: Sequence[float]) -> float:
    return _quantile(values, 1 - TAIL, "higher") if values else 0.0


def _quantile(values: Sequence[float], level: float, method: Any) -> float:
    return float(np.quantile(np.asarray(values, float), level, method=method))


def _range(seen: tuple[float, float]) -> str:
    low, high = (f"{value:.4g}" for value in seen)
    return low if low == high else f"{low} to {high}"
