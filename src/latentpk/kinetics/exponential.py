r"""Exact steps of amounts that move linearly between events: exponentials of small matrices.

.. math:: \dot y = K y + u, \qquad y(h) = e^{Kh} y(0) + \int_0^h e^{K(h-s)} u\, ds

All steps of a course are made at once, number by number, so that every array is of steps (and of
patients), along which the processor's vectors run: five times as fast as small products of
matrices. The exponential is a Taylor polynomial of a thousandth of the step, squared ten times. A
flow so fast that it is over within that is slowed to it: either way nothing of it is left.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from latentpk import precision  # noqa: F401  (float64 before any array)

SQUARINGS = 10
DEGREE = 5
WRITTEN_OUT = 6  # states, beyond which so many numbers compile for minutes
Matrices = Float[Array, "state state step"]
Rows = tuple[tuple[Array, ...], ...]  # of a matrix


def exponential_steps(
    matrix: Matrices, length: Float[Array, " step"], inflow: Float[Array, "state step"] | None
) -> tuple[Matrices, Float[Array, "state step"] | None]:
    """What each step makes of the amounts at its start, and what has entered by its end.

    Args:
        matrix: K [1/h]; each diagonal entry at most 0 and as large as its column's other entries
            together, or larger, shape (state, state, step).
        length: Lengths of the steps, not negative [h], shape (step,).
        inflow: What enters per hour throughout, shape (state, step); None where nothing does.

    Returns:
        The exponentials, shape (state, state, step), and the amounts that the inflow leaves at the
        end, shape (state, step).

    Example:
        >>> decay, half = -jnp.ones((1, 1, 1)), jnp.log(jnp.array([2.0]))
        >>> exponential_steps(decay, half, jnp.ones((1, 1)))[1].round(6)
        Array([[0.5]], dtype=float64)
    """
    if inflow is None:
        return _exponential(matrix, length), None
    # a state that stays 1 and feeds the others
    fed = jnp.concatenate([matrix, inflow[:, None]], axis=1)
    moved = _exponential(jnp.pad(fed, ((0, 1), (0, 0), (0, 0))), length)
    return moved[:-1, :-1], moved[:-1, -1]


def _exponential(matrix: Matrices, length: Float[Array, " step"]) -> Matrices:
    size = matrix.shape[0]
    every = range(size)
    small = length / 2**SQUARINGS
    z = tuple(tuple(matrix[i, j] * _slowed(matrix[j, j], small) for j in every) for i in every)

    def higher(power: Rows, order: Array) -> tuple[Rows, None]:  # 1 + z / order times power
        found = _times(z, power)
        return tuple(tuple(found[i][j] / order + float(i == j) for j in every) for i in every), None

    one = jnp.ones_like(small)
    unit = tuple(tuple(float(i == j) * one for j in every) for i in every)
    orders = jnp.arange(DEGREE, 0, -1, dtype=small.dtype)
    power = jax.lax.scan(higher, unit, orders)[0]
    power = jax.lax.scan(lambda x, _: (_times(x, x), None), power, None, length=SQUARINGS)[0]
    return jnp.stack([jnp.stack(row) for row in power])


def _slowed(diagonal: Array, small: Array) -> Array:
    leaving = jax.lax.stop_gradient(-diagonal) * small
    return small / jnp.maximum(leaving, 1.0)


def _times(left: Rows, right: Rows) -> Rows:
    """The product, number by number: slopes of sums over an axis would not vectorize."""
    every = range(len(left))

    def cell(i: int, j: int) -> Array:
        terms = [left[i][k] * right[k][j] for k in every]
        return sum(terms[1:], start=terms[0])

    return tuple(tuple(cell(i, j) for j in every) for i in every)
