"""Covariate discovery: a base fit, what each patient's levels say, the effects, and a last fit."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from pydantic import Field

from latentpk.errors import InputError
from latentpk.errors import Problem as Wrong
from latentpk.evaluate.covariates import (
    NEAR,
    Choice,
    choose,
    rivals,
    selection_probabilities,
    shape_probabilities,
)
from latentpk.evaluate.effects import Candidate, Problem, Summaries
from latentpk.inference.marginal import expected_curvature
from latentpk.inference.posterior import laplace
from latentpk.models.config import Frozen
from latentpk.models.latent import LatentModel
from latentpk.models.population import PopulationPrior, Shape
from latentpk.models.record import Record
from latentpk.records.nonmem import read_nonmem
from latentpk.records.subject import Cohort
from latentpk.workflows.population.fit import PopfitSettings, PopulationFit, fit_population
from latentpk.workflows.population.outcome import LEAST_SD, describe

Progress = Callable[[int, int, str], None]
TOGETHER = 0.7  # correlation from which on two covariates can hardly be told apart
MOST_CODES = 6  # of a category
SURE = 0.9  # probability of a shape from which on it counts as told


class SearchSettings(Frozen):
    """How effects of covariates are looked for.

    Attributes:
        covariates: Columns; None for every numeric one.
        false_inclusion: Share of data sets without any effect in which one may be found.
        permutations: Of the covariates, from which the threshold comes.
        resamples: Of the patients, from which selection probabilities come.
        seed: Of both.
    """

    covariates: tuple[str, ...] | None = None
    false_inclusion: float = Field(default=0.1, gt=0, lt=1)
    permutations: int = Field(default=200, ge=50)
    resamples: int = Field(default=50, ge=0)
    seed: int = Field(default=0, ge=0)


class DiscoverySettings(SearchSettings):
    """How they are looked for in a population model.

    Attributes:
        base: The model without effects.
    """

    base: PopfitSettings = PopfitSettings()


@dataclass(frozen=True, eq=False)
class Discovery:
    """What was found.

    Attributes:
        cohort: Patients and covariates.
        directions: What effects may act on: parameters, or a latent space's dimensions.
        problem: What patients' levels say of these, and candidates.
        choice: What was chosen.
        probability: Of each direction's place and covariate.
        base: The fit without effects; None where a trained model said what levels tell.
        final: The fit with the effects, which is the base where there are none.
    """

    cohort: Cohort
    directions: tuple[str, ...]
    problem: Problem
    choice: Choice
    probability: dict[tuple[int, str], float]
    base: PopulationFit | None = None
    final: PopulationFit | None = None

    @property
    def covariates(self) -> Float[np.ndarray, "subject covariate"]:
        """First values of each subject."""
        return np.stack([subject.covariates[0] for subject in self.cohort])


def discover(
    source: str | Path | Cohort | Any,
    settings: DiscoverySettings | None = None,
    *,
    progress: Progress | None = None,
    **reading: Any,
) -> Discovery:
    """Find which covariates act on which parameters, and in which shape.

    Args:
        source: NONMEM table, data frame or cohort with covariates.
        settings: How.
        progress: Called with (done, total, label).
        **reading: Passed on to `read_nonmem`.

    Returns:
        What was found; `told` makes JSON of it.

    Raises:
        InputError: Every problem of the table; effects asked for beforehand; no covariate.
    """
    settings = settings or DiscoverySettings()
    if settings.base.effects:
        rule, mend = "Effects are what is looked for", "Leave them out"
        raise InputError([Wrong("effects", settings.base.effects, rule, mend)])
    keep: dict[str, Any] = {} if settings.base.error == "lognormal" else {"negative": "keep"}
    if isinstance(source, Cohort):
        cohort = source
    else:
        names = None if settings.covariates is None else list(settings.covariates)
        reading = {"covariates": names, "progress": progress} | keep | reading
        cohort = read_nonmem(source, purpose="fit", **reading)
    if not cohort.covariate_names:
        rule, mend = "Something to look for is needed", "Add columns of covariates"
        raise InputError([Wrong("the table", "no covariates", rule, mend)])
    base = fit_population(cohort, settings.base, progress=progress)
    values = np.stack([subject.covariates[0] for subject in cohort])
    problem = make_problem(base, values)
    choice, probability = searched(problem, settings, progress)
    final = base
    if choice.fit.chosen:
        asked = settings.base.model_copy(
            update={
                "structure": base.config.structure,
                "effects": ",".join(_written(base, values, one) for one in choice.fit.chosen),
            }
        )
        final = fit_population(cohort, asked, progress=progress)
    return Discovery(cohort, base.config.varying, problem, choice, probability, base, final)


def searched(
    problem: Problem, settings: SearchSettings, progress: Progress | None
) -> tuple[Choice, dict[tuple[int, str], float]]:
    """The choice, and how often each effect is chosen when patients are drawn anew."""
    choice = choose(
        problem,
        false_inclusion=settings.false_inclusion,
        permutations=settings.permutations,
        seed=settings.seed,
    )
    return choice, selection_probabilities(
        problem, choice, resamples=settings.resamples, seed=settings.seed, progress=progress
    )


def make_problem(fit: PopulationFit, values: Float[np.ndarray, "subject covariate"]) -> Problem:
    """What patients' levels say of the varying parameters, and all effects on these.

    Of a random effect whose SD went to 0 the joint density is all prior; what levels say of its
    parameter is found under a narrow one, which `summarized` takes off again.
    """
    prior = fit.model.prior
    if not isinstance(prior, PopulationPrior):
        raise TypeError("only a population model has these effects")
    names, size = fit.config.varying, len(fit.config.varying)
    model, modes = fit.model, fit.found.modes
    if (least := np.log(LEAST_SD)) > np.min(prior.log_diagonal):
        diagonal = jnp.maximum(prior.log_diagonal, least)
        prior = eqx.tree_at(lambda p: p.log_diagonal, prior, diagonal)
        model = model.with_prior(prior)
        modes = np.asarray(laplace(model, fit.records).eps)[:, 0]
    factor = np.asarray(prior.factor())
    eta = modes[:, :size] @ factor.T
    curvature = curvatures(model, fit.records, modes)[:, :size, :size]
    places = [fit.config.parameters.index(name) for name in names]
    center = np.asarray(prior.log_typical)[places]
    summaries = summarized(eta, np.broadcast_to(center, eta.shape), curvature, factor)
    return Problem(summaries, *candidates_of(fit.cohort, values, size))


def summarized(
    eta: Float[np.ndarray, "subject direction"],
    center: Float[np.ndarray, "subject direction"],
    curvature: Float[np.ndarray, "subject direction direction"],
    factor: Float[np.ndarray, "direction direction"],
) -> Summaries:
    """The likelihood of levels alone as a quadratic of where a patient is.

    Args:
        eta: Modes of the joint density, from the prior's location.
        center: That location.
        curvature: Of minus the log joint density there, in whitened effects.
        factor: The whitening: eta is factor times a standard normal.
    """
    inverse = np.linalg.inv(factor)
    own = np.einsum("ji,njk,kl->nil", inverse, curvature - np.eye(len(factor)), inverse)
    # at the mode the likelihood's slope is the prior's
    slope = eta @ inverse.T @ inverse
    return Summaries(slope + np.einsum("nij,nj->ni", own, eta + center), own)


def candidates_of(
    cohort: Cohort, values: Float[np.ndarray, "subject covariate"], parameters: int
) -> tuple[Float[np.ndarray, "subject column"], tuple[Candidate, ...]]:
    """All effects on so many directions, and the columns of their design."""
    columns: list[np.ndarray] = []
    candidates: list[Candidate] = []
    for c, (name, kind) in enumerate(
        zip(cohort.covariate_names, cohort.covariate_kinds, strict=True)
    ):
        x = values[:, c]
        made: list[tuple[str, list[np.ndarray]]] = []
        if kind == "continuous":
            reference = float(x.mean())
            apart = (x - reference) / _scale(x)
            made += [("power", [np.log(x / reference)])] if x.min() > 0 else []
            made += [("exponential", [apart]), ("linear", [apart])]
        elif len(np.unique(x)) <= MOST_CODES:
            made.append(("category", [(x == code) * 1.0 for code in np.unique(x)[1:]]))
        for shape, own in made:
            place = tuple(range(len(columns), len(columns) + len(own)))
            columns += own
            candidates += [
                Candidate(k, name, shape, place)  # type: ignore[arg-type]
                for k in range(parameters)
            ]
    return np.stack(columns, axis=1), tuple(candidates)


def _scale(x: np.ndarray) -> float:
    return max(float(x.std()), 1e-12)


@eqx.filter_jit
def _run(model: LatentModel, records: Record, modes: Array) -> Array:
    return jax.lax.map(lambda item: expected_curvature(model, *item), (records, modes))


def curvatures(model: LatentModel, records: Record, modes: np.ndarray) -> np.ndarray:
    """Expected curvature of minus each patient's log joint density at its mode."""
    data = jax.tree_util.tree_map(jnp.asarray, records)
    return np.asarray(_run(model, data, jnp.asarray(modes)))


def _written(
    fit: PopulationFit, values: Float[np.ndarray, "subject covariate"], one: Candidate
) -> str:
    """The effect as `--effects` writes it."""
    x = values[:, fit.cohort.covariate_names.index(one.covariate)]
    reference = float(x.min() if one.shape == "category" else x.mean())
    return f"{fit.config.varying[one.parameter]}~{one.covariate}:{one.shape}/{reference!r}"


def told(found: Discovery) -> dict[str, Any]:
    """JSON values: the effects with gains and probabilities, and the fit that holds them."""
    names, varying = found.cohort.covariate_names, found.directions
    near = {
        one.place: rivals(found.problem, found.choice.fit, one) for one in found.choice.fit.chosen
    }
    shapes = {
        one.place: shape_probabilities(found.problem, found.choice.fit, one)
        for one in found.choice.fit.chosen
    }
    effects = [
        {
            "parameter": varying[one.parameter],
            "covariate": one.covariate,
            "shape": one.shape,
            "shapes": shapes[one.place],
            "rise_without": gain,
            "probability": found.probability.get(one.place),
            "hardly_told_from": _collinear(found, one.covariate),
            "nearly_as_likely": near[one.place],
        }
        for one, gain in zip(found.choice.fit.chosen, found.choice.gains, strict=True)
    ]
    chosen = {one.place for one in found.choice.fit.chosen}
    others = [
        {"parameter": varying[k], "covariate": name, "probability": share}
        for (k, name), share in sorted(found.probability.items(), key=lambda item: -item[1])
        if (k, name) not in chosen
    ]
    meta: dict[str, Any] = {
        "what": "covariate effects by likelihood of quadratic summaries of each patient",
        "covariates": list(names),
        "parameters": list(varying),
        "threshold": found.choice.threshold,
        "threshold_is": "fall of -2 log L by degree of freedom that the best of all effects "
        "passes when covariates are permuted between patients, as often as asked for",
    }
    answer = {
        "meta": meta,
        "effects": effects,
        "others": others,
        "warnings": _warnings(found, near, shapes),
    }
    if found.base is None or found.final is None:
        return answer
    meta["base_minus2_log_likelihood"] = found.base.found.minus2
    return answer | {"fit": describe(found.final)}


def _collinear(found: Discovery, name: str) -> list[str]:
    names = found.cohort.covariate_names
    if len(names) < 2:
        return []
    ranks = np.argsort(np.argsort(found.covariates, axis=0), axis=0)
    together = np.atleast_2d(np.corrcoef(ranks, rowvar=False))[names.index(name)]
    return [
        other
        for other, r in zip(names, together, strict=True)
        if other != name and abs(r) >= TOGETHER
    ]


def _warnings(
    found: Discovery,
    near: Mapping[tuple[int, str], Mapping[str, float]],
    shapes: Mapping[tuple[int, str], Mapping[Shape, float]],
) -> list[str]:
    cohort, said = found.cohort, []
    varying = [
        name
        for c, name in enumerate(cohort.covariate_names)
        if any(np.ptp(subject.covariates[:, c]) > 0 for subject in cohort)
    ]
    if varying:
        said.append(
            f"{', '.join(varying)} change within patients: effects were looked for with first "
            "values." + ("" if found.final is None else " The last fit follows them.")
        )
    for one in found.choice.fit.chosen:
        others = _collinear(found, one.covariate)
        if others:
            said.append(
                f"{one.covariate} goes with {', '.join(others)} (rank correlation from "
                f"{TOGETHER:g} on): the data can hardly tell which of them acts."
            )
        others = sorted(set(near[one.place]) - set(others))
        if others:
            said.append(
                f"{one.covariate} on {found.directions[one.parameter]}: with {', '.join(others)} "
                f"in its place -2 log likelihood is less than {NEAR:g} higher, so that the data "
                "can hardly tell which of them acts."
            )
        likely = sorted(shapes[one.place].items(), key=lambda item: -item[1])
        if likely[0][1] < SURE:
            odds = ", ".join(f"{shape} {100 * share:.0f} %" for shape, share in likely)
            said.append(
                f"{one.covariate} on {found.directions[one.parameter]}: the data do not settle the "
                f"shape ({odds}). That it acts does not depend on this; beyond the covariate's "
                "range it matters."
            )
    return said
