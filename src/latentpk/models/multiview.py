"""Multi-view networks that predict numbers: many of one shape, averaged."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray
from pydantic import Field

from latentpk.errors import ArtifactError
from latentpk.models.config import Frozen
from latentpk.networks.attention import MultiViewNetwork

ROWS = 256  # of one compiled program


class NetworkConfig(Frozen):
    """The shape of a network.

    Attributes:
        views: The feature that each column of each view belongs to, the raw view first.
        targets: How many numbers are predicted.
        width: Of tokens and hidden layers.
        attends: Whether further views attend to the raw one.
        tokens: That each view is projected to; None for one per feature, whose maps can be read.
    """

    views: tuple[tuple[int, ...], ...] = Field(min_length=1)
    targets: int = Field(ge=1)
    width: int = Field(default=16, ge=2)
    attends: bool = True
    tokens: int | None = Field(default=None, ge=1)

    @property
    def readable(self) -> bool:
        """Whether attention tells of features."""
        return self.attends and self.tokens is None and len(self.views) > 1


def build_network(config: NetworkConfig, key: PRNGKeyArray) -> MultiViewNetwork:
    """A network as training begins."""
    return MultiViewNetwork(
        config.views,
        config.targets,
        config.width,
        attends=config.attends,
        tokens=config.tokens,
        key=key,
    )


@dataclass(frozen=True, eq=False)
class Networks:
    """Trained networks of one shape; their mean is the prediction.

    Attributes:
        config: Their shape.
        weights: Each network's weights as one vector, in the order of its tree's leaves.
    """

    config: NetworkConfig
    weights: Float[np.ndarray, "network weight"]

    def predict(
        self, views: tuple[Float[np.ndarray, "row _"], ...]
    ) -> Float[np.ndarray, "row target"]:
        """The networks' mean."""
        return self.each(views).mean(axis=0)

    def each(
        self, views: tuple[Float[np.ndarray, "row _"], ...]
    ) -> Float[np.ndarray, "network row target"]:
        """Every network's prediction; padded to blocks, so that few programs are compiled."""
        run = _predictions(self.config.key)
        found = [run(self.weights, block) for block in _blocks(views)]
        return np.concatenate([np.asarray(one) for one in found], axis=1)[:, : len(views[0])]

    def attention(
        self, views: tuple[Float[np.ndarray, "row _"], ...]
    ) -> tuple[Float[np.ndarray, "row target raw other"], ...]:
        """What each target read of each feature of the raw and every further view, on average.

        Returns:
            One map for each further view; each target's map sums to 1.
        """
        run = _attentions(self.config.key)
        found = [run(self.weights, block) for block in _blocks(views)]
        count = len(views[0])
        return tuple(
            np.concatenate([np.asarray(one) for one in maps])[:count]
            for maps in zip(*found, strict=True)
        )

    @classmethod
    def from_weights(cls, config: NetworkConfig, weights: np.ndarray) -> "Networks":
        """Check stored weights against the shape.

        Raises:
            ArtifactError: Wrong size or type, or not finite.
        """
        size = network_size(config.key)
        if weights.ndim != 2 or weights.shape[1] != size or weights.dtype != np.float64:
            raise ArtifactError(
                f"The networks' weights are {weights.dtype}{weights.shape}, not float64 with "
                f"{size} columns: the folder is damaged or from another version. Fit again."
            )
        if not np.isfinite(weights).all():
            raise ArtifactError("The networks' weights are not finite: the folder is damaged.")
        return cls(config, weights)


@cache
def network_size(key: str) -> int:
    """How many weights a network has."""
    config = NetworkConfig.model_validate_json(key)
    start = jax.eval_shape(lambda: build_network(config, jax.random.key(0)))
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree_util.tree_leaves(start))


@cache
def unraveller(key: str) -> Any:
    """The function that makes a network of a float64 vector of weights."""
    config = NetworkConfig.model_validate_json(key)
    return ravel_pytree(build_network(config, jax.random.key(0)))[1]


def _blocks(views: tuple[np.ndarray, ...]) -> list[tuple[np.ndarray, ...]]:
    count = len(views[0])
    size = 1 if count == 1 else ROWS
    short = -count % size
    padded = [np.concatenate([view, np.zeros((short, view.shape[1]))]) for view in views]
    starts = range(0, count + short, size)
    return [tuple(view[start : start + size] for view in padded) for start in starts]


@cache
def _predictions(key: str) -> Any:
    def one(weights: Array, rows: tuple[Array, ...]) -> Array:
        return jax.vmap(unraveller(key)(weights))(*rows)

    return jax.jit(jax.vmap(one, in_axes=(0, None)))


@cache
def _attentions(key: str) -> Any:
    def one(weights: Array, rows: tuple[Array, ...]) -> tuple[Array, ...]:
        network = unraveller(key)(weights)
        raw, *others = rows
        return tuple(
            jax.vmap(attend)(raw, other)[1]
            for attend, other in zip(network.attentions, others, strict=False)
        )

    def mean(weights: Array, rows: tuple[Array, ...]) -> tuple[Array, ...]:
        maps = jax.vmap(one, in_axes=(0, None))(weights, rows)
        return tuple(jnp.mean(each, axis=0) for each in maps)

    return jax.jit(mean)
