"""When to draw the next level: the time that narrows the posterior of the exposure most."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentpk.dosing.exposure import Window, heights
from latentpk.dosing.patient import Seen, systematic
from latentpk.models.residual import Residual

DRAWS = 512  # of the posterior, that stand for it
LEVELS = 48  # simulated at each time
TIMES = 24


@dataclass(frozen=True)
class NextSample:
    """The best time for one more level.

    Attributes:
        time: When [h].
        sd_now: Posterior standard deviation of the log exposure.
        sd_then: What it is expected to be with the level (root of the mean variance).
    """

    time: float
    sd_now: float
    sd_then: float


def next_sample(
    patient: Seen, exposure: Float[np.ndarray, " draw"], start: float, interval: float
) -> NextSample:
    r"""Find the time within two intervals at which one more level tells most of an exposure.

    For each time, levels are simulated from the posterior, the draws are weighted by the density
    of each, and the variance of the log exposure is averaged over the levels.

    Args:
        patient: On the regimen that will be given.
        exposure: The exposure of every draw, shape (draw,).
        start: Time of the first new dose [h].
        interval: Between doses [h].

    Returns:
        The time, and how far the exposure is known now and then.
    """
    index = _evenly(patient.weight, DRAWS)
    if len(patient.parts) > 1:
        index = np.sort(index)  # one model after another, so that each keeps its own error
    few = patient.some(index)
    log = np.log(np.maximum(exposure[index], 1e-12))
    step = 2 * interval / TIMES
    time = start + step * np.arange(1, TIMES + 1)
    before = np.full(TIMES, -np.inf)  # a trough is drawn before the dose
    curve = heights(few, Window(start, float(time[-1]), time, before))  # (draw, time)
    noise = np.random.Generator(np.random.Philox(DRAWS)).standard_normal((LEVELS, 1))
    chosen = np.linspace(0, DRAWS - 1, LEVELS).astype(int)  # draws come in no order
    density = _density(few, chosen, noise, curve)
    weight = np.exp(density - density.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)  # (level, draw, time)
    mean = np.einsum("ldt,d->lt", weight, log)
    variance = np.einsum("ldt,d->lt", weight, log**2) - mean**2
    expected = np.maximum(variance, 0.0).mean(axis=0)
    best = int(np.argmin(expected))
    return NextSample(float(time[best]), float(log.std()), float(np.sqrt(expected[best])))


def _density(
    few: Seen, chosen: np.ndarray, noise: np.ndarray, curve: np.ndarray
) -> Float[np.ndarray, "level draw time"]:
    """Log density under every curve of levels around the chosen ones, with each model's error."""
    first = np.cumsum([0] + [part.weight.size for part in few.parts])
    slices = [slice(a, b) for a, b in pairwise(first)]
    models = [part.model.residual for part in few.parts]
    levels = np.concatenate(
        [
            np.asarray(_levels(residual, curve[chosen[mine]], noise[mine]))
            for residual, own in zip(models, slices, strict=True)
            if (mine := (chosen >= own.start) & (chosen < own.stop)).any()
        ]
    )
    pairs = zip(models, slices, strict=True)
    found = [np.asarray(_densities(residual, levels, curve[own])) for residual, own in pairs]
    return np.concatenate(found, axis=1)


@eqx.filter_jit
def _levels(residual: Residual, curve: Any, noise: Any) -> Array:
    return residual.perturb(jnp.asarray(curve), jnp.asarray(noise))


@eqx.filter_jit
def _densities(residual: Residual, levels: Any, curve: Any) -> Array:
    """Log density, under every curve, of every level: (level, draw, time)."""
    seen = jnp.zeros(curve.shape[1], bool)
    one = jax.vmap(residual.log_density, in_axes=(None, 0, None))
    return jax.vmap(one, in_axes=(0, None, None))(jnp.asarray(levels), jnp.asarray(curve), seen)


def _evenly(weight: Float[np.ndarray, " draw"], size: int) -> np.ndarray:
    """Systematic resampling, in an order that says nothing."""
    return np.random.Generator(np.random.Philox(size)).permutation(systematic(weight, size))
