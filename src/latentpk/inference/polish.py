r"""Maximum likelihood of the population after the ELBO: what amortization left on the table.

The ELBO's gap makes variances too small and residual error too large. Here the encoder steps
aside: each subject's proposal is refined to its modes, and the population ascends the Monte
Carlo marginal likelihood of fixed draws,

.. math:: \sum_i \log \tfrac1K \sum_k p(y_i|\epsilon_{ik};\theta)
          \frac{p(\epsilon_{ik})}{q_i(\epsilon_{ik})},

the draws being renewed every round (Geyer, J R Stat Soc B 56 (1994) 261-274).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree
from pydantic import Field

from latentpk import precision
from latentpk.inference.elbo import ridge
from latentpk.inference.epochs import Epochs, TrainingState, begin_at, lanes_of
from latentpk.inference.modes import find_modes, starts
from latentpk.inference.posterior import in_blocks
from latentpk.inference.sampling import BaseDraws, many_base_draws, mode_mixture, propose
from latentpk.inference.training import LEAST_STEPS, shuffled
from latentpk.models.config import Frozen
from latentpk.models.decoders.followed import FollowedDecoder
from latentpk.models.latent import LatentModel
from latentpk.models.record import Record, take

AXES = 4  # effects up to which every axis is a start


class PolishSettings(Frozen):
    """How the population is polished.

    Attributes:
        rounds: Times the draws are renewed.
        epochs: Passes over the subjects in each round.
        draws: K, proposal draws of a subject.
        batch: Subjects a step.
        rate: Adam's rate at first; it falls to a tenth by the last step.
        seed: Of everything random.
    """

    rounds: int = Field(default=6, ge=0)
    epochs: int = Field(default=20, ge=1)
    draws: int = Field(default=96, ge=8)
    batch: int = Field(default=64, ge=1)
    rate: float = Field(default=0.02, gt=0)
    seed: int = 0

    @staticmethod
    def of(model: LatentModel, seed: int) -> "PolishSettings":
        """The usual ones; a decoder that takes steps gets a tenth of the courses."""
        if not isinstance(model.decoder, FollowedDecoder):
            return PolishSettings(seed=seed)
        return PolishSettings(seed=seed, rounds=3, epochs=12, draws=32)


class Proposals(NamedTuple):
    """Fixed draws of stacked subjects, and log p(eps) - log q(eps) of each.

    Where there are several groups of people, each has draws of its own, relative to its prior.
    """

    eps: Float[Array, "*subject draw effect"]
    log_ratio: Float[Array, "*subject draw"]


@dataclass(frozen=True, eq=False)
class Moving:
    """What ascends: a tree of parameters, and how it makes a model.

    Attributes:
        start: Where it begins, in float32.
        inside: The model that the compiled program evaluates, in float32.
        outside: The model that comes out, from parameters in float64.
        penalty: Added to minus the log likelihood of all subjects.
    """

    start: PyTree
    inside: Callable[[PyTree], LatentModel]
    outside: Callable[[PyTree], LatentModel]
    penalty: Callable[[PyTree], Array]


@dataclass(frozen=True, eq=False)
class Polisher:
    """The compiled pieces: `run_round` is a pure function of (state, round, subjects).

    Attributes:
        start: Where polishing begins.
        settings: How.
        run_round: One round; the subjects are indices, None is everyone.
        parameters: What moved, in float64.
        finish: The model there.
    """

    start: TrainingState
    settings: PolishSettings
    run_round: Callable[..., TrainingState]
    parameters: Callable[[TrainingState], PyTree]
    finish: Callable[[TrainingState], LatentModel]


def whole_population(model: LatentModel) -> Moving:
    """Everything of a model but its encoder moves, under the ridge of training."""
    moving = eqx.tree_at(
        lambda m: m.encoder, jax.tree_util.tree_map(eqx.is_inexact_array, model), replace=False
    )
    params, static = eqx.partition(precision.single(model), moving)
    return Moving(
        start=params,
        inside=lambda p: eqx.combine(p, static),
        outside=lambda p: precision.double(eqx.combine(p, static)),
        penalty=lambda p: ridge(eqx.combine(p, static)),
    )


def make_polisher(
    model: LatentModel | Moving, records: Record, settings: PolishSettings
) -> Polisher:
    """Compile polishing of one model and cohort.

    Args:
        model: A trained model, all of whose population moves; or what is to move of one.
        records: Stacked records of the training subjects.
        settings: How.

    Returns:
        The polisher; its encoder stays as it was.
    """
    moving = model if isinstance(model, Moving) else whole_population(model)
    data = jax.tree_util.tree_map(jnp.asarray, precision.single(records))
    start, unravel = ravel_pytree(moving.start)
    count = data.mask.shape[0]
    batch = min(settings.batch, count)
    steps = max(count // batch, LEAST_STEPS)
    total = settings.rounds * settings.epochs

    def gradient(
        flat: Array, fixed: tuple[Record, Proposals, Array], rows: Array
    ) -> tuple[Array, tuple[()]]:
        data, proposals, share = fixed

        def loss(flat: Array) -> Array:
            params = unravel(flat)
            current = moving.inside(params)
            subjects = take(data, rows), take(proposals, rows)
            evidence = jax.vmap(lambda r, p: _evidence(current, r, p))(*subjects)
            return -jnp.mean(evidence) + share * moving.penalty(params)

        return jax.grad(loss)(flat), ()

    lanes = lanes_of(moving.inside(moving.start), batch)
    epochs = Epochs(gradient, decay=0.98, lanes=lanes)

    def run_round(
        state: TrainingState, round_: int, subjects: np.ndarray | None = None
    ) -> TrainingState:
        chosen = np.arange(count) if subjects is None else subjects
        share = np.float32(1 / chosen.size)
        proposals = _proposals(finish(state), records, settings, round_)
        for epoch in range(settings.epochs):
            done = round_ * settings.epochs + epoch
            rng = np.random.Generator(np.random.Philox([settings.seed, 7, done]))
            index = shuffled(rng, chosen, steps * batch).reshape(steps, batch)
            slow = 0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * done / total))
            rate = np.float32(settings.rate * slow)
            state, _ = epochs.run(state, rate, (data, proposals, share), index)
        return state

    def parameters(state: TrainingState) -> PyTree:
        return precision.double(unravel(state.average))

    def finish(state: TrainingState) -> LatentModel:
        return moving.outside(parameters(state))

    return Polisher(begin_at(start), settings, run_round, parameters, finish)


def _proposals(
    model: LatentModel, records: Record, settings: PolishSettings, round_: int
) -> Proposals:
    # its own draws for each subject: shared ones would err alike for all, and not average out
    count, parts = records.mask.shape[0], []
    for group in range(model.groups):
        seed, within = settings.seed + 1 + round_ + 1000 * group, model.of_group(group)
        stacked = many_base_draws(count, settings.draws, model.effects, seed)
        found = in_blocks(
            lambda block: _propose_block(within, *block),  # noqa: B023 - called in this pass
            (records, stacked),
            None,
            "proposals",
        )
        parts.append(Proposals(*(jnp.asarray(part, jnp.float32) for part in found)))
    if len(parts) == 1:
        return parts[0]
    return jax.tree_util.tree_map(lambda *each: jnp.stack(each, axis=1), *parts)


def _evidence(model: LatentModel, record: Record, proposals: Proposals) -> Float[Array, ""]:
    """Monte Carlo marginal log likelihood of one subject, but for a constant."""

    def within(model: LatentModel, p: Proposals) -> Array:
        location = model.location(record)
        each = jax.vmap(lambda e: model.log_likelihood(e, location, record))(p.eps)
        return jax.scipy.special.logsumexp(each + p.log_ratio)

    if model.groups == 1:
        return within(model, proposals)
    index = jnp.arange(model.groups)
    each = jax.vmap(lambda k, p: within(model.of_group(k), p))(index, proposals)
    return jax.scipy.special.logsumexp(model.prior.log_shares() + each)


@eqx.filter_jit
def _propose_block(model: LatentModel, records: Record, bases: BaseDraws) -> tuple[Array, Array]:
    def one(item: tuple[Record, BaseDraws]) -> tuple[Array, Array]:
        record, base = item
        location = model.location(record)
        # many effects have many axes to start along: there the encoder and the prior must do
        begin = starts(model.encode(record).mean, model.effects if model.effects <= AXES else 0)
        mixture = mode_mixture(find_modes(model, record, location, begin))
        eps, log_prior, log_q = propose(mixture, base)
        return eps, log_prior - log_q

    return jax.lax.map(one, (records, bases))
