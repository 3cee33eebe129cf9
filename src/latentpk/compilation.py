"""Compiled programs kept on disk between processes, threads, and a count of programs.

Start-up is dominated by compilation, so the command line keeps XLA's programs in the user's cache
folder: one folder for each jaxlib and CPU, since a program holds machine code. A cache folder is
trusted (who writes there can run code), so it must belong to the user alone. Nothing here imports
jax before it is needed: `set_threads` must come first.
"""

import contextlib
import hashlib
import os
import platform
import stat
import sys
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

_SIZE_LIMIT = 2**30  # bytes of programs kept; the oldest go first
_MEASURED_JAXLIB = "0.10."
_QUICK = "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=1"
_COMPILED = "/jax/core/compile/backend_compile_duration"  # also where the disk had the program
_LOADED = "/jax/compilation_cache/cache_hits"


def set_threads(threads: int) -> None:
    """Set how many CPU threads this process uses; jax reads it once, when it is imported.

    Args:
        threads: Threads, at least 1.

    Raises:
        ValueError: Fewer than 1.
        RuntimeError: jax is imported already with another number.
    """
    if threads < 1:
        raise ValueError(f"threads: {threads}. At least 1 is needed. Pass --threads 1 or more.")
    wanted = str(threads)
    if "jax" in sys.modules and os.environ.get("NPROC") != wanted:
        raise RuntimeError(
            f"threads: jax is imported already, with NPROC={os.environ.get('NPROC')}. It reads the "
            f"number of threads once. Call set_threads({threads}) first, or start Python with "
            f"NPROC={threads}."
        )
    os.environ["NPROC"] = os.environ["OMP_NUM_THREADS"] = wanted


def threads() -> int:
    """CPU threads this process uses: NPROC as jax reads it, else every core."""
    return int(os.environ.get("NPROC") or os.cpu_count() or 1)


def compile_quickly() -> None:
    """Let XLA's CPU compiler do less; it counts only before jax is imported.

    The programs here are many and short-lived: compiling them takes longer than running them. With
    these two settings a cold fit takes two thirds of the time and of the memory, and its programs
    run as fast (benchmarks/speed). XLA ends the process at a flag it does not know, so they are
    set for the line of jaxlib they were measured with, and whoever set XLA_FLAGS keeps them last.
    """
    if not version("jaxlib").startswith(_MEASURED_JAXLIB):
        return
    given = os.environ.get("XLA_FLAGS", "")
    if _QUICK not in given:
        os.environ["XLA_FLAGS"] = f"{_QUICK} {given}".strip()


def cache_programs(folder: str | Path | None = None) -> Path | None:
    """Keep compiled programs on disk, for the next process.

    A host that set JAX_COMPILATION_CACHE_DIR, or its limits, keeps its choice. Where the folder
    cannot be written or is not the user's own, every process compiles; nothing else changes.

    Args:
        folder: Where; by default in the user's cache folder. Never a model's folder.

    Returns:
        The folder in use, or None.
    """
    import jax

    chosen = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    place = Path(chosen) if chosen else (Path(folder or _user_cache()) / _machine())
    if not chosen and not _prepared(place):
        return None
    options = {
        "jax_compilation_cache_dir": str(place),
        "jax_persistent_cache_min_compile_time_secs": 0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    for name, value in options.items():
        if name.upper() not in os.environ:
            jax.config.update(name, value)
    # An entry cut short by a full disk is compiled again; the user can do nothing with the warning.
    message = "Error (reading|writing) persistent compilation cache entry"
    warnings.filterwarnings("ignore", message=message)
    return place


class Programs:
    """How many programs a block asked XLA for.

    Attributes:
        built: Programs that were new to this process.
        loaded: Those of them that came from the disk.
    """

    def __init__(self) -> None:
        self.built = 0
        self.loaded = 0

    @property
    def compiled(self) -> int:
        """Programs that XLA compiled."""
        return self.built - self.loaded


@contextlib.contextmanager
def count_programs() -> Iterator[Programs]:
    """Count the programs that a block builds.

    Yields:
        The running count.

    Example:
        >>> import jax
        >>> double = jax.jit(lambda x: 2 * x)
        >>> with count_programs() as programs:
        ...     _ = double(1.0), double(2.0)
        >>> programs.built
        1
    """
    from jax import monitoring

    programs = Programs()

    def duration(event: str, duration_secs: float, **kwargs: str | int) -> None:
        programs.built += event == _COMPILED

    def happened(event: str, **kwargs: str | int) -> None:
        programs.loaded += event == _LOADED

    monitoring.register_event_duration_secs_listener(duration)
    monitoring.register_event_listener(happened)
    try:
        yield programs
    finally:
        monitoring.unregister_event_duration_listener(duration)
        monitoring.unregister_event_listener(happened)


def _user_cache() -> Path:
    """The place where this system keeps what may be deleted at any time."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "latentpk" / "programs"


def _machine() -> str:
    """The version of jaxlib and a fingerprint of the CPU: a program runs on no other."""
    description = [platform.machine(), platform.processor()]
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        kinds = ("flags", "Features", "model name")
        description += sorted({line for line in lines if line.startswith(kinds)})
    fingerprint = hashlib.sha256("\n".join(description).encode()).hexdigest()[:12]
    return f"jaxlib-{version('jaxlib')}-{fingerprint}"


def _prepared(place: Path) -> bool:
    """Make the folder, hold its size, and tell whether it may be used."""
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = place.stat()
        if sys.platform != "win32":
            others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            if status.st_uid != os.getuid() or others:
                return False
        _trim(place.parent)
    except (OSError, RuntimeError):  # RuntimeError: no home folder
        return False
    return os.access(place, os.W_OK)


def _trim(folder: Path) -> None:
    """Delete the oldest programs, of every version, above the limit."""
    aged = sorted((path for path in folder.rglob("*") if path.is_file()), key=_modified)
    excess = sum(path.stat().st_size for path in aged) - _SIZE_LIMIT
    for path in aged:
        if excess <= 0:
            return
        excess -= path.stat().st_size
        path.unlink()


def _modified(path: Path) -> float:
    return path.stat().st_mtime
