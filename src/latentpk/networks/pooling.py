"""A network over a set: any number of tokens, any order, none at all."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from latentpk.networks.mlp import Mlp


class SetEncoder(eqx.Module):
    r"""Deep set: a token network, masked mean and log count, an output network.

    .. math:: y = \rho\bigl(\tfrac1n\textstyle\sum_i \phi(x_i), \log(1 + n)\bigr)

    Its value does not depend on the tokens' order nor on masked tokens (Zaheer et al. 2017).
    """

    token: Mlp
    output: Mlp

    def __init__(
        self, features: int, hidden: int, outputs: int, *, context: int, key: PRNGKeyArray
    ) -> None:
        first, second = jax.random.split(key)
        self.token = Mlp((features, hidden, hidden), key=first)
        self.output = Mlp((hidden + 1 + context, hidden, hidden, outputs), key=second, gain=0.1)

    def __call__(
        self,
        tokens: Float[Array, "token feature"],
        mask: Bool[Array, " token"],
        context: Float[Array, " context"],
    ) -> Float[Array, " out"]:
        """Encode one set.

        Args:
            tokens: One row of features per token, shape (token, feature).
            mask: Which tokens are there, shape (token,).
            context: Features of the whole set, shape (context,).

        Returns:
            The set's code, shape (out,).
        """
        embedded = jax.nn.gelu(jax.vmap(self.token)(tokens))
        count = jnp.sum(mask).astype(tokens.dtype)
        pooled = jnp.sum(jnp.where(mask[:, None], embedded, 0.0), axis=0) / jnp.maximum(count, 1.0)
        return self.output(jnp.concatenate([pooled, jnp.log1p(count)[None], context]))
