"""Tables of nanoparticles in tumor-bearing mice: validated, repaired by named rules, told in words.

One row is one particle in one kind of mouse. Every problem of a table comes in one error; what is
missing stays missing. Spelling is repaired by rule (capital letters, a few synonyms). The published
data set holds known errors: each has a rule that matches the wrong values exactly, so that it never
touches another table, and is told when it is used.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from latentpk.errors import InputError, Problem
from latentpk.records.repairs import REPAIRS
from latentpk.records.table import MISSING, as_frame
from latentpk.records.text import read_text

MAX_BYTES = 64 << 20
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


@dataclass(frozen=True)
class Number:
    """What a numeric column may hold.

    Attributes:
        unit: Its unit.
        low: Least value.
        high: Largest value.
        above: Whether the least value itself is refused.
    """

    unit: str
    low: float
    high: float
    above: bool = True


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
    cells, digest, name = _cells(source)
    _require(cells, purpose, problems)
    if problems:
        raise InputError(problems, source=name)
    cells = _identified(cells, problems)
    if repair:
        cells = _repaired(cells, notices)
    columns = [cells["ID"]]
    columns += [_categories(cells, column, problems) for column in CATEGORIES]
    columns.append(_charges(cells, problems))
    columns += [_numbers(cells, c, problems) for c in NUMBERS if c in cells.columns or c in INPUTS]
    if "MAT" in cells.columns:
        columns.append(cells["MAT"])
    frame = _unsigned(pl.DataFrame(columns), notices)
    _check_rows(frame, purpose, problems)
    if problems:
        raise InputError(problems, source=name)
    unknown = [c for c in cells.columns if c not in {*frame.columns}]
    if unknown:
        notices.append(f"Columns that are not used: {', '.join(unknown)}.")
    return Particles(frame, tuple(notices), digest)


def _cells(source: Any) -> tuple[pl.DataFrame, str, str]:
    """Every cell as text, null where missing, names in capitals."""
    if isinstance(source, str | Path):
        text = read_text(source, max_bytes=MAX_BYTES)
        if text.problems:
            raise InputError(text.problems, source=str(source))
        frame, digest, name = text.frame, text.digest, str(source)
        header = text.header
    else:
        frame, name = as_frame(source), "the data frame"
        digest = hashlib.sha256(frame.write_csv().encode()).hexdigest()
        header = tuple(frame.columns)
    names = [written.strip().upper() for written in header]
    twice = sorted({one for one in names if names.count(one) > 1})
    if twice:
        rule = "Every column has its own name, small and capital letters alike"
        found = "the name occurs more than once"
        raise InputError(
            [Problem(f"column {one}", found, rule, "Rename or drop one of them") for one in twice],
            source=name,
        )
    frame = frame.rename(dict(zip(frame.columns, names, strict=True)))
    cleaned = [pl.col(c).cast(pl.String).str.strip_chars() for c in frame.columns]
    frame = frame.select(cleaned)
    blank = [
        pl.when(pl.col(c).is_in(MISSING)).then(None).otherwise(pl.col(c)).alias(c) for c in names
    ]
    return frame.select(blank), digest, name


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


def _identified(cells: pl.DataFrame, problems: list[Problem]) -> pl.DataFrame:
    """IDs as text, each once; 12.0 is 12."""
    ids = cells["ID"].str.replace(r"\.0+$", "")
    seen: dict[str, int] = {}
    for row, one in enumerate(ids, start=1):
        if one is None:
            rule = "Every row has an ID"
            problems.append(Problem(f"row {row}, column ID", "missing", rule, "Number the rows"))
        elif one in seen:
            found = f"{one} stands in row {seen[one]} already"
            rule = "Every ID is one row"
            problems.append(Problem(f"row {row}, column ID", found, rule, "Number the rows anew"))
        else:
            seen[one] = row
    return cells.with_columns(ids.alias("ID"))


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


def _numbers(cells: pl.DataFrame, column: str, problems: list[Problem]) -> pl.Series:
    if column not in cells.columns:
        return pl.Series(column, [None] * cells.height, pl.Float64)
    known = NUMBERS[column]
    bounds = f"{'above' if known.above else 'at least'} {known.low:g}, at most {known.high:g}"
    rule = f"{column} is a number in {known.unit}, {bounds}"
    values: list[float | None] = []
    for row, cell in enumerate(cells[column], start=1):
        value = None
        if cell is not None:
            try:
                value = float(cell)
            except ValueError:
                value = float("nan")
            low = value > known.low if known.above else value >= known.low
            if not (low and value <= known.high):
                mend = f"Check the unit ({known.unit}), or leave it empty where it is not known"
                problems.append(Problem(f"row {row}, column {column}", f"{cell}", rule, mend))
                value = None
        values.append(value)
    return pl.Series(column, values, pl.Float64)


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
