"""What a user may have computed: which definition of renal function, which code of sex."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from latentpk.errors import InputError, Problem
from latentpk.records.recipes import (
    RENAL,
    RENAL_FORMULAS,
    RENAL_RECIPES,
    SIZE_RECIPES,
    Recipe,
    RenalFormula,
    Values,
)


@dataclass(frozen=True)
class RenalDefinition:
    """What a number called renal function is.

    Attributes:
        formula: Its formula.
        floor: Creatinine below this [mg/dL] is taken as this; None where there is none.
        floor_age: The floor holds above this age [y] only; None for every age.
        cap: Clearance above this [mL/min] is taken as this; None where there is none.

    Example:
        >>> RenalDefinition("cockcroft-gault-total", floor=1, floor_age=65, cap=150).describe()
        'Cockcroft-Gault with total weight, creatinine at least 1 mg/dL above 65 y, at most 150'
    """

    formula: RenalFormula
    floor: float | None = None
    floor_age: float | None = None
    cap: float | None = None

    @property
    def recipe(self) -> Recipe:
        """The formula with its floor and cap; a floor by age needs AGE."""
        plain = RENAL_RECIPES[self.formula]
        extra = ("AGE",) if self.floor_age is not None and "AGE" not in plain.needs else ()
        limits = self.describe().removeprefix(plain.name)
        return Recipe(
            (*plain.needs, *extra),
            plain.name,
            plain.formula + limits,
            plain.citation,
            self._compute,
            plain.ages,
        )

    def describe(self) -> str:
        """The definition in a few words."""
        words = RENAL_RECIPES[self.formula].name
        if self.floor is not None:
            words += f", creatinine at least {self.floor:g} mg/dL"
            words += "" if self.floor_age is None else f" above {self.floor_age:g} y"
        return words if self.cap is None else f"{words}, at most {self.cap:g}"

    def _compute(self, values: Values) -> Any:
        creatinine = values["SCR"]
        if self.floor is not None:
            raised = np.maximum(creatinine, self.floor)
            old = True if self.floor_age is None else values["AGE"] > self.floor_age
            creatinine = np.where(old, raised, creatinine)
        found = RENAL_RECIPES[self.formula].compute({**values, "SCR": creatinine})
        return found if self.cap is None else np.minimum(found, self.cap)


@dataclass(frozen=True)
class Derive:
    """What may be computed where the file lacks it.

    Attributes:
        renal: Definition of renal function; None computes none.
        female: The code of SEX that is a woman; None takes 1 as a man and 0 or 2 as a woman.
    """

    renal: RenalDefinition | None = None
    female: float | None = None

    def recipe(self, name: str) -> Recipe | None:
        """How a covariate is computed, None where it is not."""
        if name in RENAL:
            return None if self.renal is None else self.renal.recipe
        return SIZE_RECIPES.get(name)

    def sexes(self) -> str:
        """The code of SEX in words."""
        if self.female is None:
            return "SEX 1 is male, 0 or 2 female"
        return f"SEX {self.female:g} is female, other codes male"

    def to_dict(self) -> dict[str, Any]:
        """As the mapping that `read_nonmem` takes."""
        known = self.renal
        entries = {
            "renal": known and known.formula,
            "creatinine_floor": known and known.floor,
            "creatinine_floor_age": known and known.floor_age,
            "renal_cap": known and known.cap,
            "female": self.female,
        }
        return {key: value for key, value in entries.items() if value is not None}


def hint(name: str) -> str:
    """How to have a covariate computed, "" where it cannot be.

    Example:
        >>> hint("PMA")
        'have it computed from GA, PNA by derive={} (--derive on the command line)'
    """
    if name in RENAL:
        return (
            "have it computed (from AGE, WT, SCR, SEX by Cockcroft-Gault) by "
            "derive={'renal': 'cockcroft-gault-total'} (--renal cockcroft-gault-total on the "
            f"command line; there are {', '.join(RENAL_FORMULAS)}, and card, which is a published "
            "model's own)"
        )
    if name not in SIZE_RECIPES:
        return ""
    needs = ", ".join(SIZE_RECIPES[name].needs)
    return f"have it computed from {needs} by derive={{}} (--derive on the command line)"


_KEYS = ("renal", "creatinine_floor", "creatinine_floor_age", "renal_cap", "female")


def parse_derive(given: Mapping[str, Any] | Derive | None) -> Derive | None:
    """Read the option `derive`.

    Args:
        given: Keys renal, creatinine_floor [mg/dL], creatinine_floor_age [y], renal_cap [mL/min]
            and female, each optional; None computes nothing.

    Returns:
        The settings.

    Raises:
        InputError: An unknown key or value, with every such problem.

    Example:
        >>> parse_derive({"renal": "schwartz", "renal_cap": 200}).renal.describe()
        'bedside Schwartz, at most 200'
    """
    if given is None or isinstance(given, Derive):
        return given
    problems = derive_problems(given)
    if problems:
        raise InputError(problems, source="the arguments")
    entries = {key: value for key, value in given.items() if value is not None}
    renal = None
    if "renal" in entries:
        limits = (entries.get(key) for key in _KEYS[1:4])
        renal = RenalDefinition(entries["renal"], *(x if x is None else float(x) for x in limits))
    female = entries.get("female")
    return Derive(renal, None if female is None else float(female))


def derive_problems(given: Mapping[str, Any] | Derive | None) -> list[Problem]:
    """Everything wrong with the option `derive`."""
    if given is None or isinstance(given, Derive):
        return []
    problems: list[Problem] = []

    def add(key: str, found: str, rule: str) -> None:
        problems.append(Problem(f"argument derive, {key}", found, rule, "Correct it"))

    for key in given:
        if key not in _KEYS:
            add(str(key), "it is unknown", f"The keys are {', '.join(_KEYS)}")
    known = {key: value for key, value in given.items() if value is not None and key in _KEYS}
    renal = known.get("renal")
    if renal is not None and renal not in RENAL_FORMULAS:
        add("renal", f"it is {renal!r}", f"A formula is one of {', '.join(RENAL_FORMULAS)}")
    for key in _KEYS[1:4]:
        if key in known and not _positive(known[key]):
            add(key, f"it is {known[key]!r}", "It is a number above 0")
        elif key in known and renal is None:
            add(key, "there is no formula that it could limit", "It goes with renal")
    if "creatinine_floor_age" in known and "creatinine_floor" not in known:
        add("creatinine_floor_age", "there is no floor", "It goes with creatinine_floor")
    if known.get("female", 0) not in (0, 1, 2):
        add("female", f"it is {known['female']!r}", "SEX is coded 0, 1 or 2")
    return problems


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and 0 < value < float("inf")
