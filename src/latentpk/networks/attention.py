"""Cross-attention between the features of two views of one subject."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from latentpk.networks.mlp import Linear, Mlp


class FeatureTokens(eqx.Module):
    """One token per feature: its value times a direction, plus the feature's own embedding."""

    direction: Float[Array, "feature width"]
    embedding: Float[Array, "feature width"]

    def __init__(self, features: int, width: int, *, key: PRNGKeyArray) -> None:
        first, second = jax.random.split(key)
        scale = width**-0.5
        self.direction = scale * jax.random.normal(first, (features, width), jnp.float64)
        self.embedding = scale * jax.random.normal(second, (features, width), jnp.float64)

    def __call__(self, values: Float[Array, " feature"]) -> Float[Array, "feature width"]:
        """The tokens of one subject's features, shape (feature, width)."""
        return values[:, None] * self.direction + self.embedding


class CrossAttention(eqx.Module):
    r"""Each raw feature reads a mixture of knowledge features; a query per target pools them.

    Keys come from the raw view, queries and values from the knowledge view, as published
    (arXiv 2503.13798). The views have different lengths, so the scores
    :math:`S = QK^\top/\sqrt d` have shape (knowledge, raw), the softmax runs over the knowledge
    axis, and :math:`S^\top V` has shape (raw, width). Attention runs over the features of one
    subject, never over the batch.
    """

    raw: FeatureTokens
    knowledge: FeatureTokens
    key_map: Linear
    query_map: Linear
    value_map: Linear
    target: Float[Array, "target width"]

    def __init__(
        self, raw: int, knowledge: int, targets: int, width: int, *, key: PRNGKeyArray
    ) -> None:
        keys = jax.random.split(key, 6)
        self.raw = FeatureTokens(raw, width, key=keys[0])
        self.knowledge = FeatureTokens(knowledge, width, key=keys[1])
        self.key_map = Linear(width, width, key=keys[2])
        self.query_map = Linear(width, width, key=keys[3])
        self.value_map = Linear(width, width, key=keys[4])
        self.target = width**-0.5 * jax.random.normal(keys[5], (targets, width), jnp.float64)

    def __call__(
        self, raw: Float[Array, " raw"], knowledge: Float[Array, " knowledge"]
    ) -> tuple[Float[Array, "target width"], Float[Array, "target raw knowledge"]]:
        """Attend, and say to what.

        Args:
            raw: The raw view's values, shape (raw,).
            knowledge: The knowledge view's values, shape (knowledge,).

        Returns:
            The pooled code of each target, shape (target, width), and the attention map,
            shape (target, raw, knowledge), which sums to 1 over raw and knowledge.
        """
        prior_tokens = self.knowledge(knowledge)
        keys = jax.vmap(self.key_map)(self.raw(raw))
        queries = jax.vmap(self.query_map)(prior_tokens)
        values = jax.vmap(self.value_map)(prior_tokens)
        root = keys.shape[-1] ** 0.5
        share = jax.nn.softmax(queries @ keys.T / root, axis=0)  # over knowledge
        read = share.T @ values
        pool = jax.nn.softmax(self.target @ read.T / root, axis=1)  # over raw
        return pool @ read, pool[:, :, None] * share.T[None]


class MultiViewNetwork(eqx.Module):
    """Cross-attention and an MLP on both views side by side, joined by a final MLP.

    The last layer starts at zero, so the network starts as the zero function.
    """

    attention: CrossAttention
    parallel: Mlp
    final: Mlp

    def __init__(
        self, raw: int, knowledge: int, targets: int, width: int, *, key: PRNGKeyArray
    ) -> None:
        keys = jax.random.split(key, 3)
        self.attention = CrossAttention(raw, knowledge, targets, width, key=keys[0])
        self.parallel = Mlp((raw + knowledge, width, width), key=keys[1])
        self.final = Mlp((targets * width + width, width, targets), key=keys[2], gain=0.0)

    def __call__(
        self, raw: Float[Array, " raw"], knowledge: Float[Array, " knowledge"]
    ) -> Float[Array, " target"]:
        """One value per target from the two views of one subject, shape (target,)."""
        pooled, _ = self.attention(raw, knowledge)
        beside = jax.nn.gelu(self.parallel(jnp.concatenate([raw, knowledge])))
        return self.final(jnp.concatenate([pooled.reshape(-1), beside]))
