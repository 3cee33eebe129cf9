"""How doses and levels of routine care are drawn: the records of the benchmark's cohorts."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.forecast_oracle.kinetics import Doses

Floats = NDArray[np.float64]
Regimen = tuple[Floats, ...]  # times [h], amounts [mg], durations [h], perhaps a covariate of each
Draw = Callable[[np.random.Generator, float, float], float]


@dataclass(frozen=True)
class Design:
    """When a cohort's patients are measured.

    Attributes:
        split: End of the first part [h]: forecast patients have levels only before it.
        end: End of the record [h].
        early: Least and greatest number of a forecast patient's levels, all in the first part.
        whole: Least and greatest number of a training patient's levels, over the whole record.
        later: Noise-free times to predict, after the split [h].
        grid: Spacing of the times among which Cmax is looked for [h].
        rounding: Level times are multiples of it [h].
    """

    split: float
    end: float
    early: tuple[int, int]
    whole: tuple[int, int]
    later: tuple[float, ...]
    grid: float = 0.25
    rounding: float = 0.01


def pad(regimens: list[Regimen]) -> Doses:
    """Regimens (time, amount, duration, perhaps a covariate) of several patients, padded."""
    width = max(len(regimen[0]) for regimen in regimens)
    fields = []
    for field, filler in enumerate((0.0, 0.0, 1.0, 0.0)):  # a duration is divided by: pad with 1
        block = np.full((len(regimens), width), filler)
        for row, regimen in enumerate(regimens):
            if field < len(regimen):
                block[row, : len(regimen[field])] = regimen[field]
        fields.append(block)
    return Doses(*fields)


def vancomycin_regimen(rng: np.random.Generator, weight: float, crcl: float) -> Regimen:
    """15 mg/kg every 8, 12 or 24 h by renal function, 30 % with a 25 mg/kg loading dose.

    Amounts are rounded to 250 mg, infused at 1 g/h (at least 1 h); clock times wander by 0.5 h.
    """
    interval = 8.0 if crcl >= 90 else 12.0 if crcl >= 45 else 24.0
    nominal = np.arange(0.0, 120.0 - 1e-9, interval)
    amount = np.full(len(nominal), np.clip(250 * round(15 * weight / 250), 500, 2000))
    if rng.random() < 0.3:
        amount[0] = np.clip(250 * round(25 * weight / 250), 1000, 3000)
    time = np.round(nominal + rng.uniform(-0.5, 0.5, len(nominal)), 2)
    return time - time[0], amount.astype(float), np.maximum(amount / 1000, 1.0)


def warfarin_regimen(rng: np.random.Generator, weight: float, _: float) -> Regimen:
    """Half: one dose of 1.5 mg/kg (to 5 mg); half: 10 mg once daily, clock wandering by 1 h."""
    if rng.random() < 0.5:
        return np.zeros(1), np.array([5.0 * round(1.5 * weight / 5)]), np.zeros(1)
    time = np.round(np.arange(0.0, 144.0, 24.0) + rng.uniform(-1, 1, 6), 2)
    return time - time[0], np.full(6, 10.0), np.zeros(6)


def two_peak_regimen(rng: np.random.Generator, _: float, __: float) -> Regimen:
    """100, 200 or 300 mg every 12 or 24 h over 48 h, clock wandering by 0.25 h."""
    interval = 12.0 if rng.random() < 0.5 else 24.0
    nominal = np.arange(0.0, 48.0, interval)
    time = np.round(nominal + rng.uniform(-0.25, 0.25, len(nominal)), 2)
    amount = np.full(len(nominal), float(rng.choice([100, 200, 300])))
    return time - time[0], amount, np.zeros(len(nominal))


def infusion_level(rng: np.random.Generator, ended: float, following: float) -> float:
    """Trough (half), peak 1-2 h after the infusion (a quarter) or between (a quarter)."""
    kind = rng.random()
    if kind < 0.5:
        return following - rng.uniform(0.1, 0.75)
    if kind < 0.75:
        return ended + rng.uniform(1.0, 2.0)
    return rng.uniform(ended + 1.0, following - 0.1)


def oral_level(rng: np.random.Generator, given: float, following: float) -> float:
    """1-4 h after the dose (a quarter), 4-12 h (a quarter), later until the next dose (half)."""
    kind = rng.choice(3, p=[0.25, 0.25, 0.5])
    low, high = ((1.0, 4.0), (4.0, 12.0), (12.0, following - given - 0.1))[kind]
    return given + rng.uniform(low, max(high, low + 0.5))


def dense_level(rng: np.random.Generator, given: float, following: float) -> float:
    """Anywhere from 0.25 h after a dose to the next one or 14 h, early times preferred."""
    span = min(following - given, 14.0) - 0.1
    return given + 0.25 + (span - 0.25) * rng.random() ** 1.5


def level_times(
    rng: np.random.Generator,
    regimen: Regimen,
    draw: Draw,
    *,
    count: int,
    until: float,
    rounding: float = 0.01,
) -> Floats:
    """Draw a patient's level times, at least 0.25 h apart and never at a dose's time.

    Args:
        rng: Random numbers.
        regimen: Dose times [h], amounts, durations [h].
        draw: Time of a level from the end of a dose and the start of the next [h].
        count: Number of levels.
        until: Latest time [h].
        rounding: Times are multiples of it [h].

    Returns:
        Sorted times [h], shape (level,).
    """
    start, _, duration = regimen[:3]
    eligible = np.flatnonzero(start + duration < until - 0.5)
    following = np.append(start[1:], np.inf)
    times: list[float] = []
    while len(times) < count:
        dose = int(rng.choice(eligible))
        ended, next_dose = float(start[dose] + duration[dose]), float(following[dose])
        drawn = float(draw(rng, ended, min(next_dose, until)))
        time = round(round(drawn / rounding) * rounding, 2)
        free = all(abs(time - other) >= 0.25 for other in times)
        if free and 0 < time <= until and np.abs(time - start).min() > 0.05:
            times.append(time)
    return np.array(sorted(times))
