r"""Networks that learn numbers from views: many at once, each on rows of its own.

Members of an ensemble differ in their seed and in the rows they see. They are one program, mapped
over members, and padded rows carry no weight, so that no fold compiles anew. The loss is

.. math:: \frac{\sum_{rt} w_{rt} (y_{rt} - f_t(x_r))^2}{\sum_{rt} w_{rt}}
          + \lambda \lVert W \rVert^2

with targets of unit variance; a target that a row lacks has weight 0. W is what does not attend: a
penalty on queries and keys makes attention uniform long before it makes predictions better.
"""

from collections.abc import Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray
from pydantic import Field

from latentpk import precision
from latentpk.models.config import Frozen
from latentpk.models.multiview import NetworkConfig, build_network
from latentpk.networks.attention import MultiViewNetwork


class RegressionSettings(Frozen):
    """How the networks are trained.

    Attributes:
        steps: Passes over all rows, each one step of Adam.
        rate: Its largest rate; it rises over the first tenth and falls to 0.
        decay: Weight of the squared weights, lambda; of attention's none.
        noise: SD of noise on the columns in training.
    """

    steps: int = Field(default=200, ge=10)
    rate: float = Field(default=0.02, gt=0)
    decay: float = Field(default=1e-3, ge=0)
    noise: float = Field(default=0.2, ge=0)


class Lessons(NamedTuple):
    """What each network is trained on; rows beyond a network's own have weight 0.

    Attributes:
        views: Each view of the rows, shape (network, row, column).
        target: Standardized targets, 0 where unknown, shape (network, row, target).
        weight: Of each target of each row, shape (network, row, target).
    """

    views: tuple[Float[np.ndarray, "network row _"], ...]
    target: Float[np.ndarray, "network row target"]
    weight: Float[np.ndarray, "network row target"]


def train_networks(
    config: NetworkConfig,
    lessons: Lessons,
    settings: RegressionSettings,
    *,
    seeds: Sequence[int],
) -> Float[np.ndarray, "network weight"]:
    """Train one network for each seed, in float32.

    Args:
        config: Their shape.
        lessons: What each learns from.
        settings: Of training.
        seeds: One for each network; the same seed and lessons give the same weights.

    Returns:
        Each network's weights as one float64 vector, shape (network, weight).
    """
    keys = jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32))
    batch = precision.single(jax.tree_util.tree_map(jnp.asarray, lessons))
    return np.asarray(_program(config.key, settings.key)(keys, batch), np.float64)


@cache
def _program(network: str, training: str) -> Any:
    config = NetworkConfig.model_validate_json(network)
    settings = RegressionSettings.model_validate_json(training)
    return jax.jit(jax.vmap(partial(train_one, config, settings)))


def train_one(
    config: NetworkConfig, settings: RegressionSettings, key: PRNGKeyArray, lessons: Lessons
) -> Float[Array, " weight"]:
    """Adam over all rows of one network, with a rate that rises, then falls."""
    born, noisy = jax.random.split(key)
    network = precision.single(build_network(config, born))
    start, unravel = ravel_pytree(network)
    rate = optax.warmup_cosine_decay_schedule(
        0.0, settings.rate, settings.steps // 10, settings.steps
    )
    decayed = _decayed(network)
    adam = optax.adam(rate, b2=0.99)
    total = jnp.maximum(jnp.sum(lessons.weight), 1)

    def loss(weights: Array, key: PRNGKeyArray) -> Array:
        keys = jax.random.split(key, len(lessons.views))
        rows = [
            row + settings.noise * jax.random.normal(k, row.shape, row.dtype)
            for row, k in zip(lessons.views, keys, strict=True)
        ]
        found = jax.vmap(unravel(weights))(*rows)
        missed = jnp.sum(lessons.weight * (found - lessons.target) ** 2) / total
        return missed + settings.decay * jnp.sum(decayed * weights**2)

    def step(state: tuple, key: PRNGKeyArray) -> tuple[tuple, None]:
        weights, moments = state
        slope = jax.grad(loss)(weights, key)
        change, moments = adam.update(slope, moments)
        return (weights + change, moments), None

    keys = jax.random.split(noisy, settings.steps)
    (weights, _), _ = jax.lax.scan(step, (start, adam.init(start)), keys)
    return weights


def _decayed(network: MultiViewNetwork) -> Float[Array, " weight"]:
    """1 for each weight that is penalized, 0 for those that attend."""

    def one(path: tuple, leaf: Array) -> Array:
        attends = ".attentions" in jax.tree_util.keystr(path)
        return jnp.zeros_like(leaf) if attends else jnp.ones_like(leaf)

    return ravel_pytree(jax.tree_util.tree_map_with_path(one, network))[0]
