"""Speed of doses in a warm process: python -m benchmarks.dosing_speed.run --help."""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.dosing_speed import warm
from benchmarks.harness import command, machine
from benchmarks.harness.cells import Cell, Ledger, run_cells, write_json
from benchmarks.harness.statistics import median_seconds
from benchmarks.speed.process import run

FOLDER = Path(__file__).parent
REPEATS = 3
PROTOCOL = {
    "version": 1,
    "cohort": warm.COHORT,
    "seed": warm.SEED,
    "targets": [list(one) for one in warm.TARGETS],
    "patients": [warm.SINGLES, warm.MANY],
    "draws": warm.DRAWS,
    "least_ess": warm.LEAST,
    "threads": warm.THREADS,
}
LEDGER = Ledger(FOLDER, PROTOCOL)
MANY = "10000 patients, ladder included: posteriors"
AT_MOST = {"recommendation": 0.100, "many": 20.0}  # seconds
PUBLISHED = 0.0012  # s, prior importance sampling of another machine: told beside, no bar


def plan() -> list[Cell]:
    """Each kind of work in processes of its own."""
    return [
        Cell({"what": what, "repeat": repeat}) for repeat in range(REPEATS) for what in warm.WORK
    ]


def work(cell: Cell) -> dict[str, Any]:
    """Run one warm process; programs are kept between processes, as a user's cache keeps them."""
    module = (sys.executable, "-m", "benchmarks.dosing_speed.warm", cell.settings["what"])
    spent = run(module, cache=FOLDER / "cells" / "cache")
    return {**json.loads(spent.output.splitlines()[-1]), "peak_gb": spent.peak_gb}


def summarize(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over patients and processes, and the bars."""
    times: dict[str, list[float]] = {}
    rungs = {}
    for one in results:
        what = one["what"]
        if what == "recommendation":
            for model, target in warm.TARGETS:
                for part, spent in one[f"{model}, {target}"].items():
                    times.setdefault(f"{target}: {part}", []).extend(spent)
        elif what == "peers":
            for name, spent in one.items():
                if isinstance(spent, list):
                    times.setdefault(f"peer: {name}", []).extend(spent)
        else:
            rungs = one["rungs"]
            for name in ("posteriors", "posteriors with the rivals of gate C"):
                label = f"10000 patients, ladder included: {name}"
                times.setdefault(label, []).extend(one[name])
    found = {label: median_seconds(spent) for label, spent in times.items()}
    peaks = [one["peak_gb"] for one in results]
    return {
        "seconds": found,
        "rungs": rungs,
        "peak_gb": max(peaks, default=None),
        "published_prior_importance_sampling": PUBLISHED,
        "bars": _bars(found),
    }


def _bars(found: dict[str, Any]) -> list[dict[str, Any]]:
    limits = {
        f"{target}: {part}": AT_MOST["recommendation"]
        for _, target in warm.TARGETS
        for part in ("recommendation", "both")
    } | {MANY: AT_MOST["many"]}
    return [
        {
            "what": label,
            "at_most": limit,
            "measured": found[label]["median"],
            "met": found[label]["median"] <= limit,
        }
        for label, limit in limits.items()
        if label in found
    ]


def main() -> None:
    """Run the chosen cells and write results.json from every finished one."""
    choice = command.parse(__doc__ or "")
    outcome = run_cells(plan(), work, ledger=LEDGER, choice=choice)
    summary = summarize(outcome.results())
    head = {"task": "dosing_speed", **outcome.head(), "protocol": PROTOCOL}
    write_json(FOLDER / "results.json", {**head, "machine": machine.describe(), **summary})
    for name, one in summary["seconds"].items():
        command.say(f"{one['median']:10.4f} s  {name}")
    for bar in summary["bars"]:
        command.say(f"{'met' if bar['met'] else 'MISSED':>10}    {bar['what']}")


if __name__ == "__main__":
    main()
