"""One training loop for every latent model, epoch by epoch."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, PyTree
from pydantic import Field

from latentpk import precision
from latentpk.errors import ConvergenceError
from latentpk.inference.elbo import Draws, ElboTerms, make_draws, ridge, subject_terms
from latentpk.inference.epochs import Epochs, TrainingState, begin_at, lanes_of
from latentpk.models.config import Frozen
from latentpk.models.latent import LatentModel
from latentpk.models.record import Record, take

LEAST_STEPS = 5  # an epoch of a small cohort passes over it more than once


class TrainingSettings(Frozen):
    """How a model is trained.

    Attributes:
        epochs: At most this many passes over the subjects.
        anneal: Last epochs, over which the rates fall to 3 %; they begin when the bound no
            longer improves, or in time to end with `epochs`.
        patience: Epochs in each of the two windows whose bounds are compared.
        batch: Subjects a step.
        samples: Draws of the encoder a subject and step, K of the bound.
        beta: Weight of the KL term.
        population_rate: Adam's rate for prior, decoder and residual error.
        network_rate: Adam's rate for networks.
        refresh: Epochs in which the encoder alone adapts to a polished population.
        decay: Averaging of the parameters over steps (Polyak); the average is the result.
        seed: Of everything random in training.
    """

    epochs: int = Field(default=200, ge=1)
    anneal: int = Field(default=40, ge=1)
    patience: int = Field(default=15, ge=1)
    batch: int = Field(default=64, ge=1)
    samples: int = Field(default=8, ge=1)
    beta: float = Field(default=1.0, gt=0)
    population_rate: float = Field(default=0.02, gt=0)
    network_rate: float = Field(default=4e-3, gt=0)
    refresh: int = Field(default=20, ge=0)
    decay: float = Field(default=0.98, ge=0, lt=1)
    seed: int = Field(default=0, ge=0)


@dataclass
class TrainingHistory:
    """Mean terms of each epoch, and why training stopped."""

    terms: list[ElboTerms] = field(default_factory=list)
    annealed_from: int | None = None

    def rate(self, settings: TrainingSettings) -> float | None:
        """Factor of the rates for the next epoch; None when training is over.

        Depends on the past bounds alone, so a resumed training goes on as it would have.
        """
        done, anneal = len(self.terms), min(settings.anneal, settings.epochs)
        if self.annealed_from is None:
            bounds = [float(t.bound) for t in self.terms]
            window = settings.patience
            recent, before = bounds[-window:], bounds[-2 * window : -window]
            flat = len(before) == window and np.mean(recent) < np.mean(before) + 0.003
            if flat or done >= settings.epochs - anneal:
                self.annealed_from = done
            else:
                return 1.0
        share = (done - self.annealed_from) / anneal
        return None if share >= 1 else 0.03 + 0.97 * 0.5 * (1 + float(np.cos(np.pi * share)))


class Freedom(NamedTuple):
    """What of the prior may move: a model with less freedom is trained by the same program.

    Attributes:
        active: Latent dimensions that exist; the others stay where they begin, shape (latent,).
        network: Whether the multi-view network learns; it begins as zero.
        absorption: Which parameters of a dose's absorption (ka, alag, f) exist, shape (3,); None
            where all do.
    """

    active: np.ndarray
    network: bool
    absorption: np.ndarray | None = None


class Trainer:
    """The compiled training of one kind of model on stacked records.

    Which subjects are trained on, from where and with what freedom are arguments, so that trials
    and folds share one program.
    """

    def __init__(self, model: LatentModel, records: Record, settings: TrainingSettings) -> None:
        """Prepare the program; it is compiled at its first epoch.

        Args:
            model: A model of this kind.
            records: Stacked records, leading axis (subject,).
            settings: How to train; batch, samples, beta and decay are built in.
        """
        self.settings = settings
        self.effects = model.effects
        self.data = jax.tree_util.tree_map(jnp.asarray, precision.single(records))
        self._params, self._static = eqx.partition(precision.single(model), eqx.is_inexact_array)
        self._unravel = ravel_pytree(self._params)[1]
        count, self.levels = records.mask.shape
        self.batch = min(settings.batch, count)
        self.steps = max(count // self.batch, LEAST_STEPS)
        lanes = lanes_of(model, self.batch)
        self._epochs = Epochs(self._gradient, decay=settings.decay, lanes=lanes)

    def start(self, model: LatentModel) -> TrainingState:
        """The state before the first step from this model."""
        return begin_at(ravel_pytree(eqx.filter(precision.single(model), eqx.is_inexact_array))[0])

    def finish(self, state: TrainingState) -> LatentModel:
        """The averaged model, in float64."""
        return precision.double(eqx.combine(self._unravel(state.average), self._static))

    def rates(self, settings: TrainingSettings, freedom: Freedom | None = None) -> Array:
        """Adam's rate of every weight."""
        return ravel_pytree(_rates(self._params, settings, freedom))[0]

    def encoder_rates(self, settings: TrainingSettings) -> Array:
        """Adam's rate of every weight when only the encoder learns."""
        return ravel_pytree(_encoder_rates(self._params, settings))[0]

    def run_epoch(
        self, state: TrainingState, epoch: int, rates: Array, subjects: np.ndarray
    ) -> tuple[TrainingState, ElboTerms]:
        """One epoch of a fixed number of steps; few subjects are passed over more than once."""
        rng = np.random.Generator(np.random.Philox([self.settings.seed, epoch]))
        size = self.steps * self.batch
        index = shuffled(rng, subjects, size).reshape(self.steps, self.batch)
        draws = make_draws(rng, index.shape, self.levels, self.settings.samples, self.effects)
        weight = np.float32(1 / subjects.size)
        state, terms = self._epochs.run(state, rates, (self.data, weight), (index, draws))
        return state, ElboTerms(*(float(np.mean(term)) for term in terms))

    def forecast_scores(
        self, state: TrainingState, subjects: np.ndarray, repeats: int = 12
    ) -> Float[np.ndarray, " subject"]:
        r"""Log density of each subject's later levels given the first ones, per level.

        .. math:: \frac{\log p(y_{all}) - \log p(y_{first})}{n_{later}}

        by the importance-weighted bounds of the training program, run without moving.

        Args:
            state: Where training ended.
            subjects: Indices of the subjects to score.
            repeats: Times the K draws of the program are renewed and pooled.

        Returns:
            Scores [nats per level], shape (subject,). A subject with one level is scored by its
            prior predictive density, one without by 0.
        """
        mask, time = np.asarray(self.data.mask), np.asarray(self.data.time)
        first = first_half(mask, time)
        still = state._replace(params=state.average)
        frozen = jnp.zeros_like(state.params)
        size = self.steps * self.batch
        gains = np.zeros(subjects.size)
        for begin in range(0, subjects.size, size):
            rows = np.resize(subjects[begin : begin + size], size)
            index = rows.reshape(self.steps, self.batch)
            bounds: list[ElboTerms] = []
            for repeat in range(repeats):
                rng = np.random.Generator(np.random.Philox([self.settings.seed, 11, begin, repeat]))
                draws = make_draws(
                    rng, index.shape, self.levels, self.settings.samples, self.effects
                )
                draws = draws._replace(keep=first[index])
                fixed = self.data, np.float32(0.0)
                bounds.append(self._epochs.run(still, frozen, fixed, (index, draws))[1])
            pooled = [
                np.logaddexp.reduce([np.asarray(getattr(b, name), np.float64) for b in bounds])
                for name in ("bound", "subset")
            ]
            found = (pooled[0] - pooled[1]).reshape(-1)
            part = gains[begin : begin + size]
            part[:] = found[: part.size]
        later = (mask & ~first).sum(axis=1)[subjects]
        return np.where(later > 0, gains / np.maximum(later, 1), 0.0)

    def _gradient(
        self, flat: Array, fixed: tuple[Record, Array], rows: tuple[Array, Draws]
    ) -> tuple[Array, ElboTerms]:
        """The gradient of a batch's mean loss, and the terms of its subjects."""
        (data, ridge_weight), (index, draws) = fixed, rows

        def loss(flat: Array) -> tuple[Array, ElboTerms]:
            current = eqx.combine(self._unravel(flat), self._static)
            losses, terms = jax.vmap(
                lambda r, one: subject_terms(current, r, one, beta=self.settings.beta)
            )(take(data, index), draws)
            penalty = ridge_weight * ridge(current)
            terms = terms._replace(penalty=jnp.full_like(terms.penalty, penalty))
            return jnp.mean(losses) + penalty, terms

        return jax.grad(loss, has_aux=True)(flat)


def shuffled(rng: np.random.Generator, subjects: np.ndarray, size: int) -> np.ndarray:
    """`size` subjects in random order, every one as often as any other but for one pass."""
    passes = [rng.permutation(subjects) for _ in range(-(-size // subjects.size))]
    return np.concatenate(passes)[:size]


def first_half(
    mask: Bool[np.ndarray, "subject level"], time: Float[np.ndarray, "subject level"]
) -> Bool[np.ndarray, "subject level"]:
    """The earlier half of each subject's levels, rounded up; none where there is one level."""
    count = mask.sum(axis=1, keepdims=True)
    rank = np.argsort(np.argsort(np.where(mask, time, np.inf), axis=1, kind="stable"), axis=1)
    return mask & (rank < np.where(count > 1, (count + 1) // 2, 0))


def _rates(params: PyTree, settings: TrainingSettings, freedom: Freedom | None) -> PyTree:
    """Adam's rate of every leaf: networks slow, population parameters fast, the absent not."""

    def rate(path: tuple[Any, ...], leaf: Array) -> Array:
        names = [str(getattr(part, "name", "")) for part in path]
        slow = bool({"network", "encoder", "layers"} & set(names))
        value = jnp.full_like(leaf, settings.network_rate if slow else settings.population_rate)
        if freedom is None or names[0] != "prior":
            return value
        if names[1] == "network":
            return value * float(freedom.network)
        if names[1] == "dose_slope":
            there = np.ones(len(leaf)) if freedom.absorption is None else freedom.absorption
            return value * jnp.asarray(there, leaf.dtype)[:, None]
        active = jnp.asarray(freedom.active, leaf.dtype)
        if names[-1] == "shift":
            return value * active
        if names[-1] in ("odds", "size"):
            return value
        if names[1] == "factor":
            return value * active[:, None] * active[None, :]
        return value * active.reshape((-1,) + (1,) * (leaf.ndim - 1))

    return jax.tree_util.tree_map_with_path(rate, params)


def _encoder_rates(params: PyTree, settings: TrainingSettings) -> PyTree:
    def rate(path: tuple[Any, ...], leaf: Array) -> Array:
        mine = getattr(path[0], "name", "") == "encoder"
        return jnp.full_like(leaf, settings.network_rate if mine else 0.0)

    return jax.tree_util.tree_map_with_path(rate, params)


@dataclass(frozen=True, eq=False)
class Course:
    """What one training is of: where it begins, on whom, with what freedom, how.

    Attributes:
        start: The model it begins from.
        subjects: Indices of those trained on.
        settings: How.
        freedom: What may move; None is everything.
        encoder_only: Whether the population stays and the encoder alone learns it.
    """

    start: LatentModel
    subjects: np.ndarray
    settings: TrainingSettings
    freedom: Freedom | None = None
    encoder_only: bool = False


def train(
    trainer: Trainer,
    course: Course,
    *,
    state: TrainingState | None = None,
    history: TrainingHistory | None = None,
    on_epoch: Callable[[TrainingState, TrainingHistory], None] | None = None,
) -> tuple[TrainingState, TrainingHistory]:
    """Run epochs until done or no longer improving.

    Args:
        trainer: The compiled program.
        course: What to train.
        state: Where to resume; None starts anew.
        history: What went before, when resuming.
        on_epoch: Called after each epoch.

    Returns:
        The final state and the history.

    Raises:
        ConvergenceError: If the objective is not finite.
    """
    state = trainer.start(course.start) if state is None else state
    history = TrainingHistory() if history is None else history
    rates = (
        trainer.encoder_rates(course.settings)
        if course.encoder_only
        else trainer.rates(course.settings, course.freedom)
    )
    while (slow := history.rate(course.settings)) is not None:
        epoch = len(history.terms)
        state, terms = trainer.run_epoch(state, epoch, np.float32(slow) * rates, course.subjects)
        history.terms.append(terms)
        if not np.isfinite(terms.bound):
            raise ConvergenceError(
                f"Training stopped at epoch {epoch + 1}: the bound is {terms.bound}. "
                "Check units and outlying levels."
            )
        if on_epoch is not None:
            on_epoch(state, history)
    return state, history


def refresh_encoder(
    trainer: Trainer, model: LatentModel, subjects: np.ndarray, settings: TrainingSettings
) -> LatentModel:
    """Let the encoder alone adapt to a model whose population has moved since it learned."""
    state = trainer.start(model)
    rates = trainer.encoder_rates(settings)
    for epoch in range(settings.refresh):
        slow = np.float32(0.03 + 0.97 * (1 - epoch / settings.refresh))
        state, _ = trainer.run_epoch(state, settings.epochs + epoch, slow * rates, subjects)
    return eqx.tree_at(lambda m: m.encoder, model, trainer.finish(state).encoder)
