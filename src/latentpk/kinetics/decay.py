r"""The few functions of exponentials everything here is made of, exact where textbooks divide 0/0.

Each is a divided difference of :math:`e^{-x}`, hence positive and smooth; a short series takes
over where the quotient would cancel, and both branches stay finite with finite derivatives.
"""

import math
from itertools import pairwise

import jax.numpy as jnp
from jaxtyping import Array, Float

import latentpk.precision  # noqa: F401  (x64 before any array)

Scalar = Float[Array, "..."]

NEAR = 0.125  # below it the series is used: its 10 terms leave 2e-17, the quotient loses 3 bits
_SERIES = tuple((-1) ** n / math.factorial(n + 1) for n in range(10))

_CLOSE = 0.5  # the same for convolutions of three and more decays
_TERMS = 13


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


def decay_difference(first: Scalar, second: Scalar, time: Scalar) -> Scalar:
    r"""Convolution of two decays, :math:`(e^{-at} - e^{-bt})/(b - a)`, symmetric in a and b.

    Args:
        first: One rate a, not negative [1/h].
        second: The other rate b, not negative [1/h].
        time: Time, not negative [h]; shapes broadcast.

    Returns:
        The convolution [h]; :math:`t e^{-at}` where a = b.

    Example:
        >>> decay_difference(jnp.ones(1), jnp.ones(1), jnp.ones(1)).round(4)
        Array([0.3679], dtype=float64)
    """
    gap = second - first
    near = jnp.abs(gap * time) < NEAR
    series = mean_decay_series(jnp.where(near, gap * time, 0.0))
    decay = jnp.exp(-first * time)
    quotient = (decay - jnp.exp(-second * time)) / jnp.where(near, 1.0, gap)
    return jnp.where(near, time * decay * series, quotient)


def decay_area(rate: Scalar, start: Scalar, stop: Scalar) -> Scalar:
    r"""Area under one decay over a window, :math:`\int_{start}^{stop} e^{-rate\,t} dt`.

    Args:
        rate: The rate, not negative [1/h].
        start: Start of the window [h].
        stop: Its end, not before its start [h].

    Returns:
        The area [h].

    Example:
        >>> decay_area(jnp.zeros(1), jnp.ones(1), 3 * jnp.ones(1))
        Array([2.], dtype=float64)
    """
    length = stop - start
    return jnp.exp(-rate * start) * length * mean_decay(rate * length)


def decay_convolution(rates: tuple[Scalar, ...], time: Scalar) -> Scalar:
    r"""Convolution of any number of decays: what reaches the last of a chain of compartments.

    .. math:: (-1)^{n-1} f[a_1, \dots, a_n], \quad f(a) = e^{-at}

    a divided difference: positive, symmetric, any rates may coincide. A rate 0 integrates.

    Args:
        rates: The rates, not negative [1/h].
        time: Time, not negative [h].

    Returns:
        The convolution [h^(n - 1)].

    Example:
        >>> decay_convolution((jnp.zeros(1), jnp.ones(1)), jnp.ones(1)).round(4)
        Array([0.6321], dtype=float64)
    """
    ordered = list(rates)
    for last in range(len(ordered) - 1, 0, -1):  # exchanges: a sort would not vectorize
        for i in range(last):
            pair = ordered[i], ordered[i + 1]
            ordered[i], ordered[i + 1] = jnp.minimum(*pair), jnp.maximum(*pair)
    return _convolution(tuple(ordered), time)


def _convolution(rates: tuple[Scalar, ...], time: Scalar) -> Scalar:
    """Of sorted rates: the first and the last are the farthest apart, so dividing there is safe."""
    if len(rates) == 1:
        return jnp.exp(-rates[0] * time)
    row = [decay_difference(*pair, time) for pair in pairwise(rates)]
    for size in range(3, len(rates) + 1):
        window = [rates[i : i + size] for i in range(len(row) - 1)]
        row = [_joined(some, pair, time) for some, pair in zip(window, pairwise(row), strict=True)]
    return row[0]


def _joined(rates: tuple[Scalar, ...], parts: tuple[Scalar, Scalar], time: Scalar) -> Scalar:
    """The convolution of all from those without the last and without the first."""
    gap = rates[-1] - rates[0]
    near = gap * time < _CLOSE
    quotient = (parts[0] - parts[1]) / jnp.where(near, 1.0, gap)
    return jnp.where(near, _series(rates, time, near), quotient)


def _series(rates: tuple[Scalar, ...], time: Scalar, near: Array) -> Scalar:
    """Taylor series around the first rate: complete homogeneous polynomials over factorials."""
    offsets = [jnp.where(near, (rate - rates[0]) * time, 0.0) for rate in rates[1:]]
    size = len(offsets)
    # h[k] is the complete homogeneous polynomial of the first k + 1 offsets, of growing degree
    h = [jnp.ones_like(time)] * size
    total = h[-1] / math.factorial(size)
    for degree in range(1, _TERMS):
        h = _next_degree(h, offsets)
        total += (-1) ** degree * h[-1] / math.factorial(size + degree)
    return time**size * jnp.exp(-rates[0] * time) * total


def _next_degree(h: list[Scalar], offsets: list[Scalar]) -> list[Scalar]:
    grown: list[Scalar] = []
    for value, offset in zip(h, offsets, strict=True):
        grown.append(value * offset + (grown[-1] if grown else 0.0))
    return grown
