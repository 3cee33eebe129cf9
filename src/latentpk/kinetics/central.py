r"""What one intravenous dose does in one mode: its amount at a time, and the area of that amount.

Kernels are prepared once per dose and mode, so that each further time costs one exponential.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Bool

from latentpk.kinetics.decay import (
    NEAR,
    Scalar,
    decay_area,
    decay_convolution,
    mean_decay,
    mean_decay_series,
)
from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.steady import above_zero, cycle, overlap, pace, standing


def central_amount(dose: Doses, rate: Scalar, paths: Paths) -> Callable[[Scalar], Scalar]:
    """Amount of a central dose in one mode.

    Args:
        dose: One dose (scalar fields).
        rate: Rate of the mode [1/h].
        paths: Branches to compile.

    Returns:
        A function of the time since the dose's start (not negative) [h], giving mg.

    Example:
        >>> central_amount(Doses.of([0.0], 8.0), jnp.log(2.0), Paths.none())(jnp.ones(1))
        Array([4.], dtype=float64)
    """
    if not paths.infusion:
        amount = dose.amount
        if paths.steady:
            amount = amount * cycle(dose, rate).again + standing(dose) / above_zero(rate)
        return lambda since: amount * jnp.exp(-rate * since)
    load = rate * dose.duration
    end = dose.amount * mean_decay(load)  # left when the infusion ends
    scale = dose.amount / jnp.maximum(load, NEAR)  # only used where load is at least that
    flow = pace(dose)
    past = _disjoint(dose, rate, end) if paths.steady and not paths.overlap else None
    longer = _overlapping(dose, rate) if paths.steady and paths.overlap else None

    def at(since: Scalar) -> Scalar:
        running = since < dose.duration
        x = rate * jnp.where(running, since, since - dose.duration)
        decay = jnp.exp(-x)
        near = running & (x < NEAR)
        series = flow * since * mean_decay_series(jnp.where(near, x, 0.0))
        begun = jnp.where(near, series, (1 - decay) * scale)
        own = jnp.where(running, begun, decay * end)
        own = own if past is None else own + past(running, decay)
        return own if longer is None else own + longer(since)

    return at


def _disjoint(
    dose: Doses, rate: Scalar, end: Scalar
) -> Callable[[Bool[Array, "..."], Scalar], Scalar]:
    """What is left of the doses before; given as the decay since the infusion's start or end."""
    again, past, interval = cycle(dose, rate)
    left = past * again * end
    stopped = standing(dose) / above_zero(rate)
    before = stopped + left * jnp.exp(-rate * jnp.maximum(interval - dose.duration, 0.0))
    after = stopped + left * jnp.exp(-rate * interval)
    return lambda running, decay: decay * jnp.where(running, before, after)


def _overlapping(dose: Doses, rate: Scalar) -> Callable[[Scalar], Scalar]:
    """What is left of the doses before, some of which may still run."""
    again, past, interval = cycle(dose, rate)
    stopped = standing(dose) / above_zero(rate)

    def at(since: Scalar) -> Scalar:
        level, rest, _ = overlap(dose.duration, interval, since)
        # with a duration of 0 nothing runs, and `rest` is 0: the amount comes at once
        ended = jnp.where(dose.duration > 0, pace(dose) * rest, dose.amount)
        ended *= again * mean_decay(rate * rest) * jnp.exp(-rate * (since + interval - rest))
        return stopped * jnp.exp(-rate * since) + past * (
            pace(dose) * level / above_zero(rate) + ended
        )

    return at


def central_area(dose: Doses, rate: Scalar, paths: Paths) -> Callable[[Scalar, Scalar], Scalar]:
    """Area under the amount of a central dose in one mode.

    Args:
        dose: One dose (scalar fields).
        rate: Rate of the mode [1/h].
        paths: Branches to compile.

    Returns:
        A function of the window's start and end since the dose's start (0 <= start <= end) [h],
        giving mg h.

    Example:
        >>> area = central_area(Doses.of([0.0], 8.0), jnp.array(0.0), Paths.none())
        >>> area(jnp.zeros(1), jnp.ones(1))
        Array([8.], dtype=float64)
    """
    end = dose.amount * mean_decay(rate * dose.duration)
    zero = jnp.zeros_like(rate)

    def own(start: Scalar, stop: Scalar) -> Scalar:
        if not paths.infusion:
            return dose.amount * decay_area(rate, start, stop)
        rest = decay_area(
            rate, jnp.maximum(start - dose.duration, 0.0), jnp.maximum(stop - dose.duration, 0.0)
        )
        begin = jnp.minimum(start, dose.duration)
        length = jnp.minimum(stop, dose.duration) - begin
        there = begin * mean_decay(rate * begin) * decay_area(rate, zero, length)
        added = decay_convolution((zero, zero, rate), length)
        return end * rest + pace(dose) * (there + added)

    if not paths.steady:
        return own
    past = _past_area(dose, rate, end, paths)
    return lambda start, stop: own(start, stop) + past(start, stop)


def _past_area(
    dose: Doses, rate: Scalar, end: Scalar, paths: Paths
) -> Callable[[Scalar, Scalar], Scalar]:
    """Area under what is left of the doses before one at steady state."""
    again, past, interval = cycle(dose, rate)
    gap = jnp.maximum(interval - dose.duration, 0.0)
    left = past * again * end * jnp.exp(-rate * gap)  # when the dose starts
    stopped = standing(dose) / above_zero(rate)
    amount = _overlapping(dose._replace(steady=jnp.where(past > 0, dose.steady, 0.0)), rate)
    flow = past * pace(dose)

    def at(start: Scalar, stop: Scalar) -> Scalar:
        area = decay_area(rate, start, stop)
        if not paths.overlap:
            return (stopped + left) * area
        # what came in and is no longer there has passed through
        given = overlap(dose.duration, interval, stop).given
        given -= overlap(dose.duration, interval, start).given
        passed = (flow * given + amount(start) - amount(stop)) / above_zero(rate)
        return stopped * area + jnp.where(dose.duration > interval, passed, left * area)

    return at
