"""Adapting a published model to few local patients: python -m benchmarks.start_from.run --help."""

import tempfile
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.forecast_oracle import cohorts, oracle
from benchmarks.forecast_oracle.cohorts import Patients
from benchmarks.forecast_oracle.populations import VANCOMYCIN, Floats, Population
from benchmarks.forecast_oracle.score import Score, coverage, ratio, score
from benchmarks.harness import command, machine, ours
from benchmarks.harness.cells import Cell, Ledger, run_cells, write_json

FOLDER = Path(__file__).parent
MODEL, STRUCTURE = "vancomycin-thomson-2009", "2c-iv"
FACTORS = {"shifted": (1.5, 1.25, 1.0, 1.0), "same": (1.0, 1.0, 1.0, 1.0)}  # cl v1 q2 v2
SEEDS, SIZES = {"shifted": (1, 2, 3), "same": (1, 2)}, (10, 30, 100)
UNSEEN, TAUGHT, EPOCHS = 200, 200, 30
PROTOCOL = {
    "version": 1,
    "model": MODEL,
    "factors": FACTORS,
    "unseen": UNSEEN,
    "encoder": [TAUGHT, EPOCHS],
}
LEDGER = Ledger(FOLDER, PROTOCOL)


def local(cohort: str) -> Population:
    """The local truth."""

    def typical(covariates: Floats) -> Floats:
        return VANCOMYCIN.typical(covariates) + np.log(FACTORS[cohort])

    return replace(VANCOMYCIN, name=f"{VANCOMYCIN.name}-{cohort}", typical=typical)


@cache
def unseen(cohort: str, seed: int) -> Patients:
    """The patients to forecast."""
    return cohorts.unseen(local(cohort), UNSEEN, seed=seed)


def training(cohort: str, n: int, seed: int) -> Patients:
    """The local patients: the first n of the seed's hundred."""
    return cohorts.training(local(cohort), max(SIZES), seed=seed).take(slice(n))


def plan() -> list[Cell]:
    """Every cell, cheap ones first."""
    known = [(cohort, seed) for cohort, seeds in SEEDS.items() for seed in seeds]
    cells = [
        Cell({"cohort": cohort, "method": method, "n": 0, "seed": seed})
        for method in ("oracle", "source")
        for cohort, seed in known
    ]
    return cells + [
        Cell({"cohort": cohort, "method": method, "n": n, "seed": seed})
        for cohort, seeds in SEEDS.items()
        for method in (("start-from", "scratch") if cohort == "shifted" else ("start-from",))
        for seed in seeds
        for n in SIZES
    ]


def work(cell: Cell) -> dict[str, Any]:
    """Run one cell."""
    cohort, method = cell.settings["cohort"], cell.settings["method"]
    n, seed = cell.settings["n"], cell.settings["seed"]
    patients, shape = unseen(cohort, seed), unseen(cohort, seed).truth.shape
    if method == "oracle":
        found = oracle.forecast(patients, seed=seed)
        best = score(patients, np.exp(found.log_mean), (found.low, found.high))
        return {"score": best.json()}
    with tempfile.TemporaryDirectory() as folder:
        ahead = cohorts.write_forecast(patients, Path(folder) / "unseen.csv")
        table = Path(folder) / "local.csv"
        if n:
            cohorts.write_training(training(cohort, n, seed), table)
        model, about = _model(method, table, seed)
        frame = model.forecast(_read(model, ahead))
        later = ours.later_rows(frame, ahead)
    interval = (later.low.reshape(shape), later.high.reshape(shape))
    return {"score": score(patients, later.ipred.reshape(shape), interval).json(), **about}


def _read(model: Any, path: Path) -> Any:
    from latentpk import read_nonmem

    return read_nonmem(path, **model.reading, purpose="forecast")


def _model(method: str, table: Path, seed: int) -> tuple[Any, dict[str, Any]]:
    """What answers, and what is known of how it was made."""
    from latentpk import read_nonmem
    from latentpk.workflows.adapt import AdaptSettings, Source, adapt

    source = Source.open(MODEL)
    if method == "source":
        return source.predictor, {}
    begun = time.perf_counter()
    if method == "scratch":
        recipe = ours.Recipe("compartment", STRUCTURE, VANCOMYCIN.covariates, seed)
        return (found := ours.fit(table, recipe))[0].predictor(), {"seconds_fit": found[1]}
    cohort = read_nonmem(table, **source.predictor.reading, purpose="adapt")
    model = adapt(source, cohort, AdaptSettings(seed=seed, subjects=TAUGHT, epochs=EPOCHS))
    card = model.card()
    return model.predictor(), {
        "seconds_fit": time.perf_counter() - begun,
        "used": card["adaptation"]["population used"] == "adapted",
        "moved": card["what adapting moved"],
    }


def rows(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each cohort, method and n: ratio to the oracle, coverage, what moved."""
    scores = {_key(one): Score.parse(one["score"]) for one in results}
    found = []
    for cohort, method, n in dict.fromkeys(_key(cell.settings)[:3] for cell in plan()):
        mine = [one for one in results if _key(one)[:3] == (cohort, method, n)]
        mine = [one for one in mine if (cohort, "oracle", 0, one["seed"]) in scores]
        if not mine:
            continue
        each = [scores[_key(one)] for one in mine]
        best = [scores[cohort, "oracle", 0, one["seed"]] for one in mine]
        row = {
            "cohort": cohort,
            "method": method,
            "n": n,
            "seeds": [one["seed"] for one in mine],
            "log_rmse": [round(one.log_rmse, 5) for one in each],
            "ratio_to_oracle": ratio(each, best).json(),
            "coverage90": coverage(each).json(),
        }
        for name in ("seconds_fit", "used", "moved"):
            if name in mine[0]:
                row[name] = [one[name] for one in mine]
        found.append(row)
    return found


def _key(settings: Any) -> tuple[str, str, int, int]:
    return settings["cohort"], settings["method"], settings["n"], settings["seed"]


def main() -> None:
    """Run the chosen cells and write results.json from every finished one."""
    choice = command.parse(__doc__ or "")
    outcome = run_cells(plan(), work, ledger=LEDGER, choice=choice)
    table = rows(outcome.results())
    head = {"task": "start_from", **outcome.head(), "protocol": PROTOCOL}
    write_json(FOLDER / "results.json", {**head, "machine": machine.describe(), "table": table})
    for row in table:
        value = row["ratio_to_oracle"]
        command.say(
            f"{row['cohort']:>8} n={row['n']:<4}{row['method']:>12}  {value['value']:.3f}"
            f" [{value['low']:.3f}, {value['high']:.3f}]  coverage {row['coverage90']['value']:.3f}"
            f"  {row.get('used', '')}"
        )


if __name__ == "__main__":
    main()
