r"""One step of a stiff solver that needs no iteration: Rodas5P, order 5, L-stable, 8 stages.

.. math:: (I - \gamma h J)\, u_i = \gamma \Big( h f(t + c_i h,\; y + \sum_{j<i} a_{ij} u_j)
          + \sum_{j<i} g_{ij} u_j + h^2 d_i f_t \Big), \qquad y_{new} = y + \sum_i b_i u_i

The last increment is the difference to the embedded method of order 4. One matrix is inverted per
step; a step of length 0 changes nothing. Coefficients: Steinebach G. Construction of
Rosenbrock-Wanner method Rodas5P and numerical benchmarks within the Julia Differential Equations
package. BIT Numer Math 2023;63:27.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from latentpk import precision  # noqa: F401  (float64 before any array)

Slope = Callable[[Float[Array, ""], Float[Array, " state"]], Float[Array, " state"]]

GAMMA = 0.21193756319429014
_LAST = (
    -7.502846399306121,
    2.561846144803919,
    -11.627539656261098,
    -0.18268767659942256,
    0.030198172008377946,
)


class _Stage(NamedTuple):
    """One stage: where the slope is taken, and what the earlier increments add to it."""

    node: float
    drift: float
    place: tuple[float, ...]
    add: tuple[float, ...]


_STAGES = (
    _Stage(0.0, GAMMA, (), ()),
    _Stage(0.6358126895828704, -0.42387512638858027, (3.0,), (-14.155112264123755,)),
    _Stage(
        0.4095798393397535,
        -0.3384627126235924,
        (2.849394379747939, 0.45842242204463923),
        (-17.97296035885952, -2.859693295451294),
    ),
    _Stage(
        0.9769306725060716,
        1.8046452872882734,
        (-6.954028509809101, 2.489845061869568, -10.358996098473584),
        (147.12150275711716, -1.41221402718213, 71.68940251302358),
    ),
    _Stage(
        0.4288403609558664,
        2.325825639765069,
        (2.8029986275628964, 0.5072464736228206, -0.3988312541770524, -0.04721187230404641),
        (165.43517024871676, -0.4592823456491126, 42.90938336958603, -5.961986721573306),
    ),
    _Stage(
        1.0,
        0.0,
        _LAST,
        (
            24.854864614690072,
            -3.0009227002832186,
            47.4931110020768,
            5.5814197821558125,
            -0.6610691825249471,
        ),
    ),
    _Stage(
        1.0,
        0.0,
        (*_LAST, 1.0),
        (
            30.91273214028599,
            -3.1208243349937974,
            77.79954646070892,
            34.28646028294783,
            -19.097331116725623,
            -28.087943162872662,
        ),
    ),
    _Stage(
        1.0,
        0.0,
        (*_LAST, 1.0, 1.0),
        (
            37.80277123390563,
            -3.2571969029072276,
            112.26918849496327,
            66.9347231244047,
            -40.06618937091002,
            -54.66780262877968,
            -9.48861652309627,
        ),
    ),
)


def rosenbrock_step(
    slope: Slope,
    time: Float[Array, ""],
    state: Float[Array, " state"],
    length: Float[Array, ""],
) -> tuple[Float[Array, " state"], Float[Array, " state"]]:
    """The state after one step, and an estimate of its error.

    Args:
        slope: Derivative of the state, a function of time and state.
        time: Start of the step [h].
        state: The state there, shape (state,).
        length: Length of the step, not negative [h].

    Returns:
        The state at its end and the estimated error, each of shape (state,).

    Example:
        >>> decay = lambda time, state: -state
        >>> rosenbrock_step(decay, jnp.array(0.0), jnp.ones(1), jnp.array(0.5))[0].round(6)
        Array([0.606531], dtype=float64)
    """
    jacobian = jax.jacfwd(slope, argnums=1)(time, state)
    drift = jax.jvp(lambda t: slope(t, state), (time,), (jnp.ones_like(time),))[1]
    unit = jnp.eye(state.shape[0], dtype=state.dtype)
    inverse = _inverse(unit - GAMMA * length * jacobian)
    done: list[Array] = []
    for stage in _STAGES:
        there = slope(time + stage.node * length, state + _combined(stage.place, done, state))
        right = length * there + _combined(stage.add, done, state)
        if stage.drift:
            right = right + (length**2 * stage.drift) * drift
        done.append(GAMMA * jnp.sum(inverse * right, axis=1))
    return state + _combined((*_LAST, 1.0, 1.0, 1.0), done, state), done[-1]


def _combined(factors: tuple[float, ...], increments: list[Array], like: Array) -> Array:
    total = jnp.zeros_like(like)
    for factor, increment in zip(factors, increments, strict=True):
        total = total + factor * increment
    return total


def _inverse(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Gauss-Jordan without pivoting: kinetics at I - h J have a strong diagonal.

    Written out it vectorizes over patients and draws, which batched library calls do not.
    """
    size = matrix.shape[0]
    work = jnp.concatenate([matrix, jnp.eye(size, dtype=matrix.dtype)], axis=1)
    tiny = jnp.finfo(matrix.dtype).eps
    for i in range(size):
        pivot = work[i, i]
        row = work[i] / jnp.where(jnp.abs(pivot) < tiny, tiny, pivot)
        at = (jnp.arange(size) == i)[:, None]
        work = jnp.where(at, row, work - work[:, i : i + 1] * row)
    return work[:, size:]
