"""Concentration of a linear body after any doses: the sum of what each dose does alone."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from latentpk.kinetics.central import central_area
from latentpk.kinetics.decay import Scalar
from latentpk.kinetics.depot import Site, absorbed_area
from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.modal import Places, modal_amounts
from latentpk.kinetics.response import Response

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
    latest = jnp.full_like(time, jnp.inf) if order is None else order
    places = Places(response.rate, response.ka, response.alag)
    amounts = modal_amounts(paths, doses, (time, latest), places)
    total = jnp.zeros_like(time)
    for weight, amount in zip(response.weight, amounts.direct, strict=False):
        total += weight * amount
    for share, ka, row in zip(response.share, response.ka, amounts.through, strict=False):
        for weight, amount in zip(response.weight, row, strict=True):
            total += share * ka * weight * amount
    return total


def auc(
    doses: Doses,
    start: Scalar,
    end: Scalar,
    *,
    response: Response,
    paths: Paths = EVERYTHING,
) -> Scalar:
    """Area under the concentration over a window, in closed form.

    Args:
        doses: What was given, amounts [mg], times [h].
        start: Start of the window [h]; before the first dose adds nothing.
        end: Its end, finite, not before its start [h].
        response: The body's unit response.
        paths: Branches to compile; must cover the doses (`Paths.of`).

    Returns:
        The area [mg h/L], never negative.

    Example:
        >>> response = Response(*map(jnp.array, ([0.1], [0.02], [], [], [])))
        >>> auc(Doses.of([0.0], 100.0), jnp.array(0.0), jnp.array(24.0), response=response).round(3)
        Array(18.186, dtype=float64)
    """
    zero = jnp.zeros((), jnp.result_type(start))
    modes = (response.rate, response.weight)
    sites = (response.share, response.ka, response.alag)
    begin = jnp.maximum(start, doses.time) - doses.time
    finish = jnp.maximum(jnp.minimum(end, doses.until) - doses.time, begin)
    windows = (doses, begin, finish)

    def direct(mode: tuple[Scalar, Scalar], window: tuple[Doses, Scalar, Scalar]) -> Scalar:
        dose, first, last = window
        return jax.lax.cond(  # under vmap over draws a branch: what does not count costs nothing
            (dose.depot == 0) & (last > first),
            lambda: mode[1] * central_area(dose, mode[0], paths)(first, last),
            lambda: zero,
        )

    def through(
        site: tuple[Scalar, ...], mode: tuple[Scalar, Scalar], window: tuple[Doses, Scalar, Scalar]
    ) -> Scalar:
        dose, first, last = window
        share, ka, alag = site
        area = absorbed_area(dose, Site(ka, mode[0]), paths)
        return jax.lax.cond(
            (dose.depot != 0) & (last > first),
            lambda: share * ka * mode[1] * area(first - alag, last - alag),
            lambda: zero,
        )

    total = zero
    if paths.central:
        total += _summed(direct, zero, modes, windows)
    if paths.depot:
        total += _summed(through, zero, sites, modes, windows)
    return total


def _summed(function: Callable[..., Scalar], zero: Scalar, *axes: tuple[Any, ...]) -> Scalar:
    """Sum over the leading axis of each tree in turn: loops of scalars, small to compile."""
    if not axes:
        return function()

    def step(total: Scalar, row: tuple[Any, ...]) -> tuple[Scalar, None]:
        return total + _summed(partial(function, row), zero, *axes[1:]), None

    return jax.lax.scan(step, zero, axes[0])[0]
