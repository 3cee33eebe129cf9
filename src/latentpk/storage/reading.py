"""Load a bundle, trusting nothing in its folder."""

import hashlib
import itertools
import json
import math
import os
import re
import stat
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from latentpk.errors import ArtifactError, Problem
from latentpk.storage import layout
from latentpk.storage.layout import Bundle

_ENVELOPE = {
    "format": str,
    "kind": str,
    "schema": int,
    "files": dict,
    "manifest": dict,
    "seal": str,
}
_RESTORE = "Restore the folder from a copy, or make it anew"
_ATTEMPTS = 100


def read_bundle(folder: str | Path, *, kind: str, schema: int) -> Bundle:
    """Load a bundle.

    Sizes are bounded before anything is read, every file's hash is compared, and links, unknown
    files, repeated JSON keys and numbers JSON does not have are refused.

    Args:
        folder: A folder written by `write_bundle`.
        kind: The kind it must be.
        schema: The schema it must have.

    Returns:
        The bundle.

    Raises:
        ArtifactError: The folder is absent, damaged, foreign, or of another kind or version.
    """
    folder = Path(folder)
    for _ in range(_ATTEMPTS):
        before = _version(folder)
        try:
            return _load(folder, kind, schema)
        except ArtifactError:
            if _version(folder) == before:
                raise
            # A writer swapped the bundle under this reader: read the new one.
    found = f"changed during each of {_ATTEMPTS} readings"
    mend = "Stop the program that keeps saving it"
    raise _fault(folder, found, "A model must rest to be read", mend)


def read_kind(folder: str | Path) -> str | None:
    """What a folder says it holds, None where it says nothing; `read_bundle` checks it."""
    try:
        kind = _parse(Path(folder) / layout.MANIFEST).get("kind")
    except ArtifactError:
        return None
    return kind if isinstance(kind, str) else None


def _version(folder: Path) -> tuple[int, int] | None:
    """Tells one manifest from its successor, also where both say the same."""
    try:
        status = (folder / layout.MANIFEST).lstat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _load(folder: Path, kind: str, schema: int) -> Bundle:
    _check_names(folder)
    document = _parse(folder / layout.MANIFEST)
    _check_envelope(folder, document, kind, schema)
    data = _read_data(folder, document["files"])
    arrays = _deserialize(folder, data.pop(layout.ARRAYS))
    return Bundle(document["manifest"], arrays, data, document["seal"])


def _check_names(folder: Path) -> None:
    try:
        with os.scandir(folder) as listing:
            entries = list(itertools.islice(listing, layout.COUNT_LIMIT + 1))
    except OSError as error:
        found = f"cannot be opened: {error.strerror}"
        raise _fault(folder, found, "A model is a folder", "Check the name") from error
    if len(entries) > layout.COUNT_LIMIT:
        found = f"more than {layout.COUNT_LIMIT} entries"
        raise _fault(folder, found, "A model holds few files", "Check the name")
    for entry in entries:
        place = folder / entry.name
        if entry.is_symlink():
            rule = "A model's files are its own"
            raise _fault(place, "a link", rule, "Put the file itself in its place")
        if not layout.is_expected(entry.name):
            rule = "A model's folder holds nothing but the model"
            raise _fault(place, "not part of a model", rule, "Move it elsewhere")
    if layout.MANIFEST not in {entry.name for entry in entries}:
        rule = f"A model's folder has a {layout.MANIFEST}"
        raise _fault(folder, f"no {layout.MANIFEST}", rule, "Check the name")


def _read(path: Path, limit: int) -> bytes:
    """A regular file's bytes, never more than the limit, never through a link."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):  # opening a pipe would wait for ever
            raise _fault(path, "no regular file", "A model's files are plain files", _RESTORE)
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(path, flags), "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        found = f"cannot be read: {error.strerror}"
        raise _fault(path, found, "A model is read whole or not at all", _RESTORE) from error
    if len(data) > limit:
        found = f"more than {limit} bytes"
        raise _fault(path, found, "No more than that belongs there", _RESTORE)
    return data


def _parse(path: Path) -> dict[str, Any]:
    text = _read(path, layout.MANIFEST_LIMIT)
    try:
        document = json.loads(
            text.decode(),
            object_pairs_hook=_unique,
            parse_constant=_finite,
            parse_float=_finite,
        )
    except (ValueError, RecursionError) as error:
        found = f"no strict JSON: {error}"
        raise _fault(path, found, "A manifest is strict JSON", _RESTORE) from error
    if not isinstance(document, dict):
        raise _fault(path, "no JSON object", "A manifest is a JSON object", _RESTORE)
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return result


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is no finite number")
    return value


def _check_envelope(folder: Path, document: dict[str, Any], kind: str, schema: int) -> None:
    path = folder / layout.MANIFEST
    if document.get("format") != layout.FORMAT:
        found = f"format {str(document.get('format'))[:40]!r}"
        rule = f"This version reads {layout.FORMAT}"
        mend = "Check that the folder is a LatentPK model, or upgrade LatentPK"
        raise _fault(path, found, rule, mend)
    wrong = [name for name, type_ in _ENVELOPE.items() if type(document.get(name)) is not type_]
    if wrong or document.keys() != _ENVELOPE.keys():
        names = wrong or sorted(document.keys() ^ _ENVELOPE.keys())
        found = f"fields missing, unknown or of a wrong type ({', '.join(names)[:80]})"
        raise _fault(path, found, f"A manifest has {', '.join(_ENVELOPE)}", _RESTORE)
    stated = document["seal"]
    if layout.seal({name: document[name] for name in _ENVELOPE if name != "seal"}) != stated:
        raise _fault(path, "altered after it was saved", "The seal covers the manifest", _RESTORE)
    if document["kind"] != kind:
        found, mend = f"kind {document['kind'][:40]!r}", "Open it with the command for its kind"
        raise _fault(path, found, f"Here a model of kind {kind!r} is read", mend)
    if document["schema"] != schema:
        newer = document["schema"] > schema
        mend = "Upgrade LatentPK" if newer else "Fit it anew, or use the version that saved it"
        found = f"schema {document['schema']}"
        raise _fault(path, found, f"This version of LatentPK reads schema {schema}", mend)


def _read_data(folder: Path, entries: dict[str, Any]) -> dict[str, bytes]:
    manifest = folder / layout.MANIFEST
    for name, entry in entries.items():
        if not layout.PART_NAME.fullmatch(name) or not _is_entry(entry):
            found, rule = f"entry {name[:80]!r}", "An entry states a file's bytes and sha256"
            raise _fault(manifest, found, rule, _RESTORE)
    total = sum(entry["bytes"] for entry in entries.values())
    if layout.ARRAYS not in entries or total > layout.TOTAL_LIMIT:
        rule = f"A model has {layout.ARRAYS} and at most {layout.TOTAL_LIMIT} bytes"
        raise _fault(manifest, f"{total} bytes in {sorted(entries)[:5]}", rule, _RESTORE)
    data: dict[str, bytes] = {}
    for name, entry in entries.items():
        path = folder / layout.data_name(name, entry["sha256"])
        data[name] = _read(path, entry["bytes"])
        if hashlib.sha256(data[name]).hexdigest() != entry["sha256"]:
            rule = "A file's sha256 is the one in the manifest"
            raise _fault(path, "altered or cut short after it was saved", rule, _RESTORE)
    return data


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and entry.keys() == {"bytes", "sha256"}
        and type(entry["bytes"]) is int
        and 0 <= entry["bytes"] <= layout.FILE_LIMIT
        and isinstance(entry["sha256"], str)
        and re.fullmatch(r"[0-9a-f]{64}", entry["sha256"]) is not None
    )


def _deserialize(folder: Path, data: bytes) -> dict[str, np.ndarray]:
    try:
        arrays = load(data)
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        found = f"no arrays: {str(error)[:80]}"
        raise _fault(folder, found, "Arrays are stored as safetensors", _RESTORE) from error
    # A copy is aligned and may be written to; what safetensors gives is a view of the file.
    return {name: np.array(array) for name, array in arrays.items()}


def _fault(where: Path, found: str, rule: str, mend: str) -> ArtifactError:
    return ArtifactError(str(Problem(str(where), found, rule, mend)))
