"""The true parameters of simulated patients through a course: occasions, and what time changes."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from latentpk.models.published import PopulationModel, loading, log_typical, occasion_loading
from latentpk.records.elapsed import ELAPSED


def changes(population: PopulationModel) -> Float[np.ndarray, " piece"]:
    """Hours after the first dose from which parameters hold, the first 0."""
    return np.array(sorted({0.0, *_starts(population), *population.hours}))


def occasion_at(
    population: PopulationModel, time: Float[np.ndarray, " time"]
) -> Int[np.ndarray, " time"]:
    """Index of the occasion at times [h] after the first dose."""
    return np.searchsorted(np.array(_starts(population), float), time, side="right")


def kappa_shape(population: PopulationModel) -> tuple[int, int]:
    """Occasions of a course, and effects of each; none where patients do not vary between them."""
    if population.occasions is None:
        return 0, 0
    return len(_starts(population)) + 1, len(population.occasions.parameters)


def latent_in_course(
    population: PopulationModel,
    covariates: Sequence[Mapping[str, float]],
    effects: Float[np.ndarray, "subject effect"],
    kappas: Float[np.ndarray, "subject occasion kappa"],
) -> Float[np.ndarray, "subject piece parameter"]:
    """Log parameters of each patient from each of the `changes` on.

    Args:
        population: The published values.
        covariates: Of each patient, by name.
        effects: Standard normal, shape (subject, effect).
        kappas: Standard normal for each occasion, shape (subject, *kappa_shape).

    Returns:
        Log parameters (L/h, L, 1/h, h), shape (subject, piece, parameter).
    """
    change = changes(population)
    rows = [
        [{**known, ELAPSED: hour}[name] for name in population.covariates]
        for known in covariates
        for hour in change
    ]
    table = np.array(rows, float).reshape(len(rows), len(population.covariates))
    typical = np.asarray(jax.vmap(log_typical(population))(jnp.asarray(table)))
    logs = typical.reshape(len(covariates), len(change), -1)
    logs = logs + (effects @ loading(population).T)[:, None]
    within = occasion_loading(population)
    if within is not None:
        logs = logs + (kappas @ within.T)[:, occasion_at(population, change)]
    return logs


def _starts(population: PopulationModel) -> tuple[float, ...]:
    return () if population.occasions is None else population.occasions.starts
