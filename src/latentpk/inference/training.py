"""One training loop for every latent model: a jitted scan per epoch."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree
from pydantic import Field

from latentpk import precision
from latentpk.errors import ConvergenceError
from latentpk.inference.elbo import Draws, ElboTerms, make_draws, ridge, subject_terms
from latentpk.models.config import Frozen
from latentpk.models.latent import LatentModel
from latentpk.models.record import Record, take

CLIP = 100.0  # norm of the gradient
BETA1, BETA2 = 0.9, 0.99


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
    samples: int = Field(default=4, ge=1)
    beta: float = Field(default=1.0, gt=0)
    population_rate: float = Field(default=0.02, gt=0)
    network_rate: float = Field(default=4e-3, gt=0)
    refresh: int = Field(default=20, ge=0)
    decay: float = Field(default=0.98, ge=0, lt=1)
    seed: int = Field(default=0, ge=0)


class TrainingState(NamedTuple):
    """Everything that changes during training, as flat float32 vectors.

    One vector instead of a tree of leaves keeps the optimizer's program, and its compilation,
    small; restoring the state resumes bit for bit.
    """

    params: Float[Array, " weight"]
    mean: Float[Array, " weight"]
    square: Float[Array, " weight"]
    average: Float[Array, " weight"]
    step: Float[Array, ""]


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


@dataclass(frozen=True, eq=False)
class Trainer:
    """The compiled pieces of training one model on stacked records."""

    start: TrainingState
    settings: TrainingSettings
    run_epoch: Callable[[TrainingState, int, float], tuple[TrainingState, ElboTerms]]
    finish: Callable[[TrainingState], LatentModel]
    refresh_encoder: Callable[[LatentModel], LatentModel]


def make_trainer(
    model: LatentModel,
    records: Record,
    settings: TrainingSettings,
    subjects: np.ndarray | None = None,
) -> Trainer:
    """Compile training for one model and cohort.

    Args:
        model: An initialised model.
        records: Stacked records, leading axis (subject,).
        settings: How to train.
        subjects: Indices of those to train on; None is all.

    Returns:
        The trainer.
    """
    data = jax.tree_util.tree_map(jnp.asarray, precision.single(records))
    params, static = eqx.partition(precision.single(model), eqx.is_inexact_array)
    start, unravel = ravel_pytree(params)
    rate = ravel_pytree(_rates(params, settings))[0]
    encoder_rate = ravel_pytree(_encoder_rates(params, settings))[0]
    chosen = np.arange(data.mask.shape[0]) if subjects is None else np.asarray(subjects)
    batch = min(settings.batch, chosen.size)
    steps = chosen.size // batch

    def loss(flat: Array, record: Record, draws: Draws) -> tuple[Array, ElboTerms]:
        current = eqx.combine(unravel(flat), static)
        losses, terms = jax.vmap(lambda r, d: subject_terms(current, r, d, beta=settings.beta))(
            record, draws
        )
        penalty = ridge(current) / chosen.size
        means = jax.tree_util.tree_map(jnp.mean, terms)._replace(penalty=penalty)
        return jnp.mean(losses) + penalty, means

    @jax.jit
    def epoch_program(
        state: TrainingState, index: Array, draws: Draws, rates: Array
    ) -> tuple[TrainingState, ElboTerms]:
        def update(
            state: TrainingState, inputs: tuple[Array, Draws]
        ) -> tuple[TrainingState, ElboTerms]:
            grad, terms = jax.grad(loss, has_aux=True)(
                state.params, take(data, inputs[0]), inputs[1]
            )
            return adam(state, grad, rates, settings.decay), terms

        state, terms = jax.lax.scan(update, state, (index, draws))
        return state, jax.tree_util.tree_map(jnp.mean, terms)

    effects = model.effects
    levels = data.mask.shape[1]

    def run_epoch(
        state: TrainingState, epoch: int, slow: float, rates: Array = rate
    ) -> tuple[TrainingState, ElboTerms]:
        rng = np.random.Generator(np.random.Philox([settings.seed, epoch]))
        index = rng.permutation(chosen)[: steps * batch].reshape(steps, batch)
        draws = make_draws(rng, (steps, batch), levels, settings.samples, effects)
        return epoch_program(state, index, draws, np.float32(slow) * rates)

    def finish(state: TrainingState) -> LatentModel:
        return precision.double(eqx.combine(unravel(state.average), static))

    def refresh_encoder(fitted: LatentModel) -> LatentModel:
        flat = ravel_pytree(eqx.filter(precision.single(fitted), eqx.is_inexact_array))[0]
        state = begin_at(flat)
        for epoch in range(settings.refresh):
            slow = 0.03 + 0.97 * (1 - epoch / settings.refresh)
            state, _ = run_epoch(state, settings.epochs + epoch, slow, encoder_rate)
        return eqx.tree_at(lambda m: m.encoder, fitted, finish(state).encoder)

    return Trainer(begin_at(start), settings, run_epoch, finish, refresh_encoder)


def begin_at(flat: Float[Array, " weight"]) -> TrainingState:
    """The state before the first step from these parameters."""
    zero = jnp.zeros_like(flat)
    return TrainingState(flat, zero, zero, flat, jnp.zeros((), jnp.float32))


def adam(state: TrainingState, grad: Array, rate: Array, decay: float) -> TrainingState:
    """One step of Adam, and the running average of its path.

    A gradient that is not finite is a step not taken; the objective's own value reports it.
    """
    sound = jnp.all(jnp.isfinite(grad))
    grad = jnp.where(sound, grad, 0.0)
    grad = grad * jnp.minimum(1.0, CLIP / jnp.maximum(jnp.linalg.norm(grad), 1e-12))
    step = state.step + 1
    mean = BETA1 * state.mean + (1 - BETA1) * grad
    square = BETA2 * state.square + (1 - BETA2) * grad**2
    move = (mean / (1 - BETA1**step)) / (jnp.sqrt(square / (1 - BETA2**step)) + 1e-8)
    params = state.params - rate * move
    keep = jnp.minimum(decay, step / (step + 10.0))  # early on a plain mean: it forgets its start
    average = keep * state.average + (1 - keep) * params
    return TrainingState(params, mean, square, average, step)


def _rates(params: PyTree, settings: TrainingSettings) -> PyTree:
    """Adam's rate of every leaf: networks slow, population parameters fast."""

    def rate(path: tuple[Any, ...], leaf: Array) -> Array:
        names = {str(getattr(part, "name", "")) for part in path}
        slow = bool(names & {"network", "encoder", "layers"})
        return jnp.full_like(leaf, settings.network_rate if slow else settings.population_rate)

    return jax.tree_util.tree_map_with_path(rate, params)


def _encoder_rates(params: PyTree, settings: TrainingSettings) -> PyTree:
    """Adam's rate of every leaf when only the encoder learns."""

    def rate(path: tuple[Any, ...], leaf: Array) -> Array:
        mine = getattr(path[0], "name", "") == "encoder"
        return jnp.full_like(leaf, settings.network_rate if mine else 0.0)

    return jax.tree_util.tree_map_with_path(rate, params)


def train(
    trainer: Trainer,
    *,
    state: TrainingState | None = None,
    history: TrainingHistory | None = None,
    on_epoch: Callable[[TrainingState, TrainingHistory], None] | None = None,
) -> tuple[TrainingState, TrainingHistory]:
    """Run epochs until done or no longer improving.

    Args:
        trainer: From `make_trainer`.
        state: Where to resume; None starts anew.
        history: What went before, when resuming.
        on_epoch: Called after each epoch.

    Returns:
        The final state and the history.

    Raises:
        ConvergenceError: If the objective is not finite.
    """
    state = trainer.start if state is None else state
    history = TrainingHistory() if history is None else history
    while (rate := history.rate(trainer.settings)) is not None:
        epoch = len(history.terms)
        state, terms = trainer.run_epoch(state, epoch, rate)
        history.terms.append(ElboTerms(*(float(t) for t in terms)))
        if not np.isfinite(history.terms[-1].bound):
            raise ConvergenceError(
                f"Training stopped at epoch {epoch + 1}: the bound is {history.terms[-1].bound}. "
                "Check units and outlying levels."
            )
        if on_epoch is not None:
            on_epoch(state, history)
    return state, history
