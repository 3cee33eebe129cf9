"""One file, written so that a reader finds the old content or the new one, whole."""

import contextlib
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from latentpk.errors import ArtifactError, Problem


def write_file(path: str | Path, data: bytes | str) -> None:
    """Write one file atomically.

    Args:
        path: Where; its folder is made if absent.
        data: Bytes, or text to store as UTF-8.

    Raises:
        ArtifactError: The disk refused; an earlier file is as it was.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "summary.json"
        >>> write_file(path, "{}")
        >>> path.read_text()
        '{}'
    """
    with replacing(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """A binary file to write in pieces, which takes its place only when the block succeeds.

    Args:
        path: Where; its folder is made if absent. A device or pipe is written directly.

    Yields:
        The open file.

    Raises:
        ArtifactError: The disk refused; an earlier file is as it was.
    """
    target = Path(os.path.realpath(path))  # a link stays a link, to new content
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not target.is_file() and not target.is_dir():
            with target.open("wb") as file:
                yield file
        else:
            with fresh(target) as file:
                yield file
            sync_folder(target.parent)


@contextlib.contextmanager
def fresh(target: Path) -> Iterator[BinaryIO]:
    """A temporary sibling of `target`, on disk and then in its place when the block succeeds."""
    temporary = temporary_name(target)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        # Not tempfile: its 0600 would hide a model from the group that may read the folder.
        with os.fdopen(os.open(temporary, flags, 0o666), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        patiently(lambda: temporary.replace(target))
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def temporary_name(target: Path) -> Path:
    """A hidden, unused name beside `target`."""
    return target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")


def patiently(action: Callable[[], object]) -> None:
    """Windows refuses to replace what a reader holds open: try for two seconds there."""
    for _ in range(40 if sys.platform == "win32" else 0):
        try:
            action()
            return
        except PermissionError:
            time.sleep(0.05)
    action()


def sync_folder(folder: Path) -> None:
    """Put a folder's names on disk, so that a power cut cannot undo a rename.

    The files themselves are synced already; Windows and some network file systems offer no more.
    """
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def disk_errors(target: Path) -> Iterator[None]:
    """Turn what the operating system says into a sentence with the place and the mend."""
    try:
        yield
    except OSError as error:
        problem = Problem(
            where=str(target),
            found=f"not written: {error.strerror or error}",
            rule="What was there before is unchanged",
            mend="Free space or choose a place that can be written, and save again",
        )
        raise ArtifactError(str(problem)) from error
