r"""Amounts that flow between compartments, at rates that depend on the amounts.

.. math:: \dot A_i = \sum_j r_{ji}(A) A_j - \sum_j r_{ij}(A) A_i - e_i(A) A_i + u_i,
          \qquad r, e \ge 0

Every flow is proportional to what it leaves, so no amount falls below zero and no mass is made,
whatever the rates are: positive and stable by construction. A step keeps both. It takes the rates
at an estimate of its middle (order 2) and follows the flow that they cause by an L-stable method
(order 3, one matrix inverted, whose every pivot is at least 1), so that steps may be long and rates
stiff. What rounding or a long step makes negative is mended, and the sum with it.
"""

import abc
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentpk import precision  # noqa: F401  (float64 before any array)
from latentpk.kinetics.decay import Scalar
from latentpk.kinetics.system import Differential, Inputs, Named

SUBSTEPS = 2  # with the same rates
GAMMA = 0.4358665215084590  # of the L-stable approximation of order 3 with one inverse
Amounts = Float[Array, " state"]
Matrix = Float[Array, "state state"]


def _powers() -> tuple[float, ...]:
    """Weights of (1 - gamma z)^-k, k = 1 to 3, whose sum is exp(z) up to order 3."""
    # the Taylor coefficients of the k-th power are 1, k g, k (k + 1) / 2 g^2, ...
    k = np.arange(1.0, 4.0)
    rows = np.stack([np.ones(3), k * GAMMA, k * (k + 1) / 2 * GAMMA**2])
    return tuple(np.linalg.solve(rows, [1.0, 1.0, 1 / 2]).tolist())


POWERS = _powers()
LATER = tuple(float(sum(POWERS[k:])) for k in range(3))  # the same of what enters evenly


class Compartmental(Differential):
    """A system whose every flow is proportional to the amount it leaves.

    Attributes:
        shortest: Length of the first steps after an event [h].
    """

    shortest: float

    @abc.abstractmethod
    def rates(self, state: Amounts, p: Named) -> Matrix:
        """Rate from each state to each other [1/h]; of elimination on the diagonal."""

    @abc.abstractmethod
    def concentration(self, state: Amounts, p: Named) -> Scalar:
        """The measured concentration [mg/L], proportional to the amounts."""

    def slope(self, state: Amounts, p: Named, inputs: Inputs) -> Amounts:
        """Derivative of the amounts [mg/h]."""
        return flow_matrix(self.rates(state, p)) @ state


def flow_matrix(rates: Matrix) -> Matrix:
    """The matrix K of dA/dt = K A for rates from row to column, elimination on the diagonal.

    Example:
        >>> flow_matrix(jnp.array([[0.1, 0.2], [0.3, 0.0]]))
        Array([[-0.3,  0.3],
               [ 0.2, -0.3]], dtype=float64)
    """
    leaving = jnp.sum(rates, axis=1)
    unit = jnp.eye(rates.shape[0], dtype=rates.dtype)
    return (1 - unit) * rates.T - unit * leaving


def compartmental_step(
    rates: Callable[[Amounts], Matrix], state: Amounts, inflow: Amounts | None, length: Scalar
) -> tuple[Amounts, Amounts]:
    """Advance amounts by one step; a step of length 0 changes nothing.

    Args:
        rates: The rates at given amounts, as `Compartmental.rates`.
        state: Amounts at the step's start, not negative [mg], shape (state,).
        inflow: What enters per hour throughout, not negative [mg/h], shape (state,); None where
            nothing does.
        length: Length of the step, not negative [h].

    Returns:
        The amounts at its end [mg], and their integral over the step [mg h], each (state,).

    Example:
        >>> decay = lambda state: jnp.ones((1, 1))
        >>> end, area = compartmental_step(decay, jnp.ones(1), None, jnp.array(0.5))
        >>> end.round(3), area.round(3)
        (Array([0.606], dtype=float64), Array([0.394], dtype=float64))
    """
    unit = jnp.eye(state.shape[0], dtype=state.dtype)
    half = 0.5 * length
    begun = state if inflow is None else state + half * inflow
    middle = jnp.maximum(_inverse(unit - half * flow_matrix(rates(state))) @ begun, 0.0)
    small = length / SUBSTEPS
    inverse = _inverse(unit - (GAMMA * small) * flow_matrix(rates(middle)))
    area = jnp.zeros_like(state)
    for _ in range(SUBSTEPS):
        state, spent = _substep(inverse, state, inflow, small)
        area = area + spent
    return state, area


def _substep(
    inverse: Matrix, state: Amounts, inflow: Amounts | None, length: Scalar
) -> tuple[Amounts, Amounts]:
    """One of them by Horner's rule in powers of the inverse; the area is a state of its own."""
    moved = spent = jnp.zeros_like(state)
    for own, later in zip(reversed(POWERS), reversed(LATER), strict=True):
        moved = moved + own * state
        if inflow is not None:
            moved = moved + (GAMMA * later * length) * inflow
        moved = jnp.sum(inverse * moved, axis=1)
        spent = spent + (GAMMA * length) * moved
    # never below nothing, nor, where that was mended, more than there was
    given = jnp.sum(state) if inflow is None else jnp.sum(state) + length * jnp.sum(inflow)
    positive = jnp.maximum(moved, 0.0)
    total = jnp.sum(positive)
    some = total > given
    share = jnp.where(some, given / jnp.where(some, total, 1.0), 1.0)
    return share * positive, jnp.maximum(spent, 0.0)


def _inverse(matrix: Matrix) -> Matrix:
    """Gauss-Jordan, written out as it vectorizes; of I - h K every pivot is at least 1."""
    size = matrix.shape[0]
    work = jnp.concatenate([matrix, jnp.eye(size, dtype=matrix.dtype)], axis=1)
    for i in range(size):
        row = work[i] / work[i, i]
        at = (jnp.arange(size) == i)[:, None]
        work = jnp.where(at, row, work - work[:, i : i + 1] * row)
    return work[:, size:]
