"""Mixed cohorts with known labels, and the oracle that knows both populations."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
TIMES = np.array([1.0, 3.0, 6.0, 9.0, 12.0, 24.0])  # h after the dose, each up to 10 % off
JITTER, ERROR, STEP = 0.10, 0.10, 0.05
DOSES = (1.5, 6.0)  # mg/kg, half of the patients each
EMPTYING, OPEN = 5.0, 1.5  # 1/h, h: a gallbladder
KINDS = ("recirculation", "saturable", "simple")


@dataclass(frozen=True)
class People:
    """One kind of people: medians of parameters for 70 kg, and SDs of their logarithms.

    Parameters in order: ka [1/h], CL [L/h], V [L], then what makes them complex: odds of biliary
    excretion and hours to the gallbladder's emptying, or Km [mg/L] with CL the clearance at low
    levels.
    """

    kind: str
    median: tuple[float, ...]
    sd: tuple[float, ...]


PLAIN = People("simple", (1.2, 5.0, 40.0), (0.4, 0.3, 0.2))
OTHERS = {
    "recirculation": People(
        "recirculation", (1.2, 5.0, 40.0, 2.0, 7.0), (0.4, 0.3, 0.2, 0.4, 0.15)
    ),
    "saturable": People("saturable", (1.2, 12.0, 40.0, 0.6), (0.4, 0.3, 0.2, 0.3)),
}


def draw(people: People, size: int, rng: np.random.Generator) -> Floats:
    """Parameters of people, shape (patient, parameter)."""
    z = rng.standard_normal((size, len(people.median)))
    return np.asarray(people.median) * np.exp(z * np.asarray(people.sd))


def courses(people: People, theta: Floats, dose: Floats, end: float = 28.0) -> Floats:
    """Concentrations [mg/L] every STEP hours after a dose [mg/kg], shape (patient, time).

    Amounts are those of 70 kg; all of them, and so the concentration, scale with weight.
    """
    ka, cl, v = theta.T[:3]
    share = theta[:, 3] / (1 + theta[:, 3]) if people.kind == "recirculation" else 0.0 * ka
    begin = theta[:, 4] if people.kind == "recirculation" else np.inf * ka
    km = theta[:, 3] if people.kind == "saturable" else np.inf * ka

    def slope(t: float, y: Floats) -> Floats:
        gut, central, bile = y
        level = central / v
        gone = cl * level / (1 + level / km)
        flow = np.where((t >= begin) & (t < begin + OPEN), EMPTYING, 0.0) * bile
        return np.stack([flow - ka * gut, ka * gut - gone, share * gone - flow])

    state = np.stack([70 * dose, 0 * dose, 0 * dose])
    found = [state[1] / v]
    for k in range(round(end / STEP)):
        t, h = k * STEP, STEP
        a = slope(t, state)
        b = slope(t + h / 2, state + h / 2 * a)
        c = slope(t + h / 2, state + h / 2 * b)
        d = slope(t + h, state + h * c)
        state = state + h / 6 * (a + 2 * b + 2 * c + d)
        found.append(state[1] / v)
    return np.stack(found, axis=1)


@dataclass(frozen=True)
class Mixed:
    """A cohort with its labels.

    Attributes:
        table: NONMEM rows.
        complex: Who is, shape (patient,).
        dose: [mg/kg], shape (patient,).
        place: Index of each level on the grid, shape (patient, level).
        level: Measured [mg/L], shape (patient, level).
    """

    table: pl.DataFrame
    complex: NDArray[np.bool_]
    dose: Floats
    place: NDArray[np.intp]
    level: Floats


def cohort(kind: str, size: int, seed: int) -> Mixed:
    """Patients of whom half are complex ("simple": nobody), six levels each."""
    rng = np.random.default_rng([seed, size, KINDS.index(kind)])
    labels = np.zeros(size, bool) if kind == "simple" else np.arange(size) % 2 == 1
    dose, weight = rng.choice(DOSES, size), 70 * np.exp(0.2 * rng.standard_normal(size))
    clean = np.zeros((size, round(28 / STEP) + 1))
    groups = [(PLAIN, ~labels)] + ([] if kind == "simple" else [(OTHERS[kind], labels)])
    for people, own in groups:
        clean[own] = courses(people, draw(people, int(own.sum()), rng), dose[own])
    times = TIMES * (1 + JITTER * rng.uniform(-1, 1, (size, len(TIMES))))
    place = np.rint(times / STEP).astype(int)
    level = np.take_along_axis(clean, place, axis=1)
    level = level * np.exp(ERROR * rng.standard_normal(level.shape))
    rows = []
    for i in range(size):
        amount, wt = dose[i] * weight[i], round(weight[i], 1)
        rows.append((i + 1, 0.0, 1, 1, 1, amount, None, wt))
        rows += [
            (i + 1, float(p) * STEP, 0, 0, 2, 0.0, float(f"{c:.5g}"), wt)
            for p, c in zip(place[i], level[i], strict=True)
        ]
    names = ["ID", "TIME", "EVID", "MDV", "CMT", "AMT", "DV", "WT"]
    table = pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)
    return Mixed(table, labels, dose, place, level)


def oracle(mixed: Mixed, kind: str, *, draws: int = 100_000, seed: int = 7) -> Floats:
    """Log Bayes factor of complex over simple by both true populations, shape (patient,)."""
    rng = np.random.default_rng(seed)
    evidence = np.zeros((2, len(mixed.complex)))
    for side, people in enumerate((PLAIN, OTHERS[kind])):
        for dose in DOSES:
            grid = np.log(courses(people, draw(people, draws, rng), np.full(draws, dose)) + 1e-12)
            for i in np.flatnonzero(mixed.dose == dose):
                away = (np.log(mixed.level[i]) - grid[:, mixed.place[i]]) / ERROR
                evidence[side, i] = np.logaddexp.reduce(-0.5 * np.sum(away**2, axis=1))
    return evidence[1] - evidence[0]


def area(score: Floats, labels: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: how often a complex patient scores above a simple one."""
    high, low = score[labels], np.sort(score[~labels])
    below = np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")
    return float(np.mean(below) / (2 * len(low)))
