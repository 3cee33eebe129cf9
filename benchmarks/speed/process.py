"""Run one command as its own process: seconds and peak memory of that process alone."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

COMMAND = (sys.executable, "-c", "from latentpk.cli.main import main; main()")
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Spent:
    """What a process took.

    Attributes:
        seconds: From its start to its end.
        peak_gb: Its greatest resident memory [GB]; never below that of the process that started
            it (some 0.2 GB), which Linux counts in.
        output: What it wrote to its standard output.
    """

    seconds: float
    peak_gb: float
    output: str


def latentpk(*arguments: str, cache: Path, threads: int = 2) -> Spent:
    """Run the command line, its programs kept in `cache` (empty: a fresh machine).

    Args:
        arguments: Verb and options.
        cache: Stands for the user's cache folder.
        threads: CPU threads.
    """
    quiet = ("--quiet", "--threads", str(threads))
    return run((*COMMAND, *arguments, *quiet), cache=cache)


def run(command: Sequence[str], *, cache: Path) -> Spent:
    """Run a command from the repository's root.

    Raises:
        RuntimeError: It failed; the end of its output is told.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("JAX_")}
    for name in ("NPROC", "OMP_NUM_THREADS"):  # the command line's --threads decides
        kept.pop(name, None)
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    kept |= {"XDG_CACHE_HOME": str(cache), "JAX_PLATFORMS": "cpu", "PYTHONPATH": path}
    with tempfile.TemporaryFile("w+") as output:
        begun = time.perf_counter()
        process = subprocess.Popen(
            command, env=kept, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode != 0:
        raise RuntimeError(f"exit {process.returncode}: {text[-500:]}")
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    return Spent(seconds, usage.ru_maxrss * unit / 1e9, text)
