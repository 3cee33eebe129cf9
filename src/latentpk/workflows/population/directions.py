"""Covariates and latent directions: what a trained model's posteriors say, and no equations."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from latentpk.errors import InputError
from latentpk.errors import Problem as Wrong
from latentpk.evaluate.effects import Problem, Summaries
from latentpk.inference.posterior import laplace
from latentpk.models.latent import LatentModel
from latentpk.models.record import Record, stack_records
from latentpk.records.nonmem import read_nonmem
from latentpk.records.subject import Cohort
from latentpk.workflows.population.discovery import (
    Discovery,
    SearchSettings,
    candidates_of,
    searched,
    summarized,
)
from latentpk.workflows.predictor import Predictor

Progress = Callable[[int, int, str], None]


def discover_directions(
    predictor: Predictor,
    source: str | Path | Any,
    settings: SearchSettings | None = None,
    *,
    progress: Progress | None = None,
    units: str | None = None,
) -> Discovery:
    """Find which covariates act on which dimension of a model's latent space.

    What a patient's levels say of the latent space is the posterior without its prior, a quadratic
    about the mode: a patient of whom little was measured says little. So it matters little which
    covariates the model was trained with, and one that it does not know can be found.

    Args:
        predictor: A trained or published model whose patients do not vary between occasions.
        source: NONMEM table or data frame with the columns to look at.
        settings: How.
        progress: Called with (done, total, label).
        units: As of `read_nonmem`; None takes the model's.

    Returns:
        What was found, without a population fit; `told` makes JSON of it.

    Raises:
        InputError: Every problem of the table; no covariate; a model that this cannot be asked of.
    """
    settings = settings or SearchSettings()
    model = predictor.model
    if model.kappas:
        rule = "Directions are a patient's own, which occasions hide"
        mend = "Take a model without them, or leave out --model for a population fit"
        raise InputError([Wrong("the model", "patients vary between occasions", rule, mend)])
    reading: dict[str, Any] = {**predictor.reading, **({} if units is None else {"units": units})}
    asked = read_nonmem(source, **reading, purpose="forecast", progress=progress)
    looked = read_nonmem(
        source,
        units=reading.get("units"),
        covariates=None if settings.covariates is None else list(settings.covariates),
        negative="drop",
        purpose="forecast",
    )
    if not looked.covariate_names:
        rule, mend = "Something to look for is needed", "Add columns of covariates"
        raise InputError([Wrong("the table", "no covariates", rule, mend)])
    records = stack_records(
        [predictor.dosed(subject) for subject in asked], undecided=predictor.undecided
    )
    summaries = latent_summaries(model, records, progress=progress)
    problem = directions_problem(looked, summaries)
    choice, probability = searched(problem, settings, progress)
    names = tuple(model.decoder.directions[k] for k in varying(model))
    return Discovery(looked, names, problem, choice, probability)


def varying(model: LatentModel) -> list[int]:
    """Latent dimensions in which patients differ.

    Raises:
        InputError: They do not determine the random effects, nor are determined by them.
    """
    factor = np.asarray(model.prior.chol())
    kept = np.flatnonzero(np.any(factor != 0, axis=1))
    if len(kept) != factor.shape[1] or np.linalg.matrix_rank(factor[kept]) < len(kept):
        rule, mend = "Each direction needs its own", "Take a model that has"
        raise InputError([Wrong("the model", "effects shared by its parameters", rule, mend)])
    return kept.tolist()


def latent_summaries(
    model: LatentModel, records: Record, *, progress: Progress | None = None
) -> Summaries:
    """What each patient's levels say of the latent space, by the posterior around its mode."""
    model = model.of_group(0)  # the prior is taken off again, and must be one Gaussian for that
    modes = laplace(model, records, progress)
    mode, root = np.asarray(modes.eps)[:, 0], np.asarray(modes.precision)[:, 0]
    curvature = np.einsum("sji,sjk->sik", root, root)
    data = jax.tree_util.tree_map(jnp.asarray, records)
    kept = varying(model)
    place = np.asarray(jax.vmap(lambda one: model.location(one)[0])(data))[:, kept]
    factor = np.asarray(model.prior.chol())[kept]
    return summarized(mode @ factor.T, place, curvature, factor)


def directions_problem(cohort: Cohort, summaries: Summaries) -> Problem:
    """Patients of whom levels say something, and all effects on all directions."""
    values = np.stack([subject.covariates[0] for subject in cohort])
    return Problem(summaries, *candidates_of(cohort, values, summaries.pull.shape[1]))
