r"""Concentration of a linear body after any doses: the sum of what each dose does alone.

The work of one query is unrolled into scalars (doses, modes and sites are Python loops), and
queries are mapped: under `vmap` over draws every array is one long vector over the draws, which
XLA's CPU code needs to vectorize. Small trailing axes (of modes or doses) would cost three times
as much. Doses go through in blocks, so that the compiled program does not grow with them.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from latentpk.kinetics.central import central_amount, central_area
from latentpk.kinetics.depot import Site, absorbed_amount, absorbed_area
from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.response import Response
from latentpk.kinetics.steady import entered

Scalar = Float[Array, ""]

EVERYTHING = Paths()
_BLOCK = 4  # doses unrolled in one program: more compile slower and run little faster


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
    queries = (time, jnp.full_like(time, jnp.inf) if order is None else order)

    def block(doses: list[Doses]) -> Float[Array, " time"]:
        kernels = [_dose(dose, response, paths) for dose in doses]
        return jax.lax.map(lambda query: sum(kernel(*query) for kernel in kernels), queries)

    return over_doses(doses, block, jnp.zeros_like(time))


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


def over_doses(
    doses: Doses, block: Callable[[list[Doses]], Array], zero: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """Sum of what every block of doses contributes.

    Args:
        doses: All doses.
        block: Takes a few single doses (scalar fields), gives their sum.
        zero: Where the sum starts; it has the sum's shape.

    Returns:
        The sum over all doses.

    Example:
        >>> doses = Doses.of([0.0, 12.0, 24.0, 36.0, 48.0], 100.0)
        >>> over_doses(doses, lambda few: sum(dose.amount for dose in few), jnp.zeros(()))
        Array(500., dtype=float64)
    """
    count = doses.time.shape[0]
    size = min(_BLOCK, count)
    if size == 0:
        return zero

    def step(total: Array, rows: Doses) -> tuple[Array, None]:
        single = [Doses(*(field[i] for field in rows)) for i in range(size)]
        return total + block(single), None

    blocks = -(-count // size)
    rows = Doses(
        *(jnp.pad(field, (0, blocks * size - count)).reshape(blocks, size) for field in doses)
    )
    if blocks == 1:
        return step(zero, Doses(*(field[0] for field in rows)))[0]
    return jax.lax.scan(step, zero, rows)[0]


def _dose(dose: Doses, response: Response, paths: Paths) -> Callable[[Scalar, Scalar], Scalar]:
    """Concentration of one dose at (time, order)."""
    modes = list(zip(response.rate, response.weight, strict=True))
    sites = list(zip(response.share, response.ka, response.alag, strict=True))
    direct = [(w, central_amount(dose, rate, paths)) for rate, w in modes] if paths.central else []
    through = [
        (share * ka, alag, [(w, absorbed_amount(dose, Site(ka, rate), paths)) for rate, w in modes])
        for share, ka, alag in sites * paths.depot
    ]

    def at(time: Scalar, order: Scalar) -> Scalar:
        present, since = _present(dose, time, order), time - dose.time
        passed = jnp.maximum(since, 0.0)
        total = jnp.zeros_like(time)
        if direct:
            here = present & (dose.depot == 0)
            total += jnp.where(here, sum(w * kernel(passed) for w, kernel in direct), 0.0)
        for scale, alag, kernels in through:
            inside, reached = entered(dose, alag, since, steady=paths.steady)
            here = present & reached & (dose.depot != 0)
            value = scale * sum(w * kernel(inside) for w, kernel in kernels)
            total += jnp.where(here, value, 0.0)
        return total

    return at


def _present(dose: Doses, time: Scalar, order: Scalar) -> Bool[Array, ""]:
    given = (dose.time < time) | ((dose.time == time) & (dose.order < order))
    cancelled = (dose.until < time) | ((dose.until == time) & (dose.until_order < order))
    return given & ~cancelled
