"""Where a fixed number of steps is spent: first by time after an event, then by the error found."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from latentpk import precision  # noqa: F401  (float64 before any array)

SHORTEST = 0.01  # the first steps after an event are of this length [h]
SHARE = 0.15  # of the steps that stay where the first mesh had them
ORDER = 5  # the error estimated for a step falls with this power of its length
Times = Float[Array, " corner"]


def graded_mesh(
    corners: Times, end: Float[Array, ""], count: int, shortest: float = SHORTEST
) -> Float[Array, " point"]:
    """Points that are dense after every corner and thin out with the logarithm of time.

    Args:
        corners: Where the inputs change [h], shape (corner,), in any order.
        end: Nothing is needed after it [h].
        count: Number of points.
        shortest: The first steps after a corner are of this length [h].

    Returns:
        Times [h], increasing, shape (count,).

    Example:
        >>> graded_mesh(jnp.array([0.0]), jnp.array(10.0), 3).round(2)
        Array([0.05, 0.31, 1.77], dtype=float64)
    """
    edges = jnp.append(jnp.sort(jnp.minimum(corners, end)), end)
    spent = jnp.cumsum(jnp.log1p((edges[1:] - edges[:-1]) / shortest))
    spent = jnp.concatenate([jnp.zeros_like(spent[:1]), spent])
    wanted = spent[-1] * (jnp.arange(1, count + 1, dtype=end.dtype) / (count + 1))
    piece = jnp.sum(spent[1:] <= wanted[:, None], axis=1)
    piece = jnp.minimum(piece, edges.shape[0] - 2)
    since = shortest * jnp.expm1(wanted - spent[piece])
    return jnp.minimum(edges[piece] + since, edges[piece + 1])


def equal_mesh(
    time: Float[Array, " step"],
    error: Float[Array, " step"],
    length: Float[Array, " step"],
    count: int,
) -> Float[Array, " point"]:
    """Points that spread the error of earlier steps evenly.

    Args:
        time: Ends of the steps [h], increasing, shape (step,).
        error: Relative error of each, shape (step,).
        length: What each counted in the mesh that placed it, shape (step,); it keeps a share.
        count: Number of points.

    Returns:
        Times [h], increasing, shape (count,).

    Example:
        >>> time, error = jnp.array([0.0, 1.0, 2.0]), jnp.array([0.0, 1e-9, 1e-3])
        >>> equal_mesh(time, error, jnp.array([0.0, 1.0, 1.0]), 3).round(2)
        Array([1.14, 1.43, 1.71], dtype=float64)
    """
    weight = jnp.minimum(error, 1.0) ** (1 / ORDER)
    total, spread = jnp.sum(weight), jnp.sum(length)
    tiny = jnp.finfo(time.dtype).tiny
    weight = (1 - SHARE) * weight / jnp.maximum(total, tiny)
    weight = weight + SHARE * length / jnp.maximum(spread, tiny)
    spent = jnp.cumsum(weight)
    wanted = spent[-1] * (jnp.arange(1, count + 1, dtype=time.dtype) / (count + 1))
    return jnp.interp(wanted, spent, time)
