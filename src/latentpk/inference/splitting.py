r"""Where the groups of a population begin: a mixture fitted to what a Gaussian model learned.

Around its mode each subject's likelihood is a Gaussian in eps, :math:`e^{b^\top\varepsilon -
\frac12 \varepsilon^\top \Lambda \varepsilon}`, so that a mixture

.. math:: \varepsilon \sim \sum_k \pi_k\, N(\mu_k, W)

is fitted by expectation and maximization in closed form (Bovy, Hogg, Roweis, Ann Appl Stat 5
(2011) 1657). Never to point estimates: those of few levels are drawn together, which hides groups,
and those of many levels say more. Training then goes on from there.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from latentpk.inference.posterior import Progress, laplace
from latentpk.models.groups import Groups
from latentpk.models.latent import LatentModel
from latentpk.models.prior import LearnedPrior
from latentpk.models.record import Record

ROUNDS = 200  # of expectation and maximization
STILL = 1e-6  # nats per subject as which a round changes nothing
APART = 1.5  # standard deviations of the population between neighbouring groups at the start
FLOOR = 0.02  # least variance of a group, of the population's
LEAST_SHARE = 0.02


class Told(NamedTuple):
    """What the levels of each subject say of eps.

    Attributes:
        precision: Shape (subject, effect, effect).
        pull: Precision times where they place eps, shape (subject, effect).
    """

    precision: Float[np.ndarray, "subject effect effect"]
    pull: Float[np.ndarray, "subject effect"]


class Split(NamedTuple):
    """A mixture over eps.

    Attributes:
        share: Of each group, falling, shape (group,).
        mean: Shape (group, effect).
        within: Covariance in every group, shape (effect, effect).
        score: Mean log likelihood of a subject, but for a constant.
    """

    share: Float[np.ndarray, " group"]
    mean: Float[np.ndarray, "group effect"]
    within: Float[np.ndarray, "effect effect"]
    score: float


def divide(
    model: LatentModel, records: Record, components: int, progress: Progress | None = None
) -> LatentModel:
    """Divide a trained model's population into groups.

    Args:
        model: A learned model of one group.
        records: Stacked records of those it was trained on.
        components: Number of groups.
        progress: Called with (done, total, label).

    Returns:
        The model with that many groups, the largest first.
    """
    prior = model.prior
    assert isinstance(prior, LearnedPrior)  # noqa: S101 - what is trained has one
    modes = laplace(model, records, progress)
    best = split(told(np.asarray(modes.eps)[:, 0], np.asarray(modes.precision)[:, 0]), components)
    chol = np.asarray(prior.chol())
    factor = chol @ np.linalg.cholesky(best.within)
    shift = (best.mean - best.mean[0]) @ chol.T
    log = np.log(np.maximum(best.share, LEAST_SHARE))
    groups = Groups(
        jnp.asarray(log[1:] - log[0]), jnp.asarray(shift[1:]), jnp.zeros(components - 1)
    )
    begun = prior.shifted(jnp.asarray(chol @ best.mean[0])).spread_by(jnp.asarray(factor))
    return model.with_prior(begun.divided(groups))


def told(
    mode: Float[np.ndarray, "subject effect"], root: Float[np.ndarray, "subject effect effect"]
) -> Told:
    """What levels say, by the posterior's mode and the inverse factor of its covariance."""
    curvature = np.einsum("sji,sjk->sik", root, root)
    size = mode.shape[1]
    return Told(curvature - np.eye(size), np.einsum("sij,sj->si", curvature, mode))


def split(known: Told, components: int) -> Split:
    """The likeliest mixture, from starts along every axis of eps with even and uneven shares."""
    size = known.pull.shape[1]
    place = APART * (np.arange(components) - (components - 1) / 2)
    found = []
    for axis in range(size):
        for sign in (1.0, -1.0):
            mean = np.zeros((components, size))
            mean[:, axis] = sign * place
            share = 0.5 ** np.arange(components)
            within = np.eye(size)
            within[axis, axis] = 0.3
            begun = Split(share / share.sum(), mean, within, -np.inf)
            found.append(_climbed(known, begun))
    best = max(found, key=lambda one: one.score)
    order = np.argsort(-best.share, kind="stable")
    return best._replace(share=best.share[order], mean=best.mean[order])


def _climbed(known: Told, begun: Split) -> Split:
    here, before = begun, -np.inf
    for _ in range(ROUNDS):
        here = _round(known, here)
        if here.score - before < STILL:
            break
        before = here.score
    return here


def _round(known: Told, here: Split) -> Split:
    """One round of expectation and maximization."""
    size = known.pull.shape[1]
    inverse = np.linalg.inv(here.within)
    cover = np.linalg.inv(known.precision + inverse)  # of a subject in any group: W is shared
    pull = known.pull[:, None] + here.mean @ inverse  # (subject, group, effect)
    place = np.einsum("sij,sgj->sgi", cover, pull)
    informed = np.linalg.slogdet(np.eye(size) + here.within @ known.precision)[1]
    fit = np.sum(place * pull, axis=2) - np.sum((here.mean @ inverse) * here.mean, axis=1)
    joint = np.log(here.share) + 0.5 * fit - 0.5 * informed[:, None]
    total = np.logaddexp.reduce(joint, axis=1)
    member = np.exp(joint - total[:, None])
    count = member.sum(axis=0)
    mean = np.einsum("sg,sgi->gi", member, place) / np.maximum(count, 1e-9)[:, None]
    away = place - mean
    within = (np.einsum("sg,sgi,sgj->ij", member, away, away) + cover.sum(axis=0)) / len(total)
    share = np.maximum(count / count.sum(), 1e-6)
    floor = FLOOR * np.eye(size)  # a group of no width would have any likelihood
    return Split(share / share.sum(), mean, within + floor, float(total.mean()))
