"""Covariates computed from the columns that a file has, each printed with its formula."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from latentpk.records.columns import parsed, whole
from latentpk.records.covariates import Columns, read_column, warn_implausible
from latentpk.records.definition import Derive, RenalDefinition
from latentpk.records.findings import Findings
from latentpk.records.recipes import COLUMNS, RENAL, Recipe
from latentpk.records.subject import Kind
from latentpk.units import Units


@dataclass(frozen=True)
class Plan:
    """What is computed, and from which columns.

    Attributes:
        asked: The covariates in the order wanted; None where the file's own come first.
        recipes: How each computed covariate is, by its name.
        inputs: The column that holds each need.
        derive: The settings.
    """

    asked: tuple[str, ...] | None
    recipes: dict[str, Recipe]
    inputs: dict[str, str]
    derive: Derive

    @property
    def plain(self) -> tuple[str, ...] | None:
        """Covariates to be read as they are."""
        if self.asked is None:
            return None
        return tuple(name for name in self.asked if name not in self.recipes)

    @property
    def definition(self) -> RenalDefinition | None:
        """What renal function is computed by; None where none is."""
        return self.derive.renal if set(self.recipes) & set(RENAL) else None

    @property
    def used(self) -> Derive | None:
        """The settings that made a difference; None where nothing is computed."""
        return replace(self.derive, renal=self.definition) if self.recipes else None

    def sentences(self) -> tuple[str, ...]:
        """Every formula used, with its citation and the columns it reads."""
        told = []
        for name, recipe in self.recipes.items():
            columns = dict.fromkeys(self.inputs[n] for n in recipe.needs if n in self.inputs)
            sexes = f"; {self.derive.sexes()}" if "SEX" in recipe.needs else ""
            told.append(
                f"{name} is computed by {recipe.name}: {recipe.formula} ({recipe.citation}), from "
                f"{', '.join(columns)}{sexes}."
            )
        return tuple(told)


def make_plan(findings: Findings, asked: Sequence[str] | None, derive: Derive | None) -> Plan:
    """Decide what is computed: what was asked for, is absent, and is allowed.

    Where nothing was asked for, renal function joins the file's own covariates.

    Args:
        findings: Where problems and notices go.
        asked: The covariates asked for, or None.
        derive: What may be computed, or None.

    Returns:
        The plan.
    """
    names = None if asked is None else tuple(dict.fromkeys(n.strip().upper() for n in asked))
    if derive is None:
        return Plan(names, {}, {}, Derive())
    table = findings.table
    own = [name for name in RENAL if table.has(name)]
    wanted = names if names is not None else () if own or derive.renal is None else RENAL[:1]
    recipes: dict[str, Recipe] = {}
    inputs: dict[str, str] = {}
    for name in wanted:
        recipe = None if table.has(name) else derive.recipe(name)
        if recipe is not None:
            recipes[name] = recipe
            inputs |= _inputs(findings, name, recipe)
    if derive.renal is not None:
        _tell_unused(findings, own, [name for name in recipes if name in RENAL])
    return Plan(names, recipes, inputs, derive)


def _tell_unused(findings: Findings, own: list[str], made: list[str]) -> None:
    """Say where a file's own renal function or the formula goes unused."""
    if own and made:
        findings.notice(f"{', '.join(made)} was asked for: the file's {', '.join(own)} is unused.")
    elif own:
        findings.notice(f"The file has {', '.join(own)}: the formula of renal function is unused.")
    elif not made:
        findings.notice("No renal function was asked for: its formula is unused.")


def _inputs(findings: Findings, name: str, recipe: Recipe) -> dict[str, str]:
    """The columns that a recipe reads; one problem for all that it lacks."""
    found: dict[str, str] = {}
    for need in recipe.needs:
        column = next((c for c in COLUMNS[need] if findings.table.has(c)), None)
        if column is not None:
            found[need] = column
    lacking = [need for need in recipe.needs if need not in found]
    if lacking:
        spelled = [" or ".join(COLUMNS[need]) for need in lacking]
        findings.add(
            f"column {name}",
            f"it is missing, and so is what it is computed from: {', '.join(spelled)}",
            f"{recipe.name[0].upper()}{recipe.name[1:]} needs {', '.join(recipe.needs)}",
            f"Add {', '.join(lacking)}, or {name} itself",
        )
    return found


def add_inputs(findings: Findings, units: Units, columns: Columns, plan: Plan) -> Columns:
    """Join the columns that are read only to compute from.

    Args:
        findings: Where problems and notices go.
        units: Their units.
        columns: The covariates as recorded.
        plan: What is computed.

    Returns:
        Covariates and inputs as recorded.
    """
    names = [c for c in dict.fromkeys(plan.inputs.values()) if c not in columns.names]
    read = [read_column(findings, units, name) for name in names]
    if "SEX" in plan.inputs:
        mend = "Code SEX as 1 for a man and 0 or 2 for a woman, or say which code is female"
        whole(findings, plan.inputs["SEX"], (0, 1, 2), rule="SEX is 0, 1 or 2", mend=mend)
    if not names:
        return columns
    kinds: tuple[Kind, ...] = tuple(
        "binary" if name == plan.inputs.get("SEX") else "continuous" for name in names
    )
    values = np.column_stack([columns.values, *read])
    return Columns((*columns.names, *names), (*columns.kinds, *kinds), values)


def final_columns(columns: Columns, plan: Plan) -> tuple[tuple[str, ...], tuple[Kind, ...]]:
    """Names and kinds of the covariates, the computed ones in their place.

    Args:
        columns: What was read as it is.
        plan: What is computed.
    """
    names = plan.asked if plan.asked is not None else (*columns.names, *plan.recipes)
    by_name = dict(zip(columns.names, columns.kinds, strict=True))
    known = tuple(name for name in names if name in by_name or name in plan.recipes)
    return known, tuple(by_name.get(name, "continuous") for name in known)


def compute(
    read: Sequence[str], names: Sequence[str], plan: Plan, values: np.ndarray
) -> np.ndarray:
    """The covariates, computed where they are not read.

    Args:
        read: Columns of `values`.
        names: Columns of the answer.
        plan: What is computed.
        values: What was read, internal units, shape (time, column).

    Returns:
        The covariates, shape (time, covariate).
    """
    by_name = {name: values[:, i] for i, name in enumerate(read)}
    needs = {need: by_name[column] for need, column in plan.inputs.items()}
    if "SEX" in needs:
        female = plan.derive.female
        is_female = needs["SEX"] != 1 if female is None else needs["SEX"] == female
        needs["SEX"] = np.where(np.isnan(needs["SEX"]), np.nan, is_female)
    lost = np.full(len(values), np.nan)
    columns = []
    for name in names:
        recipe = plan.recipes.get(name)
        if recipe is None:
            columns.append(by_name[name])
        elif set(recipe.needs) <= set(needs):
            with np.errstate(all="ignore"):  # a bad cell has its problem already
                columns.append(np.asarray(recipe.compute(needs), float))
        else:
            columns.append(lost)  # its missing column has its problem already
    return np.column_stack(columns) if columns else np.zeros((len(values), 0))


def report(
    findings: Findings,
    units: Units,
    plan: Plan,
    names: Sequence[str],
    values: np.ndarray,
    *,
    purpose: str,
) -> None:
    """Print every formula used, and what is odd about its results.

    Args:
        findings: Where problems and notices go.
        units: The file's units.
        plan: What was computed.
        names: Columns of `values`.
        values: The covariates, shape (time, covariate).
        purpose: In a "fit" a covariate must vary.
    """
    findings.notices += plan.sentences()
    for name, recipe in plan.recipes.items():
        found = values[:, list(names).index(name)]
        warn_implausible(findings, name, found, units)
        _warn_ages(findings, units, name, recipe)
        filled = found[~np.isnan(found)]
        if purpose == "fit" and len(filled) and np.ptp(filled) == 0:
            rule, mend = "A covariate to learn from varies", "Leave it out of the covariates"
            findings.add(f"column {name}", f"it is {filled[0]:g} everywhere", rule, mend)


def _warn_ages(findings: Findings, units: Units, name: str, recipe: Recipe) -> None:
    column = next((c for c in COLUMNS["AGE"] if findings.table.has(c)), None)
    if column is None:
        return
    ages = parsed(findings, column) * units.factor(column)
    low, high = recipe.ages
    outside = (ages < low) | (ages > high)
    if outside.any():
        span = f"{low:g} y and older" if high == float("inf") else f"{low:g} to {high:g} y"
        findings.notice(
            f"Warning: {int(outside.sum())} records have an age outside that of "
            f"{recipe.name}, which is for {span}; {name} is uncertain there."
        )
