"""What a figure was measured on: processor, memory, threads, versions, commit."""

import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

PACKAGES = ("latentpk", "jax", "equinox", "optax", "numpy", "scipy", "polars", "torch")
THREADS = ("NPROC", "OMP_NUM_THREADS", "XLA_FLAGS", "JAX_PLATFORMS")


def describe() -> dict[str, object]:
    """The machine and the versions, without names or paths.

    Returns:
        JSON values: processor, cores, memory [GB], system, Python, versions, thread settings.
    """
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": _memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := version(name))},
        "threads": {name: os.environ[name] for name in THREADS if name in os.environ},
    }


def version(package: str) -> str | None:
    """Installed version of a distribution, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@cache
def commit() -> str:
    """The source's commit, with a plus where the work tree differs from it."""
    root = Path(__file__).parents[2]
    try:
        head = _git("rev-parse", "--short", "HEAD", folder=root)
        changed = _git("status", "--porcelain", "src", "benchmarks", folder=root)
        return head + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str, folder: Path) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def _processor() -> str:
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _memory() -> float | None:
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemTotal"):
            return round(int(line.split()[1]) / 1e6, 1)
    return None


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
