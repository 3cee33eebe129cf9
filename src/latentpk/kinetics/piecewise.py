"""Concentration and amounts where the parameters change with time (covariates that do).

Everything that happens is an event: a dose enters, an input ends, a reset, new parameters, a
query. Events are sorted inside the program, because a lag is a parameter; between two of them
parameters and inputs are constant and the amounts move exactly.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from latentpk.kinetics.body import Body, Content, Inflow, bodies, moved
from latentpk.kinetics.doses import Doses, Own, Paths
from latentpk.kinetics.entries import Entries, Events, entries_of, given, nothing, past_events
from latentpk.kinetics.structure import Structure
from latentpk.kinetics.superposition import EVERYTHING


class Amounts(NamedTuple):
    """Amounts in the body [mg].

    Attributes:
        depot: At the absorption site, times F; a dose in its lag time is not yet there.
        central: In the central compartment.
        peripheral: In the others, in their order.
    """

    depot: Float[Array, " time"]
    central: Float[Array, " time"]
    peripheral: tuple[Float[Array, " time"], ...]


class Pieces(NamedTuple):
    """Parameters that change in steps.

    Attributes:
        change: From when each set holds, increasing [h]; the first also before.
        parameters: The sets, in the order of `Structure.names`.
    """

    change: Float[Array, " piece"]
    parameters: Float[Array, "piece parameter"]


def piecewise_concentration(  # noqa: PLR0913  (two of them are one model)
    doses: Doses,
    time: Float[Array, " time"],
    order: Float[Array, " time"] | None = None,
    *,
    structure: Structure,
    change: Float[Array, " piece"],
    parameters: Float[Array, "piece parameter"],
    paths: Paths = EVERYTHING,
) -> Float[Array, " time"]:
    """Concentration at each time, with parameters that change in steps.

    A dose's lag and F, and a steady state's past, are those of the parameters at its TIME. Where
    doses have an absorption of their own (`Doses.own`) so is the absorption rate, until all of the
    dose is absorbed: each is followed alone, and the courses are added. At a
    change the amounts stay and the concentration follows the new volume. A steady state of which
    more than two earlier doses are still to enter or still run after TIME gives nan.

    Args:
        doses: What was given.
        time: Times of the queries [h], shape (time,), in any order.
        order: Position of each query among its subject's records, shape (time,); by default
            after everything at the same time.
        structure: The compartment model.
        change: From when each set of parameters holds, increasing [h], shape (piece,).
        parameters: In the order of `structure.names`, shape (piece, parameter).
        paths: Branches to compile; must cover the doses (`Paths.of`).

    Returns:
        Concentration [mg/L], shape (time,), never negative.

    Example:
        >>> clearing = jnp.array([[0.0, 50.0], [5.0, 50.0]])  # CL from 0 to 5 L/h after 1 h
        >>> bolus, times = Doses.of([0.0], 100.0), jnp.array([1.0, 6.0])
        >>> model = dict(structure=Structure.parse("1c-iv"), change=jnp.array([0.0, 1.0]))
        >>> piecewise_concentration(bolus, times, parameters=clearing, **model).round(3)
        Array([2.   , 1.213], dtype=float64)
    """
    pieces = Pieces(change, parameters)
    if doses.own is not None:
        each = doses._replace(own=None), doses.own
        return _each_alone(each, time, order, structure=structure, pieces=pieces, paths=paths)
    amounts = piecewise_amounts(doses, time, order, structure=structure, pieces=pieces, paths=paths)
    volume = parameters[:, structure.names.index("v1")][_piece(change, time)]
    return jnp.maximum(amounts.central, 0.0) / volume


def _each_alone(
    each: tuple[Doses, Own],
    time: Float[Array, " time"],
    order: Float[Array, " time"] | None,
    *,
    structure: Structure,
    pieces: Pieces,
    paths: Paths,
) -> Float[Array, " time"]:
    """The sum of the courses of doses that are not absorbed alike, each with its own held."""
    names = structure.names
    held = [names.index(name) for name in ("ka", "alag") if name in names]
    columns = jnp.asarray(held, int)

    def course(one: tuple[Doses, Own]) -> Array:
        dose, own = one
        share = jnp.where(dose.depot != 0, own.f, 1.0)
        dose = dose._replace(amount=dose.amount * share, rate=dose.rate * share)
        then = pieces.parameters[_piece(pieces.change, dose.time[None])[0], columns]
        factors = jnp.stack([own.ka, own.alag])[: len(held)]
        return piecewise_concentration(
            jax.tree.map(lambda x: x[None], dose),
            time,
            order,
            structure=structure,
            change=pieces.change,
            parameters=pieces.parameters.at[:, columns].set(then * factors),
            paths=paths,
        )

    return jnp.sum(jax.vmap(course)(each), axis=0)


def piecewise_amounts(
    doses: Doses,
    time: Float[Array, " time"],
    order: Float[Array, " time"] | None = None,
    *,
    structure: Structure,
    pieces: Pieces,
    paths: Paths = EVERYTHING,
) -> Amounts:
    """Amounts in every compartment at each time; see `piecewise_concentration`.

    Args:
        doses: What was given.
        time: Times of the queries [h], shape (time,).
        order: Their orders, shape (time,).
        structure: The compartment model.
        pieces: The parameters and when they change.
        paths: Branches to compile; must cover the doses.

    Returns:
        Amounts [mg], each of shape (time,).

    Example:
        >>> pieces = Pieces(jnp.zeros(1), jnp.array([[5.0, 50.0, 1.0]]))
        >>> oral, hour = Doses.of([0.0], 100.0, depot=1.0), jnp.ones(1)
        >>> structure = Structure.parse("1c-oral")
        >>> piecewise_amounts(oral, hour, structure=structure, pieces=pieces).depot.round(3)
        Array([36.788], dtype=float64)
    """
    latest = jnp.full_like(time, jnp.inf) if order is None else order
    body = bodies(structure, pieces.parameters)
    at_dose = _piece(pieces.change, doses.time)
    gifts = given(doses, structure, pieces.parameters[at_dose])
    entries, lost = entries_of(doses, gifts, structure, paths)
    # the queries come first: their place among the sorted events is read off below
    parts = [nothing(time, latest, structure, phase=0), nothing(pieces.change, None, structure)]
    parts.append(nothing(entries.start, entries.order, structure, phase=2, gain=entries.at_once))
    parts.append(nothing(doses.until, doses.until_order, structure, phase=1, keep=0.0))
    if jax.tree.leaves(entries.flow):
        parts.append(nothing(entries.stop, None, structure))
    if paths.steady:
        there = jax.tree.map(lambda x: x[at_dose], body)
        parts.append(past_events(doses, gifts, there, structure))
    events = jax.tree.map(lambda *rows: jnp.concatenate(rows), *parts)
    events = events._replace(time=jnp.minimum(events.time, jnp.max(time) + 1))  # no endless step
    ranked = jnp.lexsort((events.phase, events.order, events.time))
    contents = _run(jax.tree.map(lambda x: x[ranked], events), entries, body, pieces.change)
    place = jnp.argsort(ranked)[: time.shape[0]]
    known = jnp.where(lost, jnp.nan, 1.0).astype(time.dtype)
    site, central, *peripheral = (x[place] * known for x in (contents.site, *contents.inside))
    return Amounts(site, central, tuple(peripheral))


def _run(events: Events, entries: Entries, body: Body, change: Float[Array, " piece"]) -> Content:
    """Move from event to event; the content just after each."""
    begin = jnp.concatenate([events.time[:1], events.time[:-1]])
    during = jax.tree.map(lambda x: x[_piece(change, begin)], body)
    active = (entries.start <= begin[:, None]) & (entries.stop >= events.time[:, None])
    inflow = jax.tree.map(lambda flow: jnp.sum(jnp.where(active, flow, 0.0), 1), entries.flow)
    empty = jax.tree.map(lambda x: jnp.zeros_like(x[0]), events.gain)

    def step(content: Content, row: tuple[Events, Body, Inflow, Array]) -> tuple[Content, Content]:
        event, body, inflow, length = row
        content = moved(body, content, inflow, length)
        content = jax.tree.map(lambda x, gain: x * event.keep + gain, content, event.gain)
        return content, content

    return jax.lax.scan(step, empty, (events, during, inflow, events.time - begin))[1]


def _piece(change: Float[Array, " piece"], time: Float[Array, " n"]) -> Int[Array, " n"]:
    """Index of the parameters in force."""
    return jnp.maximum(jnp.sum(change <= time[:, None], axis=1) - 1, 0)
