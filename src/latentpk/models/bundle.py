"""A learned or fitted model to and from named arrays."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from latentpk.errors import ArtifactError
from latentpk.models.config import ModelConfig
from latentpk.models.distilled import DistilledConfig, build_distilled
from latentpk.models.latent import LatentModel, build
from latentpk.models.population import PopulationConfig, build_population


def to_arrays(model: LatentModel) -> dict[str, np.ndarray]:
    """Name every array of a model by its path, such as ".prior.typical".

    Args:
        model: A model made by `build`, or one like it.

    Returns:
        Arrays by path.
    """
    return {
        jax.tree_util.keystr(path): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(eqx.filter(model, eqx.is_array))
    }


def from_arrays(
    config: ModelConfig | DistilledConfig | PopulationConfig, arrays: dict[str, np.ndarray]
) -> LatentModel:
    """Rebuild a model from its configuration and arrays.

    Args:
        config: What it was built from.
        arrays: From `to_arrays`.

    Returns:
        The model.

    Raises:
        ArtifactError: A name, shape or dtype differs from the skeleton's, or a value is not
            finite.
    """
    skeleton = eqx.filter_eval_shape(_make, config)
    wanted = _leaves(skeleton)
    faults = [f"{name} is missing" for name in wanted.keys() - arrays.keys()]
    faults += [f"{name} is unknown" for name in arrays.keys() - wanted.keys()]
    for name in wanted.keys() & arrays.keys():
        have, want = arrays[name], wanted[name]
        if have.shape != want.shape or have.dtype != want.dtype:
            faults.append(f"{name} is {have.dtype}{have.shape}, not {want.dtype}{want.shape}")
        elif not np.isfinite(have).all():
            faults.append(f"{name} holds a value that is not finite")
    if faults:
        raise ArtifactError(
            f"The model's arrays do not fit its configuration: {'; '.join(sorted(faults))}. "
            "The folder is damaged or from another version: fit the model again."
        )

    def fill(path: tuple, leaf: PyTree) -> PyTree:
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        return jnp.asarray(arrays[jax.tree_util.keystr(path)])

    return jax.tree_util.tree_map_with_path(fill, skeleton)


def _make(config: ModelConfig | DistilledConfig | PopulationConfig) -> LatentModel:
    if isinstance(config, PopulationConfig):
        return build_population(config, np.ones(len(config.parameters)))
    return build_distilled(config) if isinstance(config, DistilledConfig) else build(config)


def _leaves(skeleton: PyTree) -> dict[str, jax.ShapeDtypeStruct]:
    pairs = jax.tree_util.tree_leaves_with_path(skeleton)
    return {
        jax.tree_util.keystr(path): leaf
        for path, leaf in pairs
        if isinstance(leaf, jax.ShapeDtypeStruct)
    }
