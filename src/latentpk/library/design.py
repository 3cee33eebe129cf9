"""How a plausible cohort is drawn: covariates, practical doses and routine sampling, as data."""

from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from latentpk.models.config import Frozen

Positive = Annotated[float, Field(gt=0)]
Probability = Annotated[float, Field(ge=0, le=1)]


class Normal(Frozen):
    """A normal distribution between two bounds (redrawn outside them)."""

    kind: Literal["normal"]
    mean: float
    sd: Positive
    low: float
    high: float
    decimals: int = 1

    @property
    def middle(self) -> float:
        """What a typical patient has."""
        return self.mean

    def draw(self, random: np.random.Generator) -> float:
        """Draw one value."""
        return _within(lambda: random.normal(self.mean, self.sd), self)


class Along(Frozen):
    """A median that grows with an earlier covariate: times (x / reference) ^ exponent."""

    covariate: str
    reference: Positive
    exponent: float


class LogNormal(Frozen):
    """A log-normal distribution between two bounds (redrawn outside them).

    Attributes:
        median: Its median.
        sd: Standard deviation of the logarithm.
        low: Least value.
        high: Largest value.
        decimals: Decimals kept, as a chart would hold it.
        along: How the median grows with another covariate, as weight does with age; None: not.
    """

    kind: Literal["lognormal"]
    median: Positive
    sd: Positive
    low: Positive
    high: Positive
    decimals: int = 1
    along: Along | None = None

    @property
    def middle(self) -> float:
        """What a typical patient has."""
        return self.median

    def at(self, known: Mapping[str, float]) -> "LogNormal":
        """The distribution at the values of the covariates drawn before."""
        if self.along is None:
            return self
        growth = (known[self.along.covariate] / self.along.reference) ** self.along.exponent
        return self.model_copy(update={"median": self.median * growth})

    def draw(self, random: np.random.Generator) -> float:
        """Draw one value."""
        return _within(lambda: self.median * np.exp(self.sd * random.normal()), self)


class Bernoulli(Frozen):
    """1 with a probability, else 0."""

    kind: Literal["bernoulli"]
    probability: Probability

    @property
    def middle(self) -> float:
        """What a typical patient has."""
        return float(self.probability > 0.5)

    def draw(self, random: np.random.Generator) -> float:
        """Draw one value."""
        return float(random.random() < self.probability)


def is_whole(distribution: Normal | LogNormal | Bernoulli) -> bool:
    """Whether a distribution draws whole numbers, which a table then writes as such."""
    return isinstance(distribution, Bernoulli) or distribution.decimals <= 0


Distribution = Annotated[Normal | LogNormal | Bernoulli, Field(discriminator="kind")]


class Given(Frozen):
    """Another distribution where an earlier covariate has a value."""

    covariate: str
    equals: float
    sample: Distribution


class Interval(Frozen):
    """The dosing interval of patients whose covariate is at least `at_least`."""

    at_least: float
    hours: Positive


class Dosing(Frozen):
    """A practical dosing rule, as a ward would follow it.

    Attributes:
        route: iv (into the central compartment) or oral (into the depot).
        per: Covariate the dose is proportional to, or None for fixed amounts.
        amounts: Amounts to choose from [mg], or [mg per unit of `per`].
        round_to: Vial or tablet step [mg].
        low: Least dose [mg].
        high: Largest dose [mg].
        loading: A first dose [mg, or mg per unit of `per`]; None for none.
        loading_high: Largest loading dose [mg].
        interval_by: Covariate that decides the interval, or None for one interval.
        intervals: From the highest threshold down; the last one catches the rest.
        infusion_per_gram: Infusion length for each gram [h/g]; 0 for no infusion.
        infusion_least: Least infusion length [h].
        days: Shortest and longest course [d].
        delay: SD of a dose's lateness [h], rounded to minutes.
    """

    route: Literal["iv", "oral"]
    per: str | None = None
    amounts: Annotated[tuple[Positive, ...], Field(min_length=1)]
    round_to: Positive
    low: Positive
    high: Positive
    loading: Positive | None = None
    loading_high: Positive | None = None
    interval_by: str | None = None
    intervals: Annotated[tuple[Interval, ...], Field(min_length=1)]
    infusion_per_gram: float = Field(0.0, ge=0)
    infusion_least: float = Field(0.0, ge=0)
    days: tuple[Positive, Positive]
    delay: float = Field(0.0, ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> "Dosing":
        if list(self.intervals) != sorted(self.intervals, key=lambda i: -i.at_least):
            raise ValueError("intervals run from the highest threshold down")
        if self.low > self.high or self.days[0] > self.days[1]:
            raise ValueError("the low end of a range lies above its high end")
        return self


class Sampling(Frozen):
    """When levels are drawn in routine monitoring.

    Attributes:
        first: Probabilities of 1, 2, 3, ... levels in the first part.
        until: End of the first part [h].
        begin: No level before this time [h].
        later: Probabilities of 0, 1, 2, ... levels after it.
        trough: Share of levels drawn just before a dose.
        peak: Share of levels drawn after a dose (or its infusion); the rest at any time.
        trough_before: Shortest and longest time before the next dose [h].
        peak_after: Shortest and longest time after a dose or the end of its infusion [h].
        gap: Least time between two levels [h].
    """

    first: tuple[Probability, ...]
    until: Positive
    begin: float = Field(0.0, ge=0)
    later: tuple[Probability, ...]
    trough: Probability
    peak: Probability
    trough_before: tuple[Positive, Positive]
    peak_after: tuple[Positive, Positive]
    gap: Positive = 1.0

    @model_validator(mode="after")
    def _sums(self) -> "Sampling":
        for name in ("first", "later"):
            if abs(sum(getattr(self, name)) - 1) > 1e-9:
                raise ValueError(f"the probabilities of `{name}` must add to 1")
        if self.trough + self.peak > 1:
            raise ValueError("the shares of troughs and peaks add to more than 1")
        return self


class Design(Frozen):
    """A whole routine-monitoring design.

    Attributes:
        dosing: How doses are chosen and given.
        sampling: When levels are drawn.
        lloq: Assay's limit [mg/L]; levels below are marked CENS = 1. None: no limit.
    """

    dosing: Dosing
    sampling: Sampling
    lloq: Positive | None = None


def _within(draw: Callable[[], float], limits: Normal | LogNormal) -> float:
    """Draw until the rounded value fits; a range that is never met gives its nearest end."""
    value = limits.low
    for _ in range(1000):
        value = round(float(draw()), limits.decimals)
        if limits.low <= value <= limits.high:
            return value
    return min(max(value, limits.low), limits.high)
