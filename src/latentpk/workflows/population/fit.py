"""Fitting a population model to a cohort by maximum likelihood, and searching its structure."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import equinox as eqx
import jax
import numpy as np
from pydantic import Field, field_validator

from latentpk.errors import InputError, Problem
from latentpk.inference.beginning import begin, searchable
from latentpk.inference.estimation import (
    Estimate,
    EstimationSettings,
    begin_compiling,
    estimate,
)
from latentpk.inference.initial import measure, search
from latentpk.kinetics.doses import ABSORPTION
from latentpk.kinetics.naming import canonical
from latentpk.kinetics.structure import Structure
from latentpk.kinetics.system import System
from latentpk.kinetics.user import UserEquations
from latentpk.models.config import Frozen, ResidualKind
from latentpk.models.latent import LatentModel
from latentpk.models.parameters import form_matrix, read_form
from latentpk.models.population import PopulationConfig, PopulationPrior, build_population
from latentpk.models.published import structure_name, structure_of
from latentpk.models.record import Record, stack_records
from latentpk.records.nonmem import read_nonmem
from latentpk.records.subject import Cohort
from latentpk.workflows.population.asked import (
    Asked,
    check_initial,
    parse_effects,
    parse_initial,
    terms_for,
)

Progress = Callable[[int, int, str], None]
SPREAD = 0.4  # SD of random effects at the start
NOISE = 0.2  # proportional SD of the error at the start


class PopfitSettings(Frozen):
    """What a population fit is.

    Attributes:
        structure: Such as "1c-oral", a nonlinear system's name, a `UserSystem`, or "auto".
        parameters: Names the structure is given by; None for clearances and volumes.
        effects: Of covariates, such as "ka~WT,v~WT".
        dose_covariates: Columns among these effects that say something of a dose, valued on its
            record, such as FED: they change how it is absorbed, and nothing of other doses.
        error: Formula of the residual error.
        omega: Whether random effects are correlated.
        varying: Parameters that vary between patients; None for all.
        iov: Parameters that vary between occasions (column OCC) too.
        initial: Starting values such as "ka=1.5,cl=2.8", or numbers by name; None searches for
            them, where a user's system has no typical values.
        estimation: How the likelihood is computed and climbed.
        seed: Of the search for starting values.
    """

    structure: str = "auto"
    parameters: tuple[str, ...] | None = None
    effects: str | None = None
    dose_covariates: tuple[str, ...] = ()
    error: ResidualKind = "combined2"
    omega: Literal["diagonal", "full"] = "diagonal"
    varying: tuple[str, ...] | None = None
    iov: tuple[str, ...] = ()
    initial: str | None = None
    estimation: EstimationSettings = EstimationSettings()
    seed: int = Field(default=0, ge=0)

    @field_validator("structure", mode="before")
    @classmethod
    def _named(cls, structure: object) -> object:
        return structure_name(structure)

    @field_validator("initial", mode="before")
    @classmethod
    def _as_text(cls, initial: object) -> object:
        if not isinstance(initial, Mapping):
            return initial
        return ",".join(f"{name}={value!r}" for name, value in initial.items())


@dataclass(frozen=True, eq=False)
class PopulationFit:
    """A fitted population.

    Attributes:
        config: What it is made of.
        found: The estimates.
        cohort: Whom it was fitted to.
        records: Their records.
        tried: Structures that were compared, with their BICc and whether they were computed; empty
            where one was named.
    """

    config: PopulationConfig
    found: Estimate
    cohort: Cohort
    records: Record
    tried: tuple[dict[str, Any], ...] = ()

    @property
    def model(self) -> LatentModel:
        """The population at its estimates."""
        return self.found.model


def read_cohort(
    source: str | Path | Cohort | Any,
    settings: PopfitSettings,
    *,
    progress: Progress | None = None,
    **reading: Any,
) -> Cohort:
    """Read a table for a population fit: its effects' covariates, and OCC where it is needed.

    Negative levels are kept (an additive error makes them) unless the error is log-normal.

    Raises:
        InputError: Every problem of the table or of the effects.
    """
    effects = parse_effects(settings.effects)
    if isinstance(source, Cohort):
        return source
    columns = tuple(dict.fromkeys(one.covariate for one in effects))
    given = tuple(name for name in settings.dose_covariates if name in columns)
    keep: dict[str, Any] = {} if settings.error == "lognormal" else {"negative": "keep"}
    return read_nonmem(
        source,
        covariates=tuple(name for name in columns if name not in given),
        purpose="fit",
        occasions=() if settings.iov else None,
        dose_covariates=given,
        progress=progress,
        **(keep | reading),
    )


def fit_population(
    source: str | Path | Cohort | Any,
    settings: PopfitSettings | None = None,
    *,
    progress: Progress | None = None,
    **reading: Any,
) -> PopulationFit:
    """Fit a population model by maximum marginal likelihood.

    Args:
        source: NONMEM table, data frame or cohort.
        settings: What is fitted.
        progress: Called with (done, total, label).
        **reading: Passed on to `read_nonmem`, such as `units`.

    Returns:
        The fit; `describe` in `workflows.population.outcome` makes JSON of it.

    Raises:
        InputError: Every problem of the table or of what is asked.
    """
    settings = settings or PopfitSettings()
    cohort = read_cohort(source, settings, progress=progress, **reading)
    if settings.structure == "auto":
        from latentpk.workflows.population.search import search_structure

        return search_structure(cohort, settings, progress=progress)
    return fit_structure(cohort, settings, hessian=True, progress=progress)


def fit_structure(
    cohort: Cohort,
    settings: PopfitSettings,
    *,
    hessian: bool,
    progress: Progress | None = None,
) -> PopulationFit:
    """Fit the one structure that the settings name."""
    config = make_config(cohort, settings)
    records = records_for(cohort, config)
    _check_levels(cohort, settings)
    given_values(config, settings)  # refused before anything is compiled for it
    _begin_compiling(config, records, settings)
    model = starting_model(config, records, settings)
    found = estimate(model, records, settings.estimation, hessian=hessian, progress=progress)
    return PopulationFit(config, found, cohort, records)


def expect_structure(cohort: Cohort, settings: PopfitSettings) -> None:
    """Begin to compile what `fit_structure` will run, beside what is fitted before it."""
    with suppress(InputError):  # which the fit itself will tell, if it comes to that
        config = make_config(cohort, settings)
        _begin_compiling(config, records_for(cohort, config), settings)


def _begin_compiling(config: PopulationConfig, records: Record, settings: PopfitSettings) -> None:
    anywhere = build_population(config, np.ones(len(config.parameters)))
    begin_compiling(anywhere, records, settings.estimation)


def make_config(cohort: Cohort, settings: PopfitSettings) -> PopulationConfig:
    """What the settings mean for a cohort.

    Raises:
        InputError: Every name that is unknown.
    """
    structure = structure_of(settings.structure)
    names = tuple(structure.names)
    parameters = read_form(settings.parameters, names, source="--parameters")
    effects: tuple[Asked, ...] = parse_effects(settings.effects)
    varying = _some(settings.varying, parameters, "--varying")
    within = _some(settings.iov, parameters, "--iov")
    if varying is not None and not varying:
        rule, mend = "Something varies between patients", "Name parameters, or leave it out"
        raise InputError([Problem("--varying", "empty", rule, mend)], source="the parameters")
    return PopulationConfig(
        structure=str(structure),
        parameters=parameters,
        varying=parameters if varying is None else varying,
        within=within or (),
        omega=settings.omega,
        terms=terms_for(effects, parameters, cohort),
        covariates=cohort.covariate_names,
        dose_covariates=_of_doses(
            settings, effects, cohort, linear=isinstance(structure, Structure)
        ),
        residual=settings.error,
    )


def _of_doses(
    settings: PopfitSettings, effects: tuple[Asked, ...], cohort: Cohort, *, linear: bool
) -> tuple[str, ...]:
    """Columns that belong to doses, each with an effect on absorption and on nothing else."""
    where, problems = "dose_covariates", []
    for name in dict.fromkeys((*settings.dose_covariates, *cohort.dose_covariates)):
        changed = [one.parameter for one in effects if one.covariate == name]
        if not changed and name in settings.dose_covariates:
            rule, mend = "A covariate of a dose has an effect", f"Add one, such as ka~{name}"
            problems.append(Problem(where, f"{name} has none", rule, mend))
        elif name not in cohort.dose_covariates:
            rule = "It is read on the records of doses alone"
            mend = f"Read the table with read_nonmem(..., dose_covariates=[{name!r}])"
            problems.append(Problem(where, f"{name} was read on all records", rule, mend))
        for parameter in changed:
            if parameter not in ABSORPTION:
                rule = f"It changes how a dose is absorbed: {', '.join(ABSORPTION)}"
                mend = "Leave out the effect, or let it be a covariate of the patient"
                problems.append(Problem(where, f"{parameter}~{name}", rule, mend))
    if (settings.dose_covariates or cohort.dose_covariates) and not linear:
        rule, mend = "Doses add up in linear structures alone", "Choose one, or leave it out"
        problems.append(Problem(where, f"structure {settings.structure}", rule, mend))
    if problems:
        raise InputError(problems, source="the effects")
    return cohort.dose_covariates


def _some(
    asked: tuple[str, ...] | None, parameters: tuple[str, ...], where: str
) -> tuple[str, ...] | None:
    if asked is None:
        return None
    found = tuple(canonical(name) for name in asked)
    unknown = [name for name in found if name not in parameters]
    if unknown:
        rule = f"The parameters are {', '.join(parameters)}"
        mend = "Name some of these"
        raise InputError(
            [Problem(where, name, rule, mend) for name in unknown], source="the parameters"
        )
    return tuple(name for name in parameters if name in found)


def records_for(cohort: Cohort, config: PopulationConfig) -> Record:
    """The cohort's records, doses of undecided route sent where the structure takes them.

    Raises:
        InputError: Doses into an absorption site that the structure has not.
    """
    oral = config.oral
    depot = [bool((subject.doses.depot == 1).any()) for subject in cohort]
    if any(depot) and not oral:
        who = cohort.subjects[depot.index(True)].id
        rule = f"{config.structure} has no absorption site"
        problem = Problem(f"subject {who}", "a dose into it", rule, "Use an oral structure")
        raise InputError([problem], source="the structure")
    return stack_records(cohort.subjects, undecided=float(oral), tight=True)


def _check_levels(cohort: Cohort, settings: PopfitSettings) -> None:
    if settings.error != "lognormal":
        return
    problems = []
    for subject in cohort:
        low = int(np.sum((subject.levels.value <= 0) & ~subject.levels.censored))
        if low:
            rule, mend = "A log-normal error needs levels above 0", "Mark them CENS=1, or choose"
            found = f"{low} level{'s' * (low > 1)} of 0"
            problems.append(Problem(f"subject {subject.id}", found, rule, f"{mend} another error"))
    if problems:
        raise InputError(problems, source="the levels")


def starting_model(
    config: PopulationConfig, records: Record, settings: PopfitSettings
) -> LatentModel:
    """The model where the descent begins: what was given, the rest by a search.

    Raises:
        InputError: A nonlinear structure without starting values that there is no search for, or a
            value of an unknown name.
    """
    structure, given = structure_of(config.structure), given_values(config, settings)
    scales = measure(records)
    typical = np.array([given.get(name, 1.0) for name in config.parameters])
    if any(name not in given for name in config.parameters):
        if isinstance(structure, Structure):
            log_own = search(structure, records, scales, settings.seed)
        else:
            own = {name: given[name] for name in structure.names if name in given}
            log_own = begin(structure, records, scales, settings.seed, own)
        found = np.linalg.solve(form_matrix(config.parameters, config.names), log_own)
        typical = np.where([name in given for name in config.parameters], typical, np.exp(found))
    model = build_population(config, typical, spread=SPREAD, proportional=NOISE)
    model = _with_error(model, records, given)
    return _with_given(model, config, given)


def given_values(config: PopulationConfig, settings: PopfitSettings) -> dict[str, float]:
    """Starting values that nobody searches for, by name.

    Raises:
        InputError: As `starting_model`.
    """
    structure = structure_of(config.structure)
    given = _usual(structure, config.parameters) | parse_initial(settings.initial)
    names = tuple(name for term in config.terms for name in term.names)
    allowed = (*(f"om_{name}" for name in config.varying), "sigma_add", "sigma_prop", *names)
    check_initial(given, config.parameters, allowed)
    lacking = [name for name in config.parameters if name not in given]
    if lacking and not isinstance(structure, Structure) and not searchable(structure):
        rule = f"{config.structure} is nonlinear: nothing is known of where it begins"
        raise InputError(
            [Problem("--initial", f"{name} is missing", rule, "Give one") for name in lacking],
            source="the starting values",
        )
    return given


def _usual(structure: Structure | System, parameters: tuple[str, ...]) -> dict[str, float]:
    """Typical values that a user's system came with, of the parameters it is given by."""
    typical = structure.model.typical if isinstance(structure, UserEquations) else None
    return {name: value for name, value in (typical or {}).items() if name in parameters}


def _with_error(model: LatentModel, records: Record, given: Mapping[str, float]) -> LatentModel:
    """An additive error at the start as large as what the typical patient leaves unexplained."""
    additive = given.get("sigma_add")
    if additive is None:
        from latentpk.workflows.population.outcome import typical_predictions

        apart = (typical_predictions(model, records) - records.value)[records.mask]
        size = float(np.sqrt(np.mean(np.asarray(apart) ** 2)))
        additive = max((0.5 if model.residual.kind == "additive" else 0.1) * size, 1e-6)
    proportional = given.get("sigma_prop", NOISE)
    places = jax.device_put((np.log(np.float64(additive)), np.log(np.float64(proportional))))
    return eqx.tree_at(lambda m: (m.residual.log_a, m.residual.log_b), model, places)


def _with_given(
    model: LatentModel, config: PopulationConfig, given: Mapping[str, float]
) -> LatentModel:
    prior = model.prior
    if not isinstance(prior, PopulationPrior):
        raise TypeError("only a population model has starting values")
    spread = np.array([given.get(f"om_{name}", SPREAD) for name in config.varying])
    names = [name for term in config.terms for name in term.names]
    coefficient = np.array([given.get(name, 0.0) for name in names])
    return eqx.tree_at(
        lambda m: (m.prior.log_diagonal, m.prior.coefficient),
        model,
        jax.device_put((np.log(spread), coefficient)),
    )
