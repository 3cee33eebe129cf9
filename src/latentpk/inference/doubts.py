"""Whether courses that were followed step by step are what their equations say."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentpk.models.decoders.mechanistic import MechanisticDecoder
from latentpk.models.latent import LatentModel
from latentpk.models.record import Record


class Doubts(NamedTuple):
    """What the solver had to say of each subject's course until the last level.

    Attributes:
        error: Largest error of a step, relative, shape (subject,); above 1e-2 is unresolved.
        below: What was added to hold each state at 0, as a share of its largest amount, shape
            (subject, state); above `BELOW` of `kinetics.ode` the equations lead below 0.
        below_at: When that share was passed [h], shape (subject, state); inf where it never was.
    """

    error: Float[np.ndarray, " subject"]
    below: Float[np.ndarray, "subject state"]
    below_at: Float[np.ndarray, "subject state"]


def doubts(
    model: LatentModel, records: Record, eps: Float[np.ndarray, "subject effect"]
) -> Doubts | None:
    """Follow each subject once more and ask the solver.

    Args:
        model: The population.
        records: Stacked records.
        eps: Each subject's random effects.

    Returns:
        The answer; None where doses are not followed through stated equations.
    """
    if not isinstance(model.decoder, MechanisticDecoder):
        return None
    found = _followed(model, jax.tree_util.tree_map(jnp.asarray, records), jnp.asarray(eps))
    return Doubts(*map(np.asarray, found))


@eqx.filter_jit
def _followed(model: LatentModel, records: Record, eps: Array) -> tuple[Array, Array, Array]:
    decoder = model.decoder
    assert isinstance(decoder, MechanisticDecoder)  # noqa: S101 - asked by the caller

    def one(item: tuple[Record, Array]) -> tuple[Array, Array, Array]:
        record, e = item
        z = model.latent(e, model.location(record), record.occasion)
        end = jnp.max(jnp.where(record.mask, record.time, 0.0))[None]
        found = decoder.followed(z, record.change, record.doses, end, paths=record.paths)
        return found.error, found.below, found.below_at

    return jax.lax.map(one, (records, eps))
