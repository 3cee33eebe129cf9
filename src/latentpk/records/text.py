"""A file's bytes to a frame of text: every check that comes before a column has a meaning."""

import csv
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from latentpk.errors import InputError, Problem

MAX_BYTES = 2 << 30
MAX_LINE = 1 << 20  # bytes; a longer line is no record
_CHUNK = 1 << 23
_RULE = "A data file is a CSV table in UTF-8 with one header line"
_MISSING_MEND = "Check the path"


@dataclass(frozen=True)
class Text:
    """A file's cells before they mean anything.

    Attributes:
        frame: Every cell as text, null where empty; columns are numbered.
        header: The header's names as written.
        line: Line of each record in the file, from 1; None where quoted cells hold line breaks.
        comments: Lines that start with "#", before or after the header.
        digest: SHA-256 of the file.
        problems: Lines whose number of fields is not the header's; they are left out of `frame`.
    """

    frame: pl.DataFrame
    header: tuple[str, ...]
    line: np.ndarray | None
    comments: tuple[str, ...]
    digest: str
    problems: tuple[Problem, ...]


def read_text(path: str | Path, *, max_bytes: int = MAX_BYTES) -> Text:
    """Read a CSV file as text.

    Args:
        path: The file.
        max_bytes: Size above which nothing is read.

    Returns:
        Its header and cells.

    Raises:
        InputError: Absent, a directory, too large, empty, binary, not UTF-8, without records.
    """
    path = Path(path)
    data = _read(path, max_bytes)
    digest = hashlib.sha256(data).hexdigest()
    _refuse_foreign(path, data)
    data = data.removeprefix(b"\xef\xbb\xbf")
    if b"\n" not in data:
        data = data.replace(b"\r", b"\n")  # line ends of old Macintosh files
    start, comments, skipped = _header_start(path, data)
    end = data.find(b"\n", start)
    end = len(data) if end < 0 else end
    separator, header = _header(path, data[start:end].decode())
    return _body(path, data[end + 1 :], header, separator, (comments, skipped + 2, digest))


def _refuse(path: Path, found: str, rule: str, mend: str, *, line: int | None = None) -> InputError:
    where = f"file {path.name}" + (f", line {line}" if line is not None else "")
    return InputError([Problem(where, found, rule, mend)], source=str(path))


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        if path.is_dir():
            raise _refuse(path, "it is a directory", _RULE, "Name a file inside it")
        data = bytearray()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                data += chunk
                if len(data) > max_bytes:
                    rule, mend = f"At most {max_bytes} bytes are read", "Split the file"
                    raise _refuse(path, "it is larger than that", rule, mend)
    except InputError:
        raise  # it is a ValueError too
    except FileNotFoundError:
        raise _refuse(path, "there is no such file", _RULE, _MISSING_MEND) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL inside the path
        found = f"it cannot be opened ({error.__class__.__name__})"
        raise _refuse(path, found, "A data file must be readable", _MISSING_MEND) from None
    return bytes(data)


def _refuse_foreign(path: Path, data: bytes) -> None:
    if not data.strip():
        raise _refuse(path, "it is empty", _RULE, "Write a header line and records into it")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise _refuse(path, "its encoding is UTF-16", _RULE, "Save it as UTF-8")
    nul = data.find(b"\0")
    if nul >= 0:
        mend = "Export the table as CSV"
        raise _refuse(path, f"it is binary (a zero byte at offset {nul})", _RULE, mend)
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{data[error.start]:02X} is not UTF-8"
        raise _refuse(path, found, _RULE, "Save it as UTF-8", line=line) from None
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == 10)
    lengths = np.diff(np.concatenate([[-1], ends, [len(data)]]))
    if lengths.max() > MAX_LINE:
        found, line = f"a line of {lengths.max() - 1} bytes", int(lengths.argmax()) + 1
        mend = "Check that the file has line ends"
        raise _refuse(path, found, f"A line has at most {MAX_LINE} bytes", mend, line=line)


def _header_start(path: Path, data: bytes) -> tuple[int, tuple[str, ...], int]:
    """Offset of the header, the comments above it, and the number of lines above it."""
    start, comments, count = 0, [], 0
    while start < len(data):
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        line = data[start:end].strip()
        if line and not line.startswith(b"#"):
            return start, tuple(comments), count
        if line:
            comments.append(line.decode())
        start, count = end + 1, count + 1
    raise _refuse(path, "it holds only comments", _RULE, "Write a header line and records into it")


def _header(path: Path, line: str) -> tuple[str, tuple[str, ...]]:
    separator = max(",;\t", key=line.count)
    try:
        cells = next(csv.reader([line.strip("\r")], delimiter=separator))
    except csv.Error as error:
        found, mend = f"its header cannot be read ({error})", "Check its line ends and quotes"
        raise _refuse(path, found, _RULE, mend) from None
    names = tuple(name.strip() for name in cells)
    if all(_is_number(name) for name in names):
        mend = "Put the column names, ID,TIME,AMT,DV and so on, into the first line"
        raise _refuse(path, "its first line holds numbers", _RULE, mend, line=1)
    return separator, names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text in ("", ".")
    return True


def _body(
    path: Path,
    body: bytes,
    header: tuple[str, ...],
    separator: str,
    above: tuple[tuple[str, ...], int, str],
) -> Text:
    comments, first, digest = above
    plain = b'"' not in body
    starts, fields = _fields(body, separator)
    comment = np.frombuffer(body, np.uint8)[starts] == ord("#")
    comments += tuple(_line(body, starts, int(i)) for i in np.flatnonzero(comment)[:100])
    blank = np.zeros(len(starts), bool)
    for i in np.flatnonzero(fields == 1):
        blank[i] = not _line(body, starts, int(i))
    # inside quotes a separator or line end is text, so there the parser has to count
    ragged = (fields != len(header)) & ~comment & ~blank & plain
    good = ~(comment | blank | ragged)
    frame = _cells(path, _join(body, starts, good), len(header), separator)
    line = np.flatnonzero(good) + first
    problems = tuple(
        Problem(
            f"line {first + i}",
            f"{fields[i]} field{'s' if fields[i] != 1 else ''}",
            f"The header has {len(header)}, and so must every line",
            "Add or remove separators",
        )
        for i in np.flatnonzero(ragged)[:1000]
    )
    return Text(
        frame, header, line if len(line) == len(frame) else None, comments, digest, problems
    )


def _join(body: bytes, starts: np.ndarray, good: np.ndarray) -> bytes:
    if good.all():
        return body
    ends = [*starts[1:].tolist(), len(body)]
    lines = [body[starts[i] : ends[i]] for i in np.flatnonzero(good)]
    return b"".join(lines)


def _fields(body: bytes, separator: str) -> tuple[np.ndarray, np.ndarray]:
    """Start of each line and its number of fields; a trailing line end starts no line."""
    octets = np.frombuffer(body, np.uint8)
    ends = np.flatnonzero(octets == 10)
    starts = np.concatenate([[0], ends + 1]).astype(np.int64)
    starts = starts[starts < len(octets)]
    if not len(starts):
        return starts, np.zeros(0, np.int64)
    separators = octets == ord(separator)
    return starts, np.add.reduceat(separators, starts, dtype=np.int64) + 1


def _line(body: bytes, starts: np.ndarray, index: int) -> str:
    end = starts[index + 1] if index + 1 < len(starts) else len(body)
    return bytes(body[starts[index] : end]).decode().strip()


def _cells(path: Path, body: bytes, width: int, separator: str) -> pl.DataFrame:
    names = [str(i) for i in range(width)]
    if not body.strip():
        return pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    head = (separator.join(names) + "\n").encode()
    try:
        return pl.read_csv(io.BytesIO(head + body), infer_schema=False, separator=separator)
    except pl.exceptions.PolarsError as error:
        found = f"it cannot be read as a table ({str(error).splitlines()[0]})"
        raise _refuse(path, found, _RULE, "Check its quotes and line ends") from None
