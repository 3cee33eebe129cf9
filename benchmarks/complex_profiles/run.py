"""Profiles beyond compartments: python -m benchmarks.complex_profiles.run --help."""

from pathlib import Path
from typing import Any

from benchmarks.complex_profiles.methods import SIZE, UNSEEN, Task, run_oracle, run_ours
from benchmarks.complex_profiles.populations import (
    COMPLEX,
    PLAIN,
    POPULATIONS,
    POWER_LAW,
    RECIRCULATION,
    REPLACED,
    SATURABLE,
)
from benchmarks.forecast_oracle.score import Score, coverage, interval_score, ratio
from benchmarks.harness import command, machine
from benchmarks.harness.carried import carried, stored
from benchmarks.harness.cells import Cell, Ledger, run_cells, write_json

FOLDER = Path(__file__).parent
SEEDS = (1, 2, 3)
BEFORE = (SATURABLE.name, POWER_LAW.name)  # auto had been run when they were replaced
METHODS = ("compartment", "auto")
NAMED = {RECIRCULATION.name: "ehc-meals2"}  # mechanisms given by name, where `auto` is dear
PROTOCOL = {"version": 1, "size": SIZE, "unseen": UNSEEN}
LEDGER = Ledger(FOLDER, PROTOCOL)
COMPLEX_BAR, PLAIN_BAR, OTHER_BAR, OTHER_COVERAGE, MISFIT = 1.2, 1.08, 1.3, 0.85, 1.4


def plan() -> list[Cell]:
    """Every cell of a seed before the next seed's: oracles, compartments, then auto.

    Replaced cohorts have the cells that led to it, and no more.
    """
    cells = [
        Cell({"cohort": population.name, "method": method, "seed": seed})
        for seed in SEEDS
        for method in ("oracle", *METHODS)
        for population in (*COMPLEX, *PLAIN)
    ]
    cells += [Cell({"cohort": name, "method": "mechanistic", "seed": SEEDS[0]}) for name in NAMED]
    return cells + [
        Cell({"cohort": population.name, "method": method, "seed": SEEDS[0]})
        for method in ("oracle", *METHODS)
        for population in REPLACED
        if method != "auto" or population.name in BEFORE
    ]


def work(cell: Cell) -> dict[str, Any]:
    """Run one cell."""
    settings = dict(cell.settings)
    method = settings.pop("method")
    task = Task(**settings)
    if method == "oracle":
        return run_oracle(task)
    structure = NAMED[task.cohort] if method == "mechanistic" else "auto"
    return run_ours(task, method=method, structure=structure)


Found = dict[tuple[str, str], dict[int, Score]]


def collect(results: list[dict[str, Any]]) -> Found:
    """(cohort, "method/regimen") to each seed's score."""
    found: Found = {}
    for result in results:
        for name, kept in result["scores"].items():
            found.setdefault((result["cohort"], name), {})[result["seed"]] = Score.parse(kept)
    return found


def rows(found: Found) -> list[dict[str, Any]]:
    """Ratio to the oracle, coverage and interval score of each method and regimen."""
    table = []
    for (cohort, name), by_seed in found.items():
        method, regimen = name.split("/")
        best = found.get((cohort, f"oracle/{regimen}"), {})
        seeds = sorted(set(by_seed) & set(best))
        if not seeds:
            continue
        mine, theirs = [by_seed[seed] for seed in seeds], [best[seed] for seed in seeds]
        row = {
            "cohort": cohort,
            "method": method,
            "regimen": regimen,
            "seeds": seeds,
            "log_rmse": [round(one.log_rmse, 5) for one in mine],
            "ratio_to_oracle": ratio(mine, theirs).json(),
        }
        if mine[0].inside is not None:
            row["coverage90"] = coverage(mine).json()
            row["interval_score_to_oracle"] = interval_score(mine, theirs).json()
        table.append(row)
    return table


def bars(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the issue asks of each cohort, and what was measured."""
    at = {(row["cohort"], row["method"], row["regimen"]): row for row in table}
    plain = {population.name for population in PLAIN}
    gone = {population.name for population in REPLACED}
    found = []
    for cohort in POPULATIONS:
        if cohort in gone:
            continue
        known, other = at.get((cohort, "auto", "known")), at.get((cohort, "auto", "other"))
        if known is not None:
            most = PLAIN_BAR if cohort in plain else COMPLEX_BAR
            value = known["ratio_to_oracle"]["value"]
            found.append({"cohort": cohort, "what": "auto over its oracle", "at_most": most})
            found[-1] |= {"value": value, "met": value <= most, "seeds": len(known["seeds"])}
        if other is not None:
            value, covered = other["ratio_to_oracle"]["value"], other["coverage90"]["value"]
            found.append({"cohort": cohort, "what": "an unseen regimen", "at_most": OTHER_BAR})
            found[-1] |= {"value": value, "met": value <= OTHER_BAR, "seeds": len(other["seeds"])}
            found.append({"cohort": cohort, "what": "its coverage", "at_least": OTHER_COVERAGE})
            found[-1] |= {"value": covered, "met": covered >= OTHER_COVERAGE}
        misfit = at.get((cohort, "compartment", "known"))
        if misfit is not None and cohort not in plain:
            value = misfit["ratio_to_oracle"]["value"]
            found.append({"cohort": cohort, "what": "compartments misfit", "at_least": MISFIT})
            found[-1] |= {"value": value, "met": value >= MISFIT, "seeds": len(misfit["seeds"])}
    return found


def _costs(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    keys = ("cohort", "method", "seed", "seconds", "chosen", "rungs", "moved_by_doubling",
            "effective_draws_least")  # fmt: skip
    return [{key: one[key] for key in keys if key in one} for one in results]


def main() -> None:
    """Run the chosen cells and write results.json from every finished one."""
    choice = command.parse(__doc__ or "")
    outcome = run_cells(plan(), work, ledger=LEDGER, choice=choice)
    results = outcome.results()
    before = stored(FOLDER / "results.json", PROTOCOL)
    table, costs = carried(
        before,
        rows(collect(results)),
        _costs(results),
        row_at=("cohort", "method", "regimen"),
        # a method's score is of both regimens' cells, so what it cost goes with it
        cost_at=("cohort", "method", "seed"),
    )
    head = outcome.head()
    head |= {
        "cells_done": len(costs),
        "cells_carried": len(costs) - len(results),
        "commits": sorted({*head["commits"], *before.get("commits", [])}),
    }
    write_json(
        FOLDER / "results.json",
        {
            "task": "complex_profiles",
            **head,
            "protocol": PROTOCOL,
            "machine": machine.describe(),
            "cohorts": [population.name for population in COMPLEX],
            "table": table,
            "bars": bars(table),
            "costs": costs,
        },
    )
    for row in table:
        interval = row["ratio_to_oracle"]
        command.say(
            f"{row['cohort']:>22} {row['regimen']:>6} {row['method']:>16} {len(row['seeds'])} seeds"
            f"  {interval['value']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"
            f"  coverage {row.get('coverage90', {}).get('value', '-')}"
        )


if __name__ == "__main__":
    main()
