"""Exposure: peak, trough and what one interval looks like at steady state."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from latentpk.kinetics.decay import Scalar
from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.response import Response
from latentpk.kinetics.superposition import EVERYTHING, auc, concentration

_GRID = 33  # first look at the window
_ZOOM = 9  # points of each further look, which narrows the bracket four times
_LOOKS = 12


class Peak(NamedTuple):
    """The highest concentration of a window.

    Attributes:
        cmax: The concentration [mg/L].
        tmax: When [h].
    """

    cmax: Scalar
    tmax: Scalar


class Exposure(NamedTuple):
    """One dosing interval.

    Attributes:
        auc: Area over the interval [mg h/L].
        average: Area divided by the interval [mg/L].
        cmax: Highest concentration [mg/L].
        tmax: When, after the start of the interval [h].
        trough: Concentration at the end of the interval, before the next dose [mg/L].
    """

    auc: Scalar
    average: Scalar
    cmax: Scalar
    tmax: Scalar
    trough: Scalar


def peak(
    doses: Doses, start: Scalar, end: Scalar, *, response: Response, paths: Paths = EVERYTHING
) -> Peak:
    """The highest concentration of a window.

    Candidates are a grid, the doses, the ends of their inputs and resets; the neighbourhood of
    the best is then searched again and again at a fixed number of points, so that it can be
    mapped. A peak narrower than 1/32 of the window and between candidates can be missed. The
    derivative is that of the concentration at the time found.

    Args:
        doses: What was given.
        start: Start of the window [h].
        end: Its end [h].
        response: The body's unit response.
        paths: Branches to compile; must cover the doses (`Paths.of`).

    Returns:
        The peak; its time is found to about 1e-8 of the window.

    Example:
        >>> response = Response(*map(jnp.array, ([0.1], [0.02], [1.0], [1.0], [0.0])))
        >>> oral = Doses.of([0.0], 100.0, depot=1.0)
        >>> day, paths = (jnp.array(0.0), jnp.array(24.0)), Paths.of(oral)
        >>> peak(oral, *day, response=response, paths=paths).tmax.round(4)
        Array(2.5584, dtype=float64)
    """
    fixed, body = jax.tree.map(jax.lax.stop_gradient, (doses, response))

    def look(times: Array, order: Array | None = None) -> Array:
        return concentration(fixed, times, order, response=body, paths=paths)

    times = _candidates(fixed, start, end, body)
    twice = jnp.concatenate([times, times])  # just before and just after each
    order = jnp.concatenate([jnp.full_like(times, -jnp.inf), jnp.full_like(times, jnp.inf)])
    values = look(twice, order)
    best = jnp.argmax(values)
    top = twice[best]
    low = jnp.max(times, where=times < top, initial=-jnp.inf)
    high = jnp.min(times, where=times > top, initial=jnp.inf)

    def narrow(_: Array | int, state: tuple[Array, ...]) -> tuple[Array, ...]:
        low, high, cmax, tmax, side = state
        inner = jnp.linspace(low, high, _ZOOM)
        height = look(inner)
        at = jnp.argmax(height)
        better = height[at] > cmax
        cmax, tmax = jnp.where(better, height[at], cmax), jnp.where(better, inner[at], tmax)
        side = jnp.where(better, jnp.inf, side)
        below, above = jnp.maximum(at - 1, 0), jnp.minimum(at + 1, _ZOOM - 1)
        return inner[below], inner[above], cmax, tmax, side

    bracket = (jnp.maximum(low, start), jnp.minimum(high, end))
    state = (*bracket, values[best], top, order[best])
    *_, tmax, side = jax.lax.fori_loop(0, _LOOKS, narrow, state)
    cmax = concentration(doses, tmax[None], side[None], response=response, paths=paths)
    return Peak(cmax[0], tmax)


def _candidates(
    doses: Doses, start: Scalar, end: Scalar, response: Response
) -> Float[Array, " candidate"]:
    """Times at which to look first."""
    grid = jnp.linspace(start, end, _GRID)
    longest = jnp.max(response.alag, initial=0.0)
    entry = doses.time + jnp.where(doses.depot != 0, longest, 0.0)
    points = jnp.concatenate([grid, doses.time, entry, entry + doses.duration, doses.until])
    return jax.lax.stop_gradient(jnp.clip(points, start, end))


def trough(
    doses: Doses,
    time: Float[Array, " time"],
    *,
    response: Response,
    paths: Paths = EVERYTHING,
) -> Float[Array, " time"]:
    """Concentration just before whatever happens at a time.

    Args:
        doses: What was given.
        time: Times, usually of doses [h], shape (time,).
        response: The body's unit response.
        paths: Branches to compile; must cover the doses (`Paths.of`).

    Returns:
        Concentration [mg/L], shape (time,).

    Example:
        >>> response = Response(*map(jnp.array, ([0.1], [0.02], [], [], [])))
        >>> trough(Doses.of([0.0, 12.0], 100.0), jnp.array([12.0]), response=response).round(4)
        Array([0.6024], dtype=float64)
    """
    before = jnp.full_like(time, -jnp.inf)
    return concentration(doses, time, before, response=response, paths=paths)


def steady_exposure(dose: Doses, *, response: Response, paths: Paths = EVERYTHING) -> Exposure:
    """One interval of a regimen at steady state.

    Args:
        dose: One dose at time 0 with its `interval`; it is taken at steady state.
        response: The body's unit response.
        paths: Branches to compile; must include `steady`.

    Returns:
        The exposure over the interval.

    Example:
        >>> response = Response(*map(jnp.array, ([0.1], [0.02], [], [], [])))
        >>> regimen = Doses.of([0.0], 100.0, interval=12.0)
        >>> steady_exposure(regimen, response=response).auc.round(6)  # dose / CL
        Array(20., dtype=float64)
    """
    regimen = dose._replace(steady=jnp.ones_like(dose.steady))
    zero, interval = jnp.zeros_like(dose.interval[0]), dose.interval[0]
    area = auc(regimen, zero, interval, response=response, paths=paths)
    highest = peak(regimen, zero, interval, response=response, paths=paths)
    last = trough(regimen, interval[None], response=response, paths=paths)[0]
    return Exposure(area, area / interval, highest.cmax, highest.tmax, last)
