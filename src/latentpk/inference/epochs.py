"""One epoch of Adam's steps: a compiled scan, or steps whose gradient the threads share.

XLA runs programs as small as these on one thread. Where a step takes a tenth of a second, since
every course is followed, the batch is cut into equal lanes, one for each thread, and the mean of
their gradients is the batch's.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from latentpk import precision  # noqa: F401  (float64 before any array)
from latentpk.compilation import threads
from latentpk.models.decoders.followed import FollowedDecoder
from latentpk.models.latent import LatentModel

CLIP = 100.0  # norm of the gradient
LEAST_ROWS = 8  # subjects of a lane: fewer are not worth a thread
ADAM = optax.scale_by_adam(b1=0.9, b2=0.99)

# Parameters, what all steps share, and one step's rows, to the mean gradient and its rows' terms.
Gradient = Callable[[Float[Array, " weight"], PyTree, PyTree], tuple[Array, PyTree]]


class TrainingState(NamedTuple):
    """Everything that changes during training, as flat float32 vectors.

    One vector instead of a tree of leaves keeps the optimizer's program, and its compilation,
    small; restoring the state resumes bit for bit.
    """

    params: Float[Array, " weight"]
    mean: Float[Array, " weight"]
    square: Float[Array, " weight"]
    average: Float[Array, " weight"]
    step: Int[Array, ""]


def begin_at(flat: Float[Array, " weight"]) -> TrainingState:
    """The state before the first step from these parameters."""
    zero = jnp.zeros_like(flat)
    return TrainingState(flat, zero, zero, flat, jnp.zeros((), jnp.int32))


def adam(state: TrainingState, grad: Array, rate: Array, decay: float) -> TrainingState:
    """One step of Adam, and the running average of its path.

    A gradient that is not finite is a step not taken; the objective's own value reports it.
    """
    sound = jnp.all(jnp.isfinite(grad))
    grad = jnp.where(sound, grad, 0.0)
    grad = grad * jnp.minimum(1.0, CLIP / jnp.maximum(jnp.linalg.norm(grad), 1e-12))
    moments = optax.ScaleByAdamState(state.step, state.mean, state.square)
    direction, moved = ADAM.update(grad, moments)
    step, mean, square = cast(tuple[Array, Array, Array], moved)
    params = state.params - rate * cast(Array, direction)
    since = step.astype(jnp.float32)
    keep = jnp.minimum(decay, since / (since + 10.0))  # early on a plain mean: it forgets its start
    average = keep * state.average + (1 - keep) * params
    return TrainingState(params, mean, square, average, step)


def lanes_of(model: LatentModel, batch: int) -> int:
    """Into how many lanes a batch is cut: as many as threads, where a step is worth it.

    Args:
        model: Whose gradient it is.
        batch: Subjects a step, which every lane has an equal part of.
    """
    if not isinstance(model.decoder, FollowedDecoder):
        return 1
    most = max(1, min(threads(), batch // LEAST_ROWS))
    return max(n for n in range(1, most + 1) if batch % n == 0)


class Epochs:
    """The compiled epoch of one gradient.

    One lane is one program for all steps of an epoch. Of several each step is a program for every
    thread; the same bits come from the same number of lanes.
    """

    def __init__(self, gradient: Gradient, *, decay: float, lanes: int = 1) -> None:
        """Prepare the programs; they are compiled at the first epoch.

        Args:
            gradient: Mean over the rows it is given.
            decay: Averaging of the parameters over steps (Polyak).
            lanes: Threads that share a step; they divide its rows.
        """
        self.lanes = lanes
        self._warm = False

        def scanned(
            state: TrainingState, rate: Array, fixed: PyTree, rows: PyTree
        ) -> tuple[TrainingState, PyTree]:
            def update(state: TrainingState, some: PyTree) -> tuple[TrainingState, PyTree]:
                grad, terms = gradient(state.params, fixed, some)
                return adam(state, grad, rate, decay), terms

            return jax.lax.scan(update, state, rows)

        def joined(state: TrainingState, rate: Array, grads: list[Array]) -> TrainingState:
            return adam(state, jnp.mean(jnp.stack(grads), axis=0), rate, decay)

        self._scanned = jax.jit(scanned)
        self._gradient, self._joined = jax.jit(gradient), jax.jit(joined)

    def run(
        self, state: TrainingState, rate: Any, fixed: PyTree, rows: PyTree
    ) -> tuple[TrainingState, PyTree]:
        """Every step of one epoch.

        Args:
            state: Before it.
            rate: Adam's, of every weight or of all.
            fixed: What all steps share.
            rows: Of every step, leading axes (step, subject).

        Returns:
            The state after it, and the terms of every step.
        """
        if self.lanes == 1:
            return self._scanned(state, rate, fixed, rows)
        steps, batch = jax.tree.leaves(rows)[0].shape[:2]
        size, told = batch // self.lanes, []
        with ThreadPoolExecutor(self.lanes) as pool:
            for step in range(steps):
                parts = [
                    jax.tree.map(lambda x, s=step, b=begin: x[s, b : b + size], rows)
                    for begin in range(0, batch, size)
                ]
                found = self._shared(pool, state.params, fixed, parts)
                state = self._joined(state, rate, [grad for grad, _ in found])
                told.append(jax.tree.map(lambda *x: jnp.concatenate(x), *(t for _, t in found)))
        return state, jax.tree.map(lambda *x: jnp.stack(x), *told)

    def _shared(
        self, pool: ThreadPoolExecutor, params: Array, fixed: PyTree, parts: list[PyTree]
    ) -> list[tuple[Array, PyTree]]:
        """The gradient of each part; the first one of all alone compiles."""

        def run(part: PyTree) -> tuple[Array, PyTree]:
            return jax.block_until_ready(self._gradient(params, fixed, part))

        first = [] if self._warm else [run(parts[0])]
        self._warm = True
        return [*first, *pool.map(run, parts[len(first) :])]
