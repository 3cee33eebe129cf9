"""Courses of linear bodies that are named by their equations: what every dose does, added up."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentpk.kinetics.decay import Scalar
from latentpk.kinetics.delayed import delayed_area, delayed_concentration
from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.superposition import auc, concentration
from latentpk.kinetics.system import Named, Superposed


def superposed_concentration(
    doses: Doses,
    time: Float[Array, " time"],
    order: Float[Array, " time"],
    *,
    system: Superposed,
    p: Named,
    paths: Paths,
) -> Float[Array, " time"]:
    """Concentration at each time, with parameters that do not change.

    Args:
        doses: What was given, amounts [mg], times [h].
        time: Times of the queries [h], shape (time,), in any order.
        order: Position of each query among its subject's records, shape (time,).
        system: The body.
        p: Its parameters by name.
        paths: Branches to compile; must cover the doses.

    Returns:
        Concentration [mg/L], shape (time,), never negative.

    Raises:
        InputError: Doses at steady state through transit compartments.

    Example:
        >>> from latentpk.kinetics.systems import parse_system
        >>> system, one = parse_system("1c-transit"), jnp.ones(1)
        >>> oral = Doses.of([0.0], 100.0, depot=1.0)
        >>> p = system.named(jnp.array([5.0, 50.0, 2.0, 5.7]))  # cl, v1, mtt, n
        >>> model = dict(system=system, p=p, paths=Paths.of(oral))
        >>> superposed_concentration(oral, 4 * one, one, **model).round(4)
        Array([1.6093], dtype=float64)
    """
    response, delay = system.response(p), system.delay(p)
    if delay is None:
        return concentration(doses, time, order, response=response, paths=paths)
    return delayed_concentration(doses, time, order, response=response, delay=delay, paths=paths)


def superposed_area(
    doses: Doses, window: tuple[Scalar, Scalar], *, system: Superposed, p: Named, paths: Paths
) -> Scalar:
    """Area under the concentration over a window, in closed form; arguments as above.

    Returns:
        The area [mg h/L], never negative.
    """
    response, delay = system.response(p), system.delay(p)
    if delay is None:
        return auc(doses, *window, response=response, paths=paths)
    ends = jnp.stack(window)
    area = delayed_area(doses, ends, response=response, delay=delay, paths=paths)
    return jnp.maximum(area[1] - area[0], 0.0)


def superposed_half_life(system: Superposed, p: Named) -> float:
    """Half-life of the slowest of its modes, its absorption and its transit [h].

    Args:
        system: The body.
        p: Concrete parameters by name; not traced.

    Example:
        >>> from latentpk.kinetics.systems import parse_system
        >>> system = parse_system("1c-transit")
        >>> p = system.named(jnp.array([5.0, 50.0, 2.0, 5.7]))
        >>> print(f"{superposed_half_life(system, p):.3f}")
        6.931
    """
    response, delay = system.response(p), system.delay(p)
    rates: Sequence[Array] = [response.rate, response.ka]
    if delay is not None:
        rates = [*rates, ((delay.transits + 1) / delay.mean)[None]]
    decay = np.concatenate([np.asarray(jax.device_get(rate)) for rate in rates])
    return float(np.log(2) / decay[decay > 0].min()) if (decay > 0).any() else float("nan")
