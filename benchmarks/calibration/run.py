"""Coverage of prediction intervals: python -m benchmarks.calibration.run --help."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.forecast_oracle import run as forecast
from benchmarks.forecast_oracle.methods import Task
from benchmarks.forecast_oracle.score import Score, coverage, interval_score
from benchmarks.harness import command, machine
from benchmarks.harness.cells import Cell, run_cells, write_json

FOLDER = Path(__file__).parent
METHODS = ("oracle", "auto", "compartment", "kernel")
LOW, HIGH = 0.87, 0.93


def plan() -> list[Cell]:
    """Those cells of the forecast benchmark that have prediction intervals."""
    return [cell for cell in forecast.plan() if cell.settings["method"] in METHODS]


def rows(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Coverage and interval score of each cohort, n and method."""
    found, scores = [], forecast.collect(results)
    for (cohort, n, method), by_seed in sorted(scores.items()):
        best = scores.get((cohort, 0, "oracle"), {})
        seeds = sorted(set(by_seed) & set(best))
        mine = [by_seed[seed] for seed in seeds]
        if mine and mine[0].inside is not None:
            share = coverage(mine)
            found.append(
                {
                    "cohort": cohort,
                    "n": n,
                    "method": method,
                    "seeds": seeds,
                    "measurements": int(sum(one.counts.sum() for one in mine)),
                    "coverage90": share.json(),
                    "within_bar": LOW <= share.value <= HIGH,
                    "by_levels": _by_levels(cohort, seeds, mine),
                    "interval_score_to_oracle": interval_score(
                        mine, [best[seed] for seed in seeds]
                    ).json(),
                }
            )
    return found


def _by_levels(cohort: str, seeds: list[int], mine: list[Score]) -> dict[str, float]:
    """Coverage by the number of levels that patients were forecast from."""
    counts = [Task(cohort, 0, seed).unseen.measured.sum(axis=1) for seed in seeds]
    return {str(k): _share(mine, [one == k for one in counts]) for k in (1, 2, 3, 4)}


def _share(mine: list[Score], chosen: list[NDArray[np.bool_]]) -> float:
    inside = counts = 0.0
    for one, rows in zip(mine, chosen, strict=True):
        if one.inside is not None:
            inside += one.inside[rows].sum()
            counts += one.counts[rows].sum()
    return round(float(inside / counts), 4)


def main() -> None:
    """Run what is missing and write results.json."""
    choice = command.parse(__doc__ or "")
    outcome = run_cells(plan(), forecast.work, ledger=forecast.LEDGER, choice=choice)
    table = rows(outcome.results())
    write_json(
        FOLDER / "results.json",
        {
            "task": "calibration",
            **outcome.head(),
            "protocol": dict(forecast.PROTOCOL),
            "machine": machine.describe(),
            "bar": {"least": LOW, "most": HIGH, "n": 500},
            "table": table,
        },
    )
    for row in table:
        share = row["coverage90"]
        command.say(
            f"{row['cohort']:>24} n={row['n']:<4}{row['method']:>16}  {share['value']:.3f}"
            f" [{share['low']:.3f}, {share['high']:.3f}]  {row['by_levels']}"
            f"  score {row['interval_score_to_oracle']['value']:.3f}"
        )


if __name__ == "__main__":
    main()
