"""What a latent model is built from: every static choice, as data."""

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from latentpk.kinetics.structure import Structure
from latentpk.kinetics.systems import KNOWN, is_system, parse_system

ResidualKind = Literal["additive", "proportional", "combined1", "combined2", "lognormal"]
CovariateKind = Literal["continuous", "binary", "categorical"]
MOST_GROUPS = 4  # kinds of people in one population
ADDING = ("compartment", "kernel", "hybrid")  # decoders that follow each dose by itself


class Frozen(BaseModel):
    """A setting that cannot change and admits no unknown or non-finite field."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @property
    def key(self) -> str:
        """What programs are cached by: all that they are built from."""
        return self.model_dump_json()


class CovariateConfig(Frozen):
    """How one covariate enters the raw view, and what the training data held of it.

    Attributes:
        name: Column name.
        kind: continuous, binary or categorical.
        log: Whether its logarithm is taken first (continuous and positive).
        levels: The codes of a categorical covariate; the first is the reference.
        center: Subtracted after the logarithm.
        scale: Divided by.
        low: 0.5th percentile seen in training.
        high: 99.5th percentile seen in training.
        median: Median seen in training; fills gaps under `impute=median`.
    """

    name: str
    kind: CovariateKind = "continuous"
    log: bool = False
    levels: tuple[float, ...] = ()
    center: float = 0.0
    scale: float = Field(default=1.0, gt=0)
    low: float = 0.0
    high: float = 0.0
    median: float = 0.0

    @property
    def width(self) -> int:
        """How many entries of the raw view it fills."""
        return len(self.levels) - 1 if self.kind == "categorical" else 1

    @property
    def reference(self) -> float:
        """Where the raw view is 0: a code's first value, the middle of what is continuous."""
        if self.kind == "categorical":
            return self.levels[0]
        return math.exp(self.center) if self.log else self.center


class CompartmentConfig(Frozen):
    """z holds the logarithms of a closed form's parameters."""

    name: Literal["compartment"] = "compartment"
    structure: str


class MechanisticConfig(Frozen):
    """z holds the logarithms of a nonlinear system's parameters.

    A user's system is named with the digest of its equations, so that no others take their place;
    it must be registered wherever the model is opened.
    """

    name: Literal["mechanistic"] = "mechanistic"
    structure: str

    @field_validator("structure")
    @classmethod
    def _known(cls, structure: str) -> str:
        if not is_system(structure):
            raise ValueError(f"{structure!r} is no nonlinear structure. Known are {KNOWN}.")
        return str(parse_system(structure))


class KernelConfig(Frozen):
    """z to an arbitrary non-negative unit response.

    Attributes:
        modes: Exponentials of the disposition.
        sites: Lagged first-order inputs of the absorption (0: intravenous only).
        disposition: Latent dimensions read by the disposition.
        absorption: Latent dimensions read by the absorption.
        bioavailability: Whether F is free (doses by both routes in the data).
        hidden: Width of the network between z and the response.
    """

    name: Literal["kernel"] = "kernel"
    modes: int = Field(default=3, ge=1, le=16)
    sites: int = Field(default=0, ge=0, le=16)
    disposition: int = Field(default=3, ge=1, le=16)
    absorption: int = Field(default=0, ge=0, le=16)
    bioavailability: bool = False
    hidden: int = Field(default=16, ge=1, le=256)


class GridConfig(Frozen):
    """z and the dosing to concentrations at fixed times, linear between them.

    Attributes:
        horizon: Last grid time after the first dose [h].
        nodes: Number of grid times, evenly spaced from 0.
        latent: Latent dimensions.
        hidden: Width of the network.
    """

    name: Literal["grid"] = "grid"
    horizon: float = Field(gt=0)
    nodes: int = Field(default=24, ge=2, le=512)
    latent: int = Field(default=6, ge=1, le=32)
    hidden: int = Field(default=64, ge=1, le=512)


class NeuralOdeConfig(Frozen):
    """z to a learned field of flows between compartments.

    Attributes:
        hidden: States beside the central compartment, which nobody measures.
        depot: Whether some dose is absorbed.
        bioavailability: Whether F is free (doses by both routes in the data).
        free: Latent dimensions that only the network reads.
        width: Of the network's hidden layer.
        time_scale: Around whose inverse the rates are bounded [h].
        level_scale: Typical level [mg/L].
        shortest: Length of the first steps after an event [h].
        target: Covariate that the field reads as a target's level; None for none.
    """

    name: Literal["neural_ode"] = "neural_ode"
    hidden: int = Field(default=2, ge=1, le=4)
    depot: bool = False
    bioavailability: bool = False
    free: int = Field(default=2, ge=0, le=8)
    width: int = Field(default=10, ge=1, le=64)
    time_scale: float = Field(default=24.0, gt=0)
    level_scale: float = Field(default=1.0, gt=0)
    shortest: float = Field(default=0.1, gt=0)
    target: str | None = None

    @property
    def states(self) -> int:
        """Number of states."""
        return 1 + self.hidden + self.depot

    @property
    def latent(self) -> int:
        """Number of latent dimensions."""
        return 3 + self.depot + self.bioavailability + self.free

    @model_validator(mode="after")
    def _absorbed(self) -> "NeuralOdeConfig":
        if self.bioavailability and not self.depot:
            raise ValueError("bioavailability is of doses into a depot: set depot too.")
        return self


class HybridConfig(Frozen):
    """z to a compartment model times a learned, bounded factor.

    Attributes:
        structure: Of the compartment model.
        residual: Latent dimensions that only the factor reads.
        bound: Largest log of the factor.
        spread: Prior SD of the weights that lead to it: small keeps it near 1.
        width: Of its network's hidden layer.
        horizon: Time after a dose from which it fades [h].
        early: A typical early time [h].
        level_scale: Typical level [mg/L].
    """

    name: Literal["hybrid"] = "hybrid"
    structure: str
    residual: int = Field(default=2, ge=0, le=8)
    bound: float = Field(default=1.1, gt=0, le=3)
    spread: float = Field(default=0.5, gt=0)
    width: int = Field(default=12, ge=1, le=64)
    horizon: float = Field(default=24.0, gt=0)
    early: float = Field(default=1.0, gt=0)
    level_scale: float = Field(default=1.0, gt=0)

    @field_validator("structure")
    @classmethod
    def _known(cls, structure: str) -> str:
        return str(Structure.parse(structure))


DecoderConfig = Annotated[
    CompartmentConfig
    | MechanisticConfig
    | KernelConfig
    | GridConfig
    | NeuralOdeConfig
    | HybridConfig,
    Field(discriminator="name"),
]


class EncoderConfig(Frozen):
    """The set encoder's sizes and the scales its tokens are divided by."""

    hidden: int = Field(default=48, ge=1, le=512)
    time_scale: float = Field(default=24.0, gt=0)
    level_scale: float = Field(default=1.0, gt=0)
    dose_scale: float = Field(default=1.0, gt=0)


class ModelConfig(Frozen):
    """Everything `build` needs to make the skeleton of a latent model."""

    covariates: tuple[CovariateConfig, ...] = ()
    dose_covariates: tuple[CovariateConfig, ...] = ()
    knowledge: tuple[str, ...] = ()
    prior: Literal["linear", "multiview"] = "linear"
    prior_width: int = Field(default=8, ge=1, le=128)
    components: int = Field(default=1, ge=1, le=MOST_GROUPS, description="groups of people")
    decoder: DecoderConfig
    residual: ResidualKind = "combined2"
    floor: float = Field(default=1e-6, gt=0, description="least residual SD [mg/L]")
    encoder: EncoderConfig = EncoderConfig()

    @model_validator(mode="after")
    def _doses_add_up(self) -> "ModelConfig":
        if self.dose_covariates and self.decoder.name not in ADDING:
            raise ValueError(
                f"decoder {self.decoder.name} with covariates of doses: it does not follow each "
                f"dose alone. Choose of {', '.join(ADDING)}."
            )
        return self

    @model_validator(mode="after")
    def _target_is_known(self) -> "ModelConfig":
        target = self.decoder.target if isinstance(self.decoder, NeuralOdeConfig) else None
        single = [c.name for c in self.covariates if c.kind != "categorical"]
        if target is not None and target not in single:
            raise ValueError(
                f"the field reads {target!r}, which is no number among the covariates."
            )
        return self
