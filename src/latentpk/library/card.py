"""The provenance card of a published model: what it is, where it was read, where it holds."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from latentpk.library.design import Design, Distribution, Given, LogNormal
from latentpk.models.config import CovariateKind, Frozen
from latentpk.models.published import PopulationModel
from latentpk.records.definition import RenalDefinition
from latentpk.records.elapsed import ELAPSED
from latentpk.records.recipes import RenalFormula

Positive = Annotated[float, Field(gt=0)]


class Encoding(Frozen):
    """Where the values were read: values are facts, no code is copied.

    Attributes:
        place: Repository, or what else holds the values.
        path: File in it.
        commit: Its revision, where there is one.
    """

    place: str
    path: str
    commit: str | None = None


class Source(Frozen):
    """The paper a model is cited from.

    Attributes:
        citation: The paper.
        link: DOI or PubMed address.
        encoded_in: Where its values were read; the paper itself was not.
        population: Who was studied.
        deviations: Every difference from the encoding or between encodings.
        variants: Library names of other readings of the same paper.
    """

    citation: str
    link: str
    encoded_in: tuple[Encoding, ...]
    population: str
    deviations: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()


class Covariate(Frozen):
    """A covariate: unit, definition, where the model holds, and how a cohort draws it.

    Attributes:
        name: Column name.
        kind: continuous, binary or categorical.
        unit: Unit of the values.
        definition: How it is measured or computed (renal function, weight, age).
        soft: Outside this range an answer is a caution.
        hard: Outside this range an answer is refused.
        sample: Distribution in a simulated cohort.
        given: Distributions instead, where an earlier covariate has a value.
    """

    name: str
    kind: CovariateKind
    unit: str
    definition: str
    soft: tuple[float, float]
    hard: tuple[float, float]
    sample: Distribution
    given: tuple[Given, ...] = ()

    @model_validator(mode="after")
    def _nested(self) -> "Covariate":
        if not self.hard[0] <= self.soft[0] <= self.soft[1] <= self.hard[1]:
            raise ValueError(f"{self.name}: the soft range must lie within the hard range")
        return self

    @property
    def follows(self) -> set[str]:
        """Names of the covariates that must be drawn before this one."""
        samples = (self.sample, *(one.sample for one in self.given))
        along = (s.along for s in samples if isinstance(s, LogNormal))
        return {one.covariate for one in (*self.given, *along) if one is not None}


class Renal(Frozen):
    """What renal function is to a model, in closed form.

    Attributes:
        formula: Its formula.
        floor: Creatinine below this [mg/dL] is taken as this.
        floor_age: The floor holds above this age [y] only.
        cap: Clearance above this [mL/min] is taken as this.
    """

    formula: RenalFormula
    floor: Positive | None = None
    floor_age: Positive | None = None
    cap: Positive | None = None

    @model_validator(mode="after")
    def _limited(self) -> "Renal":
        if self.floor_age is not None and self.floor is None:
            raise ValueError("renal_definition: floor_age needs a floor")
        return self

    @property
    def plain(self) -> RenalDefinition:
        """As the records compute it."""
        return RenalDefinition(self.formula, self.floor, self.floor_age, self.cap)


class Units(Frozen):
    """Units of the model's numbers; the package works in these."""

    time: Literal["h"]
    amount: Literal["mg"]
    concentration: Literal["mg/L"]


class LibraryModel(Frozen):
    """A published population model with everything needed to use and to judge it.

    Attributes:
        name: Library name, such as "vancomycin-goti-2018".
        drug: The drug.
        summary: One sentence.
        source: Paper and encoding.
        units: Units of all numbers.
        molar_mass: Of the measured molecule [g/mol].
        salt_factor: Mass of the measured molecule in one unit of dosed mass.
        renal: Definition of renal function it was built on, or None.
        renal_definition: The same in closed form, where it is one that can be computed.
        weight: Definition of weight it was built on, or None.
        population: Structure, typical values, variability, residual error.
        covariates: Those of the model, and those its dosing rule needs.
        design: The routine-monitoring design its cohorts are simulated from.
        notes: What else a user must know.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    drug: str
    summary: str
    source: Source
    units: Units
    molar_mass: Positive
    salt_factor: Positive = 1.0
    renal: str | None = None
    renal_definition: Renal | None = None
    weight: str | None = None
    population: PopulationModel
    covariates: tuple[Covariate, ...] = ()
    design: Design
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _known(self) -> "LibraryModel":
        known = [covariate.name for covariate in self.covariates]
        dosing = self.design.dosing
        needed = {*self.population.covariates, dosing.per, dosing.interval_by} - {None, ELAPSED}
        if missing := needed - set(known):
            raise ValueError(f"covariates used but not described: {sorted(map(str, missing))}")
        for i, covariate in enumerate(self.covariates):
            if late := covariate.follows - set(known[:i]):
                raise ValueError(f"{covariate.name} is drawn before {sorted(late)}")
        return self

    @property
    def required(self) -> tuple[Covariate, ...]:
        """The covariates a file must hold, in the order of the population model's inputs."""
        by_name = {covariate.name: covariate for covariate in self.covariates}
        names = (name for name in self.population.covariates if name != ELAPSED)
        return tuple(by_name[name] for name in names)

    def _between_occasions(self) -> tuple[str, ...]:
        """What varies between a patient's occasions, and what is one."""
        occasions = self.population.occasions
        if occasions is None:
            return ()
        pairs = zip(occasions.parameters, occasions.variances, strict=True)
        spread = ", ".join(f"{name} {variance:g}" for name, variance in pairs)
        hours = ", ".join(f"{hour:g}" for hour in occasions.starts)
        begin = f"begins {hours} h after the first dose" if hours else "is a subject's whole record"
        return (
            f"omega^2 between occasions: {spread} ({occasions.convention})",
            f"an occasion is what OCC numbers; in a file without OCC it {begin}",
        )

    def formulas(self) -> tuple[str, ...]:
        """Typical values, variability and residual error, one line each."""
        variability = self.population.variability
        spread = ", ".join(
            f"{name} {row[-1]:g}"
            for name, row in zip(variability.parameters, variability.covariance, strict=True)
        )
        return (
            *(parameter.formula() for parameter in self.population.parameters),
            f"omega^2 of log parameters: {spread} ({variability.convention})",
            *(
                f"{one.parameter} also carries {one.exponent:g} of the random effect of {one.of}"
                for one in variability.shared
            ),
            *self._between_occasions(),
            f"residual {self.population.residual.kind}: {self.population.residual.formula()}",
        )
