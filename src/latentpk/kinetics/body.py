r"""A mammillary body as a container: what is where after some time with constant input.

The state moves by a function of the rate matrix K, in Newton's form over the modes,

.. math:: f(K) x = f[\lambda_1] x + f[\lambda_1, \lambda_2] (K - \lambda_1) x + \dots

whose divided differences are convolutions of decays: no eigenvector, so modes may coincide and
compartments may be absent. All functions are elementwise: fields of any one shape.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from latentpk.kinetics.decay import Scalar, decay_convolution, mean_decay
from latentpk.kinetics.structure import Structure

Vector = tuple[Scalar, ...]  # central, then the peripheral compartments


class Body(NamedTuple):
    """Rate constants of a body [1/h].

    Attributes:
        modes: Rates of the modes, the slowest first.
        k10: Elimination.
        outward: Central to each peripheral compartment.
        back: Each peripheral compartment to central.
        ka: Absorption; None without a depot.
    """

    modes: Vector
    k10: Scalar
    outward: Vector
    back: Vector
    ka: Scalar | None


class Content(NamedTuple):
    """Amounts [mg].

    Attributes:
        site: At the absorption site (0 without a depot).
        inside: In the central and the peripheral compartments.
    """

    site: Scalar
    inside: Vector


class Inflow(NamedTuple):
    """Zero-order input [mg/h]; None where there never is any.

    Attributes:
        central: Into the central compartment.
        site: Into the absorption site.
    """

    central: Scalar | None = None
    site: Scalar | None = None


def bodies(structure: Structure, parameters: Float[Array, "piece parameter"]) -> Body:
    """The bodies of several sets of parameters.

    Args:
        structure: The compartment model.
        parameters: In the order of `structure.names`, shape (piece, parameter).

    Returns:
        Rate constants, each of shape (piece,).

    Example:
        >>> bodies(Structure.parse("1c-iv"), jnp.array([[5.0, 50.0]])).k10
        Array([0.1], dtype=float64)
    """
    named = dict(zip(structure.names, parameters.T, strict=True))
    modes = jax.vmap(structure.modes)(parameters)[0]
    peripheral = range(2, structure.compartments + 1)
    return Body(
        modes=tuple(modes[:, ::-1].T),
        k10=named["cl"] / named["v1"],
        outward=tuple(named[f"q{i}"] / named["v1"] for i in peripheral),
        back=tuple(named[f"q{i}"] / named[f"v{i}"] for i in peripheral),
        ka=named.get("ka"),
    )


def moved(body: Body, content: Content, inflow: Inflow, time: Scalar) -> Content:
    """The content after some time under constant input.

    Args:
        body: Rate constants.
        content: Amounts now [mg].
        inflow: Constant input [mg/h].
        time: Not negative [h].

    Returns:
        Amounts then [mg].

    Example:
        >>> body = bodies(Structure.parse("1c-iv"), jnp.array([[5.0, 50.0]]))
        >>> zero, hour = jnp.zeros(1), jnp.ones(1)
        >>> moved(body, Content(zero, (zero,)), Inflow(100.0 * hour), hour).inside[0].round(3)
        Array([95.163], dtype=float64)
    """
    zero = jnp.zeros_like(body.k10)
    inside = _carried(body, content.inside, (), time)
    if inflow.central is not None:
        inside = _plus(inside, _entering(body, inflow.central, (zero,), time))
    if body.ka is None:
        return Content(content.site, inside)
    site = content.site * jnp.exp(-body.ka * time)
    inside = _plus(inside, _entering(body, content.site * body.ka, (body.ka,), time))
    if inflow.site is not None:
        site = site + inflow.site * time * mean_decay(body.ka * time)
        inside = _plus(inside, _entering(body, inflow.site * body.ka, (zero, body.ka), time))
    return Content(site, inside)


def repeated(body: Body, added: Content, interval: Scalar) -> Content:
    """The content just before each dose of a regimen that has run for ever.

    It is the x that solves x = (x moved by one interval) + added.

    Args:
        body: Rate constants.
        added: What one interval adds, at its end [mg].
        interval: The dosing interval, positive [h].

    Returns:
        Amounts just before a dose [mg].

    Example:
        >>> body = bodies(Structure.parse("1c-iv"), jnp.array([[jnp.log(2.0), 1.0]]))
        >>> one = jnp.ones(1)
        >>> repeated(body, Content(0 * one, (one,)), one).inside[0].round(6)
        Array([2.], dtype=float64)
    """
    zero = jnp.zeros_like(body.k10)
    inside, site = added.inside, added.site
    if body.ka is not None:
        cycle = _floor(body.ka * interval)
        site = site / (cycle * mean_decay(cycle))
        inside = _plus(inside, _entering(body, site * body.ka, (body.ka,), interval))
    # I - exp(-K II) = K Psi with Psi the integral of exp(-K t): both are solved without loss
    level = constant(body, inside)
    units = [
        tuple(jnp.ones_like(zero) if i == j else zero for i in range(len(inside)))
        for j in range(len(inside))
    ]
    columns = [_carried(body, unit, (zero,), interval) for unit in units]
    return Content(site, _solved([list(row) for row in zip(*columns, strict=True)], list(level)))


def constant(body: Body, flow: Vector) -> Vector:
    """The amounts inside under constant inputs, at steady state.

    Args:
        body: Rate constants.
        flow: Input into each compartment [mg/h].

    Returns:
        Amounts [mg].

    Example:
        >>> body = bodies(Structure.parse("1c-iv"), jnp.array([[5.0, 50.0]]))
        >>> constant(body, (jnp.ones(1),))[0].round(6)
        Array([10.], dtype=float64)
    """
    central = sum(flow[1:], flow[0]) / _floor(body.k10)
    return (
        central,
        *(
            (own + out * central) / _floor(back)
            for own, out, back in zip(flow[1:], body.outward, body.back, strict=True)
        ),
    )


def _floor(rate: Scalar) -> Scalar:
    return jnp.maximum(rate, jnp.finfo(rate.dtype).eps)


def _plus(first: Vector, second: Vector) -> Vector:
    return tuple(a + b for a, b in zip(first, second, strict=True))


def _entering(body: Body, amount: Scalar, extra: Vector, time: Scalar) -> Vector:
    """Of an amount that reaches the central compartment through further decays."""
    zero = jnp.zeros_like(amount)
    return _carried(body, (amount, *(zero for _ in body.back)), extra, time)


def _carried(body: Body, inside: Vector, extra: Vector, time: Scalar) -> Vector:
    """f(K) applied to the amounts; f is the decay, convolved with the extra decays."""
    vector, total = inside, tuple(jnp.zeros_like(x * time) for x in inside)
    for k, mode in enumerate(body.modes):
        factor = (-1) ** k * decay_convolution((*body.modes[: k + 1], *extra), time)
        total = tuple(sum_ + factor * x for sum_, x in zip(total, vector, strict=True))
        if k + 1 < len(body.modes):
            vector = _outflow(body, vector, mode)
    return total


def _outflow(body: Body, x: Vector, mode: Scalar) -> Vector:
    """(K - mode) x."""
    leaving = (sum(body.outward, body.k10) - mode) * x[0]
    returning = [back * y for back, y in zip(body.back, x[1:], strict=True)]
    others = [
        (back - mode) * y - out * x[0]
        for out, back, y in zip(body.outward, body.back, x[1:], strict=True)
    ]
    return (leaving - sum(returning, jnp.zeros_like(leaving)), *others)


def _solved(matrix: list[list[Scalar]], right: list[Scalar]) -> Vector:
    """Elimination without pivoting: the matrix is the inverse of one with a strong diagonal."""
    size = len(right)
    for i in range(size):
        for j in range(i + 1, size):
            factor = matrix[j][i] / matrix[i][i]
            matrix[j] = [b - factor * a for a, b in zip(matrix[i], matrix[j], strict=True)]
            right[j] = right[j] - factor * right[i]
    for i in reversed(range(size)):
        known = sum((matrix[i][j] * right[j] for j in range(i + 1, size)), 0.0 * right[i])
        right[i] = (right[i] - known) / matrix[i][i]
    return tuple(right)
