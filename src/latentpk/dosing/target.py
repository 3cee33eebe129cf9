"""Targets of exposure as data with a citation, by name or written inline."""

from functools import cache
from importlib.resources import files
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from latentpk.dosing.metric import Metric, number, parse_metric
from latentpk.errors import ArtifactError, InputError
from latentpk.models.config import Frozen

INLINE = "written on the command line"


class Target(Frozen):
    """A range of exposure to aim at.

    Attributes:
        name: Name, such as "vancomycin-auc24"; an inline target's own text.
        metric: Name of the metric, such as "auc24".
        low: Lower end of the range, 0 where there is none.
        high: Upper end; None where there is none.
        best: What within the range is best; None takes its middle, or its one finite end.
        toxic: Above this value is toxic; None takes the upper end.
        mic: Minimum inhibitory concentration [mg/L], ft_mic alone.
        unbound: Unbound fraction, ft_mic alone.
        unit: Unit of the numbers: mg h/L, mg/L or %.
        drug: The drug; empty for an inline target.
        citation: Where the range is from.
    """

    name: str
    metric: str
    low: Annotated[float, Field(ge=0)] = 0.0
    high: Annotated[float, Field(gt=0)] | None = None
    best: Annotated[float, Field(gt=0)] | None = None
    toxic: Annotated[float, Field(gt=0)] | None = None
    mic: Annotated[float, Field(gt=0)] | None = None
    unbound: Annotated[float, Field(gt=0, le=1)] = 1.0
    unit: str = ""
    drug: str = ""
    citation: str = INLINE

    @model_validator(mode="after")
    def _ordered(self) -> "Target":
        top = float("inf") if self.high is None else self.high
        if self.low == 0 and self.high is None:
            raise ValueError("a target needs a lower or an upper end")
        if not self.low < top:
            raise ValueError(f"the lower end {self.low:g} is not below the upper end {top:g}")
        if self.best is not None and not self.low <= self.best <= top:
            raise ValueError(f"the best value {self.best:g} lies outside the range")
        if self.toxic is not None and self.toxic < top < float("inf"):
            raise ValueError(f"the toxic limit {self.toxic:g} lies within the range")
        if parse_metric(self.metric, mic=self.mic, unbound=self.unbound).kind == "ft_mic":
            ends = [end for end in (self.low, self.high) if end is not None]
            if max(ends) > 100:
                raise ValueError("a share of the time is at most 100 %")
        return self

    @property
    def measure(self) -> Metric:
        """The metric."""
        return parse_metric(self.metric, mic=self.mic, unbound=self.unbound)

    @property
    def aim(self) -> float:
        """What a single best dose aims at: the best value, the middle, or the finite end."""
        if self.best is not None:
            return self.best
        if self.high is None:
            return self.low
        return (self.low + self.high) / 2 if self.low > 0 else self.high / 2

    @property
    def limit(self) -> float | None:
        """Above this a value is toxic."""
        return self.high if self.toxic is None else self.toxic

    def describe(self) -> str:
        """Say the range in words."""
        unit = self.unit or self.measure.unit
        if self.high is None:
            return f"{self.metric} at least {self.low:g} {unit}"
        if self.low == 0:
            return f"{self.metric} at most {self.high:g} {unit}"
        return f"{self.metric} {self.low:g} to {self.high:g} {unit}"


@cache
def list_targets() -> tuple[Target, ...]:
    """The named targets, each with its citation.

    Example:
        >>> [t.describe() for t in list_targets() if t.name == "vancomycin-auc24"]
        ['auc24 400 to 600 mg h/L']
    """
    text = files("latentpk.dosing").joinpath("targets.json").read_bytes()
    try:
        return TypeAdapter(tuple[Target, ...]).validate_json(text)
    except ValidationError as error:
        raise ArtifactError(f"The file of targets is damaged: {error}") from error


def parse_target(text: str, *, mic: float | None = None, unbound: float = 1.0) -> Target:
    """Read a target: a name, or `metric=low:high`, where either end may be absent.

    Args:
        text: Such as "vancomycin-auc24", "auc24=400:600", "trough=10:15", "peak=20:",
            "ft_mic=100@2" (at least 100 % of the time above 2 mg/L); "~500" after the range names
            the best value, as in "auc24=400:600~500".
        mic: Minimum inhibitory concentration [mg/L] where the text has none.
        unbound: Unbound fraction.

    Returns:
        The target, its numbers in mg h/L, mg/L or %.

    Raises:
        InputError: Neither a known name nor a range; a MIC for a target without one.

    Example:
        >>> parse_target("auc24=400:600").aim
        500.0
    """
    named = {target.name: target for target in list_targets()}
    metric = named[text].metric if text in named else text.partition("=")[0].strip().lower()
    if metric != "ft_mic" and (mic is not None or unbound != 1.0):
        raise InputError(
            f"target {text!r}: a MIC and an unbound fraction belong to ft_mic alone. Leave them "
            "out, or divide the range by the MIC yourself."
        )
    if text in named:
        update = ({"mic": mic} if mic is not None else {}) | (
            {"unbound": unbound} if unbound != 1.0 else {}
        )
        return _checked(named[text].model_dump() | update, text)
    metric, equals, span = text.partition("=")
    if not equals:
        raise InputError(
            f"target {text!r}: neither a range such as auc24=400:600 nor a name. "
            f"Known names are {', '.join(named)}."
        )
    span, at, tail = span.partition("@")
    if at and mic is not None:
        raise InputError(f"target {text!r} beside --mic {mic:g}: name the MIC once.")
    if at:
        mic = number(tail, f"the MIC in {text!r}")
    span, tilde, best = span.partition("~")
    low, colon, high = span.partition(":")
    if not colon:
        if metric.strip().lower() != "ft_mic":
            raise InputError(f"target {text!r}: a range has two ends. Write {metric}=low:high.")
        high = ""
    where = f"target {text!r}"
    fields = {
        "name": text,
        "metric": metric.strip().lower(),
        "low": number(low, where) if low.strip() else 0.0,
        "high": number(high, where) if high.strip() else None,
        "best": number(best, where) if tilde else None,
        "mic": mic,
        "unbound": unbound,
    }
    return _checked(fields, text)


def _checked(fields: dict[str, Any], text: str) -> Target:
    try:
        found = Target.model_validate(fields)
    except ValidationError as error:
        said = "; ".join(one["msg"].removeprefix("Value error, ") for one in error.errors())
        raise InputError(
            f"target {text!r}: {said.rstrip('.')}. A range is written as auc24=400:600."
        ) from error
    return found.model_copy(update={"unit": found.unit or found.measure.unit})
