"""Individual and typical curves of many subjects from draws that are there already."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentpk.inference.bank import Bank
from latentpk.inference.posterior import Progress, block_size, in_blocks
from latentpk.inference.weighted import evenly
from latentpk.models.decoders.hybrid import HybridDecoder
from latentpk.models.latent import LatentModel
from latentpk.models.record import Queries, Record


class Courses(NamedTuple):
    """Curves, shape (subject, time) each [mg/L].

    Attributes:
        individual: Median over the posterior.
        typical: At the prior's location.
        factor: Median of what a hybrid's learned factor multiplies its mechanism by [1]; 1 for
            another decoder.
    """

    individual: Float[np.ndarray, "subject time"]
    typical: Float[np.ndarray, "subject time"]
    factor: Float[np.ndarray, "subject time"]


def follow_courses(
    model: LatentModel,
    records: Record,
    queries: Queries,
    eps: Float[np.ndarray, "subject draw effect"],
    *,
    progress: Progress | None = None,
    label: str = "curves",
) -> Courses:
    """Follow every subject at its own times.

    Args:
        model: The model.
        records: Stacked records with all doses.
        queries: When, for each subject.
        eps: Evenly weighted draws of its posterior.
        progress: Called with (done, total, label).
        label: What it is told.
    """
    return Courses(
        *in_blocks(
            lambda block: _follow(model, *block),
            (records, *queries, eps),
            progress,
            label,
            size=block_size(model),
        )
    )


def even_draws(
    bank: Bank, weight: Float[np.ndarray, "subject draw"], size: int
) -> Float[np.ndarray, "subject size effect"]:
    """Evenly weighted draws by systematic resampling."""
    pairs = zip(bank.eps, weight, strict=True)
    return np.stack([evenly(eps, each, size) for eps, each in pairs])


@eqx.filter_jit
def _follow(
    model: LatentModel, records: Record, time: Array, order: Array, eps: Array
) -> tuple[Array, Array, Array]:
    def one(item: tuple[Record, Array, Array, Array]) -> tuple[Array, Array, Array]:
        record, t, o, draws = item
        location = model.location(record)

        def course(e: Array) -> tuple[Array, Array]:
            whole = model.concentration(e, location, record, t, o)
            if not isinstance(model.decoder, HybridDecoder):
                return whole, jnp.ones_like(whole)
            z = model.latent(e, location, record.occasion)
            known = len(model.decoder.structure.names)
            bare = model.decoder.skeleton.concentration(
                z[:, :known], record.change, model.given(record), t, o, paths=record.paths
            )
            return whole, jnp.where(bare > 0, whole / jnp.where(bare > 0, bare, 1.0), 1.0)

        origin = jnp.zeros((1, draws.shape[1]))
        found, factor = model.over_draws(course, jnp.concatenate([draws, origin]))
        return jnp.median(found[:-1], axis=0), found[-1], jnp.median(factor[:-1], axis=0)

    return jax.lax.map(one, (records, time, order, eps))
