"""Concentration of a linear body after any doses: the sum of what each dose does alone."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from latentpk.kinetics.central import central_area
from latentpk.kinetics.decay import Scalar
from latentpk.kinetics.depot import Site, absorbed_area
from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.modal import Places, modal_amounts, over_doses
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

    def block(doses: list[Doses]) -> Scalar:
        return sum((_area(dose, response, paths, start, end) for dose in doses), 0.0 * start)

    return over_doses(doses, block, jnp.zeros_like(start))


def _area(dose: Doses, response: Response, paths: Paths, start: Scalar, end: Scalar) -> Scalar:
    """Area under the concentration of one dose."""
    first = jnp.maximum(start, dose.time) - dose.time
    last = jnp.maximum(jnp.minimum(end, dose.until) - dose.time, first)
    total = jnp.zeros_like(start)
    modes = list(zip(response.rate, response.weight, strict=True))
    if paths.central:
        area = sum(w * central_area(dose, rate, paths)(first, last) for rate, w in modes)
        total += jnp.where(dose.depot == 0, area, 0.0)
    if paths.depot:
        for share, ka, alag in zip(response.share, response.ka, response.alag, strict=True):
            area = sum(
                w * absorbed_area(dose, Site(ka, rate), paths)(first - alag, last - alag)
                for rate, w in modes
            )
            total += jnp.where(dose.depot != 0, share * ka * area, 0.0)
    return total
