"""Run one command as its own process: seconds and peak memory of that process alone."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

COMMAND = (sys.executable, "-c", "from latentpk.cli.main import main; main()")
THREADS = 2  # of this class of machine; the command line itself defaults to 1
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


def latentpk(*arguments: str, cache: Path, threads: int = THREADS) -> Spent:
    """Run the command line, its programs kept in `cache` (empty: a fresh machine).

    Args:
        arguments: Verb and options.
        cache: Stands for the user's cache folder.
        threads: CPU threads.
    """
    quiet = ("--quiet", "--threads", str(threads))
    return run((*COMMAND, *arguments, *quiet), cache=cache)


# A process starts with the peak of the one that forked it: a small one stands between, so that the
# peak is the command's own and not this process's.
LAUNCHER = """
import json, os, subprocess, sys, time
begun = time.perf_counter()
process = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(process.pid, 0)
seconds = time.perf_counter() - begun
with open(int(sys.argv[1]), "w") as told:
    json.dump([seconds, os.waitstatus_to_exitcode(status), usage.ru_maxrss], told)
"""


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
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as told:
        launcher = (sys.executable, "-c", LAUNCHER, str(told.fileno()), *command)
        subprocess.run(
            launcher,
            env=kept,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(told.fileno(),),
            check=True,
        )
        output.seek(0)
        told.seek(0)
        text, (seconds, code, peak) = output.read(), json.load(told)
    if code != 0:
        raise RuntimeError(f"exit {code}: {text[-500:]}")
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    return Spent(seconds, peak * unit / 1e9, text)
