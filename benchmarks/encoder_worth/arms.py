"""The ways to a posterior that are compared; each is a function of a block of patients."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np

from benchmarks.harness.ours import Block
from latentpk.inference.nuts import CHAINS, nuts_batch
from latentpk.inference.posterior import in_blocks

DRAWS = 1000
Arm = Callable[[Block, int], Any]


def encoder_only(block: Block, seed: int) -> Any:
    """Draws of the encoder's Gaussian, evenly weighted."""
    normal = np.random.default_rng(seed).standard_normal((DRAWS, block.model.effects))

    def program(records: Any) -> Any:
        return _encode(block.model, records)

    mean, factor = in_blocks(program, block.records, None, "encoder")
    return block.given(mean[:, None, :] + np.einsum("spq,dq->sdp", factor, normal))


@eqx.filter_jit
def _encode(model: Any, records: Any) -> tuple[jax.Array, jax.Array]:
    found = jax.vmap(model.encode)(records)
    return found.mean, found.chol


def refined_from_encoder(block: Block, seed: int) -> Any:
    """The ladder, its refinement begun at the encoder's mean alone."""
    return block.posteriors(begin="encoder", seed=seed)


def refined_from_prior(block: Block, seed: int) -> Any:
    """The ladder, its refinement begun at the prior's mean alone."""
    return block.posteriors(begin="prior", seed=seed)


def default(block: Block, seed: int) -> Any:
    """The ladder with every start."""
    return block.posteriors(seed=seed)


def nuts(block: Block, seed: int) -> Any:
    """Batched NUTS for every patient, from dispersed starts."""
    count, effects = len(block.cohort), block.model.effects
    begin = np.random.default_rng(seed).standard_normal((count, CHAINS, effects))
    key = jax.random.key(seed)

    def program(items: Any) -> Any:
        records, starts = items
        return nuts_batch(block.model, records, starts, key)

    draws, _ = in_blocks(program, (block.records, begin), None, "NUTS")
    return block.given(draws)


ARMS: dict[str, Arm] = {
    "nuts": nuts,
    "encoder-only": encoder_only,
    "refined-from-encoder": refined_from_encoder,
    "refined-from-prior": refined_from_prior,
    "default": default,
}
