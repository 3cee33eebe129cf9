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
from jaxtyping import Array, Float, Int

from latentpk.errors import InputError
from latentpk.kinetics.decay import Scalar
from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.mesh import equal_mesh, graded_mesh
from latentpk.kinetics.piecewise import Pieces
from latentpk.kinetics.rosenbrock import rosenbrock_step
from latentpk.kinetics.system import Inputs, Named, Site, System, Windows

STEPS = 16  # mesh points for each place of a dose ...
AT_LEAST = 96  # ... and for the whole course
LARGEST = 1e12  # an amount no body holds: a course that passes it is cut there
FAINT = 1e-2  # of a state's largest amount so far; below it, errors count relative to this


class Course(NamedTuple):
    """What a system did.

    Attributes:
        state: Amounts at each query [mg], never negative, shape (time, state).
        concentration: The measured concentration there [mg/L], shape (time,).
        area: Its integral from the first event to there [mg h/L], shape (time,).
        error: Largest error estimated of one step, relative to the amounts; above about 1e-2 the
            course was not resolved.
    """

    state: Float[Array, "time state"]
    concentration: Float[Array, " time"]
    area: Float[Array, " time"]
    error: Scalar


class _Entries(NamedTuple):
    """Single inputs: what enters at once at `start`, and the zero-order input until `stop`."""

    start: Float[Array, " entry"]
    stop: Float[Array, " entry"]
    order: Float[Array, " entry"]
    gain: Float[Array, "entry state"]
    flow: Float[Array, "entry state"]


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

    def named(self, time: Scalar) -> dict[str, Array]:
        """The parameters in force at a time."""
        change, parameters = self.pieces
        held = parameters[0] if len(parameters) == 1 else parameters[_piece(change, time)]
        return dict(zip(self.system.names, held, strict=True))

    def start(self, named: Named) -> Float[Array, " state"]:
        """The state before any dose; the area is 0."""
        return jnp.pad(self.system.start(named), (0, int(self.area)))


class _Plan(NamedTuple):
    """Everything a pass needs but its mesh, events unsorted.

    Attributes:
        setting: The model.
        entries: What enters.
        windows: When the switch is on.
        first: Time of the first dose [h].
        time: When [h], queries first.
        order: Order among events of the same time.
        phase: Order among events of the same time and order: queries, resets, doses.
        row: The entry that enters; one past them nothing happens, two past them a reset.
    """

    setting: _Setting
    entries: _Entries
    windows: Windows
    first: Scalar
    time: Float[Array, " event"]
    order: Float[Array, " event"]
    phase: Float[Array, " event"]
    row: Int[Array, " event"]


class _Pass(NamedTuple):
    """The steps in the order of time, and the place of each event among them."""

    time: Float[Array, " step"]
    error: Float[Array, " step"]
    meshed: Float[Array, " step"]
    place: Int[Array, " step"]
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
        InputError: Doses at steady state.

    Example:
        >>> from latentpk.kinetics.systems import parse_system
        >>> system, bolus = parse_system("1c-mm-iv"), Doses.of([0.0], 1000.0)
        >>> pieces = Pieces(jnp.zeros(1), jnp.array([[20.0, 5.0, 50.0]]))  # vmax, km, v1
        >>> model = dict(system=system, pieces=pieces, paths=Paths.of(bolus))
        >>> course(bolus, jnp.array([0.5]), **model).concentration.round(6)
        Array([19.840128], dtype=float64)
    """
    if paths.steady:
        raise InputError(
            "doses at steady state (SS): a nonlinear model has no closed form for them. Write the "
            "doses that led there, for instance with ADDL and II, and leave SS at 0."
        )
    latest = jnp.full_like(time, jnp.inf) if order is None else order
    plan = _planned(doses, time, latest, _Setting(system, pieces, paths, windows, area))
    end, queries = jnp.max(time), time.shape[0]
    count = max(AT_LEAST, steps * doses.time.shape[0])
    still = _held(plan)  # where steps are taken is no function of the parameters
    first = _passed(still, graded_mesh(still.time[queries:], end, count // 2))
    mesh = equal_mesh(jnp.minimum(first.time, end), first.error, first.meshed, count)
    found = _passed(plan, mesh)
    place = found.place[:queries]
    state = jnp.pad(found.state[place], ((0, 0), (0, 1)))  # without an area, 0
    return Course(
        state=state[:, : system.size],
        concentration=found.concentration[place],
        area=state[:, system.size],
        error=jnp.max(jnp.where(found.time <= end, found.error, 0.0)),
    )


def _held(plan: _Plan) -> _Plan:
    """The same without derivatives."""
    return jax.tree.map(lambda x: jax.lax.stop_gradient(x) if isinstance(x, Array) else x, plan)


def _planned(doses: Doses, time: Array, latest: Array, setting: _Setting) -> _Plan:
    """Queries, resets, entries, ends of inputs, switches and changes, as unsorted events."""
    system, pieces = setting.system, setting.pieces
    at_dose = pieces.parameters[_piece(pieces.change, doses.time)]
    named = dict(zip(system.names, at_dose.T, strict=True))
    entries = _entries(doses, named, setting)
    windows = system.windows(doses, named) if setting.windows is None else setting.windows
    given = (doses.amount > 0) | (doses.rate > 0)
    none = entries.start.shape[0]
    slow = setting.paths.infusion or setting.paths.release
    quiet = (*windows, pieces.change, *(entries.stop,) * slow)
    groups = [
        _group(time, latest, 0.0, none),
        _group(doses.until, doses.until_order, 1.0, none + 1),
        _group(entries.start, entries.order, 2.0, jnp.arange(none)),
        *(_group(x, -jnp.inf, 0.0, none) for x in quiet),
    ]
    fields = [jnp.concatenate(rows) for rows in zip(*groups, strict=True)]
    begin = jnp.minimum(jnp.min(time), jnp.min(doses.time))
    when = jnp.clip(fields[0], begin, jnp.max(time) + 1)  # no endless step
    first = jnp.min(jnp.where(given, doses.time, jnp.inf))
    first = jnp.where(jnp.isfinite(first), first, 0.0)
    return _Plan(setting, entries, windows, first, when, *fields[1:])


def _group(time: Array, *fields: Array | float) -> tuple[Array, ...]:
    """Times with order, phase and row, each spread over them; rows are whole numbers."""
    order, phase, row = (jnp.broadcast_to(jnp.asarray(x), time.shape) for x in fields)
    return time, order.astype(time.dtype), phase.astype(time.dtype), row.astype(jnp.int32)


def _entries(doses: Doses, named: Named, setting: _Setting) -> _Entries:
    """Every input of the doses, by the state it reaches."""
    system, paths = setting.system, setting.paths
    ways = list(system.sites(named)) if paths.depot else []
    sides = [doses.depot != 0] * len(ways)
    if paths.central:
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
    none = plan.entries.start.shape[0]
    time = jnp.concatenate([plan.time, mesh])
    order = jnp.concatenate([plan.order, jnp.full_like(mesh, -jnp.inf)])
    phase = jnp.concatenate([plan.phase, jnp.zeros_like(mesh)])
    row = jnp.concatenate([plan.row, jnp.full(mesh.shape, none, plan.row.dtype)])
    ranked = jnp.lexsort((phase, order, time))
    time, row = time[ranked], row[ranked]
    begin = jnp.concatenate([time[:1], time[:-1]])
    setting = plan.setting
    origin = setting.start(setting.named(time[0]))
    nothing = jnp.zeros((2, setting.size), time.dtype)
    gains = jnp.concatenate([plan.entries.gain, nothing])

    def step(
        carry: tuple[Array, Array], event: tuple[Array, Array, Array]
    ) -> tuple[tuple[Array, Array], tuple[Array, Array, Array]]:
        state, highest = carry
        start, stop, row = event
        state, wrong = _moved(plan, state, start, stop)
        highest = jnp.maximum(highest, state)
        error = jnp.max(wrong / (state + FAINT * highest + jnp.finfo(state.dtype).tiny))
        named = setting.named(stop)
        fresh = setting.start(named)
        kept = jnp.arange(setting.size) >= setting.system.size  # a reset leaves the area
        state = jnp.where((row == none + 1) & ~kept, fresh, state) + gains[row]
        return (state, highest), (state, setting.system.concentration(state, named), error)

    begun = (origin, jnp.zeros_like(origin))
    light = jax.checkpoint(step, prevent_cse=False)  # slopes keep no stage of any step
    state, concentration, error = jax.lax.scan(light, begun, (begin, time, row))[1]
    meshed = (ranked >= plan.time.shape[0]).astype(time.dtype)
    return _Pass(time, error, meshed, jnp.argsort(ranked), state, concentration)


def _moved(plan: _Plan, state: Array, begin: Scalar, end: Scalar) -> tuple[Array, Array]:
    """One step of the solver, and the size of its error."""
    setting, entries, windows = plan.setting, plan.entries, plan.windows
    active = (entries.start <= begin) & (entries.stop >= end)
    flow = jnp.sum(jnp.where(active[:, None], entries.flow, 0.0), axis=0)
    on = jnp.any((windows.start <= begin) & (windows.stop >= end)).astype(state.dtype)
    named = setting.named(begin)

    def slope(time: Scalar, state: Array) -> Array:
        inputs = Inputs(time - plan.first, on)
        inside = state[: setting.system.size]
        moving = setting.system.slope(inside, named, inputs)
        if setting.area:
            moving = jnp.append(moving, setting.system.concentration(inside, named))
        return moving + flow

    after, wrong = rosenbrock_step(slope, begin, state, end - begin)
    sound = jnp.isfinite(after)
    after = jnp.where(sound, jnp.clip(after, 0.0, LARGEST), state)
    return after, jnp.where(sound, jnp.abs(wrong), jnp.inf)


def _piece(change: Float[Array, " piece"], time: Float[Array, "*n"]) -> Int[Array, "*n"]:
    """Index of the parameters in force."""
    return jnp.maximum(jnp.sum(change <= time[..., None], axis=-1) - 1, 0)
