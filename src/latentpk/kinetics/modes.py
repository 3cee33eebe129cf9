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
    offset = k10 + k12 - k21
    least = jnp.finfo(k10.dtype).eps * (k10 + k12 + k21) + _least(k10)
    root = jnp.sqrt(jnp.maximum(offset**2 + 4 * k12 * k21, least**2))
    larger = (root + jnp.abs(offset)) / 2
    smaller = k12 * k21 / larger  # the product of both is k12 k21
    above = jnp.where(offset >= 0, larger, smaller)  # fast rate - k21
    below = jnp.where(offset >= 0, smaller, larger)  # k21 - slow rate
    fast = k21 + above
    rates = jnp.stack([fast, k10 * k21 / jnp.maximum(fast, least)])
    return rates, jnp.stack([above, below]) / (above + below)


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
    eps, least = 4 * jnp.finfo(rates.dtype).eps, _least(upper)
    margin = eps * upper + least
    first, last = jnp.maximum(rates[0] - upper, margin), jnp.maximum(lower - rates[2], 0.0)
    above, below = jnp.maximum(upper - rates[1], margin), jnp.maximum(rates[1] - lower, 0.0)
    span = last + (upper - lower) + first
    floor = jnp.maximum(last + below, eps * lower + least)
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
    scale = jnp.maximum(coefficients[0], _least(coefficients[0]))
    unit = 1 / scale  # products, because XLA would join quotients into one that underflows
    a1, a0 = coefficients[1] * unit * unit, coefficients[2] * unit * unit * unit
    shift = 1 / 3
    p = jnp.maximum(shift**2 - a1 / 3, jnp.finfo(scale.dtype).eps ** 2)
    q = shift**3 - shift * a1 / 2 + a0 / 2
    angle = jnp.arccos(jnp.clip(q / (p * jnp.sqrt(p)), -1.0, 1.0)) / 3
    scaled = jnp.stack([jnp.ones_like(a1), a1, a0])
    largest = _polish(shift + 2 * jnp.sqrt(p) * jnp.cos(angle), scaled)
    # the others from the deflated quadratic, whose coefficients are quotients and sums: no
    # cancellation where the roots differ by orders of magnitude
    product = a0 / largest
    half = jnp.maximum(a1 - product, 0.0) / largest / 2
    middle = half + jnp.sqrt(jnp.maximum(half**2 - product, 0.0))
    smallest = jnp.where(middle > 0, product / jnp.where(middle > 0, middle, 1.0), 0.0)
    return scale * jnp.stack([largest, middle, smallest])


def _least(rate: Float[Array, "..."]) -> float:
    """A rate so small that it is no rate, but whose inverse cube is still finite."""
    return float(jnp.finfo(rate.dtype).tiny) ** 0.3


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
    slopes = []
    for i in range(3):  # p'(x) is the product of the distances to the other roots
        gaps = [x[i] - x[j] for j in range(3) if j != i]
        least = jnp.finfo(x.dtype).eps * x[i] + _least(x)
        gaps = [jnp.where(jnp.abs(g) < least, jnp.where(g < 0, -least, least), g) for g in gaps]
        slopes.append(gaps[0] * gaps[1])
    return x, (x**2 * change[0] - x * change[1] + change[2]) / jnp.stack(slopes)
