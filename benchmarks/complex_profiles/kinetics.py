"""Concentrations of drugs that no compartment model describes, for truths and oracles.

Written apart from the package's kinetics on purpose: an error of one cannot hide in the other.
Nonlinear courses are followed by the classical Runge-Kutta method on a grid that holds every dose
and every time asked for. Truth and oracle take the same steps, so the oracle's model is exact.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc

import latentpk.precision  # noqa: F401 - float64, before any array
from benchmarks.forecast_oracle.kinetics import Doses

Floats = NDArray[np.float64]
Values = Mapping[str, jax.Array]  # parameters by name, each (patient, draw)
State = tuple[jax.Array, ...]  # amounts or concentrations, each (patient, draw)


@dataclass(frozen=True)
class Course:
    """A nonlinear course.

    Attributes:
        step: Of the grid [h].
        chunk: Courses are followed for multiples of this [h], so that few programs are needed.
        start: Values of the parameters to the state before the first dose.
        rates: Middle of a step [h], state and parameters to the state's derivatives.
        entry: Index of the state that doses enter.
        scale: Parameters to what an amount is divided by on entering.
        observe: State and parameters to the concentration.
    """

    step: float
    chunk: float
    start: Callable[[Values], State]
    rates: Callable[[jax.Array, State, Values], State]
    entry: int
    scale: Callable[[Values], jax.Array]
    observe: Callable[[State, Values], jax.Array]


def follow(course: Course, values: Mapping[str, Floats], time: Floats, doses: Doses) -> Floats:
    """Follow a nonlinear course.

    Args:
        course: The model.
        values: Parameters by name, each (patient, draw).
        time: Multiples of the course's step [h], shape (patient, time).
        doses: Starting and ending at multiples of it; of duration 0 at once.

    Returns:
        Concentration just after each time's doses, shape (patient, draw, time).
    """
    place = np.rint(time / course.step).astype(int)
    if np.abs(place * course.step - time).max() > 1e-6:
        raise ValueError("A time lies between two steps.")
    chunk = round(course.chunk / course.step)
    steps = -(-int(place.max()) // chunk) * chunk
    at_once, during = _inputs(course, doses, steps)
    found = np.asarray(_courses(course, steps, values, at_once, during))  # (step, patient, draw)
    patient = np.arange(len(time))[:, None]
    return np.moveaxis(found[place, patient], 2, 1)


def _inputs(course: Course, doses: Doses, steps: int) -> tuple[Floats, Floats]:
    """What enters at the start of each step at once, and at which rate during it."""
    at_once = np.zeros((steps + 1, len(doses.time)))
    during = np.zeros((steps + 1, len(doses.time)))
    for patient, column in zip(*np.nonzero(doses.amount > 0), strict=True):
        first = round(float(doses.time[patient, column]) / course.step)
        length = round(float(doses.duration[patient, column]) / course.step)
        amount = doses.amount[patient, column]
        if length == 0 and first <= steps:
            at_once[first, patient] += amount
        elif length > 0:
            during[first : first + length, patient] += amount / (length * course.step)
    return at_once, during


@partial(jax.jit, static_argnums=(0, 1))
def _courses(
    course: Course, steps: int, values: Values, at_once: jax.Array, during: jax.Array
) -> jax.Array:
    h, scale = course.step, course.scale(values)

    def added(state: State, what: jax.Array) -> State:
        moved = state[course.entry] + what
        return (*state[: course.entry], moved, *state[course.entry + 1 :])

    def advance(state: State, inputs: tuple[jax.Array, ...]) -> tuple[State, jax.Array]:
        number, bolus, rate = inputs
        state = added(state, bolus[:, None] / scale)
        middle = (number + 0.5) * h
        enters = rate[:, None] / scale

        def slope(at: State) -> State:
            return added(course.rates(middle, at, values), enters)

        def moved(by: State, share: float) -> State:
            return tuple(s + share * h * b for s, b in zip(state, by, strict=True))

        one = slope(state)
        two = slope(moved(one, 0.5))
        three = slope(moved(two, 0.5))
        four = slope(moved(three, 1.0))
        total = zip(state, one, two, three, four, strict=True)
        after = tuple(s + h / 6 * (a + 2 * b + 2 * c + d) for s, a, b, c, d in total)
        return after, course.observe(state, values)

    numbers = jnp.arange(steps + 1, dtype=float)
    return jax.lax.scan(advance, course.start(values), (numbers, at_once, during))[1]


STABLE = 2.0  # fastest rate times step; patients are far below, an oracle's wild draws are not


def _mm_rates(_: jax.Array, state: State, p: Values) -> State:
    level = jnp.maximum(state[0], 0)
    fastest = jnp.minimum(p["vmax"] / p["v"], STABLE / 0.25 * p["km"])
    return (-fastest * level / (p["km"] + level),)


MICHAELIS_MENTEN = Course(
    step=0.25,
    chunk=48.0,
    start=lambda p: (jnp.zeros_like(p["v"]),),
    rates=_mm_rates,
    entry=0,
    scale=lambda p: p["v"],
    observe=lambda state, p: state[0],
)


def _free(total: jax.Array, target: jax.Array, constant: float) -> jax.Array:
    """Free drug where binding is at its (quasi-steady) equilibrium, without cancellation."""
    excess = total - target - constant
    root = jnp.sqrt(excess**2 + 4 * constant * jnp.maximum(total, 0))
    return jnp.where(
        excess > 0, (excess + root) / 2, 2 * constant * jnp.maximum(total, 0) / (root - excess)
    )


def _together(step: float, *rates: jax.Array) -> tuple[jax.Array, ...]:
    """Rates out of one state, held together to what the step follows stably."""
    total = sum(rates)
    share = jnp.minimum(1.0, STABLE / (step * total))
    return tuple(rate * share for rate in rates)


KSS, KDEG = 0.625, 0.5 / 24  # mg/L and 1/h


def _tmdd_rates(_: jax.Array, state: State, p: Values) -> State:
    total, beside, target = state
    free = _free(total, target, KSS)
    bound = target * free / (KSS + free)
    cleared, out = _together(6.0, p["cl"] / p["v1"], p["q"] / p["v1"])
    back = p["q"] / p["v2"]
    (internalized,) = _together(6.0, p["kint"])
    return (
        -(cleared + out) * free + back * beside - internalized * bound,
        out * free - back * beside,
        p["ksyn"] - KDEG * (target - bound) - internalized * bound,
    )


# `beside` is the peripheral amount over the central volume.
TMDD = Course(
    step=6.0,
    chunk=336.0,
    start=lambda p: (jnp.zeros_like(p["v1"]), jnp.zeros_like(p["v1"]), p["ksyn"] / KDEG),
    rates=_tmdd_rates,
    entry=0,
    scale=lambda p: p["v1"],
    observe=lambda state, p: _free(state[0], state[2], KSS),
)

MEALS, MEAL, RELEASE, BACK = (4.0, 10.0), 0.75, 3.0, 0.9  # h, h, 1/h, 1/h


def _recirculation_rates(middle: jax.Array, state: State, p: Values) -> State:
    gut, central, beside, bile, intestine = state
    clock = jnp.mod(middle, 24.0)
    eating = sum((clock >= meal) & (clock < meal + MEAL) for meal in MEALS)
    empties = RELEASE * eating * bile
    back = p["q"] / p["v2"] * beside
    (absorbed,) = _together(0.25, p["ka"])
    cl, clb, out = _together(0.25, *(p[name] / p["v"] for name in ("cl", "clb", "q")))
    return (
        -absorbed * gut,
        absorbed * gut - (cl + clb + out) * central + back + BACK * intestine,
        out * central - back,
        clb * central - empties,
        empties - BACK * intestine,
    )


RECIRCULATION = Course(
    step=0.25,
    chunk=24.0,
    start=lambda p: (jnp.zeros_like(p["v"]),) * 5,
    rates=_recirculation_rates,
    entry=0,
    scale=lambda p: jnp.ones_like(p["v"]),
    observe=lambda state, p: state[1] / p["v"],
)


def gamma_input(
    cl: Floats, v: Floats, mtt: Floats, count: float, time: Floats, doses: Doses
) -> Floats:
    """One compartment that a dose enters as a gamma density (a chain of transit compartments).

    Args:
        cl: [L/h], (patient, draw).
        v: [L], (patient, draw).
        mtt: Mean transit time [h], (patient, draw).
        count: Number of transit compartments, not whole.
        time: [h], (patient, time).
        doses: Oral doses.

    Returns:
        Concentration [mg/L], (patient, draw, time).
    """
    k = (cl / v)[:, :, None]
    rate = np.maximum((count + 1) / mtt[:, :, None], 1.05 * k)  # transit faster than elimination
    total = np.zeros((*cl.shape, time.shape[1]))
    for column in range(doses.time.shape[1]):
        since = np.maximum(time - doses.time[:, column : column + 1], 0)[:, None, :]
        amount = doses.amount[:, column, None, None]
        gained = (count + 1) * np.log(rate / (rate - k)) - k * since
        total += amount / v[:, :, None] * np.exp(gained) * gammainc(count + 1, (rate - k) * since)
    return total


def power_law(v: Floats, tau: Floats, alpha: Floats, time: Floats, doses: Doses) -> Floats:
    """Each dose at once: amount/v (1 + t/tau)^-alpha; shapes as of `gamma_input`."""
    total = np.zeros((*v.shape, time.shape[1]))
    for column in range(doses.time.shape[1]):
        since = (time - doses.time[:, column : column + 1])[:, None, :]
        given = doses.amount[:, column, None, None] / v[:, :, None]
        aged = np.log1p(np.maximum(since, 0) / tau[:, :, None])
        total += np.where(since >= 0, given * np.exp(-alpha[:, :, None] * aged), 0.0)
    return total


def by_meal(
    cl: Floats,
    v: Floats,
    sites: tuple[tuple[Floats, Floats, Floats], ...],
    time: Floats,
    doses: Doses,
) -> Floats:
    """One compartment; a dose's state says which (share, ka, lag) absorbs it; shapes as above."""
    k = (cl / v)[:, :, None]
    total = np.zeros((*cl.shape, time.shape[1]))
    if doses.state is None:
        raise ValueError("Each dose needs its state.")
    for column in range(doses.time.shape[1]):
        fed = doses.state[:, column, None] > 0
        share, ka, lag = (
            np.where(fed, one, other)[:, :, None] for other, one in zip(*sites, strict=True)
        )
        since = time - doses.time[:, column : column + 1]
        late = np.maximum(since[:, None, :] - lag, 0)
        gap = ka - k
        gap = np.where(np.abs(gap) < 1e-6, 1e-6, gap)
        entered = doses.amount[:, column, None, None] * share / v[:, :, None] * ka / gap
        total += entered * (np.exp(-k * late) - np.exp(-ka * late))
    return total
