"""Speed and memory: python -m benchmarks.speed.run --help."""

import itertools
import json
import math
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.forecast_oracle import cohorts
from benchmarks.forecast_oracle.populations import POPULATIONS
from benchmarks.harness import command, machine
from benchmarks.harness.cells import Cell, Ledger, Outcome, run_cells, write_json
from benchmarks.harness.statistics import median_seconds
from benchmarks.speed.process import COMMAND, THREADS, latentpk, run
from benchmarks.speed.warm import COHORT, SEED

FOLDER = Path(__file__).parent
WHOLE = (
    ("fit", 500),
    ("forecast", 1000),
    ("start", 0),
    ("warm", 1000),
    ("fit-one-thread", 500),
    ("forecast-one-thread", 1000),
)
REPEATS, GROWTH = 3, (100, 1000, 10_000)
GROWTH_FIT = ("--decoder", "compartment", "--structure", "2c-iv", "--epochs", "20")
PROTOCOL = {"version": 1, "cohort": COHORT, "seed": SEED, "growth_fit": list(GROWTH_FIT)}
LEDGER = Ledger(FOLDER, PROTOCOL)
MODEL = FOLDER / "cells" / "fit-500.model"
BARS = {  # seconds, or GB
    "fit of 500, cold cache": 60.0,
    "forecast of 1000, cold cache": 10.0,
    "forecast of 1000, warm cache": 10.0,
    "one patient, warm process": 0.020,
    "1000 patients, warm process": 1.0,
    "peak memory": 1.5,
}


def plan() -> list[Cell]:
    """Fits first: their model is what forecasts use."""
    whole = [
        Cell({"what": what, "n": n, "repeat": repeat})
        for what, n in WHOLE
        for repeat in range(REPEATS)
    ]
    growth = [
        Cell({"what": f"{what}-growth", "n": n, "repeat": 0})
        for what in ("fit", "forecast")
        for n in GROWTH
    ]
    return whole + growth


def work(cell: Cell) -> dict[str, Any]:
    """Run one cell in a fresh folder, with an empty program cache."""
    n = cell.settings["n"]
    with tempfile.TemporaryDirectory() as folder:
        return WORK[cell.settings["what"]](n, Path(folder))


def fit(n: int, folder: Path, threads: int = THREADS) -> dict[str, Any]:
    """`latentpk fit` as a user types it: cold, then with the programs of the first."""
    table = _training(n, folder)
    options = ("--covariates", "WT,CRCL", "--seed", "1")
    found = _twice(
        folder,
        lambda k: ("fit", str(table), "--out", str(folder / f"m{k}"), *options),
        threads=threads,
    )
    if threads == THREADS:
        _keep(folder / "m0")
    return found


def forecast(n: int, folder: Path, threads: int = THREADS) -> dict[str, Any]:
    """`latentpk forecast` of n patients: cold, then warm."""
    table = _unseen(n, folder)
    return _twice(
        folder,
        lambda k: ("forecast", str(_model()), str(table), "--out", str(folder / f"f{k}.csv")),
        threads=threads,
    )


def start(_: int, folder: Path) -> dict[str, Any]:
    """The least a command can take: `latentpk --version`."""
    spent = run((*COMMAND, "--version"), cache=folder)
    return {"cold": {"seconds": spent.seconds, "peak_gb": spent.peak_gb}}


def warm(n: int, folder: Path) -> dict[str, Any]:
    """Posteriors in a process that has computed some before, and the peers."""
    table = _unseen(n, folder)
    module = (COMMAND[0], "-m", "benchmarks.speed.warm", str(_model()), str(table))
    spent = run(module, cache=folder / "cache")
    return {**json.loads(spent.output.splitlines()[-1]), "peak_gb": spent.peak_gb}


def fit_growth(n: int, folder: Path) -> dict[str, Any]:
    """A fit of fixed structure and epochs, the same for every n."""
    table = _training(n, folder)
    arguments = ("fit", str(table), "--covariates", "WT,CRCL", "--seed", "1", *GROWTH_FIT)
    return _twice(folder, lambda k: (*arguments, "--out", str(folder / f"m{k}")))


WORK: dict[str, Callable[[int, Path], dict[str, Any]]] = {
    "fit": fit,
    "forecast": forecast,
    "start": start,
    "warm": warm,
    "fit-growth": fit_growth,
    "forecast-growth": forecast,
    "fit-one-thread": partial(fit, threads=1),
    "forecast-one-thread": partial(forecast, threads=1),
}


def _twice(
    folder: Path, arguments: Callable[[int], tuple[str, ...]], *, threads: int = THREADS
) -> dict[str, Any]:
    found = {}
    for k, name in enumerate(("cold", "warm")):
        spent = latentpk(*arguments(k), cache=folder / "cache", threads=threads)
        found[name] = {"seconds": spent.seconds, "peak_gb": spent.peak_gb}
    return found


def _training(n: int, folder: Path) -> Path:
    patients = cohorts.training(POPULATIONS[COHORT], n, seed=SEED)
    return cohorts.write_training(patients, folder / "train.csv")


def _unseen(n: int, folder: Path) -> Path:
    patients = cohorts.unseen(POPULATIONS[COHORT], n, seed=SEED)
    return cohorts.write_forecast(patients, folder / "unseen.csv")


def _keep(model: Path) -> None:
    shutil.rmtree(MODEL, ignore_errors=True)
    shutil.copytree(model, MODEL)


def _model() -> Path:
    if not MODEL.is_dir():
        raise FileNotFoundError("the model of the fit of 500: run that cell first (--only fit)")
    return MODEL


def summarize(outcome: Outcome) -> dict[str, Any]:
    """Medians over repeats, growth, and the bars."""
    results = outcome.results()
    found: dict[str, Any] = {}
    for what, n in WHOLE:
        mine = [one for one in results if one["what"] == what]
        for cache in ("cold", "warm"):
            times = [one[cache]["seconds"] for one in mine if cache in one]
            if times:
                found[f"{what} of {n}, {cache} cache"] = median_seconds(times)
    warmed = [one for one in results if one["what"] == "warm"]
    for key, label in (
        ("one_patient", "one patient, warm process"),
        ("1000_patients", "1000 patients, warm process"),
        ("one_patient_first_call", "one patient, first call (compiles)"),
        ("numpy_prior_importance_sampling", "peer: numpy prior importance sampling, 10k draws"),
        ("scipy_map", "peer: scipy MAP"),
    ):
        if warmed:
            found[label] = median_seconds([t for one in warmed for t in np.ravel(one[key])])
    peaks = [
        part["peak_gb"]
        for one in results
        for part in (one, *one.values())
        if isinstance(part, dict) and "peak_gb" in part
    ]
    rungs = warmed[0]["rungs"] if warmed else {}
    return {
        "seconds": found,
        "peak_gb": max(peaks, default=None),
        "rungs": rungs,
        "growth": growth(results),
        "bars": bars(found, max(peaks, default=math.nan)),
    }


def growth(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Seconds by n with a warm cache, and the exponent of each step (1 = linear)."""
    found = {}
    for what in ("fit-growth", "forecast-growth"):
        times = {one["n"]: one["warm"]["seconds"] for one in results if one["what"] == what}
        sizes = sorted(times)
        exponents = [
            math.log(times[b] / times[a]) / math.log(b / a) for a, b in itertools.pairwise(sizes)
        ]
        found[what] = {
            "seconds": times,
            "peak_gb": {one["n"]: one["warm"]["peak_gb"] for one in results if one["what"] == what},
            "exponents": [round(exponent, 3) for exponent in exponents],
        }
    return found


def bars(seconds: dict[str, Any], peak: float) -> list[dict[str, Any]]:
    """Each bar that was measured, and whether it is met."""
    measured = {name: one["median"] for name, one in seconds.items()} | {"peak memory": peak}
    return [
        {"what": name, "at_most": bar, "measured": measured[name], "met": measured[name] <= bar}
        for name, bar in BARS.items()
        if name in measured and math.isfinite(measured[name])
    ]


def main() -> None:
    """Run the chosen cells and write results.json from every finished one."""
    choice = command.parse(__doc__ or "")
    outcome = run_cells(plan(), work, ledger=LEDGER, choice=choice)
    summary = summarize(outcome)
    head = {"task": "speed", **outcome.head(), "protocol": PROTOCOL}
    write_json(FOLDER / "results.json", {**head, "machine": machine.describe(), **summary})
    for name, one in summary["seconds"].items():
        command.say(f"{one['median']:10.4f} s  {name}")
    for bar in summary["bars"]:
        command.say(f"{'met' if bar['met'] else 'MISSED':>10}    {bar['what']}")


if __name__ == "__main__":
    main()
