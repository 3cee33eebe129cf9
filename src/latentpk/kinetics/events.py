"""What happens to a nonlinear system, in the order of time: an event for each thing that does.

A dose enters, an input ends, a switch turns, a reset, new parameters, a query. Each event has a
row of what it does; a dose that reaches several states is several events.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from latentpk.kinetics.decay import Scalar
from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.piecewise import Pieces
from latentpk.kinetics.system import Differential, Named, Site, Windows


class Setting(NamedTuple):
    """The model and what is asked of it."""

    system: Differential
    pieces: Pieces
    paths: Paths
    windows: Windows | None
    area: bool

    @property
    def size(self) -> int:
        """Number of states, with the area where it is asked for."""
        return self.system.size + self.area

    def named(self, time: Scalar) -> Named:
        """The parameters in force at a time."""
        change, parameters = self.pieces
        held = parameters[0] if len(parameters) == 1 else parameters[piece_at(change, time)]
        return self.system.named(held)

    def start(self, named: Named) -> Float[Array, " state"]:
        """The state before any dose; the area is 0."""
        return jnp.pad(self.system.start(named), (0, int(self.area)))


class Change(NamedTuple):
    """What an event does, one row for each kind of it.

    Attributes:
        gain: What enters at once [mg], shape (row, state).
        flow: By how much the zero-order input grows [mg/h], shape (row, state); of no states where
            no dose has a duration.
        turn: 1 where a window of the switch begins, -1 where one ends, shape (row,).
    """

    gain: Float[Array, "row state"]
    flow: Float[Array, "row flow"]
    turn: Float[Array, " row"]


class Plan(NamedTuple):
    """Everything a pass needs but its mesh.

    Attributes:
        setting: The model.
        change: What each row does; the last but one nothing, the last a reset.
        first: Time of the first dose [h].
        time: When something happens [h], increasing.
        row: What, an index into `change`.
        place: Where each query is among them.
        corner: When the inputs change [h], in no order.
        places: Places of doses.
    """

    setting: Setting
    change: Change
    first: Scalar
    time: Float[Array, " event"]
    row: Int[Array, " event"]
    place: Int[Array, " query"]
    corner: Float[Array, " corner"]
    places: int

    @property
    def nothing(self) -> int:
        """The row of what changes nothing; the next one is a reset."""
        return self.change.turn.shape[0] - 2


class _Entries(NamedTuple):
    """Single inputs: what enters at once at `start`, and the zero-order input until `stop`."""

    start: Float[Array, " entry"]
    stop: Float[Array, " entry"]
    order: Float[Array, " entry"]
    gain: Float[Array, "entry state"]
    flow: Float[Array, "entry state"]


def planned(doses: Doses, time: Array, latest: Array, setting: Setting) -> Plan:
    """Queries, resets, entries, ends of inputs, switches and changes, in the order of time."""
    system, pieces, paths = setting.system, setting.pieces, setting.paths
    at_dose = pieces.parameters[piece_at(pieces.change, doses.time)]
    named = system.named(at_dose.T)
    entries = _entries(doses, named, setting)
    windows = system.windows(doses, named) if setting.windows is None else setting.windows
    many, turns = entries.start.shape[0], windows.start.shape[0]
    slow = many * (paths.infusion or paths.release)
    none = many + slow + 2 * turns
    groups = [
        _group(time, latest, 0.0, none),
        _group(entries.start, entries.order, 2.0, jnp.arange(many)),
        _group(entries.stop[:slow], -jnp.inf, 0.0, many + jnp.arange(slow)),
        _group(jnp.concatenate(windows), -jnp.inf, 0.0, many + slow + jnp.arange(2 * turns)),
    ]
    if paths.reset:
        groups.append(_group(doses.until, doses.until_order, 1.0, none + 1))
    if pieces.change.shape[0] > 1:
        groups.append(_group(pieces.change, -jnp.inf, 0.0, none))
    when, order, phase, row = (jnp.concatenate(rows) for rows in zip(*groups, strict=True))
    begin = jnp.minimum(jnp.min(time), jnp.min(doses.time))
    when = jnp.clip(when, begin, jnp.max(time) + 1)  # no endless step
    ranked = jnp.lexsort((phase, order, when))
    given = (doses.amount > 0) | (doses.rate > 0)
    first = jnp.min(jnp.where(given, doses.time, jnp.inf))
    return Plan(
        setting,
        _changes(entries, slow > 0, turns),
        first=jnp.where(jnp.isfinite(first), first, 0.0),
        time=when[ranked],
        row=row[ranked],
        place=jnp.argsort(ranked)[: time.shape[0]],
        corner=when[time.shape[0] :],
        places=doses.time.shape[0],
    )


def _group(time: Array, *fields: Array | float) -> tuple[Array, ...]:
    """Times with order, phase and row, each spread over them; rows are whole numbers."""
    order, phase, row = (jnp.broadcast_to(jnp.asarray(x), time.shape) for x in fields)
    return time, order.astype(time.dtype), phase.astype(time.dtype), row.astype(jnp.int32)


def _changes(entries: _Entries, slow: bool, turns: int) -> Change:
    """Begins and perhaps ends of inputs, begins and ends of windows, nothing, a reset."""
    gain, flow = entries.gain, entries.flow if slow else entries.flow[:, :0]
    ends = flow.shape[0] if slow else 0
    rest = 2 * turns + 2
    turn = np.r_[np.zeros(gain.shape[0] + ends), np.ones(turns), -np.ones(turns), 0.0, 0.0]
    return Change(
        gain=jnp.pad(gain, ((0, ends + rest), (0, 0))),
        flow=jnp.pad(jnp.concatenate([flow, -flow[:ends]]), ((0, rest), (0, 0))),
        turn=jnp.asarray(turn, gain.dtype),
    )


def _entries(doses: Doses, named: Named, setting: Setting) -> _Entries:
    """Every input of the doses, by the state it reaches."""
    system, paths = setting.system, setting.paths
    ways = list(system.sites(named)) if paths.depot else []
    sides = [doses.depot != 0] * len(ways)
    if paths.central or not ways:  # where nothing was given, nothing enters there
        ways.append(Site(system.central, jnp.ones_like(doses.time), jnp.zeros_like(doses.time)))
        sides.append(doses.depot == 0)
    parts = []
    for way, side in zip(ways, sides, strict=True):
        start = doses.time + way.lag
        amount = jnp.where(side & (doses.until >= start), doses.amount * way.share, 0.0)
        slow = doses.duration > 0
        into = (jnp.arange(setting.size) == way.state).astype(doses.time.dtype)
        pace = jnp.where(slow, amount / jnp.where(slow, doses.duration, 1.0), 0.0)
        parts.append(
            _Entries(
                start=start,
                stop=jnp.minimum(start + doses.duration, doses.until),
                order=jnp.where(start > doses.time, -jnp.inf, doses.order),
                gain=jnp.where(slow, 0.0, amount)[:, None] * into,
                flow=pace[:, None] * into,
            )
        )
    return jax.tree.map(lambda *rows: jnp.concatenate(rows), *parts)


def piece_at(change: Float[Array, " piece"], time: Float[Array, "*n"]) -> Int[Array, "*n"]:
    """Index of the parameters in force."""
    return jnp.maximum(jnp.sum(change <= time[..., None], axis=-1) - 1, 0)
