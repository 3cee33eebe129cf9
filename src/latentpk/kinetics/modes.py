r"""Modes of mammillary systems: the roots of their characteristic polynomial and their shares.

With elimination k10 and exchanges k12, k21 (k13, k31), the roots interlace with the return rates
k21, k31. All formulas use that, so that shares are never negative.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

import latentpk.precision  # noqa: F401  (x64 before any array)

Scalar = Float[Array, ""]
Modes = tuple[Float[Array, " mode"], Float[Array, " mode"]]


def two_modes(k10: Scalar, k12: Scalar, k21: Scalar) -> Modes:
    r"""Modes of two compartments.

    With :math:`x = k_{10} + k_{12} - k_{21}` the discriminant is :math:`x^2 + 4 k_{12} k_{21}`,
    free of cancellation.

    Args:
        k10: Elimination [1/h].
        k12: Central to peripheral [1/h].
        k21: Peripheral to central [1/h].

    Returns:
        Rates [1/h], the faster first, and shares in a central bolus, each of shape (2,).

    Example:
        >>> two_modes(jnp.array(0.1), jnp.array(0.0), jnp.array(0.5))[1]
        Array([0., 1.], dtype=float64)
    """
    tiny = jnp.finfo(k10.dtype).tiny
    offset = k10 + k12 - k21
    root = jnp.sqrt(jnp.maximum(offset**2 + 4 * k12 * k21, tiny))
    larger = (root + jnp.abs(offset)) / 2
    smaller = k12 * k21 / larger  # the product of both is k12 k21
    above = jnp.where(offset >= 0, larger, smaller)  # fast rate - k21
    below = jnp.where(offset >= 0, smaller, larger)  # k21 - slow rate
    fast = k21 + above
    return jnp.stack([fast, k10 * k21 / jnp.maximum(fast, tiny)]), jnp.stack([above, below]) / root


def three_modes(k10: Scalar, outward: tuple[Scalar, Scalar], back: tuple[Scalar, Scalar]) -> Modes:
    r"""Modes of three compartments.

    Args:
        k10: Elimination [1/h].
        outward: Central to each peripheral compartment, k12 and k13 [1/h].
        back: Each peripheral compartment to central, k21 and k31 [1/h].

    Returns:
        Rates [1/h], the fastest first, and shares in a central bolus, each of shape (3,).

    Example:
        >>> outward, back = (jnp.array(0.5), jnp.array(0.0)), (jnp.array(0.2), jnp.array(0.1))
        >>> three_modes(jnp.array(0.1), outward, back)[1].sum().round(12)
        Array(1., dtype=float64)
    """
    (k12, k13), (k21, k31) = outward, back
    coefficients = jnp.stack(
        [
            k10 + k12 + k13 + k21 + k31,
            k10 * (k21 + k31) + k21 * k31 + k21 * k13 + k31 * k12,
            k10 * k21 * k31,
        ]
    )
    rates = cubic_roots(coefficients)
    return rates, _shares(rates, jnp.maximum(k21, k31), jnp.minimum(k21, k31))


def _shares(rates: Float[Array, " mode"], upper: Scalar, lower: Scalar) -> Float[Array, " mode"]:
    """Shares from the roots and the return rates they interlace with.

    The roots are those of a nearby system with the same return rates, whose shares this product
    gives exactly; a margin keeps the interlacing strict where roots coincide.
    """
    margin = 4 * jnp.finfo(rates.dtype).eps * upper + jnp.finfo(rates.dtype).tiny
    first, last = jnp.maximum(rates[0] - upper, margin), jnp.maximum(lower - rates[2], 0.0)
    above, below = jnp.maximum(upper - rates[1], margin), jnp.maximum(rates[1] - lower, 0.0)
    span = last + (upper - lower) + first
    floor = jnp.maximum(last + below, margin)
    shares = jnp.stack(
        [
            first * (first + upper - lower) / ((first + above) * span),
            above * below / ((first + above) * floor),
            last * (last + upper - lower) / (floor * span),
        ]
    )
    return shares / jnp.sum(shares)


@jax.custom_jvp
def cubic_roots(coefficients: Float[Array, " 3"]) -> Float[Array, " 3"]:
    r"""Roots of :math:`x^3 - a_2 x^2 + a_1 x - a_0`, all real and not negative.

    Trigonometric start, then Newton steps on the polynomial: each root is accurate relative to
    itself. Derivatives are implicit, :math:`\dot x = (x^2 \dot a_2 - x \dot a_1 + \dot a_0)/p'(x)`.

    Args:
        coefficients: :math:`(a_2, a_1, a_0)`, shape (3,).

    Returns:
        The roots, the largest first, shape (3,).

    Example:
        >>> cubic_roots(jnp.array([6.0, 11.0, 6.0]))
        Array([3., 2., 1.], dtype=float64)
    """
    a2, a1, a0 = coefficients
    shift = a2 / 3
    tiny = jnp.finfo(coefficients.dtype).tiny
    p = jnp.maximum(shift**2 - a1 / 3, tiny)
    q = shift**3 - shift * a1 / 2 + a0 / 2
    angle = jnp.arccos(jnp.clip(q / (p * jnp.sqrt(p)), -1.0, 1.0)) / 3
    turns = jnp.array([0.0, -2.0, 2.0], coefficients.dtype) * (jnp.pi / 3)
    largest = shift + 2 * jnp.sqrt(p) * jnp.cos(angle)
    del turns
    largest = _polish(largest, coefficients)
    # the other two from the deflated quadratic x^2 - s x + d: d from a0, s from a1, without
    # cancellation where the roots differ by orders of magnitude
    product = a0 / jnp.maximum(largest, tiny)
    total = jnp.maximum(a1 - product, 0.0) / jnp.maximum(largest, tiny)
    half = total / 2
    middle = half + jnp.sqrt(jnp.maximum(half**2 - product, 0.0))
    smallest = product / jnp.maximum(middle, tiny)
    return jnp.stack([largest, middle, smallest])


def _polish(x: Scalar, coefficients: Float[Array, " 3"]) -> Scalar:
    a2, a1, a0 = coefficients
    for _ in range(2):
        slope = (3 * x - 2 * a2) * x + a1
        x = x - (((x - a2) * x + a1) * x - a0) / jnp.where(slope > 0, slope, jnp.inf)
    return x


@cubic_roots.defjvp
def _cubic_roots_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (coefficients,), (change,) = primals, tangents
    x = cubic_roots(coefficients)
    a2, a1, _ = coefficients
    slope = (3 * x - 2 * a2) * x + a1
    floor = jnp.finfo(x.dtype).eps * a2**2 + jnp.finfo(x.dtype).tiny
    slope = jnp.where(jnp.abs(slope) < floor, jnp.where(slope < 0, -floor, floor), slope)
    return x, (x**2 * change[0] - x * change[1] + change[2]) / slope
