r"""The few functions of exponentials everything here is made of, exact where textbooks divide 0/0.

Each is a divided difference of :math:`e^{-x}`, hence positive and smooth; a short series takes
over where the quotient would cancel, and both branches stay finite with finite derivatives.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

import latentpk.precision  # noqa: F401  (x64 before any array)

NEAR = 0.125  # below it the series is used: its 9 terms leave 2e-15, the quotient loses 3 bits
_SERIES = (1.0, -1 / 2, 1 / 6, -1 / 24, 1 / 120, -1 / 720, 1 / 5040, -1 / 40320, 1 / 362880)


def mean_decay_series(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    r"""Series of :math:`(1 - e^{-x})/x` for :math:`|x| <` `NEAR`, of either sign.

    Args:
        x: Dimensionless, any shape.

    Returns:
        The value, same shape; meaningless far from 0.

    Example:
        >>> mean_decay_series(jnp.zeros(1))
        Array([1.], dtype=float64)
    """
    value = jnp.full_like(x, _SERIES[-1])
    for coefficient in _SERIES[-2::-1]:
        value = value * x + coefficient
    return value


def mean_decay(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    r"""Mean of :math:`e^{-u}` over u in (0, x): :math:`(1 - e^{-x})/x`, 1 at x = 0.

    Args:
        x: Not negative, dimensionless, any shape.

    Returns:
        A number in (0, 1], same shape.

    Example:
        >>> mean_decay(jnp.array([0.0, 1.0])).round(4)
        Array([1.    , 0.6321], dtype=float64)
    """
    near = x < NEAR
    far = jnp.where(near, 1.0, x)
    return jnp.where(near, mean_decay_series(jnp.where(near, x, 0.0)), (1 - jnp.exp(-far)) / far)


def decay_difference(
    fast: Float[Array, "..."], slow: Float[Array, "..."], time: Float[Array, "..."]
) -> Float[Array, "..."]:
    r"""Convolution of two decays, :math:`(e^{-at} - e^{-bt})/(b - a)`, symmetric in a and b.

    Args:
        fast: One rate a [1/h].
        slow: The other rate b [1/h], in any relation to a.
        time: Time, not negative [h].

    Returns:
        The convolution [h], :math:`t e^{-at}` where a = b; shapes broadcast.

    Example:
        >>> decay_difference(jnp.ones(1), jnp.ones(1), jnp.ones(1)).round(4)
        Array([0.3679], dtype=float64)
    """
    gap = slow - fast
    near = jnp.abs(gap * time) < NEAR
    series = mean_decay_series(jnp.where(near, gap * time, 0.0))
    decay = jnp.exp(-fast * time)
    quotient = (decay - jnp.exp(-slow * time)) / jnp.where(near, 1.0, gap)
    return jnp.where(near, time * decay * series, quotient)
