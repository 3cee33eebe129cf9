r"""A published population model as closed data: typical values, covariate effects, variability.

.. math:: \log\theta = \log\theta_{typical}(x) + L\,\varepsilon, \qquad \varepsilon \sim N(0, I)

Nothing here is evaluated from text: every effect is one of the kinds of `models.effects`.
"""

from collections.abc import Callable
from typing import Annotated

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from pydantic import Field, model_validator

from latentpk import precision  # noqa: F401  (float64 before any array)
from latentpk.kinetics.registry import register_system
from latentpk.kinetics.structure import Structure
from latentpk.kinetics.system import System
from latentpk.kinetics.systems import is_system, parse_system
from latentpk.kinetics.user import UserSystem
from latentpk.models.config import CovariateConfig, Frozen, ResidualKind
from latentpk.models.decoders.compartment import CompartmentDecoder
from latentpk.models.decoders.mechanistic import MechanisticDecoder
from latentpk.models.effects import Course, Effect
from latentpk.models.latent import LatentModel
from latentpk.models.prior import Prior, raw_view
from latentpk.models.residual import Residual
from latentpk.records.elapsed import ELAPSED

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


class Parameter(Frozen):
    """A typical value and the covariate effects on it, applied in the order listed."""

    name: str
    value: Positive
    unit: str
    effects: tuple[Effect, ...] = ()

    def formula(self) -> str:
        """Write the typical value in one line, such as `cl = 4.5 x (CRCL/120)^0.8 [L/h]`."""
        effects = "".join(effect.formula() for effect in self.effects)
        return f"{self.name} = {self.value:g}{effects} [{self.unit}]"


class Shared(Frozen):
    """A log parameter that also carries a share of the random effect of another.

    So it is where a source computes a parameter from the patient's own value of another, as in
    CL = 5 (V1 / 40)^0.75: CL then moves with V1, and its own effect, if any, comes on top.

    Attributes:
        parameter: The one that carries it.
        of: Whose random effect is shared.
        exponent: What its value is raised to in the source.
    """

    parameter: str
    of: str
    exponent: float


class RandomEffects(Frozen):
    """Which log parameters vary between subjects, and how.

    Attributes:
        parameters: Names, in the order of the covariance.
        covariance: Lower triangle, row by row, of the random effects (variances on the diagonal).
        shared: Effects that other parameters carry too.
        convention: How these variances follow from the numbers printed in the source.
    """

    parameters: tuple[str, ...]
    covariance: tuple[tuple[float, ...], ...]
    shared: tuple[Shared, ...] = ()
    convention: str

    @model_validator(mode="after")
    def _positive_definite(self) -> "RandomEffects":
        if [len(row) for row in self.covariance] != list(range(1, len(self.parameters) + 1)):
            raise ValueError("covariance needs one lower-triangle row for each parameter")
        if np.linalg.eigvalsh(self.matrix()).min() <= 0:
            raise ValueError("covariance is not positive definite")
        if unknown := {one.of for one in self.shared} - set(self.parameters):
            raise ValueError(f"shared effects of parameters that have none: {sorted(unknown)}")
        return self

    def matrix(self) -> np.ndarray:
        """Return the full covariance of the random effects, shape (effect, effect)."""
        full = np.zeros((len(self.parameters),) * 2)
        for i, row in enumerate(self.covariance):
            full[i, : i + 1] = full[: i + 1, i] = row
        return full


class Occasions(Frozen):
    """Which log parameters vary from one occasion of a patient to the next, and how.

    Attributes:
        parameters: Names, in the order of the variances.
        variances: Of each occasion's effect, which is independent of every other.
        starts: Hours after the first dose at which an occasion begins, where a file has no OCC;
            empty: its record is one occasion.
        convention: How the variances follow from the numbers printed in the source.
    """

    parameters: Annotated[tuple[str, ...], Field(min_length=1)]
    variances: tuple[Positive, ...]
    starts: tuple[Positive, ...] = ()
    convention: str

    @model_validator(mode="after")
    def _ordered(self) -> "Occasions":
        if not len(self.variances) == len(set(self.parameters)) == len(self.parameters):
            raise ValueError("occasions need one variance for each parameter")
        if list(self.starts) != sorted(set(self.starts)):
            raise ValueError("occasions begin at increasing hours")
        return self


class ResidualError(Frozen):
    """Standard deviation of a measurement around the concentration f (log scale for lognormal)."""

    kind: ResidualKind
    additive: NotNegative = 0.0
    proportional: NotNegative = 0.0

    @model_validator(mode="after")
    def _needed(self) -> "ResidualError":
        need_a = self.kind in ("additive", "combined1", "combined2")
        if (self.additive > 0) != need_a or (self.proportional > 0) != (self.kind != "additive"):
            raise ValueError(f"{self.kind} error has the wrong terms: {self.formula()}")
        return self

    def formula(self) -> str:
        """Write the formula in full: combined1 and combined2 have been swapped in print."""
        a, b = f"{self.additive:g}", f"{self.proportional:g}"
        return {
            "additive": f"sd = {a} mg/L",
            "proportional": f"sd = {b} f",
            "combined1": f"sd = {a} + {b} f mg/L",
            "combined2": f"sd = sqrt({a}^2 + ({b} f)^2) mg/L",
            "lognormal": f"log DV ~ N(log f, {b}^2)",
        }[self.kind]


class PopulationModel(Frozen):
    """The population part of a published model.

    Attributes:
        structure: Name of the disposition, such as "2c-iv", or of a nonlinear system, such as
            "tmdd".
        parameters: In the order of the structure's names.
        variability: Random effects of the log parameters.
        occasions: How they vary between a patient's occasions; None: they do not.
        residual: Error of a measurement.
    """

    structure: str
    parameters: tuple[Parameter, ...]
    variability: RandomEffects
    occasions: Occasions | None = None
    residual: ResidualError

    @model_validator(mode="after")
    def _names(self) -> "PopulationModel":
        names = tuple(parameter.name for parameter in self.parameters)
        expected = tuple(structure_of(self.structure).names)
        if names != expected:
            raise ValueError(f"{self.structure} has parameters {expected}, found {names}")
        varying = {*self.variability.parameters, *(s.parameter for s in self.variability.shared)}
        varying |= set(self.occasions.parameters if self.occasions else ())
        if unknown := varying - set(names):
            raise ValueError(f"random effects of unknown parameters: {sorted(unknown)}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters, in order."""
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def covariates(self) -> tuple[str, ...]:
        """Names of the covariates the effects read, in order of first use; TAFD is the last."""
        effects = (effect for parameter in self.parameters for effect in parameter.effects)
        names = dict.fromkeys(name for effect in effects for name in effect.reads)
        return (*(name for name in names if name != ELAPSED), *({ELAPSED} & names.keys()))

    @property
    def hours(self) -> tuple[float, ...]:
        """When typical values change after the first dose [h], increasing."""
        effects = (effect for parameter in self.parameters for effect in parameter.effects)
        courses = (effect.hours for effect in effects if isinstance(effect, Course))
        return tuple(sorted({hour for hours in courses for hour in hours}))


def structure_of(name: str) -> Structure | System:
    """The linear structure or the nonlinear system of that name.

    Raises:
        InputError: Neither, or a user's system that is not registered.
    """
    return parse_system(name) if is_system(name) else Structure.parse(name)


def structure_name(given: object) -> object:
    """The name of a structure, where a user's system may be given itself; it gets registered.

    Raises:
        InputError: See `register_system`.
    """
    return register_system(given) if isinstance(given, UserSystem) else given


def published_decoder(name: str) -> CompartmentDecoder | MechanisticDecoder:
    """The decoder of a structure's name: closed forms where it is linear.

    Args:
        name: Of the structure.

    Raises:
        InputError: An unknown structure.
    """
    structure = structure_of(name)
    if isinstance(structure, System):
        return MechanisticDecoder(structure)
    return CompartmentDecoder(structure)


def log_typical(
    model: PopulationModel,
) -> Callable[[Float[Array, " covariate"]], Float[Array, " parameter"]]:
    """Return the typical log parameters as a pure function of the covariates.

    Args:
        model: The population model.

    Returns:
        A function of the covariates, in the order of `model.covariates` and in their units,
        shape (covariate,), giving log parameters (L/h, L, 1/h, h), shape (parameter,); the
        dtype follows the covariates.
    """
    position = {name: i for i, name in enumerate(model.covariates)}

    def typical(covariates: Float[Array, " covariate"]) -> Float[Array, " parameter"]:
        covariates = jnp.asarray(covariates)
        values = []
        for parameter in model.parameters:
            value = jnp.asarray(parameter.value, dtype=covariates.dtype)
            for effect in parameter.effects:
                value = effect.apply(value, *(covariates[position[name]] for name in effect.reads))
            values.append(value)
        return jnp.log(jnp.stack(values))

    return typical


def loading(model: PopulationModel) -> np.ndarray:
    """Return the loading L of standard normal effects on log parameters, rows of zeros where none.

    Args:
        model: The population model.

    Returns:
        Shape (parameter, effect); L L' is the covariance of the log parameters.
    """
    effects = model.variability.parameters
    chol = np.linalg.cholesky(model.variability.matrix())
    full = np.zeros((len(model.names), len(effects)))
    full[[model.names.index(name) for name in effects]] = chol
    for one in model.variability.shared:
        full[model.names.index(one.parameter)] += one.exponent * chol[effects.index(one.of)]
    return full


def occasion_loading(model: PopulationModel) -> np.ndarray | None:
    """Return the loading of an occasion's standard normal effects on log parameters.

    Args:
        model: The population model.

    Returns:
        Shape (parameter, kappa); None where nothing varies between occasions.
    """
    if model.occasions is None:
        return None
    rows = [model.names.index(name) for name in model.occasions.parameters]
    full = np.zeros((len(model.names), len(rows)))
    full[rows, np.arange(len(rows))] = np.sqrt(model.occasions.variances)
    return full


class PublishedPrior(Prior):
    """The published prior of log parameters: typical values, and variability as `root`."""

    root: Float[Array, "latent effect"]
    shift: Float[Array, " latent"]  # 0 as published; a rival's patients lie elsewhere
    within: Float[Array, "latent kappa"] | None  # as `root`, between a patient's occasions
    population: PopulationModel = eqx.field(static=True)
    # how an encoder reads the covariates; nothing else needs it
    covariates: tuple[CovariateConfig, ...] = eqx.field(static=True, default=())

    def location(self, covariates: Float[Array, " covariate"]) -> Float[Array, " latent"]:
        """Typical log parameters at covariates in the order of `population.covariates`."""
        return log_typical(self.population)(covariates) + self.shift

    def widened(self, times: float) -> "PublishedPrior":
        """The same prior with effects that vary `times` as much."""
        return eqx.tree_at(lambda prior: prior.root, self, times * self.root)

    def shifted(self, by: Float[Array, " latent"]) -> "PublishedPrior":
        """The same prior with every patient's log parameters moved by as much."""
        return eqx.tree_at(lambda prior: prior.shift, self, self.shift + by)

    def stretched(self, by: Float[Array, " latent"]) -> "PublishedPrior":
        """The same prior with the SD of each log parameter times exp(by); correlations stay."""
        return eqx.tree_at(lambda prior: prior.root, self, jnp.exp(by)[:, None] * self.root)

    def raw_view(self, covariates: Float[Array, " covariate"]) -> Float[Array, " raw"]:
        """Standardize covariates, where the model has an encoder to read them."""
        return raw_view(self.covariates, covariates)

    def chol(self) -> Float[Array, "latent effect"]:
        """The loading of the random effects, with rows of zeros where nothing varies."""
        return self.root

    def occasion_chol(self) -> Float[Array, "latent kappa"] | None:
        """The loading of an occasion's effects; None where nothing varies between occasions."""
        return self.within


def build_published(population: PopulationModel) -> LatentModel:
    """Make the latent model of a published population: fixed parameters, no encoder.

    Args:
        population: The published values.

    Returns:
        A LatentModel in float64; its records carry covariates in the order of
        `population.covariates`.
    """
    error = population.residual
    residual = Residual(
        # a term the formula does not have is never read; 1 keeps its logarithm finite
        log_a=jnp.log(jnp.asarray(error.additive or 1.0)),
        log_b=jnp.log(jnp.asarray(error.proportional or 1.0)),
        kind=error.kind,
        floor=1e-6,
    )
    root = jnp.asarray(loading(population))
    within = occasion_loading(population)
    within = None if within is None else jnp.asarray(within)
    prior = PublishedPrior(root, jnp.zeros(root.shape[0]), within, population)
    return LatentModel(prior, published_decoder(population.structure), residual, encoder=None)
