r"""People of a study, and studies of many drugs: Gaussian on both floors.

.. math:: \mu_s \sim N(m, B), \qquad z_{si} \sim N(\mu_s, W), \qquad
          \log p(y_{si} | z) \approx -\tfrac12 z^\top \Lambda_{si} z + b_{si}^\top z

The quadratics are what levels say around a mode (`told_of`). Given them people are integrated out
in closed form, and rounds of expectation and maximization find the covariances.
"""

from dataclasses import dataclass, replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from latentpk.inference.modes import Modes, find_modes, starts
from latentpk.inference.posterior import Progress, in_blocks
from latentpk.inference.splitting import Told, told
from latentpk.models.latent import LatentModel
from latentpk.models.record import Record

ROUNDS = 100
LEAST = 1e-4  # variance of z between people below which none is told from none
TOGETHER = 16  # subjects whose modes are looked for at once


@dataclass(frozen=True, eq=False)
class Floors:
    """How drugs differ, and people given one drug.

    Attributes:
        middle: m, where the typical person of a drug lies, shape (latent,).
        between: B, covariance of typical people between drugs, shape (latent, latent).
        within: W, covariance of people given one drug, shape (latent, latent).
    """

    middle: Float[np.ndarray, " latent"]
    between: Float[np.ndarray, "latent latent"]
    within: Float[np.ndarray, "latent latent"]


@dataclass(frozen=True, eq=False)
class Place:
    """Where one study lies.

    Attributes:
        middle: Its typical person, shape (latent,).
        spread: Covariance of the middle's error, shape (latent, latent).
        within: Covariance of its people, shape (latent, latent).
    """

    middle: Float[np.ndarray, " latent"]
    spread: Float[np.ndarray, "latent latent"]
    within: Float[np.ndarray, "latent latent"]


def told_of(
    model: LatentModel, records: Record, progress: Progress | None = None
) -> tuple[Told, float]:
    """What each subject's levels say of z around its best mode.

    Args:
        model: With a prior of one group and no covariate effects.
        records: Stacked records.
        progress: Called with (done, total, label).

    Returns:
        The quadratics in z, and the evidence of all levels by Laplace's formula [nats].
    """
    found: Modes = in_blocks(
        lambda block: _modes(model, block), records, progress, "what each subject's levels say"
    )
    known = told(np.asarray(found.eps)[:, 0], np.asarray(found.precision)[:, 0])
    chol = np.asarray(model.prior.chol())
    root = np.linalg.inv(chol)
    middle = np.asarray(model.location(_first(records))[0])
    precision = np.einsum("ji,sjk,kl->sil", root, known.precision, root)
    pull = precision @ middle + known.pull @ root
    scale = np.asarray(found.scale)[:, 0]
    volume = np.sum(np.log(np.diagonal(scale, axis1=1, axis2=2)), axis=1)
    return Told(precision, pull), float(np.sum(volume - np.asarray(found.objective)[:, 0]))


def _first(records: Record) -> Record:
    return jax.tree_util.tree_map(lambda x: jnp.asarray(x[0]), records)


@eqx.filter_jit
def _modes(model: LatentModel, records: Record) -> Modes:
    def one(record: Record) -> Modes:
        location = model.location(record)
        return find_modes(model, record, location, starts(model.encode(record).mean, 0))

    return jax.lax.map(one, records, batch_size=TOGETHER)


def floors_of(known: Told, study: Int[np.ndarray, " subject"], begun: Floors) -> Floors:
    """How drugs and people differ, from subjects of many studies.

    Args:
        known: What each subject's levels say.
        study: Number of each subject's study, from 0.
        begun: Where to begin; its middle stays.
    """
    between, within = begun.between, begun.within
    member = (study[None] == np.arange(study.max() + 1)[:, None]).astype(float)
    for _ in range(ROUNDS):
        middle, spread = _middles(known, member, Floors(begun.middle, between, within))
        within = _within(known, (middle[study], spread[study]), within) / len(study)
        within += LEAST * np.eye(len(within))
        off = middle - begun.middle
        between = (off.T @ off + spread.sum(axis=0)) / len(middle)
    return Floors(begun.middle, between, within)


def place_study(known: Told, floors: Floors, *, worth: float) -> Place:
    """Where a study lies, from its subjects and from how drugs and people usually differ.

    Args:
        known: What each subject's levels say.
        floors: How drugs and people differ.
        worth: As how many subjects the usual covariance of people counts.
    """
    count, within = known.pull.shape[0], floors.within
    member = np.ones((1, count))
    middle, spread = _middles(known, member, floors)
    for _ in range(ROUNDS):
        middle, spread = _middles(known, member, replace(floors, within=within))
        shared = (np.repeat(middle, count, axis=0), np.repeat(spread, count, axis=0))
        seen = _within(known, shared, within)
        within = (worth * floors.within + seen) / (worth + count)
    return Place(middle[0], spread[0], within)


Middles = tuple[Float[np.ndarray, "*row latent"], Float[np.ndarray, "*row latent latent"]]


def _middles(known: Told, member: Float[np.ndarray, "study subject"], floors: Floors) -> Middles:
    """Mean and covariance of each study's typical person, its people integrated out."""
    inside = np.eye(len(floors.middle)) + known.precision @ floors.within
    worth = np.linalg.solve(inside, known.precision)
    pull = np.linalg.solve(inside, known.pull[..., None])[..., 0]
    inverse = np.linalg.inv(floors.between)
    spread = np.linalg.inv(inverse + np.einsum("sn,nij->sij", member, worth))
    return np.einsum("sij,sj->si", spread, inverse @ floors.middle + member @ pull), spread


def _within(
    known: Told, middles: Middles, within: Float[np.ndarray, "latent latent"]
) -> Float[np.ndarray, "latent latent"]:
    """Expected squares of how people differ from their study's typical person, summed."""
    middle, spread = middles
    inverse = np.linalg.inv(within)
    cover = np.linalg.inv(known.precision + inverse)
    away = np.einsum("sij,sj->si", cover, known.pull + middle @ inverse) - middle
    carried = cover @ inverse - np.eye(len(within))
    unsure = carried @ spread @ np.swapaxes(carried, 1, 2)
    return away.T @ away + np.sum(cover + unsure, axis=0)


def factor_of(covariance: Float[np.ndarray, "latent latent"]) -> Float[Array, "latent latent"]:
    """A learned prior's factor of this covariance: strict lower triangle, log of the diagonal."""
    chol = jnp.linalg.cholesky(jnp.asarray(covariance))
    return jnp.tril(chol, -1) + jnp.diag(jnp.log(jnp.diag(chol)))
