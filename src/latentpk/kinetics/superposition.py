"""Concentration of a linear body after any doses: the sum of what each dose does alone."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from latentpk.kinetics.central import central_area
from latentpk.kinetics.decay import Scalar
from latentpk.kinetics.depot import Site, absorbed_area
from latentpk.kinetics.doses import Doses, Own, Paths
from latentpk.kinetics.modal import Places, modal_amounts
from latentpk.kinetics.response import Response

EVERYTHING = Paths()
TOGETHER = 4  # doses with an absorption of their own


def concentration(
    doses: Doses,
    time: Float[Array, " time"],
    order: Float[Array, " time"] | None = None,
    *,
    response: Response,
    paths: Paths = EVERYTHING,
) -> Float[Array, " time"]:
    r"""Concentration at each time.

    Assumes linear kinetics with parameters that do not change (see `piecewise` where they do).
    Where doses have an absorption of their own (`Doses.own`) each has its own unit response,

    .. math:: C(t) = \sum_d C_d(t; k_{a,d}, F_d, t_{lag,d})

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
    if doses.own is not None:
        each = doses._replace(own=None), doses.own
        return _each_alone(each, time, latest, response=response, paths=paths)
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
        if dose.own is not None:
            share, ka, alag = share * dose.own.f, ka * dose.own.ka, alag * dose.own.alag
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


def _each_alone(
    each: tuple[Doses, Own],
    time: Float[Array, " time"],
    order: Float[Array, " time"],
    *,
    response: Response,
    paths: Paths,
) -> Float[Array, " time"]:
    """The sum over doses that are not absorbed alike, a few at once: that compiles faster."""
    count = each[0].time.shape[0]
    size = math.gcd(count, TOGETHER)
    blocks = jax.tree.map(lambda x: x.reshape(count // size, size, *x.shape[1:]), each)

    def alone(one: tuple[Doses, Own]) -> Array:
        single, own = jax.tree.map(lambda x: x[None], one[0]), one[1]
        mine = response._replace(
            share=response.share * own.f, ka=response.ka * own.ka, alag=response.alag * own.alag
        )
        return concentration(single, time, order, response=mine, paths=paths)

    def step(total: Array, block: tuple[Doses, Own]) -> tuple[Array, None]:
        return total + jnp.sum(jax.vmap(alone)(block), axis=0), None

    return jax.lax.scan(step, jnp.zeros_like(time), blocks)[0]


def _summed(function: Callable[..., Scalar], zero: Scalar, *axes: tuple[Any, ...]) -> Scalar:
    """Sum over the leading axis of each tree in turn: loops of scalars, small to compile."""
    if not axes:
        return function()

    def step(total: Scalar, row: tuple[Any, ...]) -> tuple[Scalar, None]:
        return total + _summed(partial(function, row), zero, *axes[1:]), None

    return jax.lax.scan(step, zero, axes[0])[0]
