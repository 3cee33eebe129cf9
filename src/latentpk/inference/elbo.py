"""The objective of training, term by term."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from latentpk.models.decoders.compartment import CompartmentDecoder
from latentpk.models.decoders.hybrid import HybridDecoder
from latentpk.models.encoder import kl_from_prior
from latentpk.models.latent import LatentModel
from latentpk.models.prior import LearnedPrior
from latentpk.models.record import Record

SPREAD, SPREAD_SD = 0.4, 0.75  # a usual SD between patients of a log parameter, and of its log
SHIFT_SD, SIZE_SD = 1.5, 0.5  # of a group's log parameters, and of how much wider it is
RATIO_SD = 0.7  # of a peripheral volume over the central one, of a flow over the clearance


class ElboTerms(NamedTuple):
    """What training watches, each a mean over subjects [nats].

    Attributes:
        log_likelihood: Expected log likelihood of the levels under the encoder.
        kl: KL divergence of the encoder from the prior.
        subset: The same bound as `bound`, on a random subset of each subject's levels.
        bound: Importance-weighted bound on the marginal log likelihood (for one sample and
            beta = 1 it is the ELBO).
        penalty: Of what is unusual: slopes, correlations, spreads, ratios, network weights.
    """

    log_likelihood: Float[Array, ""] | float
    kl: Float[Array, ""] | float
    subset: Float[Array, ""] | float
    bound: Float[Array, ""] | float
    penalty: Float[Array, ""] | float


class Draws(NamedTuple):
    """What is random for one subject and step; made on the host, so nothing of it compiles.

    Attributes:
        noise: Standard normal, for all levels and for the subset, shape (2, sample, effect).
        keep: Which levels the subset keeps, shape (level,).
    """

    noise: Float[Array | np.ndarray, "*subject 2 sample effect"]
    keep: Bool[Array | np.ndarray, "*subject level"]


def subject_terms(
    model: LatentModel, record: Record, draws: Draws, *, beta: float
) -> tuple[Float[Array, ""], ElboTerms]:
    r"""Loss of one subject.

    A population of several groups sums the group out, with draws in each of them,

    .. math:: \log \sum_k \pi_k \exp(bound_k)

    On all levels and on a random subset of them, the importance-weighted bound with K samples of
    the encoder,

    .. math:: \log \tfrac1K \sum_k \exp\{\log p(y|\epsilon_k)
              + \beta[\log p(\epsilon_k) - \log q(\epsilon_k|y)]\},

    so that the encoder learns to work from one level. Both run through one batched evaluation,
    which halves the program to compile.

    Args:
        model: The model, in float32.
        record: One subject's record.
        draws: Its random numbers; they fix K.
        beta: Weight of the KL term.

    Returns:
        The loss, and its terms.

    References:
        Burda, Grosse, Salakhutdinov, Importance weighted autoencoders, ICLR 2016.
    """
    if model.groups == 1:
        within = _bounds(model, record, draws, beta)
    else:
        index = jnp.arange(model.groups)
        each = jax.vmap(lambda k: _bounds(model.of_group(k), record, draws, beta))(index)
        within = _over_groups(model.prior.log_shares(), each)
    likelihood, kl, bounds = within
    zero = jnp.zeros_like(bounds[0])
    return -jnp.sum(bounds), ElboTerms(likelihood, kl, bounds[1], bounds[0], zero)


class _Within(NamedTuple):
    """Of one group: expected log likelihood, KL divergence, bounds on all levels and the subset."""

    likelihood: Float[Array, "*group"]
    kl: Float[Array, "*group"]
    bounds: Float[Array, "*group 2"]


def _over_groups(log_shares: Float[Array, " group"], each: _Within) -> _Within:
    """The bound with the group summed out, and its terms under the groups' probabilities."""
    joint = log_shares[:, None] + each.bounds
    probability = jax.nn.softmax(joint[:, 0])
    divergence = each.kl + jax.nn.log_softmax(joint[:, 0]) - log_shares
    return _Within(
        jnp.sum(probability * each.likelihood),
        jnp.sum(probability * divergence),
        jax.scipy.special.logsumexp(joint, axis=0),
    )


def _bounds(model: LatentModel, record: Record, draws: Draws, beta: float) -> _Within:
    masks = jnp.stack([record.mask, record.mask & draws.keep])
    q = model.encode_masked(record, masks)
    noise, samples = draws.noise, draws.noise.shape[1]
    eps = q.mean[:, None] + jnp.einsum("mij,mkj->mki", q.chol, noise)
    location = model.location(record)
    each = jax.vmap(jax.vmap(lambda e: model.level_densities(e, location, record)))(eps)
    likelihood = jnp.sum(jnp.where(masks[:, None], each, 0.0), axis=-1)  # (2, sample)
    kl = jax.vmap(kl_from_prior)(q)
    # log p(eps) - log q(eps); the constants cancel
    log_det = jnp.sum(jnp.log(jnp.diagonal(q.chol, axis1=1, axis2=2)), axis=1)
    ratio = 0.5 * jnp.sum(noise**2 - eps**2, axis=-1) + log_det[:, None]
    weights = likelihood + beta * ratio
    bounds = jax.scipy.special.logsumexp(weights, axis=1) - jnp.log(
        jnp.asarray(samples, weights.dtype)
    )
    return _Within(jnp.mean(likelihood[0]), kl[0], bounds)


def make_draws(
    rng: np.random.Generator, shape: tuple[int, ...], levels: int, samples: int, effects: int
) -> Draws:
    """Draw for many subjects at once; a subset's rate is itself uniform, so all sizes occur."""
    noise = rng.standard_normal((*shape, 2, samples, effects), np.float32)
    rate = rng.random((*shape, 1), np.float32)
    return Draws(noise, rng.random((*shape, levels), np.float32) < rate)


def _usual(names: tuple[str, ...], prior: LearnedPrior) -> Float[Array, ""]:
    """How far a compartment model is from a usual one, in squared standard deviations."""
    spread = (jnp.diag(prior.factor) - jnp.log(SPREAD)) / SPREAD_SD
    total = jnp.sum(spread**2)
    for name, near in (("v2", "v1"), ("v3", "v1"), ("q2", "cl"), ("q3", "cl")):
        if name in names:
            # what data tell well is not moved towards what they may not tell
            anchor = jax.lax.stop_gradient(prior.typical[names.index(near)])
            total = total + ((prior.typical[names.index(name)] - anchor) / RATIO_SD) ** 2
    return total


def ridge(model: LatentModel) -> Float[Array, ""]:
    r"""Weak Gaussian penalty that keeps small data from inventing what they cannot show.

    Effects and correlations are held near none, a spread near 40 %, and near nothing what a decoder
    learns beyond a mechanism (`Decoder.penalty`). Where there are compartments, a
    peripheral volume is held near the central one and a flow between them near the clearance: a few
    days of levels tell clearance and a deep compartment apart by their product alone, and without
    it a handful of patients may end with the one at nothing and the other without bounds,

    .. math:: \log V_k \sim N(\log V_1, 0.7^2), \quad \log Q_k \sim N(\log CL, 0.7^2), \quad
              \log \omega \sim N(\log 0.4, 0.75^2)
    """
    prior = model.prior
    if not isinstance(prior, LearnedPrior):
        return jnp.zeros(())
    total = jnp.sum(prior.slope**2) / 0.5**2 + jnp.sum(jnp.tril(prior.factor, -1) ** 2) / 0.5**2
    total = total + model.decoder.penalty()
    if isinstance(model.decoder, CompartmentDecoder | HybridDecoder):
        total = total + _usual(model.decoder.structure.names, prior)
    if prior.dose_slope is not None:
        total = total + jnp.sum(prior.dose_slope**2) / 0.5**2
    if prior.groups is not None:
        total = total + jnp.sum(prior.groups.shift**2) / SHIFT_SD**2
        total = total + jnp.sum(prior.groups.size**2) / SIZE_SD**2
        total = total - 2 * jnp.sum(prior.log_shares())  # no group vanishes for a lack of people
    if prior.network is not None:
        leaves = jax.tree_util.tree_leaves(eqx.filter(prior.network, eqx.is_inexact_array))
        total = total + sum(jnp.sum(leaf**2) for leaf in leaves)
    return 0.5 * total
