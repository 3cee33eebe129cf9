r"""How a covariate changes a typical value: a closed set of kinds, each with its formula.

An effect reads one covariate or more, and gives the parameter's new typical value.
"""

from typing import Annotated, Literal

import jax.numpy as jnp
from jaxtyping import Array
from pydantic import Field, model_validator

from latentpk import precision  # noqa: F401  (float64 before any array)
from latentpk.models.config import Frozen
from latentpk.records.elapsed import ELAPSED

Positive = Annotated[float, Field(gt=0)]


class OneCovariate(Frozen):
    """An effect of one covariate.

    Attributes:
        covariate: Column name.
    """

    covariate: str

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the covariates that `apply` takes, in order."""
        return (self.covariate,)


class Power(OneCovariate):
    """(x / reference) ^ exponent; the covariate must be above 0."""

    kind: Literal["power"]
    reference: Positive
    exponent: float

    def apply(self, value: Array, x: Array) -> Array:
        """Apply the effect of covariate x to a typical value."""
        return value * (x / self.reference) ** self.exponent

    def formula(self) -> str:
        """Write the effect as it follows the typical value."""
        base = self.covariate if self.reference == 1 else f"({self.covariate}/{self.reference:g})"
        return f" x {base}" + ("" if self.exponent == 1 else f"^{self.exponent:g}")


class BentPower(OneCovariate):
    """(x / reference) ^ below under the reference, ^ above from it on; continuous at the bend."""

    kind: Literal["bent_power"]
    reference: Positive
    below: float
    above: float

    def apply(self, value: Array, x: Array) -> Array:
        """Apply the effect of covariate x to a typical value."""
        exponent = jnp.where(x < self.reference, self.below, self.above)
        return value * (x / self.reference) ** exponent

    def formula(self) -> str:
        """Write the effect as it follows the typical value."""
        base = f"({self.covariate}/{self.reference:g})"
        return f" x {base}^({self.below:g} below {self.reference:g}, else {self.above:g})"


class Linear(OneCovariate):
    """1 + slope (x - reference), never below `floor` so that a parameter stays positive."""

    kind: Literal["linear"]
    reference: float
    slope: float
    floor: Positive = 0.05

    def apply(self, value: Array, x: Array) -> Array:
        """Apply the effect of covariate x to a typical value."""
        return value * jnp.maximum(1 + self.slope * (x - self.reference), self.floor)

    def formula(self) -> str:
        """Write the effect as it follows the typical value."""
        return (
            f" x (1 {_signed(self.slope)} ({self.covariate} - {self.reference:g}), "
            f"at least {self.floor:g})"
        )


class Additive(OneCovariate):
    """Adds slope (x - reference) in the parameter's unit; at least `floor` of what it adds to."""

    kind: Literal["additive"]
    reference: float
    slope: float
    floor: Positive = 0.05

    def apply(self, value: Array, x: Array) -> Array:
        """Apply the effect of covariate x to a typical value."""
        return jnp.maximum(value + self.slope * (x - self.reference), self.floor * value)

    def formula(self) -> str:
        """Write the effect as it follows the typical value."""
        return f" {_signed(self.slope)} ({self.covariate} - {self.reference:g})"


class Exponential(OneCovariate):
    """exp(slope (x - reference))."""

    kind: Literal["exponential"]
    reference: float
    slope: float

    def apply(self, value: Array, x: Array) -> Array:
        """Apply the effect of covariate x to a typical value."""
        return value * jnp.exp(self.slope * (x - self.reference))

    def formula(self) -> str:
        """Write the effect as it follows the typical value."""
        return f" x exp({self.slope:g} ({self.covariate} - {self.reference:g}))"


class Sigmoid(OneCovariate):
    """Maturation m(x) = 1 / (1 + (x / half)^-hill); a negative hill declines. x must be above 0.

    Attributes:
        half: Where m is one half, in the covariate's unit.
        hill: Steepness.
        reference: Where the typical value holds: the effect is m(x) / m(reference). None where
            the typical value is that of full maturity, m = 1.
    """

    kind: Literal["sigmoid"]
    half: Positive
    hill: float
    reference: Positive | None = None

    def apply(self, value: Array, x: Array) -> Array:
        """Apply the effect of covariate x to a typical value."""
        whole = 1.0
        if self.reference is not None:
            whole += (self.reference / self.half) ** -self.hill
        return value * whole / (1 + (x / self.half) ** -self.hill)

    def formula(self) -> str:
        """Write the effect as it follows the typical value."""
        power = f"/{self.half:g})^{-self.hill:g}"
        if self.reference is None:
            return f" / (1 + ({self.covariate}{power})"
        ratio = f"m({self.covariate})/m({self.reference:g})"
        return f" x [{ratio}, m(x) = 1/(1 + (x{power})]"


class Category(OneCovariate):
    """A factor where the covariate equals a code, 1 elsewhere."""

    kind: Literal["factor"]
    equals: float = 1.0
    factor: Positive

    def apply(self, value: Array, x: Array) -> Array:
        """Apply the effect of covariate x to a typical value."""
        return value * jnp.where(x == self.equals, self.factor, 1.0)

    def formula(self) -> str:
        """Write the effect as it follows the typical value."""
        return f" x {self.factor:g} if {self.covariate} = {self.equals:g}"


class NormalFatMass(Frozen):
    r"""A power of normal fat mass: fat counts by a share of what lean mass does.

    .. math:: \left( \frac{x + share (w - x)}{reference} \right)^{exponent}

    Attributes:
        lean: Column of the fat-free mass x.
        weight: Column of the body weight w.
        share: What fat counts; 0 is fat-free mass itself, 1 body weight.
        reference: Normal fat mass of the reference patient.
        exponent: Such as 0.75 for a clearance.

    References:
        Anderson and Holford, Drug Metab Pharmacokinet 2009;24:25.
    """

    kind: Literal["normal_fat_mass"]
    lean: str
    weight: str
    share: float = Field(ge=0)
    reference: Positive
    exponent: float

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the covariates that `apply` takes, in order."""
        return (self.lean, self.weight)

    def apply(self, value: Array, x: Array, weight: Array) -> Array:
        """Apply the effect of fat-free mass x in a body weight to a typical value."""
        return value * ((x + self.share * (weight - x)) / self.reference) ** self.exponent

    def formula(self) -> str:
        """Write the effect as it follows the typical value."""
        mass = f"{self.lean} + {self.share:g} ({self.weight} - {self.lean})"
        power = "" if self.exponent == 1 else f"^{self.exponent:g}"
        return f" x (({mass})/{self.reference:g}){power}"


class Course(Frozen):
    """A factor that depends on how long a patient has been treated: that of the last step passed.

    Attributes:
        steps: Hours after the first dose, and the factor from then on; before the first it is 1.
    """

    kind: Literal["course"]
    steps: Annotated[tuple[tuple[Positive, Positive], ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _ordered(self) -> "Course":
        if list(self.hours) != sorted(set(self.hours)):
            raise ValueError("the steps of a course come at increasing hours")
        return self

    @property
    def hours(self) -> tuple[float, ...]:
        """When the factor changes [h]."""
        return tuple(hour for hour, _ in self.steps)

    @property
    def reads(self) -> tuple[str, ...]:
        """Hours since the first dose, which a reading counts in steps."""
        return (ELAPSED,)

    def apply(self, value: Array, x: Array) -> Array:
        """Apply the effect at x hours after the first dose to a typical value."""
        factor = jnp.ones_like(value)
        for hour, then in self.steps:
            factor = jnp.where(x >= hour, then, factor)
        return value * factor

    def formula(self) -> str:
        """Write the effect as it follows the typical value."""
        parts = ", ".join(f"{factor:g} from {hour:g} h" for hour, factor in self.steps)
        return f" x [{parts} after the first dose]"


class AgeExpected(Frozen):
    r"""A covariate against what is expected at an age, such as creatinine in growing children.

    .. math:: e^{slope (x - s)}, \qquad s = \exp(level + rise \log_{10} a + early\, e^{-fade\, a})

    Attributes:
        covariate: Column of x.
        age: Column of the age, above 0.
        year: Units of the age in one year: a is in years.
        slope: Change of the logarithm for each unit of x.
        level: Of the expected value, on the log scale.
        rise: With each tenfold age, on the log scale.
        early: What is added at age 0, on the log scale.
        fade: How fast that leaves [1/y].
    """

    kind: Literal["age_expected"]
    covariate: str
    age: str
    year: Positive
    slope: float
    level: float
    rise: float
    early: float
    fade: Positive

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the covariates that `apply` takes, in order."""
        return (self.covariate, self.age)

    def apply(self, value: Array, x: Array, age: Array) -> Array:
        """Apply the effect of covariate x at an age to a typical value."""
        years = age / self.year
        bend = self.rise * jnp.log10(years) + self.early * jnp.exp(-self.fade * years)
        return value * jnp.exp(self.slope * (x - jnp.exp(self.level + bend)))

    def formula(self) -> str:
        """Write the effect as it follows the typical value."""
        years = self.age if self.year == 1 else f"{self.age}/{self.year:g}"
        expected = (
            f"exp({self.level:g} + {self.rise:g} log10(a) + {self.early:g} exp(-{self.fade:g} a))"
        )
        return f" x [exp({self.slope:g} ({self.covariate} - s)), s = {expected}, a = {years}]"


Effect = Annotated[
    Power
    | BentPower
    | Linear
    | Additive
    | Exponential
    | Sigmoid
    | NormalFatMass
    | AgeExpected
    | Category
    | Course,
    Field(discriminator="kind"),
]


def _signed(slope: float) -> str:
    return f"{'-' if slope < 0 else '+'} {abs(slope):g}"
