"""Concentrations of a nonlinear system: a fixed number of stiff steps, aligned to what happens.

Everything that happens is an event: a dose enters, an input ends, a switch turns, a reset, new
parameters, a query. A mesh of further times is sorted in with them, and one step leads from each
time to the next, so that no step runs over an event. The steps are taken twice: on a mesh that is
dense after every event, then on one that spreads the error found. Derivatives are those of the
second pass. The number of steps follows from the number of doses and queries alone, so one program
serves all patients of a size; what it could not resolve is told by `Course.error`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from latentpk.errors import InputError
from latentpk.kinetics.compartmental import Compartmental, compartmental_step
from latentpk.kinetics.decay import Scalar
from latentpk.kinetics.doses import Doses, Paths, refuse_steady
from latentpk.kinetics.mesh import equal_mesh, graded_mesh
from latentpk.kinetics.piecewise import Pieces
from latentpk.kinetics.rosenbrock import rosenbrock_step
from latentpk.kinetics.system import Inputs, Named, Site, System, Windows

STEPS = 16  # mesh points for each place of a dose ...
AT_LEAST = 96  # ... and for the whole course
SPARED = 3  # of so many where amounts flow between compartments: one step crosses slow changes
LARGEST = 1e12  # an amount no body holds: a course that passes it is cut there
BELOW = 1e-3  # share of a state's largest amount by which rounding and steps may miss 0
FAINT = 1e-2  # of a state's largest amount so far; below it, errors count relative to this


class Course(NamedTuple):
    """What a system did.

    Attributes:
        state: Amounts at each query [mg], never negative, shape (time, state).
        concentration: The measured concentration there [mg/L], shape (time,).
        area: Its integral from the first event to there [mg h/L], shape (time,).
        error: Largest error estimated of one step, relative to the amounts; above about 1e-2 the
            course was not resolved. Flows between compartments estimate none: it is 0.
        below: What was added to hold each state at 0, as a share of its largest amount, at most 1;
            above `BELOW` the equations themselves lead below 0.
        below_at: When that share was passed [h]; inf where it never was.
    """

    state: Float[Array, "time state"]
    concentration: Float[Array, " time"]
    area: Float[Array, " time"]
    error: Scalar
    below: Float[Array, " state"]
    below_at: Float[Array, " state"]


class _Entries(NamedTuple):
    """Single inputs: what enters at once at `start`, and the zero-order input until `stop`."""

    start: Float[Array, " entry"]
    stop: Float[Array, " entry"]
    order: Float[Array, " entry"]
    gain: Float[Array, "entry state"]
    flow: Float[Array, "entry state"]


class _Change(NamedTuple):
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


class _Setting(NamedTuple):
    """The model and what is asked of it."""

    system: System
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
        held = parameters[0] if len(parameters) == 1 else parameters[_piece(change, time)]
        return self.system.named(held)

    def start(self, named: Named) -> Float[Array, " state"]:
        """The state before any dose; the area is 0."""
        return jnp.pad(self.system.start(named), (0, int(self.area)))


class _Plan(NamedTuple):
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

    setting: _Setting
    change: _Change
    first: Scalar
    time: Float[Array, " event"]
    row: Int[Array, " event"]
    place: Int[Array, " query"]
    corner: Float[Array, " corner"]
    places: int


class _Moving(NamedTuple):
    """What a pass carries from step to step: amounts, their largest so far, the inputs in force."""

    state: Float[Array, " state"]
    highest: Float[Array, " state"]
    flow: Float[Array, " flow"]
    turned: Scalar


class _Pass(NamedTuple):
    """The steps in the order of time, and the place of each query among them."""

    time: Float[Array, " step"]
    error: Float[Array, " step"]
    added: Float[Array, "step state"]
    meshed: Float[Array, " step"]
    place: Int[Array, " query"]
    state: Float[Array, "step state"]
    concentration: Float[Array, " step"]


def course(  # noqa: PLR0913  (two of them are one model)
    doses: Doses,
    time: Float[Array, " time"],
    order: Float[Array, " time"] | None = None,
    *,
    system: System,
    pieces: Pieces,
    paths: Paths,
    windows: Windows | None = None,
    area: bool = False,
    steps: int = STEPS,
) -> Course:
    """Follow a system through its doses.

    Args:
        doses: What was given; none may be at steady state.
        time: Times of the queries [h], shape (time,), in any order.
        order: Position of each query among its subject's records, shape (time,); by default
            after everything at the same time.
        system: The equations.
        pieces: Parameters in the order of `system.names`, and from when each set holds.
        paths: Branches to compile; must cover the doses (`Paths.of`).
        windows: When the system's switch is on; None lets the system tell.
        area: Whether to integrate the concentration too; else `Course.area` is 0.
        steps: Mesh points for each place of a dose.

    Returns:
        Amounts, concentrations and areas at the queries, and the error.

    Raises:
        InputError: Doses at steady state, or with an absorption of their own.

    Example:
        >>> from latentpk.kinetics.systems import parse_system
        >>> system, bolus = parse_system("1c-mm-iv"), Doses.of([0.0], 1000.0)
        >>> pieces = Pieces(jnp.zeros(1), jnp.array([[20.0, 5.0, 50.0]]))  # vmax, km, v1
        >>> model = dict(system=system, pieces=pieces, paths=Paths.of(bolus))
        >>> course(bolus, jnp.array([0.5]), **model).concentration.round(6)
        Array([19.840128], dtype=float64)
    """
    refuse_steady(paths)
    if doses.own is not None:
        raise InputError(
            "doses that are absorbed each in its own way: here amounts of all doses lie in one "
            "depot and leave it at one rate. Take a model whose doses add up."
        )
    latest = jnp.full_like(time, jnp.inf) if order is None else order
    plan = _planned(doses, time, latest, _Setting(system, pieces, paths, windows, area))
    end = jnp.max(time)
    found = _passed(plan, _mesh(plan, end, steps))
    state = jnp.pad(found.state[found.place], ((0, 0), (0, 1)))  # without an area, 0
    return Course(
        state=state[:, : system.size],
        concentration=found.concentration[found.place],
        area=state[:, system.size],
        error=jnp.max(jnp.where(found.time <= end, found.error, 0.0)),
        **_below(found, end, system.size),
    )


def _below(found: _Pass, end: Scalar, size: int) -> dict[str, Array]:
    """How much was added to hold each state at 0 until `end`, and when it passed `BELOW`."""
    inside = (found.time <= end)[:, None]
    highest = jnp.max(jnp.where(inside, found.state, 0.0), axis=0)[:size]
    scale = highest + 1e-9 * jnp.max(highest) + jnp.finfo(highest.dtype).tiny
    share = jnp.cumsum(jnp.where(inside, found.added, 0.0)[:, :size] / scale, axis=0)
    first = jnp.min(jnp.where(share > BELOW, found.time[:, None], jnp.inf), axis=0)
    return {"below": jnp.minimum(share[-1], 1.0), "below_at": first}


def _mesh(plan: _Plan, end: Scalar, steps: int) -> Float[Array, " point"]:
    """Where steps are taken, which is no function of the parameters."""
    still, system = _held(plan), plan.setting.system
    count = max(AT_LEAST, steps * plan.places)
    if isinstance(system, Compartmental):  # learned as it is stepped: one pass is the model
        return graded_mesh(still.corner, end, count // SPARED, system.shortest)
    first = _passed(still, graded_mesh(still.corner, end, count // 2))
    return equal_mesh(jnp.minimum(first.time, end), first.error, first.meshed, count)


def _held(plan: _Plan) -> _Plan:
    """The same without derivatives."""
    return jax.tree.map(lambda x: jax.lax.stop_gradient(x) if isinstance(x, Array) else x, plan)


def _planned(doses: Doses, time: Array, latest: Array, setting: _Setting) -> _Plan:
    """Queries, resets, entries, ends of inputs, switches and changes, in the order of time."""
    system, pieces, paths = setting.system, setting.pieces, setting.paths
    at_dose = pieces.parameters[_piece(pieces.change, doses.time)]
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
    return _Plan(
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


def _changes(entries: _Entries, slow: bool, turns: int) -> _Change:
    """Begins and perhaps ends of inputs, begins and ends of windows, nothing, a reset."""
    gain, flow = entries.gain, entries.flow if slow else entries.flow[:, :0]
    ends = flow.shape[0] if slow else 0
    rest = 2 * turns + 2
    turn = np.r_[np.zeros(gain.shape[0] + ends), np.ones(turns), -np.ones(turns), 0.0, 0.0]
    return _Change(
        gain=jnp.pad(gain, ((0, ends + rest), (0, 0))),
        flow=jnp.pad(jnp.concatenate([flow, -flow[:ends]]), ((0, rest), (0, 0))),
        turn=jnp.asarray(turn, gain.dtype),
    )


def _entries(doses: Doses, named: Named, setting: _Setting) -> _Entries:
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


def _passed(plan: _Plan, mesh: Float[Array, " point"]) -> _Pass:
    """One step from each time to the next, over events and mesh."""
    setting, (time, row, at_event, at_mesh) = plan.setting, _merged(plan, mesh)
    begin = jnp.concatenate([time[:1], time[:-1]])
    nothing = plan.change.turn.shape[0] - 2
    every = jnp.arange(setting.size)

    def step(
        now: _Moving, event: tuple[Array, Array, Array]
    ) -> tuple[_Moving, tuple[Array, Array, Array, Array]]:
        start, stop, row = event
        state, wrong, added = _moved(plan, now, start, stop)
        highest = jnp.maximum(now.highest, state)
        error = jnp.max(wrong / (state + FAINT * highest + jnp.finfo(state.dtype).tiny))
        named, change = setting.named(stop), jax.tree.map(lambda x: x[row], plan.change)
        if setting.paths.reset:  # which leaves the area
            emptied = (row == nothing + 1) & (every < setting.system.size)
            state = jnp.where(emptied, setting.start(named), state)
        state = state + change.gain
        after = _Moving(state, highest, now.flow + change.flow, now.turned + change.turn)
        return after, (state, setting.system.concentration(state, named), error, added)

    origin = setting.start(setting.named(time[0]))
    still = jnp.zeros_like(plan.change.flow[0])
    begun = _Moving(origin, jnp.zeros_like(origin), still, jnp.zeros_like(plan.first))
    light = jax.checkpoint(step, prevent_cse=False)  # slopes keep no stage of any step
    state, concentration, error, added = jax.lax.scan(light, begun, (begin, time, row))[1]
    meshed = jnp.zeros_like(time).at[at_mesh].set(1.0)
    return _Pass(time, error, added, meshed, at_event[plan.place], state, concentration)


def _merged(plan: _Plan, mesh: Float[Array, " point"]) -> tuple[Array, Array, Array, Array]:
    """Times and rows of events and mesh, and where each of them went; both increase already."""
    earlier = mesh[None, :] <= plan.time[:, None]
    at_event = jnp.arange(plan.time.shape[0]) + jnp.sum(earlier, axis=1)
    at_mesh = jnp.arange(mesh.shape[0]) + jnp.sum(~earlier, axis=0)
    size = plan.time.shape[0] + mesh.shape[0]
    time = jnp.zeros(size, mesh.dtype).at[at_mesh].set(mesh).at[at_event].set(plan.time)
    nothing = jnp.full(size, plan.change.turn.shape[0] - 2, plan.row.dtype)
    return time, nothing.at[at_event].set(plan.row), at_event, at_mesh


def _moved(plan: _Plan, now: _Moving, begin: Scalar, end: Scalar) -> tuple[Array, Array, Array]:
    """One step of the solver, the size of its error, and what was added where it fell below 0."""
    setting, state = plan.setting, now.state
    if isinstance(setting.system, Compartmental):
        return _flowed(setting.system, now, setting.named(begin), end - begin)
    on = (now.turned > 0.5).astype(state.dtype)
    named = setting.named(begin)

    def slope(time: Scalar, state: Array) -> Array:
        inputs = Inputs(time - plan.first, on)
        inside = state[: setting.system.size]
        moving = setting.system.slope(inside, named, inputs)
        if setting.area:
            moving = jnp.append(moving, setting.system.concentration(inside, named))
        return moving + now.flow if now.flow.shape[0] else moving

    after, wrong = rosenbrock_step(slope, begin, state, end - begin)
    sound = jnp.isfinite(after)
    added = jnp.where(sound, jnp.maximum(-after, 0.0), 0.0)
    after = jnp.where(sound, jnp.clip(after, 0.0, LARGEST), state)
    return after, jnp.where(sound, jnp.abs(wrong), jnp.inf), added


def _flowed(
    system: Compartmental, now: _Moving, named: Named, length: Scalar
) -> tuple[Array, Array, Array]:
    """One step of flows between compartments, with the area where there is one; no error."""
    inside, rest = now.state[: system.size], now.state[system.size :]
    # rounding may leave -1e-18 of a flow that ended
    inflow = jnp.maximum(now.flow[: system.size], 0.0) if now.flow.shape[0] else None
    moved = compartmental_step(lambda y: system.rates(y, named), inside, inflow, length)
    after, area = (jnp.clip(x, 0.0, LARGEST) for x in moved)
    whole = jnp.concatenate([after, rest + system.concentration(area, named)])
    return whole, jnp.zeros_like(whole), jnp.zeros_like(whole)


def _piece(change: Float[Array, " piece"], time: Float[Array, "*n"]) -> Int[Array, "*n"]:
    """Index of the parameters in force."""
    return jnp.maximum(jnp.sum(change <= time[..., None], axis=-1) - 1, 0)
