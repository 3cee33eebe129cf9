"""The choices of a reading, checked before anything is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from latentpk.errors import InputError, Problem
from latentpk.records.definition import Derive, derive_problems

_CHOICES = {
    "interpolation": ("locf", "nocb", "linear"),
    "ties": ("file", "pre", "post"),
    "impute": ("median", None),
    "route": ("auto", "iv", "oral"),
    "blq": ("M1", "M3"),
    "negative": ("refuse", "drop", "keep"),
    "purpose": ("fit", "adapt", "forecast", "dose"),
}


@dataclass(frozen=True)
class Options:
    """The arguments of `read_nonmem` that say how a table is read; documented there."""

    covariates: Sequence[str] | None
    interpolation: str
    ties: str
    impute: str | None
    medians: Mapping[str, float] | None
    dvid: float | None
    route: str
    blq: str
    negative: str
    condition_until: float | None
    purpose: str
    derive: Mapping[str, Any] | Derive | None = None
    occasions: Sequence[float] | None = None
    elapsed: Sequence[float] | None = None
    dose_covariates: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise InputError for a choice that there is not."""
        problems = []
        for field in fields(self):
            allowed, chosen = _CHOICES.get(field.name), getattr(self, field.name)
            if allowed is not None and chosen not in allowed:
                rule = f"{field.name} is one of {', '.join(map(str, allowed))}"
                found = f"it is {chosen!r}"
                problems.append(Problem(f"argument {field.name}", found, rule, "Use one of these"))
        until = self.condition_until
        if until is not None and until != until:
            rule, mend = "condition_until is a time in hours", "Give a number or leave it out"
            problems.append(Problem("argument condition_until", "it is nan", rule, mend))
        problems += derive_problems(self.derive)
        for name in ("occasions", "elapsed"):
            hours = np.asarray(getattr(self, name) or [], float)
            if not (np.isfinite(hours).all() and (np.diff(hours, prepend=0.0) > 0).all()):
                rule = f"{name} are increasing hours above 0"
                found, mend = f"it is {getattr(self, name)!r}", "Give for instance (24, 48, 72)"
                problems.append(Problem(f"argument {name}", found, rule, mend))
        if problems:
            raise InputError(problems, source="the arguments")
