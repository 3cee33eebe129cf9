"""Whether courses that were followed step by step are what their equations say."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentpk.kinetics.boundary import emptied_further
from latentpk.models.decoders.decoder import piece_at
from latentpk.models.decoders.mechanistic import MechanisticDecoder
from latentpk.models.latent import LatentModel
from latentpk.models.record import Record

LOOKED = 32  # times of a course at which its equations are asked


class Doubts(NamedTuple):
    """What the solver had to say of each subject's course until the last level.

    Attributes:
        error: Largest error of a step, relative, shape (subject,); above 1e-2 is unresolved.
        below: What was added to hold each state at 0 where its equations led below, as a share of
            its largest amount, shape (subject, state); `BELOW` of `kinetics.ode` and less is
            rounding.
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
        The answer; None where doses are not followed step by step through stated equations.
    """
    decoder = model.decoder
    if not isinstance(decoder, MechanisticDecoder) or decoder.closed(records.change[0]) is not None:
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
        given = (record.doses.amount > 0) | (record.doses.rate > 0)
        first = jnp.min(jnp.where(given, record.doses.time, jnp.inf))
        first = jnp.where(jnp.isfinite(first), first, 0.0)
        last = jnp.max(jnp.where(record.mask, record.time, first))
        time = jnp.linspace(first, last, LOOKED)
        found = decoder.followed(z, record.change, record.doses, time, paths=record.paths)
        held = decoder.parameters(z)[piece_at(time, record.change)]
        p = decoder.system.named(held.T)
        below = emptied_further(decoder.stepped, found, p, time - first)
        return found.error, below, found.below_at

    return jax.lax.map(one, (records, eps))
