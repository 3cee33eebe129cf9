"""Columns to numbers, and what can be wrong with a number."""

import numpy as np
import polars as pl

from latentpk.records.findings import Findings

_TEXT_MEND = "Write a plain number such as 12.5, or '.' for a missing value"


def missing(findings: Findings, column: str) -> np.ndarray:
    """Which cells of a column are empty; all where there is no such column; shape (row,)."""
    table = findings.table
    if not table.has(column):
        return np.ones(len(table), bool)
    return table.frame[column].is_null().to_numpy()


def parsed(findings: Findings, column: str) -> np.ndarray:
    """A column as float64, nan where it is missing or no number, without a word on either."""
    table = findings.table
    if not table.has(column):
        return np.full(len(table), np.nan)
    values = table.frame[column].cast(pl.Float64, strict=False)
    return values.fill_null(float("nan")).to_numpy().copy()


def numbers(
    findings: Findings, column: str, *, default: float = np.nan, within: np.ndarray | None = None
) -> np.ndarray:
    """A column as float64; text and non-finite numbers become problems.

    Args:
        findings: Where the problems go.
        column: Its name; a column that is absent is missing throughout.
        default: Value of a missing cell.
        within: Which records are read, shape (row,); the others get `default`, unread.

    Returns:
        The numbers, shape (row,).
    """
    table = findings.table
    if not table.has(column):
        return np.full(len(table), default)
    absent = missing(findings, column)
    values = parsed(findings, column)
    read = ~absent if within is None else ~absent & within
    bad = read & ~np.isfinite(values)
    if bad.any():
        cells = table.frame[column].cast(pl.String).str.to_lowercase()
        word = cells.str.contains(r"^[+-]?(nan|inf|infinity)$").fill_null(False).to_numpy()
        findings.flag(bad & word, column, "{} is not finite", "Numbers are finite", _TEXT_MEND)
        findings.flag(bad, column, "{} is no number", "This column holds numbers", _TEXT_MEND)
    return np.where(read & ~bad, values, default)


def whole(
    findings: Findings, column: str, allowed: tuple[int, ...], *, rule: str, mend: str
) -> np.ndarray:
    """A column of codes as float64, nan where missing; another code is a problem; shape (row,)."""
    values = numbers(findings, column)
    bad = ~np.isnan(values) & ~np.isin(values, allowed)
    findings.flag(bad, column, f"{column} is {{}}", rule, mend)
    return np.where(bad, np.nan, values)
