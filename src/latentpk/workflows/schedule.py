"""Draw one patient's doses and sampling times from a routine-monitoring design."""

from dataclasses import dataclass

import numpy as np

from latentpk.library.design import Design, Dosing, Sampling

_TRIES = 200  # for one level; a window too narrow for all the levels drawn keeps fewer


@dataclass(frozen=True, eq=False)
class Schedule:
    """What one patient is given and when levels are drawn.

    Attributes:
        times: Dose times [h], shape (dose,), increasing from 0.
        amounts: Amounts [mg], shape (dose,).
        durations: Infusion lengths [h], shape (dose,); 0 for a bolus or an oral dose.
        levels: Sampling times [h], shape (level,), increasing.
        end: End of the course [h].
    """

    times: np.ndarray
    amounts: np.ndarray
    durations: np.ndarray
    levels: np.ndarray
    end: float


def draw_schedule(
    design: Design, covariates: dict[str, float], random: np.random.Generator
) -> Schedule:
    """Draw practical doses and routine sampling times for one patient.

    Args:
        design: The rules.
        covariates: The patient's covariates by name.
        random: Source of the draws.

    Returns:
        The schedule; times in hours with two decimals.
    """
    dosing, interval = design.dosing, _interval(design.dosing, covariates)
    end = 24.0 * random.uniform(*dosing.days)
    count = max(int(np.ceil(end / interval)), 1)
    late = np.minimum(np.abs(random.normal(0.0, dosing.delay or 0.0, count)), interval / 4)
    times = np.round(np.arange(count) * interval + np.r_[0.0, late[1:]], 2)
    amounts = _amounts(dosing, covariates, count, random)
    durations = np.zeros(count)
    if dosing.infusion_per_gram > 0 or dosing.infusion_least > 0:
        length = dosing.infusion_per_gram * amounts / 1000
        durations = np.maximum(length, dosing.infusion_least)
    course = Schedule(times, amounts, durations, np.empty(0), float(times[-1] + interval))
    return Schedule(times, amounts, durations, _levels(design.sampling, course, random), course.end)


def _interval(dosing: Dosing, covariates: dict[str, float]) -> float:
    if dosing.interval_by is None:
        return dosing.intervals[-1].hours
    value = covariates[dosing.interval_by]
    fitting = (rule.hours for rule in dosing.intervals if value >= rule.at_least)
    return next(fitting, dosing.intervals[-1].hours)


def _amounts(
    dosing: Dosing, covariates: dict[str, float], count: int, random: np.random.Generator
) -> np.ndarray:
    size = 1.0 if dosing.per is None else covariates[dosing.per]

    def practical(amount: float, high: float) -> float:
        steps = max(round(amount * size / dosing.round_to), 1)
        return float(np.clip(steps * dosing.round_to, dosing.low, high))

    amounts = np.full(count, practical(float(random.choice(dosing.amounts)), dosing.high))
    if dosing.loading is not None:
        amounts[0] = practical(dosing.loading, dosing.loading_high or dosing.high)
    return amounts


def _levels(sampling: Sampling, course: Schedule, random: np.random.Generator) -> np.ndarray:
    until = min(sampling.until, course.end)
    first = 1 + random.choice(len(sampling.first), p=sampling.first)
    later = random.choice(len(sampling.later), p=sampling.later)
    taken: list[float] = []
    for window, wanted in (((sampling.begin, until), first), ((until, course.end), later)):
        for _ in range(wanted):
            time = _level(sampling, course, window, taken, random)
            if time is not None:
                taken.append(time)
    return np.array(sorted(taken))


def _level(
    sampling: Sampling,
    course: Schedule,
    window: tuple[float, float],
    taken: list[float],
    random: np.random.Generator,
) -> float | None:
    for _ in range(_TRIES):
        time = round(_candidate(sampling, course, window, random), 2)
        apart = all(abs(time - other) >= sampling.gap for other in taken)
        at_dose = bool(np.isclose(course.times, time).any())  # before or after it: nobody knows
        if window[0] < time <= window[1] and apart and not at_dose:
            return time
    return None


def _candidate(
    sampling: Sampling,
    course: Schedule,
    window: tuple[float, float],
    random: np.random.Generator,
) -> float:
    kind = random.random()
    if kind < sampling.trough:
        next_dose = random.choice(np.r_[course.times[1:], course.end])
        return float(next_dose - random.uniform(*sampling.trough_before))
    if kind < sampling.trough + sampling.peak:
        dose = random.integers(course.times.size)
        stop = course.times[dose] + course.durations[dose]
        return float(stop + random.uniform(*sampling.peak_after))
    return float(random.uniform(*window))
