"""Tables of nanoparticles in tumor-bearing mice: validated, repaired by named rules, told in words.

One row is one particle in one kind of mouse. Every problem of a table comes in one error; what is
missing stays missing. Spelling is repaired by rule (capital letters, a few synonyms). The published
data set holds known errors: each has a rule that matches the wrong values exactly, so that it never
touches another table, and is told when it is used.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from latentpk.errors import InputError, Problem
from latentpk.records.cells import Number, read_cells, read_ids, read_numbers, tell_unused
from latentpk.records.repairs import REPAIRS

FEWEST = 20  # rows that a fit needs
TUMOR_DENSITY = 1.2  # g of tumor for each cm3 that TSz states, as the published table has it

CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "TYPE": ("Organic", "Inorganic", "Hybrid"),
    "TS": ("Passive", "Active"),
    "SHAPE": ("Spherical", "Rod", "Plate", "Flake", "Irregular", "Other"),
    "TM": (
        "Xenograft Heterotopic", "Xenograft Orthotopic", "Allograft Heterotopic",
        "Allograft Orthotopic", "Other",
    ),
    "CT": (
        "Brain", "Breast", "Cervix", "Colon", "Kidney", "Liver", "Lung", "Ovary", "Pancreas",
        "Prostate", "Skin", "Stomach", "Other",
    ),
}  # fmt: skip
SYNONYMS: Mapping[str, Mapping[str, str]] = {
    "SHAPE": {"sphere": "Spherical", "rods": "Rod", "nanorod": "Rod"},
    "CT": {"ovarian": "Ovary", "cervical": "Cervix", "colorectal": "Colon", "melanoma": "Skin"},
}
CHARGES: Mapping[str, float] = {
    "0": -1.0, "1": 1.0, "2": 0.0, "negative": -1.0, "positive": 1.0, "neutral": 0.0,
}  # fmt: skip
INPUTS: Mapping[str, Number] = {
    "HD": Number("nm", 0, 10_000),
    "ZETA": Number("mV", -100, 100, above=False),
    "TSZ": Number("cm3", 0, 50),
    "TW": Number("g", 0, 60),
    "DOSE": Number("mg/kg", 0, 1e5),
    "BW": Number("g", 5, 1e6, above=False),
}
TARGETS: Mapping[str, Number] = {
    "KTRESMAX": Number("1/h", 0, 1e3),
    "KTRES50": Number("h", 0, 1e4),
    "KTRESN": Number("1", 0, 100),
    "KTRESRELEASE": Number("1/h", 0, 1e3),
    "DE24": Number("%ID", 0, 100),
    "DE168": Number("%ID", 0, 100),
    "DEMAX": Number("%ID", 0, 100),
}
PHYSIOLOGY: Mapping[str, Number] = {
    "QTC": Number("1", 0, 0.5),
    "VTC": Number("1", 0, 0.4),
    "BVT": Number("1", 0, 0.99),
    "PT": Number("1", 0, 1e3),
    "PATC": Number("1", 0, 1e3),
}
NUMBERS = {**INPUTS, **TARGETS, **PHYSIOLOGY, "ZP_SIGNED": Number("mV", -100, 100, above=False)}
FITTED = ("KTRESMAX", "KTRES50", "KTRESN", "KTRESRELEASE", "PT", "PATC")


@dataclass(frozen=True, eq=False)
class Particles:
    """Particles that can be computed with.

    Attributes:
        frame: One row each; names in capitals; ZETA without its sign, CHARGE -1, 0 or 1, categories
            in one spelling, null where missing.
        notices: What was repaired, read otherwise than written, or left out.
        digest: SHA-256 of the source.
    """

    frame: pl.DataFrame
    notices: tuple[str, ...]
    digest: str

    def __len__(self) -> int:
        return self.frame.height

    @property
    def ids(self) -> tuple[str, ...]:
        """IDs as written."""
        return tuple(self.frame["ID"])

    def number(self, column: str) -> Float[np.ndarray, " row"]:
        """A numeric column, NaN where missing."""
        return self.frame[column].to_numpy().astype(float)

    @property
    def tumor_size(self) -> Float[np.ndarray, " row"]:
        """TSz, or TW over 1.2 where only that is known [cm3]."""
        size = self.number("TSZ")
        return np.where(np.isnan(size), self.number("TW") / TUMOR_DENSITY, size)

    @property
    def tumor_weight(self) -> Float[np.ndarray, " row"]:
        """TW, or 1.2 TSz where only that is known [g]."""
        weight = self.number("TW")
        return np.where(np.isnan(weight), self.number("TSZ") * TUMOR_DENSITY, weight)

    @property
    def complete(self) -> Bool[np.ndarray, " row"]:
        """Which rows state size, zeta potential, charge and tumor size."""
        stated = [~np.isnan(self.number(name)) for name in ("HD", "ZETA", "CHARGE", "TSZ")]
        return np.logical_and.reduce(stated)


def read_particles(
    source: str | Path | Any, *, purpose: Literal["fit", "predict"] = "predict", repair: bool = True
) -> Particles:
    """Read and validate a table of nanoparticles.

    Args:
        source: Path of a CSV file, or a data frame.
        purpose: A fit needs the four KTRES parameters and at least 20 rows.
        repair: Whether known errors of the published table are mended.

    Returns:
        The particles.

    Raises:
        InputError: Every problem of the table, each with row, column, rule and mend.
    """
    notices: list[str] = []
    problems: list[Problem] = []
    cells, digest, name = read_cells(source)
    _require(cells, purpose, problems)
    if problems:
        raise InputError(problems, source=name)
    cells = cells.with_columns(read_ids(cells, problems, once=True))
    if repair:
        cells = _repaired(cells, notices)
    columns = [cells["ID"]]
    columns += [_categories(cells, column, problems) for column in CATEGORIES]
    columns.append(_charges(cells, problems))
    columns += [
        read_numbers(cells, column, known, problems)
        for column, known in NUMBERS.items()
        if column in cells.columns or column in INPUTS
    ]
    if "MAT" in cells.columns:
        columns.append(cells["MAT"])
    frame = _unsigned(pl.DataFrame(columns), notices)
    _check_rows(frame, purpose, problems)
    if problems:
        raise InputError(problems, source=name)
    tell_unused(cells, {*frame.columns}, notices)
    return Particles(frame, tuple(notices), digest)


def _require(cells: pl.DataFrame, purpose: str, problems: list[Problem]) -> None:
    needed = ["ID", *CATEGORIES, "CHARGE", "HD", "ZETA", "DOSE", "BW"]
    needed += FITTED[:4] if purpose == "fit" else []
    rule = f"A table of particles has {', '.join(needed)}, and TSZ or TW"
    absent = [one for one in needed if one not in cells.columns]
    absent += [] if {"TSZ", "TW"} & set(cells.columns) else ["TSZ or TW"]
    problems += [
        Problem(f"column {one}", "absent", rule, "Add it; single values may be missing")
        for one in absent
    ]
    if cells.height == 0:
        problems.append(
            Problem("the table", "no row", "A table has at least one particle", "Add it")
        )


def _repaired(cells: pl.DataFrame, notices: list[str]) -> pl.DataFrame:
    rows = {one: k for k, one in enumerate(cells["ID"])}
    changed: dict[str, dict[int, str]] = {}
    for rule in REPAIRS:
        k = rows.get(rule.row)
        if k is None or not set(rule.found) <= set(cells.columns):
            continue
        if all(_same(cells[column][k], value) for column, value in rule.found.items()):
            for column, value in rule.mended.items():
                changed.setdefault(column, {})[k] = value
            what = ", ".join(f"{column} {value}" for column, value in rule.mended.items())
            notices.append(f"Repaired ({rule.name}), ID {rule.row}: {what}; {rule.reason}.")
    for column, mended in changed.items():
        values = [mended.get(k, value) for k, value in enumerate(cells[column])]
        cells = cells.with_columns(pl.Series(column, values, pl.String))
    return cells


def _same(cell: str | None, value: str) -> bool:
    """Whether a cell is as a rule expects it, numbers by value."""
    if cell is None or value == "":
        return cell is None and value == ""
    try:
        return float(cell) == float(value)
    except ValueError:
        return cell == value


def _categories(cells: pl.DataFrame, column: str, problems: list[Problem]) -> pl.Series:
    known = {one.lower(): one for one in CATEGORIES[column]} | dict(SYNONYMS.get(column, {}))
    values: list[str | None] = []
    for row, cell in enumerate(cells[column], start=1):
        plain = None if cell is None else " ".join(cell.lower().split())
        if plain is not None and plain not in known:
            rule = f"{column} is one of {', '.join(CATEGORIES[column])}"
            mend = "Correct the spelling, or leave the cell empty where it is not known"
            problems.append(Problem(f"row {row}, column {column}", f"{cell!r}", rule, mend))
            plain = None
        values.append(None if plain is None else known[plain])
    return pl.Series(column, values, pl.String)


def _charges(cells: pl.DataFrame, problems: list[Problem]) -> pl.Series:
    values: list[float | None] = []
    for row, cell in enumerate(cells["CHARGE"], start=1):
        plain = None if cell is None else cell.lower().removesuffix(".0")
        if plain is not None and plain not in CHARGES:
            rule = "CHARGE is 0 or negative, 1 or positive, 2 or neutral"
            found, mend = f"{cell!r}", "Correct it, or leave it empty where it is not known"
            problems.append(Problem(f"row {row}, column CHARGE", found, rule, mend))
            plain = None
        values.append(None if plain is None else CHARGES[plain])
    return pl.Series("CHARGE", values, pl.Float64)


def _unsigned(frame: pl.DataFrame, notices: list[str]) -> pl.DataFrame:
    """ZETA without its sign, which goes to CHARGE where that is missing."""
    negative = (frame["ZETA"] < 0).fill_null(value=False)
    if not negative.any():
        return frame
    notices.append(f"ZETA is negative in {negative.sum()} rows: its sign is read as the charge's.")
    return frame.with_columns(
        pl.when(negative & pl.col("CHARGE").is_null())
        .then(-1.0)
        .otherwise(pl.col("CHARGE"))
        .alias("CHARGE"),
        pl.col("ZETA").abs(),
    )


def _check_rows(frame: pl.DataFrame, purpose: str, problems: list[Problem]) -> None:
    properties = [*CATEGORIES, "CHARGE", *INPUTS]
    empty = frame.select(pl.all_horizontal(pl.col(properties).is_null()).alias("empty"))["empty"]
    for row in np.flatnonzero(empty.to_numpy()):
        rule, mend = "A particle has at least one property", "Fill the row or drop it"
        problems.append(Problem(f"row {row + 1}", "every value is missing", rule, mend))
    for column in ("DOSE", "BW"):
        for row in np.flatnonzero(frame[column].is_null().to_numpy()):
            where = f"row {row + 1}, column {column}"
            if not any(problem.where == where for problem in problems):
                problems.append(Problem(where, "missing", f"{column} is always known", "Fill it"))
    if purpose == "fit" and frame.height < FEWEST:
        found = f"{frame.height} rows"
        rule = f"A fit needs at least {FEWEST} particles"
        problems.append(Problem("the table", found, rule, "Use the model that is shipped"))
