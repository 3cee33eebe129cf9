"""A multilayer perceptron with a fixed activation."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from latentpk import precision  # noqa: F401  (sets x64 before any array)


class Linear(eqx.Module):
    """An affine map, initialised by He's rule or to zero (`gain=0`)."""

    weight: Float[Array, "out in"]
    bias: Float[Array, " out"]

    def __init__(self, inputs: int, outputs: int, *, key: PRNGKeyArray, gain: float = 1.0) -> None:
        scale = gain / max(inputs, 1) ** 0.5
        self.weight = scale * jax.random.normal(key, (outputs, inputs), jnp.float64)
        self.bias = jnp.zeros((outputs,), jnp.float64)

    def __call__(self, x: Float[Array, " in"]) -> Float[Array, " out"]:
        """The map's value at x, shape (out,)."""
        return self.weight @ x + self.bias


class Mlp(eqx.Module):
    """Linear maps with GELU between them; the last one starts at `gain` times its usual size.

    A gain of 0 makes the network start as the zero function, so that whatever it is added to
    starts where it would be without it.
    """

    layers: tuple[Linear, ...]

    def __init__(self, sizes: tuple[int, ...], *, key: PRNGKeyArray, gain: float = 1.0) -> None:
        keys = jax.random.split(key, len(sizes) - 1)
        gains = [2.0**0.5] * (len(sizes) - 2) + [gain]
        self.layers = tuple(
            Linear(a, b, key=k, gain=g)
            for a, b, k, g in zip(sizes[:-1], sizes[1:], keys, gains, strict=True)
        )

    def __call__(self, x: Float[Array, " in"]) -> Float[Array, " out"]:
        """The network's value at x, shape (out,)."""
        for layer in self.layers[:-1]:
            x = jax.nn.gelu(layer(x))
        return self.layers[-1](x)
