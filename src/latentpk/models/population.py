r"""A population model whose every number is to be estimated: the classical mixed-effects model.

.. math:: \log\theta_i = \log\theta + s(x_i; \beta) + L\,\varepsilon_i, \quad
          \Omega = L L^\top, \quad \varepsilon_i \sim N(0, I)

of the parameters it is given by (see `models.parameters`). It is a `LatentModel` whose prior is
`PopulationPrior`, so that all that works with a trained or a published model works with it.
"""

from typing import Annotated, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from pydantic import Field, model_validator

from latentpk import precision  # noqa: F401  (float64 before any array)
from latentpk.kinetics.doses import ABSORPTION
from latentpk.kinetics.structure import Structure
from latentpk.models.config import Frozen, ResidualKind
from latentpk.models.latent import LatentModel
from latentpk.models.parameters import form_matrix, read_form
from latentpk.models.prior import Prior
from latentpk.models.published import published_decoder, structure_of
from latentpk.models.residual import Residual

Shape = Literal["power", "exponential", "linear", "category"]
LEAST = 0.05  # of a typical value, which a linear effect does not go below
RESIDUAL_TERMS: dict[ResidualKind, tuple[str, ...]] = {
    "additive": ("log_a",),
    "proportional": ("log_b",),
    "combined1": ("log_a", "log_b"),
    "combined2": ("log_a", "log_b"),
    "lognormal": ("log_b",),
}


class Term(Frozen):
    """How one covariate changes one typical value; a category has a coefficient for each code.

    Attributes:
        parameter: In the code's writing.
        covariate: Column name.
        shape: power (x / reference)^b, exponential exp(b (x - reference)), linear
            1 + b (x - reference), category exp(b_k) where x is the k-th of `codes`.
        reference: Where the typical value holds.
        codes: Of a category, without the reference.
    """

    parameter: str
    covariate: str
    shape: Shape
    reference: float
    codes: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """Number of coefficients."""
        return len(self.codes) if self.shape == "category" else 1

    @property
    def names(self) -> tuple[str, ...]:
        """Of the coefficients: `ka~WT`, or `ka~SEX=1` for each code."""
        plain = f"{self.parameter}~{self.covariate}"
        if self.shape == "category":
            return tuple(f"{plain}={code:g}" for code in self.codes)
        return (plain,)

    def shift(self, x: Float[Array, ""], coefficient: Float[Array, " width"]) -> Float[Array, ""]:
        """What is added to the parameter's logarithm at covariate x."""
        match self.shape:
            case "power":
                return coefficient[0] * jnp.log(x / self.reference)
            case "exponential":
                return coefficient[0] * (x - self.reference)
            case "linear":
                return jnp.log(jnp.maximum(1 + coefficient[0] * (x - self.reference), LEAST))
            case "category":
                return jnp.sum(jnp.where(x == jnp.asarray(self.codes), coefficient, 0.0))


class PopulationConfig(Frozen):
    """What a population model is made of; its numbers are elsewhere.

    Attributes:
        structure: Such as "1c-oral", or a nonlinear system's name.
        parameters: It is given by these, in order.
        varying: Those that vary between patients.
        within: Those that vary between a patient's occasions too, independently.
        omega: Whether patients' effects are correlated.
        terms: Effects of covariates.
        covariates: Columns, in the order of the records.
        dose_covariates: Those that say something of a dose, valued on its record, in the order of
            the records: they change its absorption (ka, alag, f) alone.
        residual: Formula of the error.
        floor: Least SD of a measurement [mg/L], which matters where the prediction is 0.
    """

    structure: str
    parameters: tuple[str, ...]
    varying: Annotated[tuple[str, ...], Field(min_length=1)]
    within: tuple[str, ...] = ()
    omega: Literal["diagonal", "full"] = "diagonal"
    terms: tuple[Term, ...] = ()
    covariates: tuple[str, ...] = ()
    dose_covariates: tuple[str, ...] = ()
    residual: ResidualKind = "combined2"
    floor: float = Field(default=1e-9, gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> "PopulationConfig":
        read_form(self.parameters, self.names, source=self.structure)
        for what, some in (("varying", self.varying), ("within", self.within)):
            if len(set(some)) < len(some) or set(some) - set(self.parameters):
                raise ValueError(f"{what} {some} are not among the parameters {self.parameters}")
        if unknown := {term.parameter for term in self.terms} - set(self.parameters):
            raise ValueError(f"effects on unknown parameters {sorted(unknown)}")
        columns = set(self.covariates) | set(self.dose_covariates)
        if lacking := {term.covariate for term in self.terms} - columns:
            raise ValueError(f"effects of unknown covariates {sorted(lacking)}")
        if both := set(self.dose_covariates) & set(self.covariates):
            raise ValueError(f"covariates of the patient and of doses {sorted(both)}")
        if self.dose_covariates and not self.linear:
            raise ValueError("covariates of doses need a linear structure: doses add up there")
        told = {t.parameter for t in self.terms if t.covariate in self.dose_covariates}
        if wrong := told - set(ABSORPTION):
            raise ValueError(f"covariates of doses change {ABSORPTION}, not {sorted(wrong)}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Of the structure's parameters."""
        return tuple(structure_of(self.structure).names)

    @property
    def linear(self) -> bool:
        """Whether its kinetics have a closed form."""
        return isinstance(structure_of(self.structure), Structure)

    @property
    def oral(self) -> bool:
        """Whether it has an absorption site, where doses of undecided route go."""
        return structure_of(self.structure).oral

    @property
    def correlations(self) -> tuple[tuple[int, int], ...]:
        """Below the diagonal of the factor of a full omega: places of its numbers, row by row."""
        size = len(self.varying) if self.omega == "full" else 0
        return tuple((i, j) for i in range(size) for j in range(i))


class PopulationPrior(Prior):
    """The prior of a population model, as the numbers that are estimated.

    Attributes:
        log_typical: Logarithms of the typical values of `config.parameters`.
        coefficient: Of the covariate effects, term after term.
        log_diagonal: Logarithms of the diagonal of the factor L of omega; without correlations
            these are the SDs of the random effects.
        below: What is below the diagonal of a full factor, each row divided by its diagonal.
        log_within: Logarithms of the SDs between occasions.
        config: What they mean.
    """

    log_typical: Float[Array, " given"]
    coefficient: Float[Array, " coefficient"]
    log_diagonal: Float[Array, " effect"]
    below: Float[Array, " pair"]
    log_within: Float[Array, " kappa"]
    config: PopulationConfig = eqx.field(static=True)

    def given(self, covariates: Float[Array, " covariate"]) -> Float[Array, " given"]:
        """Typical logarithms of the parameters the model is given by."""
        return self.log_typical + self._shifts(self.config.covariates, covariates)

    @property
    def reference_dose(self) -> tuple[float, ...]:
        """Covariates of a dose that changes nothing; 0 where nothing is estimated of one."""
        about = {term.covariate: term.reference for term in self.config.terms}
        return tuple(about.get(name, 0.0) for name in self.config.dose_covariates)

    def own(self, state: Float[Array, "dose covariate"]) -> Float[Array, "dose absorption"]:
        """Logarithms of what each dose's absorption (ka, alag, f) is multiplied by."""
        names = self.config.dose_covariates
        shifts = jax.vmap(lambda row: self._shifts(names, row))(state) @ self._matrix().T
        zero = jnp.zeros(state.shape[0], shifts.dtype)
        places = {name: k for k, name in enumerate(self.config.names)}
        columns = [shifts[:, places[name]] if name in places else zero for name in ABSORPTION]
        return jnp.stack(columns, axis=1)

    def _shifts(
        self, names: tuple[str, ...], values: Float[Array, " covariate"]
    ) -> Float[Array, " given"]:
        """What some covariates add to the logarithms of the parameters the model is given by."""
        config, shifts, place = self.config, jnp.zeros_like(self.log_typical), 0
        for term in config.terms:
            if term.covariate in names:
                x = values[names.index(term.covariate)]
                shift = term.shift(x, self.coefficient[place : place + term.width])
                shifts = shifts.at[config.parameters.index(term.parameter)].add(shift)
            place += term.width
        return shifts

    def location(self, covariates: Float[Array, " covariate"]) -> Float[Array, " latent"]:
        """Typical logarithms of the structure's parameters."""
        return jnp.asarray(self._matrix()) @ self.given(covariates)

    def factor(self) -> Float[Array, "effect effect"]:
        """The lower factor L of omega."""
        return omega_factor(self.config, self.log_diagonal, self.below)

    def chol(self) -> Float[Array, "latent effect"]:
        """The loading of the random effects on the structure's parameters."""
        return self._columns(self.config.varying) @ self.factor()

    def occasion_chol(self) -> Float[Array, "latent kappa"] | None:
        """The loading of an occasion's effects; None where nothing varies between occasions."""
        if not self.config.within:
            return None
        return self._columns(self.config.within) * jnp.exp(self.log_within)

    def widened(self, times: float) -> "PopulationPrior":
        """The same prior with effects that vary `times` as much."""
        wider = self.log_diagonal + jnp.log(times)
        return eqx.tree_at(lambda prior: prior.log_diagonal, self, wider)

    def shifted(self, by: Float[Array, " latent"]) -> "PopulationPrior":
        """The same prior with every patient's structure parameters moved by as much."""
        moved = self.log_typical + jnp.linalg.solve(self._matrix(), by)
        return eqx.tree_at(lambda prior: prior.log_typical, self, moved)

    def stretched(self, by: Float[Array, " latent"]) -> "PopulationPrior":
        """The same prior with the SD of each parameter times exp(by); correlations stay.

        Raises:
            ValueError: The model is given by rate constants, whose effects several of the
                structure's parameters share.
        """
        config = self.config
        if set(config.parameters) != set(config.names):
            raise ValueError(
                f"This model is given by {', '.join(config.parameters)}: spreads of "
                f"{', '.join(config.names)} cannot move apart. Fit it by these parameters."
            )
        places = np.array([config.names.index(name) for name in config.varying])
        wider = self.log_diagonal + by[places]
        return eqx.tree_at(lambda prior: prior.log_diagonal, self, wider)

    def raw_view(self, covariates: Float[Array, " covariate"]) -> Float[Array, " raw"]:
        """Covariates as they are: there is no encoder to read them."""
        return covariates

    def _matrix(self) -> Float[np.ndarray, "latent given"]:
        return form_matrix(self.config.parameters, self.config.names)

    def _columns(self, some: tuple[str, ...]) -> Float[Array, "latent some"]:
        places = [self.config.parameters.index(name) for name in some]
        return jnp.asarray(self._matrix()[:, places])


def omega_factor(
    config: PopulationConfig, log_diagonal: Float[Array, " effect"], below: Float[Array, " pair"]
) -> Float[Array, "effect effect"]:
    """The lower factor L of omega, from its diagonal and what is below it in units of that."""
    low = jnp.eye(len(config.varying), dtype=below.dtype)
    for number, (i, j) in enumerate(config.correlations):
        low = low.at[i, j].set(below[number])
    return jnp.exp(log_diagonal)[:, None] * low


def build_population(
    config: PopulationConfig,
    typical: Float[np.ndarray, " given"],
    *,
    spread: float = 0.4,
    additive: float = 1.0,
    proportional: float = 0.2,
) -> LatentModel:
    """Make a population model at starting values.

    Args:
        config: What it is made of.
        typical: Of its parameters, natural scale, in their order.
        spread: SD of every random effect.
        additive: SD a of the error [mg/L].
        proportional: SD b.

    Returns:
        A LatentModel in float64 without an encoder.
    """
    on_device = jax.device_put  # of numbers from the host: nothing is compiled for them
    prior = PopulationPrior(
        log_typical=on_device(np.log(np.asarray(typical, np.float64))),
        coefficient=on_device(np.zeros(sum(term.width for term in config.terms))),
        log_diagonal=on_device(np.full(len(config.varying), np.log(spread))),
        below=on_device(np.zeros(len(config.correlations))),
        log_within=on_device(np.full(len(config.within), np.log(0.5 * spread))),
        config=config,
    )
    residual = Residual(
        log_a=on_device(np.log(np.float64(additive))),
        log_b=on_device(np.log(np.float64(proportional))),
        kind=config.residual,
        floor=config.floor,
    )
    decoder = published_decoder(config.structure)
    return LatentModel(prior, decoder, residual, encoder=None)
