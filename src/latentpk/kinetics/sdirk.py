r"""One step of a stiff solver for linear systems whose rates change with time: SDIRK4.

.. math:: (I - \gamma h A(t_i))\, Y_i = y + h \sum_{j<i} a_{ij} K_j + \gamma h\, g, \qquad
          K_i = A(t_i) Y_i + g, \qquad y_{new} = Y_5

Order 4, L-stable, five stages, each one linear solve, and no derivative in time: rates with an
infinite slope at time 0 do no harm, since no stage lies at the step's start. What is conserved by A
is conserved by the step. Coefficients: Hairer E, Wanner G. Solving Ordinary Differential Equations
II, 2nd edition, section IV.6 (SDIRK of order 4).
"""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from latentpk import precision  # noqa: F401  (float64 before any array)

GAMMA = 0.25
NODES = (1 / 4, 3 / 4, 11 / 20, 1 / 2, 1.0)
_EARLIER = (
    (),
    (1 / 2,),
    (17 / 50, -1 / 25),
    (371 / 1360, -137 / 2720, 15 / 544),
    (25 / 24, -49 / 48, 125 / 16, -85 / 12),
)
WEIGHTS = (25 / 24, -49 / 48, 125 / 16, -85 / 12, 1 / 4)

Time = Float[Array, ""]
State = Float[Array, " state"]
Solve = Callable[[Time, Time, State], State]


def sdirk_step(
    solve: Solve, inflow: State, time: Time, step: Time, state: State
) -> tuple[State, State]:
    """Advance a linear system by one step.

    Args:
        solve: Solves (I - c A(t)) u = r for u, called as `solve(t, c, r)`.
        inflow: What enters per hour throughout the step, shape (state,).
        time: Start of the step [h].
        step: Its length [h], above 0.
        state: At its start, shape (state,).

    Returns:
        The state at the step's end, and its integral over the step, each of shape (state,).
    """
    slopes: list[Array] = []
    stages: list[Array] = []
    shift = GAMMA * step
    for node, earlier in zip(NODES, _EARLIER, strict=True):
        before = state + step * sum(
            (a * slope for a, slope in zip(earlier, slopes, strict=True)), jnp.zeros_like(state)
        )
        stage = solve(time + node * step, shift, before + shift * inflow)
        slopes.append((stage - before) / shift)
        stages.append(stage)
    area = step * sum(w * stage for w, stage in zip(WEIGHTS, stages, strict=True))
    return stages[-1], jnp.asarray(area)
