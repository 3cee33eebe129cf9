r"""Concentration of a linear body after any doses: the sum of what each dose does alone.

Every dose contributes amount x kernel(time since it entered), and the kernel is a sum over modes.
What depends on (dose, mode) alone is prepared once, so that a (query, dose, mode) costs one
exponential. The work of one query is a sum over doses of scalars, which `vmap` over draws turns
into elementwise loops.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from latentpk.kinetics.decay import NEAR, decay_difference, mean_decay, mean_decay_series
from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.response import Response

Scalar = Float[Array, ""]
PerDose = Float[Array, " dose"]

EVERYTHING = Paths()


def concentration(
    doses: Doses,
    time: Float[Array, " time"],
    order: Float[Array, " time"] | None = None,
    *,
    response: Response,
    paths: Paths = EVERYTHING,
) -> Float[Array, " time"]:
    """Concentration at each time.

    Assumes linear kinetics with parameters that do not change (see `piecewise` where they do).
    A dose counts where (its time, its order) comes before (time, order).

    Args:
        doses: What was given, amounts [mg], times [h].
        time: Times of the queries [h], shape (time,), in any order.
        order: Position of each query among its subject's records, shape (time,); by default
            after everything at the same time.
        response: The body's unit response.
        paths: Branches to compile; must cover the doses (`Paths.of`).

    Returns:
        Concentration [mg/L], shape (time,), never negative.

    Example:
        >>> response = Response(*map(jnp.array, ([0.1], [0.02], [], [], [])))
        >>> concentration(Doses.of([0.0], 100.0), jnp.array([0.0, 5.0]), response=response).round(3)
        Array([2.   , 1.213], dtype=float64)
    """
    order = jnp.full_like(time, jnp.inf) if order is None else order
    prepared = _prepare(doses, response, paths)
    return jax.vmap(lambda t, o: _at(doses, prepared, response, paths, t, o))(time, order)


class _Mode(NamedTuple):
    """What one mode needs of each dose, whatever the query."""

    complete: PerDose  # share of the amount left at the end of the infusion
    scale: PerDose  # 1 / (rate x duration), only used where that is not small
    again: PerDose  # 1 / (1 - exp(-rate x interval)): accumulation; 1 for plain doses
    stopped: PerDose  # amount of a constant infusion at steady state [mg]


def _prepare(doses: Doses, response: Response, paths: Paths) -> tuple[_Mode, ...]:
    repeated = (doses.steady == 1) | (doses.steady == 2)
    eps = jnp.finfo(response.rate.dtype).eps
    modes = []
    for rate in response.rate:
        load = rate * doses.duration
        cycle = jnp.maximum(jnp.where(repeated, rate * doses.interval, 1.0), eps)
        modes.append(
            _Mode(
                complete=mean_decay(load),
                scale=1 / jnp.maximum(load, NEAR),
                again=jnp.where(repeated, 1 / (cycle * mean_decay(cycle)), 1.0),
                stopped=jnp.where(doses.steady == 3, doses.rate, 0.0) / jnp.maximum(rate, eps),
            )
        )
    return tuple(modes)


def _present(doses: Doses, time: Scalar, order: Scalar) -> Bool[Array, " dose"]:
    given = (doses.time < time) | ((doses.time == time) & (doses.order < order))
    cancelled = (doses.until < time) | ((doses.until == time) & (doses.until_order < order))
    return given & ~cancelled


def _at(
    doses: Doses,
    prepared: tuple[_Mode, ...],
    response: Response,
    paths: Paths,
    time: Scalar,
    order: Scalar,
) -> Scalar:
    """Concentration at one time."""
    present = _present(doses, time, order)
    since = time - doses.time
    total = jnp.zeros_like(doses.time)
    if paths.central:
        given = jnp.where(present & (doses.depot == 0), doses.amount, 0.0)
        for rate, weight, mode in zip(response.rate, response.weight, prepared, strict=True):
            total += weight * given * _central(doses, rate, mode, paths, jnp.maximum(since, 0.0))
    if paths.depot:
        given = jnp.where(present & (doses.depot != 0), doses.amount, 0.0)
        for share, ka, alag in zip(response.share, response.ka, response.alag, strict=True):
            entered = since - alag
            site = jnp.zeros_like(total)
            for rate, weight in zip(response.rate, response.weight, strict=True):
                site += weight * decay_difference(rate, ka, jnp.maximum(entered, 0.0))
            total += share * ka * given * site
    return jnp.sum(total)


def _central(doses: Doses, rate: Scalar, mode: _Mode, paths: Paths, since: PerDose) -> PerDose:
    """Share of a central dose that is in this mode, `since` after its start."""
    if not paths.infusion:
        return jnp.exp(-rate * since)
    running = since < doses.duration
    x = rate * jnp.where(running, since, since - doses.duration)
    decay = jnp.exp(-x)
    near = running & (x < NEAR)
    passed = since / jnp.where(running, doses.duration, 1.0)
    series = passed * mean_decay_series(jnp.where(near, x, 0.0))
    begun = jnp.where(near, series, (1 - decay) * mode.scale)
    return jnp.where(running, begun, decay * mode.complete)
