"""One precision setting for the process: float64 by default, float32 by explicit cast.

Every file that imports jax imports this one first. `jax_enable_x64` is global and its context
manager is thread-local, so it is set once, here, before any array exists.
"""

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

jax.config.update("jax_enable_x64", True)


def single(tree: PyTree) -> PyTree:
    """Cast every float64 leaf to float32; training's parameters and batches pass through here.

    Args:
        tree: Any tree of arrays.

    Returns:
        The same tree with float64 leaves cast to float32; other leaves unchanged.

    Example:
        >>> single({"cl": jnp.array([5.0])})["cl"].dtype
        dtype('float32')
    """
    return _cast(tree, jnp.float64, jnp.float32)


def double(tree: PyTree) -> PyTree:
    """Cast every float32 leaf to float64; the inverse of `single` up to rounding."""
    return _cast(tree, jnp.float32, jnp.float64)


def _cast(tree: PyTree, source: type, target: type) -> PyTree:
    def leaf(x: object) -> object:
        return jnp.asarray(x, target) if getattr(x, "dtype", None) == source else x

    return jax.tree_util.tree_map(leaf, tree)
