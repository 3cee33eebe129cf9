"""Random designs of small studies: regimens, and when levels are drawn."""

from dataclasses import dataclass

import numpy as np

from latentpk.workflows.general.drugs import Drug

INTERVALS = (4.0, 6.0, 8.0, 12.0, 24.0, 48.0, 72.0, 168.0, 336.0)  # h
MOST_DOSES, MOST_LEVELS = 6, 12
SETS = ((1, 3), (3, 6), (6, 9), (9, MOST_LEVELS))  # fewest and most levels of a subject
SHARES = (0.15, 0.3, 0.3, 0.25)
STEPS = ((1.0,), (0.5, 1.0, 2.0), (1 / 3, 1.0, 3.0))  # amounts of a study, of the usual one
FIRST = 0.01  # of the time between two doses: the earliest level after one


@dataclass(frozen=True)
class Plan:
    """What everyone of a study is given, and how densely they are measured.

    Attributes:
        doses: How many.
        interval: Between them [h].
        duration: Of an infusion [h], 0 at once.
        steps: Amounts that subjects are given, of the usual one.
        raised: Factor of the doses after the first.
        span: How long after the last dose levels are drawn [h].
        levels: Fewest and most levels of a subject.
        protocol: Whether everyone is measured at the same times, but for minutes.
    """

    doses: int
    interval: float
    duration: float
    steps: tuple[float, ...]
    raised: float
    span: float
    levels: tuple[int, int]
    protocol: bool


@dataclass(frozen=True, eq=False)
class Schedule:
    """One subject's doses and the times of levels.

    Attributes:
        given: Times of doses [h], shape (dose,).
        amount: Their amounts [mg], shape (dose,).
        duration: Of each [h].
        drawn: Times of levels [h], increasing, shape (level,).
    """

    given: np.ndarray
    amount: np.ndarray
    duration: float
    drawn: np.ndarray


def draw_plan(drug: Drug, rng: np.random.Generator) -> Plan:
    """Draw a study's design: about as long as the drug's story is."""
    story = drug.half_life + drug.absorbed
    wanted = story * np.exp(rng.uniform(np.log(0.4), np.log(2.0)))
    interval = float(min(INTERVALS, key=lambda x: abs(np.log(x / wanted))))
    doses = 1 if rng.random() < 0.45 else int(rng.integers(2, MOST_DOSES + 1))
    infused = drug.route == "iv" and rng.random() < 0.5
    span = story * np.exp(rng.uniform(np.log(1.5), np.log(6.0)))
    return Plan(
        doses=doses,
        interval=interval,
        duration=round(float(story * rng.uniform(0.02, 0.3)), 3) if infused else 0.0,
        steps=STEPS[int(rng.choice(len(STEPS), p=[0.5, 0.25, 0.25]))],
        raised=float(rng.choice([1.0, 2.0, 0.5], p=[0.8, 0.1, 0.1])),
        span=float(span if doses == 1 else min(span, 2 * interval)),
        levels=SETS[int(rng.choice(len(SETS), p=list(SHARES)))],
        protocol=bool(rng.random() < 0.5),
    )


def draw_schedule(drug: Drug, plan: Plan, rng: np.random.Generator, times: int) -> Schedule:
    """Draw one subject's doses and levels.

    Args:
        drug: What is given.
        plan: The study's design.
        rng: Of this subject.
        times: Seed of the protocol's times, which subjects share.
    """
    given = plan.interval * np.arange(plan.doses)
    amount = np.full(plan.doses, drug.dose * float(rng.choice(plan.steps)))
    amount[1:] *= plan.raised
    count = int(rng.integers(plan.levels[0], plan.levels[1] + 1))
    nominal = np.random.default_rng(times) if plan.protocol else rng
    drawn = np.sort([_level(plan, given, nominal) for _ in range(count)])
    if plan.protocol:
        drawn = np.sort(drawn * np.exp(0.02 * rng.standard_normal(count)))
    drawn = np.unique(np.round(drawn, 4))
    return Schedule(given, np.round(amount, 6), plan.duration, drawn[drawn > 0])


def _level(plan: Plan, given: np.ndarray, rng: np.random.Generator) -> float:
    """A time after the first, the last or any dose, early ones as likely as late ones."""
    ends = rng.random() < 0.6
    which = int(rng.choice([0, len(given) - 1])) if ends else int(rng.integers(len(given)))
    gap = plan.span if which == len(given) - 1 else plan.interval
    share = FIRST ** rng.random() if rng.random() < 0.5 else rng.random()
    return float(given[which] + max(share, FIRST) * gap)
