"""Drugs whose doses add up, and drugs whose do not, fixed before any fit (see README.md)."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from benchmarks.complex_profiles.kinetics import Course, State, Values, follow
from benchmarks.complex_profiles.populations import anywhere, every
from benchmarks.forecast_oracle.designs import Design
from benchmarks.forecast_oracle.kinetics import Doses
from benchmarks.forecast_oracle.populations import TWO_PEAKS, Population

Floats = NDArray[np.float64]
Effect = Callable[[jax.Array, State, Values], State]

STEP, TRAINED = 0.25, 72.0  # h
AMOUNTS, INTERVAL = (100.0, 200.0), 24.0  # of training [mg, h]
DESIGN = Design(24.0, TRAINED, (1, 4), (8, 10), tuple(np.arange(25.0, 72.1, 2.0)), rounding=STEP)
LONG, LATE = 240.0, tuple(np.arange(145.0, 240.1, 4.0))  # h


def _course(change: Effect, *, states: int, start: dict[int, float] | None = None) -> Course:
    """A drug by mouth: amounts in gut and body, then what else there is."""
    first = start or {}
    return Course(
        step=STEP,
        chunk=24.0,
        start=lambda p: tuple(jnp.full_like(p["v"], first.get(k, 0.0)) for k in range(states)),
        rates=change,
        entry=0,
        scale=lambda p: jnp.ones_like(p["v"]),
        observe=lambda state, p: jnp.maximum(state[1], 0) / p["v"],
    )


def _linear(_: jax.Array, state: State, p: Values) -> State:
    gut, body, deep = state
    out, back = p["q"] / p["v"] * body, p["q"] / (2 * p["v"]) * deep
    return -p["ka"] * gut, p["ka"] * gut - p["cl"] / p["v"] * body - out + back, out - back


def _saturable(_: jax.Array, state: State, p: Values) -> State:
    gut, body = state
    level = jnp.maximum(body, 0) / p["v"]
    return -p["ka"] * gut, p["ka"] * gut - p["cl"] * 3.0 / (3.0 + level) * level


def _by_day(middle: jax.Array, state: State, p: Values) -> State:
    gut, body = state
    cleared = p["cl"] * (1 + 0.7 * jnp.cos(2 * jnp.pi * (middle - 8.0) / 24)) / p["v"] * body
    return -p["ka"] * gut, p["ka"] * gut - cleared


def _induced(_: jax.Array, state: State, p: Values) -> State:
    gut, body, enzyme = state
    level = jnp.maximum(body, 0) / p["v"]
    cleared = p["cl"] * enzyme * level
    made = 0.05 * (1 + 4 * level / (2.0 + level) - enzyme)
    return -p["ka"] * gut, p["ka"] * gut - cleared, made


def _carried(_: jax.Array, state: State, p: Values) -> State:
    gut, body = state
    absorbed = p["ka"] * gut * 60 / (60 + jnp.maximum(gut, 0))  # a carrier at half speed at 60 mg
    return -absorbed - 0.1 * gut, absorbed - p["cl"] / p["v"] * body


COURSES = {
    "linear": (_course(_linear, states=3), {"ka": 1.0, "cl": 6.0, "v": 30.0, "q": 5.0}),
    "saturable": (_course(_saturable, states=2), {"ka": 1.0, "cl": 8.0, "v": 30.0}),
    "by-day": (_course(_by_day, states=2), {"ka": 1.0, "cl": 4.0, "v": 40.0}),
    "induced": (_course(_induced, states=3, start={2: 1.0}), {"ka": 1.0, "cl": 3.0, "v": 40.0}),
    "carried": (_course(_carried, states=2), {"ka": 0.8, "cl": 6.0, "v": 30.0}),
}


def _concentration(
    course: Course, names: tuple[str, ...], link: Floats, time: Floats, doses: Doses
) -> Floats:
    values = dict(zip(names, np.moveaxis(np.exp(link), -1, 0), strict=True))
    return follow(course, values, time, doses)


def _population(name: str) -> Population:
    course, typical = COURSES[name]
    centre = np.log(list(typical.values()))
    power = np.array([{"cl": 0.75, "q": 0.75, "v": 1.0}.get(key, 0.0) for key in typical])
    return replace(
        TWO_PEAKS,
        name=name,
        typical=lambda covariates: centre + power * np.log(covariates / 70),
        omega=np.diag(np.full(len(typical), 0.25**2)),
        concentration=partial(_concentration, course, tuple(typical)),
        additive=0.02,
        proportional=0.08,
        regimen=every((INTERVAL,), AMOUNTS, TRAINED),
        level=anywhere(24.0, 0.5, 1.2),
        level_whole=anywhere(24.0, 0.5, 1.2),
        design=DESIGN,
    )


DRUGS = {name: _population(name) for name in COURSES}
# what is asked, and how far it is from what was seen: logs of amount, interval and length
ASKED: dict[str, tuple[tuple[float, ...], float, float]] = {
    "known": (AMOUNTS, INTERVAL, TRAINED),
    "a half": ((50.0,), INTERVAL, TRAINED),
    "a quarter": ((25.0,), INTERVAL, TRAINED),
    "twice": ((400.0,), INTERVAL, TRAINED),
    "four times": ((800.0,), INTERVAL, TRAINED),
    "every 12 h": (AMOUNTS, 12.0, TRAINED),
    "every 6 h": (AMOUNTS, 6.0, TRAINED),
    "longer": (AMOUNTS, INTERVAL, LONG),
}


def asked(drug: Population, regimen: str) -> Population:
    """The drug on a regimen of `ASKED`."""
    amounts, interval, until = ASKED[regimen]
    design = DESIGN if until == TRAINED else replace(DESIGN, end=LONG, later=LATE)
    return replace(drug, regimen=every((interval,), amounts, until), design=design)
