"""How well a model forecasts later levels of subjects it was not trained on."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from latentpk import precision
from latentpk.inference.sampling import Host, base_draws
from latentpk.models.encoder import log_density
from latentpk.models.latent import LatentModel
from latentpk.models.record import Record, take

DRAWS = 256
WIDEN = 1.3


def forecast_scores(
    model: LatentModel, records: Record, subjects: np.ndarray, seed: int = 0
) -> Float[np.ndarray, " subject"]:
    r"""Log density of each subject's later levels given the first ones, per level.

    .. math:: \frac1{n_2} \log p(y_{later} | y_{first})

    by importance sampling from the encoder's Gaussian for the first half of the levels, widened.
    A subject with a single level is scored by its prior predictive density.

    Args:
        model: A trained model with an encoder.
        records: Stacked records.
        subjects: Indices of those to score.
        seed: Of the draws.

    Returns:
        Scores [nats per level], shape (subject,); subjects without a level get 0.
    """
    held = take(precision.single(records), subjects)
    first = _first_half(np.asarray(held.mask), np.asarray(held.time))
    noise = np.asarray(base_draws(DRAWS, model.effects, seed).normal, np.float32)
    return np.asarray(_scores(precision.single(model), held, first, noise), np.float64)


def _first_half(
    mask: Bool[np.ndarray, "subject level"], time: Float[np.ndarray, "subject level"]
) -> Bool[np.ndarray, "subject level"]:
    """The earlier half of each subject's levels, rounded up; none where there is one level."""
    count = mask.sum(axis=1, keepdims=True)
    rank = np.argsort(np.argsort(np.where(mask, time, np.inf), axis=1, kind="stable"), axis=1)
    return mask & (rank < np.where(count > 1, (count + 1) // 2, 0))


@eqx.filter_jit
def _scores(model: LatentModel, records: Record, first: Host, noise: Host) -> Array:
    def one(record: Record, early: Array) -> Array:
        q = jax.tree_util.tree_map(lambda x: x[0], model.encode_masked(record, early[None]))
        q = q._replace(chol=WIDEN * q.chol)
        eps = q.mean + noise @ q.chol.T
        location = model.location(record)
        each = jax.vmap(lambda e: model.level_densities(e, location, record))(eps)
        size = eps.shape[1]
        prior = -0.5 * jnp.sum(eps**2, axis=1) - 0.5 * size * jnp.log(2 * jnp.pi)
        seen = jnp.sum(jnp.where(early, each, 0.0), axis=1)
        weight = seen + prior - jax.vmap(lambda e: log_density(q, e))(eps)
        later = record.mask & ~early
        # one absurd level must not decide between models
        ahead = jnp.sum(jnp.where(later, jnp.maximum(each, -30.0), 0.0), axis=1)
        joint = jax.scipy.special.logsumexp(weight + ahead)
        score = joint - jax.scipy.special.logsumexp(weight)
        return score / jnp.maximum(jnp.sum(later), 1)

    return jax.vmap(one)(records, jnp.asarray(first))
