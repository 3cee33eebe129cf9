"""A file or a data frame to one table with capital column names and contiguous subjects."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl

from latentpk.errors import InputError, Problem
from latentpk.records.text import MAX_BYTES, read_text

REQUIRED = ("ID", "TIME", "AMT", "DV")
RESERVED = frozenset(
    {
        *("ID", "TIME", "DATE", "AMT", "RATE", "DUR", "EVID", "MDV", "DV", "DVID", "CMT"),
        *("ADDL", "II", "SS", "LLOQ", "CENS", "BLQ", "OCC", "ROUTE"),
    }
)
MISSING = ("", ".", "NA")
SHOWN = 200  # records named for one rule; the rest are counted
_NO_ID = "(missing)"
_SLICE = 100_000


@dataclass(frozen=True, eq=False)
class Table:
    """The records of a file and whose they are.

    Attributes:
        frame: Cells as text or number, null where missing; names in capitals.
        written: DV and TIME as text, as the file wrote them.
        name: What the source is called in messages.
        line: Line of each record in the file, None where it has none.
        digest: SHA-256 of the source.
        units: The text of a "# units:" line, "" without one.
        ids: ID of each run of records, in file order.
        start: First record of each run, and the number of records, shape (subject + 1,).
        problems: What was wrong so far.
        notices: What was odd so far.
    """

    frame: pl.DataFrame
    written: pl.DataFrame
    name: str
    line: np.ndarray | None
    digest: str
    units: str
    ids: tuple[str, ...]
    start: np.ndarray
    problems: tuple[Problem, ...]
    notices: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.frame)

    def has(self, column: str) -> bool:
        """Whether the table has this column."""
        return column in self.frame.columns

    @property
    def order(self) -> np.ndarray:
        """Position of each record in its subject from 0, shape (row,)."""
        return np.arange(len(self)) - np.repeat(self.start[:-1], np.diff(self.start))

    def cell(self, row: int, column: str) -> str:
        """A cell as written, shortened for a message."""
        value = self.frame[column][row] if self.has(column) else None
        text = "" if value is None else str(value)
        return text if len(text) <= 40 else text[:37] + "..."

    def place(self, row: int) -> str:
        """A record's name for a message, such as "subject 12, record 4 (line 31)"."""
        subject = int(np.searchsorted(self.start, row, side="right")) - 1
        record = row - int(self.start[subject]) + 1
        line = f" (line {self.line[row]})" if self.line is not None else ""
        return f"subject {self.ids[subject]}, record {record}{line}"


def read_table(source: Any, *, max_bytes: int = MAX_BYTES) -> Table:
    """Read a CSV file or take a data frame, and find its subjects.

    Args:
        source: Path of a CSV file, or any data frame that narwhals knows.
        max_bytes: Size of a file above which nothing is read.

    Returns:
        The table; what is wrong with it so far is in its `problems`.

    Raises:
        InputError: Nothing that could be called a table, or no column ID to tell subjects by.
    """
    problems: list[Problem] = []
    notices: list[str] = []
    if isinstance(source, str | Path):
        text = read_text(source, max_bytes=max_bytes)
        frame, line, digest, name = text.frame, text.line, text.digest, str(source)
        problems += text.problems
        header, units = text.header, _units_line(text.comments)
    else:
        frame = as_frame(source)
        line, digest, units, name = None, _digest(frame), "", "the data frame"
        header = tuple(frame.columns)
    frame = _named(frame, header, problems, notices)
    frame, written, line = _without_empty_rows(_cleaned(frame), _written(frame), line, notices)
    _require(frame, problems, name)
    ids, start = _runs(frame)
    table = Table(frame, written, name, line, digest, units, ids, start, (), tuple(notices))
    return replace(table, problems=(*problems, *_contiguous(table)))


def as_frame(source: Any) -> pl.DataFrame:
    """Any data frame that narwhals knows as a polars one.

    Raises:
        InputError: It is none, or one with repeated names.
    """
    rule = "A source is the path of a CSV file or a data frame"
    try:
        frame = nw.from_native(source)
        eager = frame.collect() if isinstance(frame, nw.LazyFrame) else frame
        names = eager.columns
    except TypeError:
        found, mend = f"it is a {type(source).__name__}", "Pass a path or a polars or pandas frame"
        raise InputError([Problem("the source", found, rule, mend)]) from None
    except nw.exceptions.NarwhalsError as error:
        found, mend = f"it cannot be used ({error})", "Give every column its own name"
        raise InputError([Problem("the source", found, rule, mend)]) from None
    if eager.implementation.is_polars():
        return eager.to_polars()
    # cell by cell: converting a pandas frame with text as a whole would need pyarrow
    columns = zip(names, eager.iter_columns(), strict=True)
    return pl.DataFrame([_series(str(name), column) for name, column in columns])


def _series(name: str, column: nw.Series[Any]) -> pl.Series:
    if column.dtype.is_float() or column.dtype.is_integer():
        values = column.to_numpy()
        return pl.Series(name, values if values.dtype.kind in "iuf" else column.to_list())
    lost = column.is_null().to_list()
    cells = zip(column.to_list(), lost, strict=True)
    return pl.Series(name, [None if gone else str(cell) for cell, gone in cells], pl.String)


def _digest(frame: pl.DataFrame) -> str:
    frame = frame.select(_plain(frame))
    digest = hashlib.sha256(",".join(frame.columns).encode())
    for part in frame.iter_slices(_SLICE):
        digest.update(part.select(pl.all().cast(pl.String)).write_csv().encode())
    return digest.hexdigest()


def _plain(frame: pl.DataFrame) -> list[str]:
    kinds = frame.schema.items()
    return [name for name, kind in kinds if not (kind.is_nested() or kind.is_object())]


def _units_line(comments: tuple[str, ...]) -> str:
    for comment in comments:
        key, colon, text = comment.lstrip("# \t").partition(":")
        if colon and key.strip().lower() == "units":
            return text.strip()
    return ""


def _named(
    frame: pl.DataFrame, header: tuple[str, ...], problems: list[Problem], notices: list[str]
) -> pl.DataFrame:
    kept: dict[str, str] = {}
    for old, written in zip(frame.columns, header, strict=True):
        name = written.strip().upper()
        if not name:
            notices.append("A column without a name is left out.")
        elif name in kept.values():
            rule = "Every column has its own name, small and capital letters alike"
            found = "the name occurs more than once"
            problems.append(Problem(f"column {name}", found, rule, "Rename or drop one of them"))
        else:
            kept[old] = name
    small = [n for n in header if n.strip().upper() in RESERVED and n.strip() != n.strip().upper()]
    if small:
        notices.append(f"Column names are read as capitals: {', '.join(small)}.")
    plain = set(_plain(frame))
    nested = [new for old, new in kept.items() if old not in plain]
    if nested:
        notices.append(f"Columns left out, since they hold no plain cells: {', '.join(nested)}.")
    return frame.select([pl.col(old).alias(new) for old, new in kept.items() if old in plain])


def _cleaned(frame: pl.DataFrame) -> pl.DataFrame:
    """Text stripped with nulls for missing cells, dates as ISO text, NaN as missing."""
    columns = []
    for name, kind in frame.schema.items():
        column = pl.col(name)
        if kind.is_float():
            columns.append(column.cast(pl.Float64).fill_nan(None))
        elif kind.is_integer():
            columns.append(column)
        elif kind == pl.Boolean:
            columns.append(column.cast(pl.Int8))
        else:
            column = column.cast(pl.Date) if kind == pl.Datetime and name == "DATE" else column
            text = column.cast(pl.String).str.strip_chars()
            columns.append(pl.when(text.is_in(MISSING)).then(None).otherwise(text).alias(name))
    return frame.select(columns)


def _written(frame: pl.DataFrame) -> pl.DataFrame:
    columns = [c for c in ("DV", "TIME") if c in frame.columns]
    floats = [pl.col(c).fill_nan(None) for c in columns if frame.schema[c].is_float()]
    text = pl.all().cast(pl.String).str.strip_chars().fill_null("")
    return frame.select(columns).with_columns(floats).with_columns(text)


def _without_empty_rows(
    frame: pl.DataFrame, written: pl.DataFrame, line: np.ndarray | None, notices: list[str]
) -> tuple[pl.DataFrame, pl.DataFrame, np.ndarray | None]:
    empty = frame.select(pl.all_horizontal(pl.all().is_null())).to_series().to_numpy()
    if not empty.any():
        return frame, written, line
    notices.append(f"{empty.sum()} records without a single value are left out.")
    kept = pl.Series(~empty)
    return frame.filter(kept), written.filter(kept), None if line is None else line[~empty]


def _require(frame: pl.DataFrame, problems: list[Problem], name: str) -> None:
    for column in REQUIRED:
        if column not in frame.columns:
            rule = f"A table has the columns {', '.join(REQUIRED)}"
            mend = f"Add {column}, or rename the column that holds it"
            problems.append(Problem(f"column {column}", "it is missing", rule, mend))
    if len(frame) == 0:
        rule = "A table holds records of doses and levels"
        problems.append(Problem("records", "there are none", rule, "Add records below the header"))
    if len(frame) == 0 or "ID" not in frame.columns:
        raise InputError(problems, source=name)


def _runs(frame: pl.DataFrame) -> tuple[tuple[str, ...], np.ndarray]:
    ids = frame["ID"]
    if ids.dtype.is_float() and (ids.drop_nulls() % 1 == 0).all():
        ids = ids.cast(pl.Int64)  # a whole number stays one, though a frame made it a float
    ids = ids.cast(pl.String).fill_null(_NO_ID)
    new = (ids != ids.shift()).fill_null(True).to_numpy()
    first = np.flatnonzero(new)
    return tuple(ids.gather(first).to_list()), np.append(first, len(ids))


def _contiguous(table: Table) -> list[Problem]:
    seen: set[str] = set()
    problems = []
    for name, row in zip(table.ids, table.start[:-1].tolist(), strict=True):
        lost, again = name == _NO_ID, name in seen
        seen.add(name)
        if not (lost or again):
            continue
        if len(problems) == SHOWN:  # a file sorted by TIME breaks the rule in every record
            rule, mend = "The records of a subject stand together", "Sort by ID and TIME"
            problems.append(Problem("column ID", "more records like these", rule, mend))
            break
        where = f"{table.place(row)}, column ID"
        if lost:
            rule, mend = "Every record belongs to a subject", "Fill in ID"
            problems.append(Problem(where, "ID is missing", rule, mend))
        else:
            found = f"subject {name} comes back after records of another subject"
            rule, mend = "The records of a subject stand together", "Sort by ID and TIME"
            problems.append(Problem(where, found, rule, mend))
    return problems
