r"""Steady state of one dose: the same dose given every `interval` II, for ever, before it.

The sum over those doses is a geometric series, 1/(1 - exp(-rate II)) for each decay. Infusions
longer than II overlap: together they are a constant infusion with shorter ones on top.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool

from latentpk.kinetics.decay import Scalar, mean_decay
from latentpk.kinetics.doses import Doses


class Cycle(NamedTuple):
    """How a decay accumulates.

    Attributes:
        again: 1 / (1 - exp(-rate II)); 1 where the dose is not repeated.
        past: 1 where the dose is repeated, else 0.
        interval: II [h]; 1 where the dose is not repeated.
    """

    again: Scalar
    past: Scalar
    interval: Scalar


def cycle(dose: Doses, rate: Scalar) -> Cycle:
    """How a decay accumulates under a dose's interval.

    Args:
        dose: One dose (scalar fields).
        rate: The decay's rate [1/h]; a rate of 0 has no steady state and gives a large number.

    Returns:
        Its accumulation.

    Example:
        >>> dose = Doses.of([0.0], 1.0, interval=1.0, steady=1.0)
        >>> cycle(dose, jnp.log(2.0)).again.round(6)
        Array([2.], dtype=float64)
    """
    repeated = is_repeated(dose)
    interval = jnp.where(repeated, dose.interval, 1.0)
    x = jnp.maximum(rate * interval, jnp.finfo(interval.dtype).eps)
    again = jnp.where(repeated, 1 / (x * mean_decay(x)), 1.0)
    return Cycle(again, repeated.astype(interval.dtype), interval)


def is_repeated(dose: Doses) -> Bool[Array, "..."]:
    """Whether a dose stands for a regimen that has run for ever (SS 1 or 2)."""
    return (dose.steady == 1) | (dose.steady == 2)


def standing(dose: Doses) -> Scalar:
    """Rate of a constant infusion that stops at this record [mg/h]; 0 for any other dose."""
    return jnp.where(dose.steady == 3, dose.rate, 0.0)


def above_zero(rate: Scalar) -> Scalar:
    """The rate, kept from 0 where its inverse is needed."""
    return jnp.maximum(rate, jnp.finfo(rate.dtype).eps)


def pace(dose: Doses) -> Scalar:
    """Rate of a dose's zero-order input [mg/h]; a number without meaning where it has none."""
    return dose.amount / jnp.where(dose.duration > 0, dose.duration, 1.0)


class Overlap(NamedTuple):
    """The infusions before the one that started last, at some time after its start.

    Attributes:
        level: How many of them still run.
        rest: What is left of their duration after `level` intervals [h]: infusions this long,
            which have all ended, make up the remainder.
        given: Time-integral of `level` from the start of the last one [h].
    """

    level: Scalar
    rest: Scalar
    given: Scalar


def overlap(duration: Scalar, interval: Scalar, since: Scalar) -> Overlap:
    """The infusions before the one that started last.

    Args:
        duration: Of each infusion [h].
        interval: Between their starts [h].
        since: Time since the start of the last one, not negative [h].

    Returns:
        How many still run.

    Example:
        >>> [float(x) for x in overlap(jnp.array(15.0), jnp.array(12.0), jnp.array(1.0))]
        [1.0, 3.0, 1.0]
    """

    def area(left: Scalar) -> Scalar:  # of level, over the `left` hours before the end
        steps = jnp.maximum(jnp.ceil(left / interval) - 1, 0.0)
        return steps * (left - (steps + 1) * interval / 2)

    left = jnp.maximum(duration - since, 0.0)
    level = jnp.maximum(jnp.ceil(left / interval) - 1, 0.0)
    return Overlap(level, duration - level * interval, area(duration) - area(left))


def entered(
    dose: Doses, alag: Scalar, since: Scalar, *, steady: bool
) -> tuple[Scalar, Bool[Array, "..."]]:
    """Time since a dose reached its site, and whether anything has reached it.

    At steady state earlier doses are in before the lag is over: the time since the last of them.

    Args:
        dose: One dose (scalar fields).
        alag: Lag of the site [h].
        since: Time since the record [h].
        steady: Whether doses at steady state are compiled in.

    Returns:
        A time, not negative [h], and a boolean.

    Example:
        >>> dose = Doses.of([0.0], 1.0, interval=8.0, steady=1.0)
        >>> entered(dose, jnp.array(0.5), jnp.zeros(1), steady=True)[0]
        Array([7.5], dtype=float64)
    """
    time = since - alag
    passed = jnp.maximum(time, 0.0)
    if not steady:
        return passed, time >= 0
    repeated = is_repeated(dose)
    interval = jnp.where(repeated, dose.interval, 1.0)
    folded = time + jnp.ceil(jnp.maximum(-time, 0.0) / interval) * interval
    return jnp.where(repeated, jnp.maximum(folded, 0.0), passed), (time >= 0) | (dose.steady > 0)
