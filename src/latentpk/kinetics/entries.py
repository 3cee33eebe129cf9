"""Doses as events in time, for bodies whose parameters change: what enters, when, and from where.

Parameters are those at each dose's TIME. A dose at steady state is what its past has left in the
body at TIME, the earlier doses that are still to enter (a lag longer than II) or still run (an
infusion longer than II), and the dose itself.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from latentpk.kinetics.body import Body, Content, Inflow, constant, moved, repeated
from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.steady import above_zero, is_repeated, pace, standing
from latentpk.kinetics.structure import Structure

PerDose = Float[Array, " dose"]

_COPIES = 2  # earlier doses of a steady state that may still enter or run; more are `lost`


class Gifts(NamedTuple):
    """Doses with their absorption's parameters applied.

    Attributes:
        lag: Time from TIME to the entry [h].
        at_once: Amount that enters at once [mg], times F.
        flow: Rate of the zero-order input [mg/h], times F.
        level: Rate of a constant infusion that stops [mg/h], times F.
        interval: II where repeated, else 1 [h].
    """

    lag: PerDose
    at_once: PerDose
    flow: PerDose
    level: PerDose
    interval: PerDose


class Entries(NamedTuple):
    """Single inputs, in time.

    Attributes:
        start: When it enters [h].
        stop: When its zero-order input ends [h].
        order: Order of its start among records of the same time.
        at_once: What enters at once [mg].
        flow: Zero-order input [mg/h].
    """

    start: Float[Array, " entry"]
    stop: Float[Array, " entry"]
    order: Float[Array, " entry"]
    at_once: Content
    flow: Inflow


class Events(NamedTuple):
    """What happens when: the content is multiplied by `keep`, then `gain` is added.

    Attributes:
        time: When [h].
        order: Order among events of the same time.
        phase: Order among events of the same time and order: queries, resets, doses.
        keep: 0 for a reset, else 1.
        gain: Amounts added [mg].
    """

    time: Float[Array, " event"]
    order: Float[Array, " event"]
    phase: Float[Array, " event"]
    keep: Float[Array, " event"]
    gain: Content


def given(doses: Doses, structure: Structure, rows: Float[Array, "dose parameter"]) -> Gifts:
    """The doses with their absorption's parameters applied.

    Args:
        doses: What was given.
        structure: The compartment model.
        rows: The parameters at each dose, shape (dose, parameter).

    Returns:
        What enters, and how late.

    Example:
        >>> structure = Structure.parse("1c-oral-lag")
        >>> rows = jnp.array([[5.0, 50.0, 1.0, 0.5]])
        >>> given(Doses.of([0.0], 100.0, depot=1.0), structure, rows).lag
        Array([0.5], dtype=float64)
    """
    named = dict(zip(structure.names, rows.T, strict=True))
    absorbed = doses.depot != 0
    one, zero = jnp.ones_like(doses.time), jnp.zeros_like(doses.time)
    lag = jnp.where(absorbed, named.get("alag", zero), 0.0)
    scale = jnp.where(absorbed, named.get("f", one), 1.0)
    slow = doses.duration > 0
    return Gifts(
        lag=lag,
        at_once=jnp.where(slow, 0.0, doses.amount) * scale,
        flow=jnp.where(slow, pace(doses), 0.0) * scale,
        level=standing(doses) * scale,
        interval=jnp.where(is_repeated(doses), doses.interval, 1.0),
    )


def entries_of(
    doses: Doses, gifts: Gifts, structure: Structure, paths: Paths
) -> tuple[Entries, Bool[Array, ""]]:
    """Every input of the doses after their TIME.

    Args:
        doses: What was given.
        gifts: The same with the absorption's parameters applied.
        structure: The compartment model.
        paths: Branches to compile.

    Returns:
        The inputs, and whether a steady state has more of them than are kept.

    Example:
        >>> structure, doses = Structure.parse("1c-iv"), Doses.of([3.0], 100.0, duration=1.0)
        >>> gifts = given(doses, structure, jnp.array([[5.0, 50.0]]))
        >>> entries_of(doses, gifts, structure, Paths.of(doses))[0].stop
        Array([4.], dtype=float64)
    """
    again = is_repeated(doses)
    copies = _COPIES if paths.steady and (structure.lag or paths.overlap) else 0
    pending = jnp.ceil((gifts.lag + doses.duration) / gifts.interval) - 1
    parts = [_entry(doses, gifts, k, structure, paths) for k in range(copies + 1)]
    entries = jax.tree.map(lambda *rows: jnp.concatenate(rows), *parts)
    return entries, jnp.any(again & (pending > copies))


def _entry(doses: Doses, gifts: Gifts, copy: int, structure: Structure, paths: Paths) -> Entries:
    """The doses themselves (copy 0), or those `copy` intervals before them at steady state."""
    enter = doses.time + gifts.lag - copy * gifts.interval
    start, stop = jnp.maximum(enter, doses.time), enter + doses.duration
    flow, valid = gifts.flow, doses.until >= start
    if copy > 0:
        valid &= is_repeated(doses)
    else:  # a constant infusion into the site goes on for the lag
        stopped = doses.steady == 3
        flow, start = flow + gifts.level, jnp.where(stopped, doses.time, start)
    at_once = jnp.where(valid & ((enter > doses.time) | (copy == 0)), gifts.at_once, 0.0)
    flow = jnp.where(valid & (stop > start), flow, 0.0)
    absorbed = doses.depot != 0
    into_site = structure.oral and (paths.release or (paths.steady and structure.lag))
    return Entries(
        start=start,
        stop=jnp.minimum(stop, doses.until),
        order=jnp.where(start > doses.time, -jnp.inf, doses.order),
        at_once=_placed(doses, at_once, structure),
        flow=Inflow(
            jnp.where(absorbed, 0.0, flow) if paths.infusion else None,
            jnp.where(absorbed, flow, 0.0) if into_site else None,
        ),
    )


def _placed(doses: Doses, amount: PerDose, structure: Structure) -> Content:
    """Amounts in the compartment each dose goes into."""
    zero = jnp.zeros_like(amount)
    site, central = (jnp.where(doses.depot == side, amount, 0.0) for side in (1, 0))
    return Content(site, (central, *(zero for _ in range(1, structure.compartments))))


def nothing(
    time: Float[Array, " event"],
    order: Float[Array, " event"] | None,
    structure: Structure,
    *,
    phase: float = 1.0,
    keep: float = 1.0,
    gain: Content | None = None,
) -> Events:
    """Events at given times which, unless told otherwise, change nothing.

    Args:
        time: When [h], shape (event,).
        order: Order among records of the same time; None is before all.
        structure: The compartment model.
        phase: Order among events of the same time and order.
        keep: What the content is multiplied by.
        gain: What is then added [mg]; None is nothing.

    Returns:
        The events.

    Example:
        >>> nothing(jnp.array([1.0]), None, Structure.parse("1c-iv")).keep
        Array([1.], dtype=float64)
    """
    zero = jnp.zeros_like(time)
    inside = tuple(zero for _ in range(structure.compartments))
    return Events(
        time=time,
        order=zero - jnp.inf if order is None else order,
        phase=zero + phase,
        keep=zero + keep,
        gain=Content(zero, inside) if gain is None else gain,
    )


def past_events(doses: Doses, gifts: Gifts, body: Body, structure: Structure) -> Events:
    """What the past of doses at steady state has left in the body at their TIME.

    Args:
        doses: What was given.
        gifts: The same with the absorption's parameters applied.
        body: The body at each dose, fields of shape (dose,).
        structure: The compartment model.

    Returns:
        One event per dose, without effect for plain doses.

    Example:
        >>> from latentpk.kinetics.body import bodies
        >>> structure, doses = Structure.parse("1c-iv"), Doses.of([0.0], 1.0, rate=5.0, steady=3.0)
        >>> parameters = jnp.array([[5.0, 50.0]])
        >>> gifts = given(doses, structure, parameters)
        >>> past_events(doses, gifts, bodies(structure, parameters), structure).gain.inside[0]
        Array([50.], dtype=float64)
    """
    runs = jnp.maximum(jnp.ceil(doses.duration / gifts.interval) - 1, 0.0)
    rest = doses.duration - runs * gifts.interval
    absorbed = doses.depot != 0

    def inflow(level: PerDose) -> Inflow:
        flow = gifts.flow * level
        site = jnp.where(absorbed, flow, 0.0) if structure.oral else None
        return Inflow(jnp.where(absorbed, 0.0, flow), site)

    def given_once(before: Content, length: PerDose) -> Content:
        """A dose at the start, then `length` hours, under the earlier ones that still run."""
        dose = _placed(doses, gifts.at_once, structure)
        begun = jax.tree.map(jnp.add, before, dose)
        first = jnp.minimum(rest, length)
        return moved(
            body, moved(body, begun, inflow(runs + 1), first), inflow(runs), length - first
        )

    empty = _placed(doses, jnp.zeros_like(doses.time), structure)
    before = repeated(body, given_once(empty, gifts.interval), gifts.interval)
    since = gifts.interval - jnp.mod(gifts.lag, gifts.interval)
    there, constant_ = given_once(before, since), _standing(gifts, body, absorbed)
    again = is_repeated(doses)
    gain = jax.tree.map(lambda x, level: jnp.where(again, x, 0.0) + level, there, constant_)
    return nothing(doses.time, doses.order, structure, phase=2, gain=gain)


def _standing(gifts: Gifts, body: Body, absorbed: Bool[Array, " dose"]) -> Content:
    """Under a constant infusion at steady state."""
    zero = jnp.zeros_like(gifts.level)
    site = zero if body.ka is None else jnp.where(absorbed, gifts.level, 0.0) / above_zero(body.ka)
    return Content(site, constant(body, (gifts.level, *(zero for _ in body.back))))
