"""Save a bundle: the old one or the new one, never half."""

import contextlib
import hashlib
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from latentpk.errors import InputError, Problem
from latentpk.storage import layout
from latentpk.storage.files import disk_errors, fresh, patiently, sync_folder, temporary_name

_ABANDONED = 3600.0  # s without change after which a temporary folder's writer is taken for dead


def write_bundle(
    folder: str | Path,
    *,
    kind: str,
    schema: int,
    manifest: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    parts: Mapping[str, bytes] | None = None,
) -> str:
    """Save a bundle so that every reader finds either the earlier one or this one, whole.

    Processes that save to one folder take turns. Assumes a file system whose rename is atomic.

    Args:
        folder: Where; made (with its parents) if absent, swapped if it holds a bundle.
        kind: What the bundle is, such as "profile-vae".
        schema: Version of the manifest's and arrays' meaning.
        manifest: A dict of JSON values: finite numbers, string keys; tuples become lists.
        arrays: Arrays of numbers or booleans by name.
        parts: Binary parts by file name, such as "forest.ubj".

    Returns:
        The bundle's seal: sha256 of its whole content.

    Raises:
        InputError: The folder holds something else, or the content cannot be stored.
        ArtifactError: The disk refused; an earlier bundle is as it was.

    Example:
        >>> import tempfile
        >>> from latentpk.storage import read_bundle
        >>> place = Path(tempfile.mkdtemp()) / "model"
        >>> seal = write_bundle(place, kind="toy", schema=1, manifest={"drug": "vancomycin"},
        ...                     arrays={"theta": np.array([4.5, 58.4])})
        >>> read_bundle(place, kind="toy", schema=1).arrays["theta"]
        array([ 4.5, 58.4])
    """
    named = {layout.ARRAYS: _serialize(arrays), **_checked_parts(parts or {})}
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in named.items()}
    files = {layout.data_name(name, hashes[name]): data for name, data in named.items()}
    entries = {name: {"bytes": len(named[name]), "sha256": hashes[name]} for name in named}
    body = {"format": layout.FORMAT, "kind": kind, "schema": schema, "files": entries}
    body["manifest"] = _plain(manifest, "manifest")
    seal = layout.seal(body)
    text = json.dumps({**body, "seal": seal}, indent=1).encode() + b"\n"
    _check_sizes(text, named)
    _place(Path(os.path.realpath(folder)), files, text)
    return seal


def remove_bundle(folder: str | Path) -> None:
    """Remove a bundle and its folder; an absent one is fine.

    The manifest goes first, so that no reader finds half a bundle.

    Args:
        folder: A bundle's folder.

    Raises:
        InputError: The folder holds something else; nothing was removed.
        ArtifactError: The disk refused.
    """
    folder = Path(folder)
    with disk_errors(folder):
        if not _occupied(folder):
            return
        (folder / layout.MANIFEST).unlink(missing_ok=True)
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


# Content to bytes


def _serialize(arrays: Mapping[str, np.ndarray]) -> bytes:
    plain: dict[str, np.ndarray] = {}
    for name, value in arrays.items():
        array = np.asarray(value)
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8 or name == "__metadata__":
            rule = "An array holds booleans, integers or floats of at most 8 bytes"
            raise _fault(f"array {name!r}", f"dtype {array.dtype}", rule, "Convert or rename it")
        # safetensors writes the buffer as it lies, so it must lie in C order, little-endian.
        plain[name] = np.array(array, dtype=array.dtype.newbyteorder("<"), order="C")
    return save(plain)


def _checked_parts(parts: Mapping[str, bytes]) -> dict[str, bytes]:
    for name in parts:
        if not layout.PART_NAME.fullmatch(name) or name == layout.ARRAYS:
            rule = "A part's name is lower case with one suffix, such as forest.ubj"
            raise _fault(f"part {name!r}", "a name that cannot be stored", rule, "Rename it")
    return {name: bytes(data) for name, data in parts.items()}


def _plain(value: Any, where: str) -> Any:
    """The value as JSON gives it back; refuses what JSON would lose or change."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                found = f"the key {key!r}"
                raise _fault(where, found, "A JSON object's keys are strings", "Convert it")
        return {key: _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value) if isinstance(value, float) else int(value)  # sheds numpy's subclass
    rule = "A manifest holds strings, finite numbers, true, false and null"
    raise _fault(where, repr(value), rule, "Convert it, or store it as an array")


def _check_sizes(text: bytes, named: Mapping[str, bytes]) -> None:
    sizes = [len(data) for data in named.values()]
    limits = (
        ("manifest", len(text), layout.MANIFEST_LIMIT, "bytes"),
        ("largest file", max(sizes), layout.FILE_LIMIT, "bytes"),
        ("all files", sum(sizes), layout.TOTAL_LIMIT, "bytes"),
        ("parts", len(sizes), layout.COUNT_LIMIT // 2, "files"),  # the folder may hold two saves
    )
    for where, size, limit, unit in limits:
        if size > limit:
            rule = f"At most {limit} {unit} can be read back"
            raise _fault(where, f"{size} {unit}", rule, "Store less")


# Bytes to the folder


def _place(target: Path, files: Mapping[str, bytes], text: bytes) -> None:
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if not _occupied(target) and _create(target, files, text):
            return
        with _turn(target):
            _swap(target, files, text)


def _occupied(target: Path) -> bool:
    """Whether the place is taken; refused unless by a bundle or by an empty folder."""
    if not target.exists():
        return False
    if not target.is_dir():
        raise _fault(str(target), "a file", "A model is a folder", "Choose another name")
    foreign = sorted(path.name for path in target.iterdir() if not layout.is_expected(path.name))
    manifest = target / layout.MANIFEST
    if not foreign and manifest.exists():
        with manifest.open("rb") as file:  # another program's manifest.json is not ours to replace
            foreign = [] if layout.FORMAT.encode() in file.read(200) else [layout.MANIFEST]
    if foreign:
        found = f"a folder with other files ({', '.join(foreign[:3])})"
        rule = "A model is saved to a new folder or over another model"
        raise _fault(str(target), found, rule, "Choose another folder")
    return True


def _create(target: Path, files: Mapping[str, bytes], text: bytes) -> bool:
    """Save to a free place by one rename; False where another writer took it meanwhile."""
    for path in target.parent.glob(f".{target.name}.*.tmp"):
        if layout.is_temporary(path.name) and _abandoned(path):
            shutil.rmtree(path, ignore_errors=True)
    temporary = temporary_name(target)
    try:
        temporary.mkdir()
        _fill(temporary, files, text)
        patiently(lambda: temporary.rename(target))
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        if target.is_dir():
            return False
        raise
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(target.parent)
    return True


def _abandoned(path: Path) -> bool:
    try:
        return time.time() - path.lstat().st_mtime > _ABANDONED
    except FileNotFoundError:  # another writer has just renamed it into its place
        return False


def _swap(target: Path, files: Mapping[str, bytes], text: bytes) -> None:
    """Put a new manifest in the old one's place; the caller holds the folder's lock."""
    before = {path.name for path in target.iterdir()}
    try:
        _fill(target, files, text)
    except BaseException:
        if not _holds(target / layout.MANIFEST, text):  # an interrupt may come after the rename
            for name in files.keys() - before:
                with contextlib.suppress(OSError):
                    (target / name).unlink(missing_ok=True)
        raise
    for name in before:
        if layout.is_stale(name, files):
            with contextlib.suppress(OSError):  # held open by a reader: the next save removes it
                (target / name).unlink()


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except OSError:
        return False


def _fill(folder: Path, files: Mapping[str, bytes], text: bytes) -> None:
    for name, data in files.items():
        with fresh(folder / name) as file:
            file.write(data)
    sync_folder(folder)  # data must be on disk before the manifest that names it
    with fresh(folder / layout.MANIFEST) as file:
        file.write(text)
    sync_folder(folder)


@contextlib.contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """One writer at a time; the system frees the lock of a process that dies."""
    if sys.platform == "win32":
        import msvcrt

        with (folder / layout.LOCK).open("wb") as file:
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
            yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks: one writer is assumed
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _fault(where: str, found: str, rule: str, mend: str) -> InputError:
    return InputError([Problem(where, found, rule, mend)], source="what is to be saved")
