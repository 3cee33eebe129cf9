r"""What one extravascular dose does in one mode, entering through one absorption site.

The amount in the mode is counted per unit of the site's ka, so that no ka divides anything.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from latentpk.kinetics.decay import (
    NEAR,
    Scalar,
    decay_area,
    decay_convolution,
    decay_difference,
    mean_decay,
    mean_decay_series,
)
from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.steady import above_zero, cycle, is_repeated, overlap, pace, standing


class Site(NamedTuple):
    """One absorption site and one mode.

    Attributes:
        ka: Absorption rate of the site, positive [1/h].
        rate: Rate of the mode [1/h].
    """

    ka: Scalar
    rate: Scalar


class Inside(NamedTuple):
    """Where the drug is.

    Attributes:
        mode: Amount in the mode, per unit of ka [mg h].
        site: Amount still at the absorption site [mg].
    """

    mode: Scalar
    site: Scalar


def absorbed_amount(dose: Doses, place: Site, paths: Paths) -> Callable[[Scalar], Scalar]:
    """Amount of an extravascular dose in one mode, per unit of ka.

    Args:
        dose: One dose (scalar fields).
        place: The site and the mode.
        paths: Branches to compile.

    Returns:
        A function of the time since the dose reached the site (not negative) [h], giving mg h.

    Example:
        >>> dose, one = Doses.of([0.0], 1.0), jnp.ones(1)
        >>> absorbed_amount(dose, Site(one, one), Paths.none())(one).round(4)
        Array([0.3679], dtype=float64)
    """
    if paths.release:
        return lambda since: _released(dose, place, paths, since).mode
    ka, rate = place
    gap = ka - rate
    # where this floor acts, exp(-ka t) is 0 as soon as the quotient is used
    floor = 1e-6 * jnp.maximum(ka, 1e-6)
    inverse = 1 / jnp.where(jnp.abs(gap) < floor, floor, gap)

    def own(since: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        decay, site = jnp.exp(-rate * since), jnp.exp(-ka * since)
        x = gap * since
        near = jnp.abs(x) < NEAR
        series = since * decay * mean_decay_series(jnp.where(near, x, 0.0))
        return jnp.where(near, series, (decay - site) * inverse), decay, site

    if not paths.steady:
        return lambda since: dose.amount * own(since)[0]
    again, past, interval = cycle(dose, rate)
    again_site = dose.amount * past * cycle(dose, ka).again
    mixed = again_site * again * decay_difference(rate, ka, interval)
    constant = standing(dose) / above_zero(ka)
    slope, level = dose.amount * again + constant, constant / above_zero(rate)

    def at(since: Scalar) -> Scalar:
        difference, decay, site = own(since)
        return slope * difference + mixed * site + level * decay

    return at


def absorbed_area(dose: Doses, place: Site, paths: Paths) -> Callable[[Scalar, Scalar], Scalar]:
    """Area under the amount of an extravascular dose in one mode, per unit of ka.

    Args:
        dose: One dose (scalar fields).
        place: The site and the mode.
        paths: Branches to compile.

    Returns:
        A function of the window's start and end, counted from the moment the dose reaches the
        site (negative: earlier, where only a dose at steady state has an area) [h]; gives mg h^2.

    Example:
        >>> dose, one = Doses.of([0.0], 1.0), jnp.ones(1)
        >>> absorbed_area(dose, Site(one, one), Paths.none())(0 * one, one).round(4)
        Array([0.2642], dtype=float64)
    """

    def since_entry(start: Scalar, stop: Scalar) -> Scalar:
        area = _own_area(dose, place, paths, start, stop)
        return area + _past_area(dose, place, paths, start, stop) if paths.steady else area

    if not paths.steady:
        return lambda start, stop: since_entry(jnp.maximum(start, 0.0), jnp.maximum(stop, 0.0))
    return lambda start, stop: _with_lag(dose, place, since_entry, start, stop)


def _with_lag(
    dose: Doses,
    place: Site,
    since_entry: Callable[[Scalar, Scalar], Scalar],
    start: Scalar,
    stop: Scalar,
) -> Scalar:
    """Area over a window that may begin before a dose at steady state reaches the site.

    What is before is the area of the periods before, so many whole ones and a part.
    """
    repeated = is_repeated(dose)
    interval = jnp.where(repeated, dose.interval, 1.0)
    first, last = jnp.minimum(start, 0.0), jnp.minimum(stop, 0.0)
    whole = jnp.floor(jnp.stack([first, last]) / interval)
    part = jnp.maximum(jnp.stack([first, last]) - whole * interval, 0.0)
    zero = jnp.zeros_like(first)
    # one program for the four windows: after the entry, a period, and the parts of two
    areas = since_entry(
        jnp.stack([jnp.maximum(start, 0.0), zero, zero, zero]),
        jnp.stack([jnp.maximum(stop, 0.0), zero + interval, *part]),
    )
    before = (whole[1] - whole[0]) * areas[1] + areas[3] - areas[2]
    level = standing(dose) / (above_zero(place.ka) * above_zero(place.rate))
    return areas[0] + jnp.where(repeated, before, level * (last - first))


def _later(inside: Inside, place: Site, time: Scalar) -> Inside:
    """After some time without input."""
    decay, site = jnp.exp(-place.rate * time), jnp.exp(-place.ka * time)
    moved = decay_difference(place.rate, place.ka, time)
    return Inside(inside.mode * decay + inside.site * moved, inside.site * site)


def _drained(inside: Inside, place: Site, time: Scalar) -> Scalar:
    """Area under the mode over some time without input."""
    zero = jnp.zeros_like(time)
    through = decay_convolution((zero, place.rate, place.ka), time)
    return inside.mode * decay_area(place.rate, zero, time) + inside.site * through


def _filled(dose: Doses, place: Site, time: Scalar) -> Inside:
    """After some hours of a dose's input, which comes at once where it has no duration."""
    zero, slow = jnp.zeros_like(time), dose.duration > 0
    flow = jnp.where(slow, pace(dose), 0.0)
    return Inside(
        flow * decay_convolution((zero, place.rate, place.ka), time),
        jnp.where(slow, flow * time * mean_decay(place.ka * time), dose.amount),
    )


def _released(dose: Doses, place: Site, paths: Paths, since: Scalar) -> Inside:
    """A zero-order release into the site, with the doses before it at steady state."""
    input_time = jnp.minimum(since, dose.duration)
    own = _later(_filled(dose, place, input_time), place, since - input_time)
    if not paths.steady:
        return own
    past = _past(dose, place, since)
    stopped = _later(_standing(dose, place), place, since)
    return Inside(own.mode + past.mode + stopped.mode, own.site + past.site + stopped.site)


def _standing(dose: Doses, place: Site) -> Inside:
    """Under a constant infusion into the site, at steady state."""
    site = standing(dose) / above_zero(place.ka)
    return Inside(site / above_zero(place.rate), site)


def _past(dose: Doses, place: Site, since: Scalar) -> Inside:
    """What is left of the doses before; h(a) = exp(-a t)/(1 - exp(-a II)) takes exp's place."""
    again, past, interval = cycle(dose, place.rate)
    again_site = cycle(dose, place.ka).again
    level, rest, _ = overlap(dose.duration, interval, since)
    ended = _filled(dose, place, rest)
    left = _later(ended, place, since + interval - rest)
    mixed = again_site * decay_difference(place.rate, place.ka, interval)
    running = pace(dose) * level / above_zero(place.ka)
    return Inside(
        past * (again * (left.mode + mixed * left.site) + running / above_zero(place.rate)),
        past * (again_site * left.site + running),
    )


def _own_area(dose: Doses, place: Site, paths: Paths, start: Scalar, stop: Scalar) -> Scalar:
    if not paths.release:
        zero = jnp.zeros_like(start)
        inside = _later(Inside(zero, zero + dose.amount), place, start)
        return _drained(inside, place, stop - start)
    zero = jnp.zeros_like(start)
    slow = dose.duration > 0
    begin = jnp.minimum(start, dose.duration)
    length = jnp.minimum(stop, dose.duration) - begin
    filling = _drained(_filled(dose, place, begin), place, length)
    filling += pace(dose) * decay_convolution((zero, zero, place.rate, place.ka), length)
    begin = jnp.maximum(start - dose.duration, 0.0)
    length = jnp.maximum(stop - dose.duration, 0.0) - begin
    ended = _later(_filled(dose, place, zero + dose.duration), place, begin)
    return jnp.where(slow, filling, 0.0) + _drained(ended, place, length)


def _past_area(dose: Doses, place: Site, paths: Paths, start: Scalar, stop: Scalar) -> Scalar:
    zero = jnp.zeros_like(start)
    length = stop - start
    area = _drained(_later(_standing(dose, place), place, start), place, length)
    left = _later(_past(dose, place, zero), place, start)
    drained = _drained(left, place, length)
    if not (paths.overlap and paths.release):
        return area + drained
    # where earlier doses still run: what came in and is no longer there has passed through
    interval = cycle(dose, place.rate).interval
    before, after = _past(dose, place, start), _past(dose, place, stop)
    given = overlap(dose.duration, interval, stop).given
    given -= overlap(dose.duration, interval, start).given
    passed = is_repeated(dose) * pace(dose) * given + before.site - after.site
    passed = passed / above_zero(place.ka) + before.mode - after.mode
    longer = dose.duration > interval
    return area + jnp.where(longer, passed / above_zero(place.rate), drained)
