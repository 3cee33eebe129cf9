r"""Training of the particle prior on measured courses, by an importance-weighted bound.

.. math:: \log p(y_i) \ge E \log \frac1S \sum_s \frac{p_\theta(z_{is} \mid x_i)\,
          p_\sigma(y_i \mid z_{is})}{q_i(z_{is})}

with the fixed points of a `Bank` as draws of :math:`q_i`. It is the bound that patients are
trained by, with a proposal of each particle's own instead of an encoder's: the decoder need not be
differentiated, and two particles in three have no more than five measurements to encode.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PRNGKeyArray
from pydantic import Field

from latentpk import precision
from latentpk.inference.folds import make_folds
from latentpk.inference.tumor_bank import TYPICAL, WIDTH, Bank
from latentpk.models.config import Frozen
from latentpk.models.descriptors import Descriptors, Properties, fit_descriptors
from latentpk.models.multiview import NetworkConfig, build_network
from latentpk.models.tumor import LATENT, Assay, TumorConfig, TumorModel

Progress = Callable[[int, int, str], None]
PAIRS = 8  # censored measurements are padded to a multiple of


class TumorSettings(Frozen):
    """How the latent model is trained.

    Attributes:
        folds: Inner folds, on each of which members train and on whose rest they are judged.
        networks: Members of each fold.
        width: Of tokens and hidden layers.
        steps: Passes over all particles, each one step of Adam.
        rate: Its largest rate.
        decays: Weights of the squared weights, of which held-out courses choose.
        noise: SD of noise on the columns in training.
    """

    folds: int = Field(default=5, ge=2)
    networks: int = Field(default=1, ge=1)
    width: int = Field(default=16, ge=2)
    steps: int = Field(default=100, ge=10)
    rate: float = Field(default=5e-3, gt=0)
    decays: tuple[float, ...] = (0.01, 0.03, 0.1)
    noise: float = Field(default=0.3, ge=0)


class Told(NamedTuple):
    """What training found.

    Attributes:
        assay: What the measurements are of, by held-out courses.
        assays: Held-out log likelihood of a measurement for each.
        decay: The chosen one.
        decays: Held-out log likelihood of a measurement for each.
        sigma: SD of log measurements.
    """

    assay: Assay
    assays: dict[str, float]
    decay: float
    decays: dict[str, float]
    sigma: float


class Trained(NamedTuple):
    """A trained latent model.

    Attributes:
        model: Its members are in the order of their folds.
        told: What held-out courses chose.
        fold: The fold of each row, whose members did not see it; -1 where none did.
        member: The fold of each member.
    """

    model: TumorModel
    told: Told
    fold: Int[np.ndarray, " row"]
    member: Int[np.ndarray, " member"]

    def unseen_location(self, known: Properties) -> Float[np.ndarray, "row latent"]:
        """Where members that did not see a row place it, for the rows of training."""
        everywhere = self.model.location(known)
        allowed = (self.fold[None] == self.member[:, None]) | (self.fold[None] < 0)
        weight = allowed / allowed.sum(axis=0)
        return np.einsum("mr,mrl->rl", weight, everywhere)


def train_tumor(
    known: Properties,
    bank: Bank,
    groups: Int[np.ndarray, " row"],
    settings: TumorSettings,
    *,
    seed: int,
    progress: Progress | None = None,
) -> Trained:
    """Train the latent model.

    Args:
        known: Properties of the particles.
        bank: Their points.
        groups: Rows of one group stay together in folds.
        settings: How.
        seed: Of everything random.
        progress: Called with (done, total, label).

    Returns:
        The model, what held-out courses chose, and who saw what.
    """
    tell = progress or (lambda done, total, label: None)
    total = 2 + len(settings.decays)
    has = bank.measured.sum(axis=1) > 0
    fold = make_folds(groups, settings.folds, scored=has, seed=seed)
    folds = [k for k in range(settings.folds) if np.any(fold == k)]
    members = [k for k in folds for _ in range(settings.networks)]
    reading = {k: fit_descriptors(known.take(fold != k)) for k in folds}
    learners = tuple(reading[k] for k in members)
    views = _views(known, learners)
    kept = np.stack([(fold != k) & has for k in members])
    held = np.stack([(fold == k) & has for k in members])
    seeds = [seed + 7919 * number for number in range(len(members))]
    config = _shape(learners[0], settings)

    def train(assay: Assay, decay: float, steps: int) -> tuple[_Member, float]:
        program = _program(config.key, settings.key, steps)
        keys = jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32))
        arrays = jax.tree_util.tree_map(jnp.asarray, (views, kept * 1.0, held * 1.0))
        own = _Own(keys, *precision.single(arrays))
        course = precision.single(_course(bank, assay))
        found, scores = program(own, course, jnp.asarray(decay, jnp.float32))
        count = sum(np.sum(bank.measured * mask[:, None]) for mask in held)
        return found, float(np.sum(np.asarray(scores, float)) / count)

    # what was measured shows without properties: the strongest decay leaves next to none
    tell(0, total, "latent model")
    assays: dict[str, float] = {}
    for number, assay in enumerate(("tissue", "tissue+blood")):
        assays[assay] = train(assay, 10.0, max(settings.steps // 2, 10))[1]
        tell(1 + number, total, "latent model")
    assay: Assay = "tissue" if assays["tissue"] >= assays["tissue+blood"] else "tissue+blood"
    tried = {}
    for number, decay in enumerate(settings.decays):
        tried[decay] = train(assay, decay, settings.steps)
        tell(2 + number, total, "latent model")
    decay = max(tried, key=lambda one: tried[one][1])
    best = jax.tree_util.tree_map(lambda x: np.asarray(x, np.float64), tried[decay][0])
    model = TumorModel(
        TumorConfig(network=config, learners=learners, assay=assay),
        best.weights,
        best.typical,
        np.stack([np.asarray(_factor(jnp.asarray(one))) for one in best.factor]),
        best.log_sigma,
    )
    decays = {f"{one:g}": score for one, (_, score) in tried.items()}
    told = Told(assay, assays, decay, decays, model.sigma)
    return Trained(model, told, fold, np.array(members))


class _Member(NamedTuple):
    """What one member learns; the factor's diagonal is logarithms."""

    weights: Array
    typical: Array
    factor: Array
    log_sigma: Array


class _Own(NamedTuple):
    """What is each member's own: its key, how it reads rows, which it trains and is judged on."""

    key: PRNGKeyArray
    views: tuple[Array, ...]
    kept: Array
    held: Array


class _Course(NamedTuple):
    """A bank as training reads it, for one assay: only the error's SD is left to be learned.

    Attributes:
        z: Points, shape (row, draw, latent).
        log_proposal: Their density.
        squares: Sum over measurements of squared log differences, shape (row, draw).
        seen: Measurements of each particle.
        below: Log limit minus log course of each censored measurement, shape (pair, draw).
        owner: The particle of each.
        exists: 0 for padding.
    """

    z: Array
    log_proposal: Array
    squares: Array
    seen: Array
    below: Array
    owner: Array
    exists: Array


def _course(bank: Bank, assay: Assay) -> _Course:
    found = bank.tissue if assay == "tissue" else bank.whole
    apart = bank.log_seen[:, None] - found
    seen = bank.measured * (1 - bank.censored)
    rows, times = np.nonzero(bank.censored)
    short = -len(rows) % PAIRS or (PAIRS if not len(rows) else 0)
    below = np.concatenate([apart[rows, :, times], np.zeros((short, apart.shape[1]))])
    arrays = (
        bank.z,
        bank.log_proposal,
        np.sum(seen[:, None] * apart**2, axis=-1),
        seen.sum(axis=1),
        below,
        np.concatenate([rows, np.zeros(short, int)]).astype(np.int32),
        np.concatenate([np.ones(len(rows)), np.zeros(short)]),
    )
    return _Course(*map(jnp.asarray, arrays))


def _views(
    known: Properties, learners: tuple[Descriptors, ...]
) -> tuple[Float[np.ndarray, "member row _"], ...]:
    encoded = [one.encode(known).views for one in learners]
    return tuple(np.stack([own[k] for own in encoded]) for k in range(2))


def _shape(descriptors: Descriptors, settings: TumorSettings) -> NetworkConfig:
    return NetworkConfig(
        views=(descriptors.columns, tuple(range(len(descriptors.knowledge)))),
        targets=len(LATENT),
        width=settings.width,
    )


@cache
def _program(network: str, training: str, steps: int) -> Any:
    config = NetworkConfig.model_validate_json(network)
    settings = TumorSettings.model_validate_json(training)
    one = partial(_train_one, config, settings, steps)
    return jax.jit(jax.vmap(one, in_axes=(0, None, None)))


def _factor(packed: Float[Array, "latent latent"]) -> Float[Array, "latent latent"]:
    return jnp.tril(packed, -1) + jnp.diag(jnp.exp(jnp.clip(jnp.diag(packed), -4, 3)))


def _bounds(
    unravel: Callable[[Array], Any], member: _Member, views: tuple[Array, ...], course: _Course
) -> Float[Array, " row"]:
    """Each particle's importance-weighted bound."""
    location = jax.vmap(unravel(member.weights))(*views) + member.typical
    factor = _factor(member.factor)
    apart = course.z - location[:, None]
    inverse = jax.scipy.linalg.solve_triangular(
        factor, jnp.eye(len(LATENT), dtype=apart.dtype), lower=True
    )
    whitened = apart @ inverse.T
    level = jnp.sum(jnp.log(jnp.diag(factor))) + 0.5 * len(LATENT) * np.log(2 * np.pi).item()
    log_prior = -0.5 * jnp.sum(whitened**2, axis=-1) - level
    precise = jnp.exp(-member.log_sigma)
    explained = (
        -0.5 * course.squares * precise**2
        - (course.seen * (member.log_sigma + 0.5 * np.log(2 * np.pi).item()))[:, None]
    )
    under = course.exists[:, None] * jax.scipy.stats.norm.logcdf(course.below * precise)
    explained = explained.at[course.owner].add(under)
    total = log_prior + explained - course.log_proposal
    return jax.scipy.special.logsumexp(total, axis=1) - np.log(total.shape[1]).item()


def _train_one(
    config: NetworkConfig,
    settings: TumorSettings,
    steps: int,
    own: _Own,
    course: _Course,
    decay: Float[Array, ""],
) -> tuple[_Member, Float[Array, ""]]:
    """One member, and the held-out rows' summed bound."""
    born, noisy = jax.random.split(own.key)
    weights, unravel = ravel_pytree(precision.single(build_network(config, born)))
    member = precision.single(
        _Member(weights, jnp.asarray(TYPICAL), jnp.diag(jnp.log(WIDTH)), jnp.log(0.4))
    )
    rate = optax.warmup_cosine_decay_schedule(0.0, settings.rate, steps // 10, steps)
    adam = optax.adam(rate, b2=0.99)
    count = jnp.maximum(jnp.sum(own.kept), 1)

    def loss(member: _Member, key: PRNGKeyArray) -> Array:
        keys = jax.random.split(key, len(own.views))
        rows = tuple(
            row + settings.noise * jax.random.normal(k, row.shape, row.dtype)
            for row, k in zip(own.views, keys, strict=True)
        )
        bound = jnp.sum(own.kept * _bounds(unravel, member, rows, course)) / count
        return -bound + decay * jnp.sum(member.weights**2)

    def step(state: tuple, key: PRNGKeyArray) -> tuple[tuple, None]:
        member, moments = state
        change, moments = adam.update(jax.grad(loss)(member, key), moments)
        return (optax.apply_updates(member, change), moments), None

    keys = jax.random.split(noisy, steps)
    (member, _), _ = jax.lax.scan(step, (member, adam.init(member)), keys)
    return member, jnp.sum(own.held * _bounds(unravel, member, own.views, course))
