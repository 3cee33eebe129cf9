r"""Amounts of all doses in every mode, and their derivatives by the rates.

The work of one query is unrolled into scalars (modes and sites are Python loops), and
queries are mapped: under `vmap` over draws every array is one long vector over the draws, which
is what XLA's CPU code vectorizes. Small trailing axes (of modes or doses) cost three times as
much. Doses go through in a loop, so that the program does not grow with them; unrolling two or
more per turn compiles longer and runs no faster.

Mode m depends on its own rate alone, and what came through site s on its ka and lag: three
forward derivatives give the whole Jacobian, however many inputs and tangents. Differentiating
the loops in reverse would cost fifty times the value.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Bool, Float

from latentpk.kinetics.central import central_amount
from latentpk.kinetics.decay import Scalar
from latentpk.kinetics.depot import Site, absorbed_amount
from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.steady import entered


class Places(NamedTuple):
    """What of a unit response the amounts depend on nonlinearly.

    Attributes:
        rate: Rates of the modes [1/h].
        ka: Absorption rate of each site [1/h].
        alag: Lag of each site [h].
    """

    rate: Float[Array, " mode"]
    ka: Float[Array, " site"]
    alag: Float[Array, " site"]


class Amounts(NamedTuple):
    """Amounts at every query; tuples, not axes, so that each array is a vector over draws.

    Attributes:
        direct: Of the central doses, one array (time,) per mode [mg].
        through: Of the others, per site and mode, per unit of ka [mg h].
    """

    direct: tuple[Float[Array, " time"], ...]
    through: tuple[tuple[Float[Array, " time"], ...], ...]


Query = tuple[Float[Array, " time"], Float[Array, " time"]]


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def modal_amounts(paths: Paths, doses: Doses, query: Query, places: Places) -> Amounts:
    """Amounts of all doses in every mode.

    Args:
        paths: Branches to compile.
        doses: What was given.
        query: Times [h] and orders, each of shape (time,).
        places: Rates and lags.

    Returns:
        The amounts at each query.

    Example:
        >>> empty = jnp.zeros(0)
        >>> places, query = Places(jnp.log(2.0)[None], empty, empty), (jnp.ones(1), jnp.ones(1))
        >>> modal_amounts(Paths.none(), Doses.of([0.0], 8.0), query, places).direct
        (Array([4.], dtype=float64),)
    """
    sites = list(zip(places.ka, places.alag, strict=True))
    zero = jnp.zeros_like(query[0])
    each = tuple(zero for _ in places.rate)

    def one(dose: Doses) -> Amounts:
        at = _dose(dose, list(places.rate), sites, paths)
        nothing = Amounts(
            tuple(zero[0] for _ in places.rate) if paths.central else (),
            tuple(tuple(zero[0] for _ in places.rate) for _ in sites if paths.depot),
        )

        def moment(now: tuple[Scalar, Scalar]) -> Amounts:
            # under vmap over draws alone this is a branch: nothing is computed before the dose
            return jax.lax.cond(counts(dose, *now), lambda: at(*now), lambda: nothing)

        return jax.lax.map(moment, query)

    start = Amounts(each if paths.central else (), tuple(each for _ in sites if paths.depot))
    return _summed(one, doses, start)


@partial(modal_amounts.defjvp, symbolic_zeros=True)
def _modal_amounts_jvp(
    paths: Paths, primals: tuple[Doses, Query, Places], tangents: tuple[Any, Any, Any]
) -> tuple[Amounts, Amounts]:
    value = partial(modal_amounts.fun, paths)
    full = jax.tree.map(_instantiated, tangents, primals)
    if not all(isinstance(leaf, SymbolicZero) for leaf in jax.tree.leaves(tangents[:2])):
        return jax.jvp(value, primals, full)
    doses, query, places = primals
    one, zero = jax.tree.map(jnp.ones_like, places), jax.tree.map(jnp.zeros_like, places)
    units = [zero._replace(rate=one.rate)]
    if paths.depot:
        units += [zero._replace(ka=one.ka), zero._replace(alag=one.alag)]
    amounts, slopes = jax.vmap(
        lambda unit: jax.jvp(partial(value, doses, query), (places,), (unit,)), out_axes=(None, 0)
    )(jax.tree.map(lambda *rows: jnp.stack(rows), *units))
    return amounts, _combined(slopes, full[2])


def _combined(slopes: Amounts, change: Places) -> Amounts:
    """The change of the amounts, linear in the change of the rates and lags."""
    rates = list(change.rate)
    return Amounts(
        tuple(slope[0] * rate for slope, rate in zip(slopes.direct, rates, strict=False)),
        tuple(
            tuple(
                slope[0] * rate + slope[1] * ka + slope[2] * alag
                for slope, rate in zip(row, rates, strict=True)
            )
            for row, ka, alag in zip(slopes.through, change.ka, change.alag, strict=False)
        ),
    )


def _instantiated(tangent: Any, primal: Array) -> Any:
    return jnp.zeros_like(primal) if isinstance(tangent, SymbolicZero) else tangent


def _summed(one: Callable[[Doses], Amounts], doses: Doses, zero: Amounts) -> Amounts:
    """Sum over doses of what each gives."""

    def step(total: Amounts, dose: Doses) -> tuple[Amounts, None]:
        return jax.tree.map(jnp.add, total, one(dose)), None

    return jax.lax.scan(step, zero, doses)[0]


def _dose(
    dose: Doses, rates: list[Scalar], sites: list[tuple[Scalar, Scalar]], paths: Paths
) -> Callable[[Scalar, Scalar], Amounts]:
    """Amounts of one dose at (time, order)."""
    direct = [central_amount(dose, rate, paths) for rate in rates if paths.central]
    through = [
        (alag, [absorbed_amount(dose, Site(ka, rate), paths) for rate in rates])
        for ka, alag in sites
        if paths.depot
    ]

    def at(time: Scalar, order: Scalar) -> Amounts:
        present, since = counts(dose, time, order), time - dose.time
        passed = jnp.maximum(since, 0.0)
        here = present & (dose.depot == 0)
        central = tuple(jnp.where(here, kernel(passed), 0.0) for kernel in direct)
        rows = []
        for alag, kernels in through:
            inside, reached = entered(dose, alag, since, steady=paths.steady)
            here = present & reached & (dose.depot != 0)
            rows.append(tuple(jnp.where(here, kernel(inside), 0.0) for kernel in kernels))
        return Amounts(central, tuple(rows))

    return at


def counts(dose: Doses, time: Scalar, order: Scalar) -> Bool[Array, ""]:
    """Whether a dose was given before (time, order) and not cancelled by then.

    Args:
        dose: One dose (scalar fields).
        time: When [h].
        order: Order among records of that time.
    """
    given = (dose.time < time) | ((dose.time == time) & (dose.order < order))
    cancelled = (dose.until < time) | ((dose.until == time) & (dose.until_order < order))
    return given & ~cancelled
