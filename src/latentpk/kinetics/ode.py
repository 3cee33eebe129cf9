"""Concentrations of a nonlinear system: a fixed number of stiff steps, aligned to what happens.

A mesh of further times is sorted in with the events, and one step leads from each time to the next,
so that no step runs over an event. The steps are taken twice: on a mesh that is dense after every
event, then on one that spreads the error found. Derivatives are those of the second pass. The
number of steps follows from the number of doses and queries alone, so one program serves all
patients of a size; what it could not resolve is told by `Course.error`. Where rates stay the same
between events (`steady_rates`) there is no mesh: one exact step leads from event to event.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from latentpk.kinetics.compartmental import Compartmental, compartmental_step
from latentpk.kinetics.decay import Scalar
from latentpk.kinetics.doses import Doses, Paths, refuse_own, refuse_steady
from latentpk.kinetics.events import Plan, Setting, planned
from latentpk.kinetics.mesh import equal_mesh, graded_mesh
from latentpk.kinetics.piecewise import Pieces
from latentpk.kinetics.rosenbrock import rosenbrock_step
from latentpk.kinetics.strides import strided
from latentpk.kinetics.system import Differential, Inputs, Named, Windows

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
            course was not resolved. Learned flows estimate none, exact steps have none: it is 0.
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
    system: Differential,
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
    refuse_own(doses)
    latest = jnp.full_like(time, jnp.inf) if order is None else order
    plan = planned(doses, time, latest, Setting(system, pieces, paths, windows, area))
    if system.steady_rates:
        return _strided(plan, time)
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


def _strided(plan: Plan, time: Float[Array, " time"]) -> Course:
    """Exact steps from event to event, which have no error and leave nothing below 0."""
    setting, nothing = plan.setting, jnp.zeros(plan.setting.system.size, time.dtype)
    state = jnp.pad(strided(plan)[plan.place], ((0, 0), (0, 1)))  # without an area, 0
    amounts = state[:, : setting.system.size]
    level = jax.vmap(lambda y, now: setting.system.concentration(y, setting.named(now)))
    return Course(
        state=amounts,
        concentration=level(amounts, time),
        area=state[:, setting.system.size],
        error=nothing[0],
        below=nothing,
        below_at=nothing + jnp.inf,
    )


def _below(found: _Pass, end: Scalar, size: int) -> dict[str, Array]:
    """How much was added to hold each state at 0 until `end`, and when it passed `BELOW`."""
    inside = (found.time <= end)[:, None]
    highest = jnp.max(jnp.where(inside, found.state, 0.0), axis=0)[:size]
    scale = highest + 1e-9 * jnp.max(highest) + jnp.finfo(highest.dtype).tiny
    share = jnp.cumsum(jnp.where(inside, found.added, 0.0)[:, :size] / scale, axis=0)
    first = jnp.min(jnp.where(share > BELOW, found.time[:, None], jnp.inf), axis=0)
    return {"below": jnp.minimum(share[-1], 1.0), "below_at": first}


def _mesh(plan: Plan, end: Scalar, steps: int) -> Float[Array, " point"]:
    """Where steps are taken, which is no function of the parameters."""
    still, system = _held(plan), plan.setting.system
    count = max(AT_LEAST, steps * plan.places)
    if isinstance(system, Compartmental):  # learned as it is stepped: one pass is the model
        return graded_mesh(still.corner, end, count // SPARED, system.shortest)
    first = _passed(still, graded_mesh(still.corner, end, count // 2))
    return equal_mesh(jnp.minimum(first.time, end), first.error, first.meshed, count)


def _held(plan: Plan) -> Plan:
    """The same without derivatives."""
    return jax.tree.map(lambda x: jax.lax.stop_gradient(x) if isinstance(x, Array) else x, plan)


def _passed(plan: Plan, mesh: Float[Array, " point"]) -> _Pass:
    """One step from each time to the next, over events and mesh."""
    setting, (time, row, at_event, at_mesh) = plan.setting, _merged(plan, mesh)
    begin = jnp.concatenate([time[:1], time[:-1]])
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
            emptied = (row == plan.nothing + 1) & (every < setting.system.size)
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


def _merged(plan: Plan, mesh: Float[Array, " point"]) -> tuple[Array, Array, Array, Array]:
    """Times and rows of events and mesh, and where each of them went; both increase already."""
    earlier = mesh[None, :] <= plan.time[:, None]
    at_event = jnp.arange(plan.time.shape[0]) + jnp.sum(earlier, axis=1)
    at_mesh = jnp.arange(mesh.shape[0]) + jnp.sum(~earlier, axis=0)
    size = plan.time.shape[0] + mesh.shape[0]
    time = jnp.zeros(size, mesh.dtype).at[at_mesh].set(mesh).at[at_event].set(plan.time)
    nothing = jnp.full(size, plan.nothing, plan.row.dtype)
    return time, nothing.at[at_event].set(plan.row), at_event, at_mesh


def _moved(plan: Plan, now: _Moving, begin: Scalar, end: Scalar) -> tuple[Array, Array, Array]:
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
