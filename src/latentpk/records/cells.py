"""The cells of a table of nanoparticles, their courses or their studies, before they mean anything.

Every cell is text until a column's rule reads it; every problem names row and column.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from latentpk.errors import InputError, Problem
from latentpk.records.table import MISSING, as_frame
from latentpk.records.text import read_text

MAX_BYTES = 64 << 20
NAMED = 10  # IDs named in a notice; the rest are counted


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


def read_cells(source: str | Path | Any) -> tuple[pl.DataFrame, str, str]:
    """Every cell as text, null where missing, names in capitals.

    Args:
        source: Path of a CSV file, or a data frame.

    Returns:
        The cells, the SHA-256 of the source, and what messages call it.

    Raises:
        InputError: It cannot be read, or two columns have one name.
    """
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


def whole(column: pl.Series) -> pl.Series:
    """Names as text, where 12.0 is 12: a frame may have made them floats."""
    return column.str.replace(r"\.0+$", "")


def read_ids(cells: pl.DataFrame, problems: list[Problem], *, once: bool) -> pl.Series:
    """IDs as text; a missing one is a problem, and a repeated one where each may stand once.

    Args:
        cells: Every cell as text.
        problems: Gains what is wrong.
        once: Whether every ID is one row.

    Returns:
        The column ID, null where it is missing.
    """
    ids = whole(cells["ID"])
    seen: dict[str, int] = {}
    for row, one in enumerate(ids, start=1):
        if one is None:
            rule = "Every row has an ID"
            problems.append(Problem(f"row {row}, column ID", "missing", rule, "Number the rows"))
        elif one in seen and once:
            found = f"{one} stands in row {seen[one]} already"
            rule = "Every ID is one row"
            problems.append(Problem(f"row {row}, column ID", found, rule, "Number the rows anew"))
        else:
            seen[one] = row
    return ids.alias("ID")


def read_numbers(
    cells: pl.DataFrame,
    column: str,
    known: Number,
    problems: list[Problem],
    *,
    required: bool = False,
) -> pl.Series:
    """A numeric column.

    Args:
        cells: Every cell as text.
        column: Its name; one that is not there is missing in every row.
        known: Its unit and range.
        problems: Gains every cell that is no number in that range.
        required: Whether a missing cell is a problem too.

    Returns:
        The values, null where missing or wrong.
    """
    if column not in cells.columns:
        return pl.Series(column, [None] * cells.height, pl.Float64)
    bounds = f"{'above' if known.above else 'at least'} {known.low:g}, at most {known.high:g}"
    rule = f"{column} is a number in {known.unit}, {bounds}"
    check = f"Check the unit ({known.unit}), or "
    check += "drop the row" if required else "leave it empty where it is not known"
    values: list[float | None] = []
    for row, cell in enumerate(cells[column], start=1):
        value = None if cell is None else _number(cell, known)
        if value is None and (cell is not None or required):
            found = "missing" if cell is None else f"{cell}"
            mend = "Fill it or drop the row" if cell is None else check
            problems.append(Problem(f"row {row}, column {column}", found, rule, mend))
        values.append(value)
    return pl.Series(column, values, pl.Float64)


def _number(cell: str, known: Number) -> float | None:
    """The cell's value, None where it is no number or out of range (NaN is both)."""
    try:
        value = float(cell)
    except ValueError:
        return None
    low = value > known.low if known.above else value >= known.low
    return value if low and value <= known.high else None


def require_columns(cells: pl.DataFrame, needed: list[str], what: str) -> list[Problem]:
    """What a table lacks before any cell is read.

    Args:
        cells: Every cell as text.
        needed: Names of columns; "A or B" is met by either.
        what: What the table is of, such as "courses".

    Returns:
        One problem for each absent column, and one where there is no row.
    """
    rule = f"A table of {what} has {', '.join(needed)}"
    absent = [one for one in needed if not {*one.split(" or ")} & {*cells.columns}]
    problems = [Problem(f"column {one}", "absent", rule, "Add it") for one in absent]
    if cells.height == 0:
        found, rule = "no row", f"A table of {what} has at least one row"
        problems.append(Problem("the table", found, rule, "Add it"))
    return problems


def tell_unused(cells: pl.DataFrame, used: set[str], notices: list[str]) -> None:
    """Add a notice that names the columns nothing is read from."""
    unknown = [c for c in cells.columns if c not in used]
    if unknown:
        notices.append(f"Columns that are not used: {', '.join(unknown)}.")


def shortened(names: list[str]) -> str:
    """Names for a notice: each once, the first ten, and how many more there are."""
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
