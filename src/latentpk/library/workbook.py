"""An Excel workbook of a data set to its canonical table.

The first sheet is read: cells of its first filled row are the header. Cells are taken as stored, so
a number is the float it was saved as: readers that go by text round it.
"""

import importlib
import io
import math
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from latentpk.errors import ArtifactError, LatentPKError
from latentpk.library.datasets import DataFile

Row = Sequence[Any]

MISSING = ("", ".", "na", "n/a", "#n/a", "nan")


def workbook_reader() -> ModuleType:
    """The library that reads workbooks.

    Raises:
        LatentPKError: It is not installed.
    """
    try:
        return importlib.import_module("openpyxl")
    except ImportError:
        raise LatentPKError(
            "A workbook is read with openpyxl, which is not installed. "
            'Install it: pip install "latentpk[data]".'
        ) from None


def read_workbook(data: bytes, file: DataFile) -> list[Row]:
    """Read the rows of a workbook.

    Args:
        data: The workbook's bytes.
        file: The file that is made of it.

    Returns:
        Its rows without the header, cells in the order of the file's columns.

    Raises:
        ArtifactError: It is no workbook, or lacks a column.
        LatentPKError: Nothing here reads workbooks.
    """
    reader = workbook_reader()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and validation, which hold no values
            book = reader.load_workbook(io.BytesIO(data), data_only=True)
        rows = list(book.worksheets[0].iter_rows(values_only=True))
    except Exception as error:  # a damaged workbook fails in any part of the reader
        found = f"{error.__class__.__name__}: {error}"
        raise _refused(file, f"it cannot be read as a workbook ({found})") from error
    rows = [row for row in rows if any(_text(cell) for cell in row)]
    if not rows:
        raise _refused(file, "its first sheet is empty")
    places = _places(rows[0], file)
    return [tuple(row[place] for place in places) for row in rows[1:]]


def _places(header: Row, file: DataFile) -> list[int]:
    """Where in a row each column stands."""
    if file.by_position:
        if len(header) < len(file.columns):
            raise _refused(file, f"it has {len(header)} columns, not {len(file.columns)}")
        return list(range(len(file.columns)))
    names = [_text(cell).lower() for cell in header]
    absent = [name for name in file.columns if name.lower() not in names]
    if absent:
        raise _refused(file, f"columns are missing: {', '.join(absent)}")
    return [names.index(name.lower()) for name in file.columns]


def canonical_table(rows: Sequence[Row], file: DataFile) -> bytes:
    """The canonical content of a table, as `DataFile` defines it.

    Assumes that an empty ID is that of the row above, as merged cells leave it.

    Args:
        rows: Cells in the order of the file's columns.
        file: What the table is.

    Returns:
        The file's bytes.

    Raises:
        ArtifactError: A row has no whole number as ID, or no number as TIME.
    """
    keyed, last = [], ""
    timed = "TIME" in file.columns
    for row in rows:
        first, *others = (_text(cell) for cell in row)
        last = first or last
        try:
            key = (int(float(last)), float(others[0]) if timed else 0.0)
        except (ValueError, OverflowError):
            where = f"ID {last!r}" + (f", TIME {others[0]!r}" if timed else "")
            raise _refused(file, f"a row cannot be placed ({where})") from None
        keyed.append((key, ",".join([str(key[0]), *others])))
    keyed.sort(key=lambda one: one[0])  # stable: what is equal keeps its order
    lines = [",".join(file.columns), *(line for _, line in keyed)]
    return "".join(f"{line}\n" for line in lines).encode()


def _text(cell: Any) -> str:
    """A cell's canonical text."""
    text = "" if cell is None else str(cell).strip()
    if text.lower() in MISSING:
        return ""
    try:
        value = float(text)
    except ValueError:
        return text
    return repr(value) if math.isfinite(value) else text


def _refused(file: DataFile, found: str) -> ArtifactError:
    return ArtifactError(
        f"The workbook of {file.name} ({file.source}) is not the published one: {found}. "
        "Nothing was written."
    )
