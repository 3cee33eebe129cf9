"""Courses of systems whose rates stay the same between events, by one exact step to each."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from latentpk.kinetics.events import Plan, piece_at
from latentpk.kinetics.exponential import exponential_steps
from latentpk.kinetics.system import Inputs


def strided(plan: Plan) -> Float[Array, "event state"]:
    """Amounts after each event, with the area last where it is asked for [mg], [mg h/L].

    Args:
        plan: What happens to a system of `steady_rates`.

    Returns:
        The amounts in the order of the events, never negative, shape (event, state).
    """
    setting, row = plan.setting, plan.row
    begin = jnp.concatenate([plan.time[:1], plan.time[:-1]])
    change = jax.tree.map(lambda x: x[row], plan.change)
    # during a step holds what the events before it have left
    flow, turned = (jnp.cumsum(x, axis=0) - x for x in (change.flow, change.turn))
    inflow = jnp.maximum(flow, 0.0).T if flow.shape[1] else None
    steps = exponential_steps(_rates(plan, begin, turned > 0.5), plan.time - begin, inflow)
    start = jax.vmap(lambda time: setting.start(setting.named(time)))(plan.time)
    kept = jnp.arange(setting.size) >= setting.system.size  # a reset leaves the area

    def step(state: Array, event: tuple[Array, ...]) -> tuple[Array, Array]:
        moved, entered, gain, begun, reset = event
        state = jnp.maximum(jnp.sum(moved * state, axis=1) + entered, 0.0)
        state = jnp.where(reset & ~kept, begun, state) + gain
        return state, state

    moved = jnp.moveaxis(steps[0], -1, 0)
    entered = jnp.zeros_like(start) if steps[1] is None else steps[1].T
    events = (moved, entered, change.gain, start, row == plan.nothing + 1)
    return jax.lax.scan(step, start[0], events)[1]


def _rates(
    plan: Plan, begin: Float[Array, " event"], on: Bool[Array, " event"]
) -> Float[Array, "state state event"]:
    """The matrix in force during the step to each event."""
    setting = plan.setting
    system, (change, parameters) = setting.system, setting.pieces
    empty = jnp.zeros(system.size, begin.dtype)

    def matrix(held: Array, switch: Array) -> Array:
        named, inputs = system.named(held), Inputs(jnp.zeros_like(switch), switch)
        found = jax.jacfwd(lambda y: system.slope(y, named, inputs))(empty)
        if setting.area:
            seen = jax.grad(lambda y: system.concentration(y, named))(empty)
            found = jnp.pad(jnp.concatenate([found, seen[None]]), ((0, 0), (0, 1)))
        return found

    off, full = (
        jax.vmap(matrix, in_axes=(0, None), out_axes=-1)(parameters, jnp.asarray(x, begin.dtype))
        for x in (0.0, 1.0)
    )
    if len(parameters) > 1:
        place = piece_at(change, begin)
        off, full = off[..., place], full[..., place]
    return jnp.where(on, full, off)
