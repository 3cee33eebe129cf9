"""Cross-attention between the features of two views of one subject."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from latentpk.networks.mlp import Linear, Mlp

Columns = int | tuple[int, ...]
"""A view: a count of features with a column each, or the feature that each column belongs to."""


def of_features(columns: Columns) -> tuple[int, ...]:
    """The feature that each column of a view belongs to.

    Example:
        >>> of_features(3)
        (0, 1, 2)
    """
    return tuple(range(columns)) if isinstance(columns, int) else columns


class FeatureTokens(eqx.Module):
    """One token per feature: each of its columns times a direction, plus the feature's embedding.

    A number has one column; a category has one for each of its levels.
    """

    direction: Float[Array, "column width"]
    embedding: Float[Array, "feature width"]
    columns: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, columns: Columns, width: int, *, key: PRNGKeyArray) -> None:
        first, second = jax.random.split(key)
        scale = width**-0.5
        self.columns = of_features(columns)
        features = max(self.columns) + 1
        shape = (len(self.columns), width)
        self.direction = scale * jax.random.normal(first, shape, jnp.float64)
        self.embedding = scale * jax.random.normal(second, (features, width), jnp.float64)

    def __call__(self, values: Float[Array, " column"]) -> Float[Array, "feature width"]:
        """The tokens of one subject's features, shape (feature, width)."""
        return self._tokens(values, self.direction, self.embedding)

    def mapped(self, values: Float[Array, " column"], by: Linear) -> Float[Array, "feature width"]:
        """An affine map of each token, shape (feature, width).

        The map goes into directions and embeddings, which all subjects share: a fifth of the work.
        """
        return self._tokens(
            values, self.direction @ by.weight.T, self.embedding @ by.weight.T + by.bias
        )

    def _tokens(self, values: Array, direction: Array, embedding: Array) -> Array:
        features, width = embedding.shape
        if self.columns == tuple(range(features)):
            return values[:, None] * direction + embedding
        # one product for all rows of a batch, instead of a small one for each
        belongs = np.equal.outer(np.array(self.columns), np.arange(features))
        wide = jnp.where(belongs[:, :, None], direction[:, None, :], 0)
        return (values @ wide.reshape(len(self.columns), -1)).reshape(features, width) + embedding


class AbstractTokens(eqx.Module):
    """As many tokens as asked for, each a learned mixture of a whole view.

    Another reading of the published network: its maps tell nothing of single features.
    """

    weight: Float[Array, "token width column"]
    bias: Float[Array, "token width"]

    def __init__(self, columns: Columns, tokens: int, width: int, *, key: PRNGKeyArray) -> None:
        first, second = jax.random.split(key)
        inputs = len(of_features(columns))
        shape = (tokens, width, inputs)
        self.weight = inputs**-0.5 * jax.random.normal(first, shape, jnp.float64)
        self.bias = width**-0.5 * jax.random.normal(second, (tokens, width), jnp.float64)

    def mapped(self, values: Float[Array, " column"], by: Linear) -> Float[Array, "token width"]:
        """An affine map of each token, shape (token, width)."""
        return (self.weight @ values + self.bias) @ by.weight.T + by.bias


class CrossAttention(eqx.Module):
    r"""Each raw feature reads a mixture of knowledge features; a query per target pools them.

    Keys come from the raw view, queries and values from the knowledge view, as published
    (arXiv 2503.13798). The views have different lengths, so the scores
    :math:`S = QK^\top/\sqrt d` have shape (knowledge, raw), the softmax runs over the knowledge
    axis, and :math:`S^\top V` has shape (raw, width). Attention runs over the features of one
    subject, never over the batch.
    """

    raw: FeatureTokens | AbstractTokens
    knowledge: FeatureTokens | AbstractTokens
    key_map: Linear
    query_map: Linear
    value_map: Linear
    target: Float[Array, "target width"]

    def __init__(
        self,
        raw: Columns,
        knowledge: Columns,
        targets: int,
        width: int,
        *,
        tokens: int | None = None,
        key: PRNGKeyArray,
    ) -> None:
        keys = jax.random.split(key, 6)
        self.raw, self.knowledge = (
            FeatureTokens(view, width, key=one)
            if tokens is None
            else AbstractTokens(view, tokens, width, key=one)
            for view, one in zip((raw, knowledge), keys[:2], strict=True)
        )
        self.key_map = Linear(width, width, key=keys[2])
        self.query_map = Linear(width, width, key=keys[3])
        self.value_map = Linear(width, width, key=keys[4])
        self.target = width**-0.5 * jax.random.normal(keys[5], (targets, width), jnp.float64)

    def __call__(
        self, raw: Float[Array, " column"], knowledge: Float[Array, " known"]
    ) -> tuple[Float[Array, "target width"], Float[Array, "target raw knowledge"]]:
        """Attend, and say to what.

        Args:
            raw: The raw view's values, shape (column,).
            knowledge: The knowledge view's values, shape (known,).

        Returns:
            The pooled code of each target, shape (target, width), and the attention map,
            shape (target, raw, knowledge), which sums to 1 over raw and knowledge.
        """
        keys = self.raw.mapped(raw, self.key_map)
        queries = self.knowledge.mapped(knowledge, self.query_map)
        values = self.knowledge.mapped(knowledge, self.value_map)
        root = keys.shape[-1] ** 0.5
        share = jax.nn.softmax(queries @ keys.T / root, axis=0)  # over knowledge
        read = share.T @ values
        pool = jax.nn.softmax(self.target @ read.T / root, axis=1)  # over raw
        return pool @ read, pool[:, :, None] * share.T[None]


class MultiViewNetwork(eqx.Module):
    """Cross-attention and an MLP on all views side by side, joined by a final MLP.

    The first view is the raw one; every further view, such as prior knowledge, attends to it in a
    block of its own, so that another modality is one more entry. The last layer starts at zero, so
    the network starts as the zero function.
    """

    attentions: tuple[CrossAttention, ...]
    parallel: Mlp
    final: Mlp

    def __init__(
        self,
        views: tuple[Columns, ...],
        targets: int,
        width: int,
        *,
        attends: bool = True,
        tokens: int | None = None,
        key: PRNGKeyArray,
    ) -> None:
        """Draw the weights.

        Args:
            views: Each view's columns, the raw view first.
            targets: How many values are predicted.
            width: Of tokens and hidden layers.
            attends: Whether further views attend to the raw one; else there is the MLP alone.
            tokens: Of each view; None for one per feature.
            key: Of the draw.
        """
        keys = jax.random.split(key, max(1 + len(views), 3))
        raw, *others = views
        self.attentions = tuple(
            CrossAttention(raw, other, targets, width, tokens=tokens, key=one)
            for other, one in zip(others, [keys[0], *keys[3:]], strict=False)
            if attends
        )
        columns = sum(len(of_features(view)) for view in views)
        self.parallel = Mlp((columns, width, width), key=keys[1])
        codes = len(self.attentions) * targets * width + width
        self.final = Mlp((codes, width, targets), key=keys[2], gain=0.0)

    def __call__(self, *views: Float[Array, " _"]) -> Float[Array, " target"]:
        """One value per target from the views of one subject, shape (target,)."""
        raw, *others = views
        beside = jax.nn.gelu(self.parallel(jnp.concatenate(views)))
        codes = [
            attention(raw, other)[0].reshape(-1)
            for attention, other in zip(self.attentions, others, strict=False)
        ]
        return self.final(jnp.concatenate([*codes, beside]))
