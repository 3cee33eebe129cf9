"""Which columns are covariates, whether their values can be, and of what kind they are."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from latentpk.records.columns import missing, numbers, parsed
from latentpk.records.definition import hint
from latentpk.records.findings import Findings
from latentpk.records.subject import Kind
from latentpk.records.table import RESERVED
from latentpk.units import PHYSICAL, Units

_NEVER = frozenset({"ID", "TIME", "DATE", "AMT", "DV", "EVID", "MDV"})
_CODES = re.compile(r"SEX|GENDER|RACE|ETHN|GENO|PHENO|CYP|STUDY|SITE|ARM|GROUP|FORM|TYPE")
_IMPLAUSIBLE = 0.2


@dataclass(frozen=True, eq=False)
class Columns:
    """The covariates as recorded.

    Attributes:
        names: Their names.
        kinds: Their kinds.
        values: As recorded, internal units, nan where missing, shape (row, covariate).
    """

    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    values: np.ndarray


def read_covariates(
    findings: Findings,
    units: Units,
    *,
    asked: Sequence[str] | None,
    purpose: str,
    but: Sequence[str] = (),
) -> Columns:
    """Read and check the covariates.

    Args:
        findings: Where problems and notices go.
        units: Their units.
        asked: The columns to read; None takes every numeric column that is not reserved.
        purpose: In a "fit" a covariate must vary; else it need not.
        but: Columns that are left out where none was asked for: they are of doses.

    Returns:
        The covariates.
    """
    names = _found(findings, purpose, but) if asked is None else _asked(findings, asked)
    columns = [read_column(findings, units, name) for name in names]
    if purpose == "fit" and asked is not None:
        refuse_constant(findings, names, columns)
    kinds: tuple[Kind, ...] = tuple(
        kind_of(name, column) for name, column in zip(names, columns, strict=True)
    )
    values = np.stack(columns, axis=1) if columns else np.zeros((len(findings.table), 0))
    return Columns(tuple(names), kinds, values)


def _found(findings: Findings, purpose: str, but: Sequence[str]) -> list[str]:
    table = findings.table
    names, text, constant = [], [], []
    for name in table.frame.columns:
        if name in RESERVED or name in but:
            continue
        values = parsed(findings, name)
        filled = ~missing(findings, name)
        # a column of numbers with a typo is a covariate with a problem, not a text
        if not filled.any() or (np.isnan(values[filled]).mean() > 0.5 and name not in PHYSICAL):
            text.append(name)
        elif purpose == "fit" and _constant(values[filled]):  # with a text among them it is kept
            constant.append(name)
        else:
            names.append(name)
    findings.notice(f"Covariates: {', '.join(names) or 'none'}.")
    if text:
        findings.notice(f"Columns left out, since they hold no numbers: {', '.join(text)}.")
    if constant:
        findings.notice(f"Columns left out, since they are constant: {', '.join(constant)}.")
    return names


def _asked(findings: Findings, asked: Sequence[str]) -> list[str]:
    names = []
    for name in dict.fromkeys(name.strip().upper() for name in asked):
        if name in _NEVER:
            rule = "A covariate is a column of its own"
            findings.add(f"covariate {name}", "it is a reserved column", rule, "Leave it out")
        elif not findings.table.has(name):
            there = ", ".join(c for c in findings.table.frame.columns if c not in RESERVED)
            rule, mend = "Every covariate asked for is a column", f"Add it, or choose of: {there}"
            mend += f"; or {computed}" if (computed := hint(name)) else ""
            findings.add(f"column {name}", "it is missing", rule, mend)
        else:
            names.append(name)
    return names


def read_column(
    findings: Findings, units: Units, name: str, *, within: np.ndarray | None = None
) -> np.ndarray:
    """One covariate as recorded, internal units, checked against what it can be.

    Args:
        findings: Where the problems go.
        units: Of the file.
        name: The column.
        within: Which records are read, shape (row,); the others are missing, unread.

    Returns:
        Its values, nan where missing, shape (row,).
    """
    values = numbers(findings, name, within=within)
    physical = PHYSICAL.get(name)
    if physical is None:
        return values
    bad = (values < 0) if physical.zero else (values <= 0)
    bound = "not negative" if physical.zero else "above 0"
    mend = "Correct it, or write '.' for a missing value"
    findings.flag(bad, name, f"{name} is {{}}", f"{name} is {bound}", mend)
    values = values * units.factor(name)
    warn_implausible(findings, name, values, units)
    return values


def warn_implausible(findings: Findings, name: str, values: np.ndarray, units: Units) -> None:
    """Print a warning where many values of a covariate [internal unit] are beyond belief."""
    physical = PHYSICAL[name]
    filled = ~np.isnan(values)
    outside = filled & ~((values >= physical.low) & (values <= physical.high))
    if outside.sum() > _IMPLAUSIBLE * filled.sum():
        findings.notice(
            f"Warning: {outside.sum() / filled.sum():.0%} of {name} lie outside "
            f"{physical.low:g}-{physical.high:g} {physical.unit} when read as {units.unit(name)}; "
            "check its unit."
        )


def refuse_constant(findings: Findings, names: list[str], columns: list[np.ndarray]) -> None:
    """A problem for each column that has one value, of which nothing can be learned."""
    for name, values in zip(names, columns, strict=True):
        filled = values[~np.isnan(values)]
        if _constant(filled) and not findings.blamed(name).any():
            found = f"it is {filled[0]:g} everywhere" if len(filled) else "it is empty"
            rule, mend = "A covariate to learn from varies", "Leave it out of the covariates"
            findings.add(f"column {name}", found, rule, mend)


def _constant(values: np.ndarray) -> bool:
    return len(values) == 0 or bool((values == values[0]).all())


def kind_of(name: str, values: np.ndarray) -> Kind:
    """Two whole numbers are binary; up to six codes under a name like RACE are categorical."""
    distinct = pl.Series(values).drop_nans().unique().to_numpy()
    if name in PHYSICAL or len(distinct) == 0 or (distinct % 1 != 0).any():
        return "continuous"
    coded = _CODES.search(name) is not None
    if len(distinct) == 2 or (coded and len(distinct) == 1):
        return "binary"
    return "categorical" if coded and len(distinct) <= 6 else "continuous"
