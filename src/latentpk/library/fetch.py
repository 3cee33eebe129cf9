"""Get a data set: from a copy on this machine if there is one, else from its authors' repository.

Everything is checked before anything is written. The download was written and tested without a
network: the authors' workbooks themselves were never read by it. A workbook that holds the same
values as the copies that the SHA-256 were computed from gives the same bytes; any other is refused.
"""

import hashlib
import http.client
import os
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentpk.errors import ArtifactError, InputError, LatentPKError, Problem
from latentpk.library.datasets import DataFile, DataSet, find_dataset
from latentpk.library.workbook import canonical_table, read_workbook, workbook_reader
from latentpk.storage import write_file

MAX_BYTES = 8 << 20
TIMEOUT = 30.0  # s without an answer
_CHUNK = 1 << 16
_NOTHING = "Nothing was written"

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Fetched:
    """What was written.

    Attributes:
        dataset: The data set.
        files: The files, in its order.
        origin: Where they come from, in words.
        notices: What is not there, and licences that differ.
    """

    dataset: DataSet
    files: tuple[Path, ...]
    origin: str
    notices: tuple[str, ...]


def data_folder() -> Path | None:
    """The folder that the variable LATENTPK_DATA names, None where it is not set."""
    named = os.environ.get("LATENTPK_DATA", "")
    return Path(named) if named else None


def fetch_dataset(
    name: str, folder: str | Path, *, local: Path | None = None, progress: Progress | None = None
) -> Fetched:
    """Get a data set and write its files into a folder.

    Args:
        name: A name of `list_datasets()`.
        folder: Where the files go; made if absent.
        local: A folder that may hold a copy, such as `data_folder()` names.
        progress: Told of downloads as (KiB done, KiB in all, file).

    Returns:
        What was written, from where.

    Raises:
        InputError: No such data set, or the folder holds other files by these names.
        ArtifactError: A copy or download is not the data set, or the disk refused.
        LatentPKError: A download failed, or nothing here reads workbooks.
    """
    dataset, folder = find_dataset(name), Path(folder)
    _refuse_others(dataset, folder)
    copy = None if local is None else local / dataset.folder
    notices: list[str] = []
    if copy is not None and all((copy / f.name).is_file() for f in dataset.files if f.workbook):
        contents, origin = _copied(dataset, copy, notices), f"copied from {copy}"
    else:
        contents = _downloaded(dataset, progress or _silent, notices)
        origin = "downloaded from the authors' repository"
    for file, data in contents.items():
        write_file(folder / file, data)
    return Fetched(dataset, tuple(folder / file for file in contents), origin, tuple(notices))


def _silent(done: int, total: int, label: str) -> None:
    """Nobody watches."""


def _refuse_others(dataset: DataSet, folder: Path) -> None:
    """A file of another content may be somebody's work: it is not replaced."""
    if folder.exists() and not folder.is_dir():
        rule, mend = "A data set is written into a folder", "Name a folder"
        raise InputError([Problem(str(folder), "a file", rule, mend)], source="the request")
    problems = []
    for file in dataset.files:
        path = folder / file.name
        if path.exists() and not (path.is_file() and _digest(path.read_bytes()) == file.sha256):
            rule, mend = "What is there is not replaced", "Name another folder, or move it away"
            problems.append(Problem(str(path), "of other content", rule, mend))
    if problems:
        raise InputError(problems, source="the folder")


def _copied(dataset: DataSet, copy: Path, notices: list[str]) -> dict[str, bytes]:
    contents = {}
    for file in dataset.files:
        path = copy / file.name
        if not path.is_file():
            notices.append(f"{file.name} is not in {copy}; it is made from {file.source}.")
            continue
        data = path.read_bytes()
        if _digest(data) != file.sha256:
            mend = "Replace the copy by the published one, or unset LATENTPK_DATA to download"
            raise _differs(str(path), file, _digest(data), mend)
        contents[file.name] = data
        if file.licence != dataset.files[0].licence:
            notices.append(f"{file.name} is under {file.licence}: made from {file.source}.")
    return contents


def _downloaded(dataset: DataSet, progress: Progress, notices: list[str]) -> dict[str, bytes]:
    wanted = [file for file in dataset.files if file.workbook]
    workbook_reader()  # before the network is troubled
    contents = {}
    for file in wanted:
        answer = _answer(file, f"{dataset.folder}/{file.name}", progress)
        data = canonical_table(read_workbook(answer, file), file)
        if _digest(data) != file.sha256:
            mend = "The authors' file may have changed: tell the maintainers"
            raise _differs(f"{file.name}, made from {file.source}", file, _digest(data), mend)
        contents[file.name] = data
    notices += [
        f"{file.name} ({file.licence}) is not downloaded; it is made from {file.source}."
        for file in dataset.files
        if not file.workbook
    ]
    return contents


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _differs(where: str, file: DataFile, found: str, mend: str) -> ArtifactError:
    rule = f"The published content has {file.sha256}. {_NOTHING}"
    return ArtifactError(str(Problem(where, f"its SHA-256 is {found}", rule, mend)))


class _Straight(urllib.request.HTTPRedirectHandler):
    """Follows no redirection: a pinned address answers itself or not at all."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _open(url: str) -> Any:
    """An answer that can be read in pieces; the seam where tests stand in for the network."""
    opener = urllib.request.build_opener(_Straight)
    request = urllib.request.Request(url, headers={"User-Agent": "latentpk"})  # noqa: S310  https only, below
    return opener.open(request, timeout=TIMEOUT)


def _answer(file: DataFile, place: str, progress: Progress) -> bytes:
    """What a file's address answers, at most 8 MiB; `place` is where a copy of it would lie."""
    url, label = file.source, f"{file.name}, KiB"
    if not url.startswith("https://"):
        raise LatentPKError(f"{url} is not read: only https is. {_NOTHING}.")
    data = bytearray()
    try:
        with _open(url) as answer:
            total = _length(answer.headers)
            while len(data) <= MAX_BYTES and (chunk := answer.read(_CHUNK)):
                data += chunk
                progress(len(data) >> 10, max(total, len(data)) >> 10, label)
    except (OSError, http.client.HTTPException) as error:
        raise LatentPKError(
            f"{url} could not be downloaded ({error}). {_NOTHING}. Try again, or let the "
            f"variable LATENTPK_DATA name a folder that holds {place}."
        ) from error
    if len(data) > MAX_BYTES:
        raise ArtifactError(f"{url} is larger than {MAX_BYTES >> 20} MiB. {_NOTHING}.")
    return bytes(data)


def _length(headers: Mapping[str, str]) -> int:
    """Bytes that an answer promises; the most that is read where it does not say."""
    text = headers.get("Content-Length") or ""
    return min(int(text), MAX_BYTES) if text.isdecimal() else MAX_BYTES
