"""What a bundle's folder may hold: names, limits, and the seal over its content."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

FORMAT = "latentpk-bundle-1"
MANIFEST = "manifest.json"
ARRAYS = "arrays.safetensors"
LOCK = ".lock"  # where a folder itself cannot be locked

MANIFEST_LIMIT = 16 * 2**20  # bytes
FILE_LIMIT = 2**30  # bytes, arrays or one part
TOTAL_LIMIT = 2 * 2**30  # bytes, all data files
COUNT_LIMIT = 256  # parts of a bundle; entries of a folder

PART_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\.[a-z0-9]{1,16}")
_DATA_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}-[0-9a-f]{16}\.[a-z0-9]{1,16}")
_TEMPORARY_NAME = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")
_DESKTOP = (".DS_Store", "Thumbs.db", "desktop.ini")  # left by looking at a folder


@dataclass(frozen=True, eq=False)
class Bundle:
    """What a folder holds.

    Attributes:
        manifest: The JSON dict that was saved.
        arrays: Arrays by name.
        parts: Binary parts by name.
        seal: sha256 over kind, schema and all of the above; it names this content.
    """

    manifest: dict[str, Any]
    arrays: dict[str, np.ndarray]
    parts: dict[str, bytes]
    seal: str


def data_name(name: str, sha256: str) -> str:
    """The file that holds the arrays or a part.

    Example:
        >>> data_name("forest.ubj", "0123456789abcdef0123")
        'forest-0123456789abcdef.ubj'
    """
    stem, suffix = name.rsplit(".", 1)
    return f"{stem}-{sha256[:16]}.{suffix}"


def is_expected(name: str) -> bool:
    """Whether a bundle's folder may hold this: its files, and what a killed writer left."""
    if name in (MANIFEST, LOCK, *_DESKTOP):
        return True
    return bool(_DATA_NAME.fullmatch(name)) or is_temporary(name)


def is_temporary(name: str) -> bool:
    """Whether the name is one of a file or folder still being written."""
    return bool(_TEMPORARY_NAME.fullmatch(name))


def is_stale(name: str, current: Mapping[str, object]) -> bool:
    """Whether a finished save may remove this: data no manifest names, and temporary files."""
    return name not in current and bool(_DATA_NAME.fullmatch(name) or is_temporary(name))


def seal(body: Mapping[str, Any]) -> str:
    """sha256 of a manifest's canonical text; its files are in it by their own sha256."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
