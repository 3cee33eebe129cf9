"""Later cycles of simulated T-DM1 patients: python -m benchmarks.tdm1.run --help."""

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.harness import command, machine, ours
from benchmarks.harness.cells import Cell, Ledger, Outcome, run_cells, write_json
from benchmarks.harness.statistics import bootstrap

Floats = NDArray[np.float64]
FOLDER = Path(__file__).parent
FOLDS, FLOOR = 5, 0.01
TAUGHT = 2016.0  # hours (12 weeks) of a training patient: one has 181 levels, most have 25
FILES = {"repaired": "tdm1_simulated", "as-published": "tdm1_as_published"}
METHODS = ("compartment", "auto")
PROTOCOL = {"version": 2, "folds": FOLDS, "given": "cycle 1", "taught_until": TAUGHT}
LEDGER = Ledger(FOLDER, PROTOCOL)
GOAL = 0.95  # R2


def plan() -> list[Cell]:
    """The repaired file by both methods, then the leakage row."""
    return [
        Cell({"data": data, "method": method, "fold": fold})
        for data in FILES
        for method in (METHODS if data == "repaired" else METHODS[1:])
        for fold in range(FOLDS)
    ]


def folder() -> Path:
    """The folder of the tables; it need not be there."""
    return Path(os.environ.get("LATENTPK_DATA", "absent")) / "pk"


def load(data: str) -> pl.DataFrame:
    """Doses and levels above 0, in record order; a level that is recorded twice counts once."""
    table = pl.read_csv(folder() / f"{FILES[data]}.csv", infer_schema_length=None)
    copied = ~pl.struct("ID", "TIME", "EVID", "DV").is_first_distinct()
    return table.filter((pl.col("EVID") != 0) | ((pl.col("DV") > 0) & ~copied))


def folds(table: pl.DataFrame) -> dict[int, int]:
    """Patient to fold."""
    patients = sorted(table["ID"].unique().to_list())
    order = np.random.default_rng(2026).permutation(len(patients))
    return {patients[place]: rank % FOLDS for rank, place in enumerate(order)}


def ask(table: pl.DataFrame) -> pl.DataFrame:
    """Levels after cycle 1 become times to predict, their values in OBSERVED."""
    later = (pl.col("EVID") == 0) & (pl.col("CYCLE") > 1)
    return table.with_columns(OBSERVED=pl.when(later).then(pl.col("DV")), LATER=later).with_columns(
        EVID=pl.when("LATER").then(2).otherwise("EVID"),
        MDV=pl.when("LATER").then(1).otherwise("MDV"),
        DV=pl.when("LATER").then(None).otherwise("DV"),
    )


def work(cell: Cell) -> dict[str, Any]:
    """Fit four folds, forecast the fifth."""
    table = load(cell.settings["data"])
    fold = pl.col("ID").replace_strict(folds(table))
    train, asked = (
        table.filter((fold != cell.settings["fold"]) & (pl.col("TIME") <= TAUGHT)),
        ask(table.filter(fold == cell.settings["fold"])),
    )
    given = asked.filter(pl.col("EVID") == 0).group_by("ID").agg(pl.col("DV").mean())
    later = asked.filter(pl.col("EVID") == 2).join(given, on="ID", suffix="_1", how="left")
    names = ["CYCLE", "WEEKS_BETWEEN_DOSES"]
    recipe = ours.Recipe(cell.settings["method"], "auto", (), seed=cell.settings["fold"])
    with tempfile.TemporaryDirectory() as place:
        source, target = Path(place) / "train.csv", Path(place) / "asked.csv"
        train.drop(names).write_csv(source)
        asked.drop("OBSERVED", "LATER", *names).write_csv(target)
        model, fitted = ours.fit(source, recipe)
        found, seconds = ours.forecast(model, target)
    return {
        "patient": later["ID"].to_list(),
        "observed": later["OBSERVED"].to_list(),
        "predicted": {
            cell.settings["method"]: found.ipred.tolist(),
            "carried": later["DV_1"].fill_null(later["DV_1"].mean()).to_list(),
        },
        "low": found.low.tolist(),
        "high": found.high.tolist(),
        "chosen": model.fitted.chosen.decoder,
        "seconds": {"fit": fitted, "forecast": seconds},
    }


def metrics(patient: list[int], observed: Floats, predicted: Floats) -> dict[str, Any]:
    """R2, MAE and log-RMSE with bootstrap intervals by patient."""
    order = sorted(set(patient))
    rows = [np.flatnonzero(np.array(patient) == one) for one in order]
    error = predicted - observed
    off = np.log(np.maximum(predicted, FLOOR)) - np.log(np.maximum(observed, FLOOR))

    def taken(chosen: list[NDArray[np.intp]]) -> NDArray[np.intp]:
        return np.concatenate([rows[place] for place in chosen[0]])

    def r2(chosen: list[NDArray[np.intp]]) -> float:
        index = taken(chosen)
        away = observed[index] - observed[index].mean()
        return float(1 - (error[index] ** 2).sum() / (away**2).sum())

    statistics = {
        "r2": r2,
        "mae": lambda chosen: float(np.abs(error[taken(chosen)]).mean()),
        "log_rmse": lambda chosen: float(np.sqrt((off[taken(chosen)] ** 2).mean())),
    }
    return {name: bootstrap(one, [len(order)]).json() for name, one in statistics.items()}


def table(outcome: Outcome) -> list[dict[str, Any]]:
    """Each file and method, over the folds that are done."""
    found, results = [], outcome.results()
    for data in FILES:
        for method in METHODS:
            parts = [one for one in results if (one["data"], one["method"]) == (data, method)]
            if not parts:
                continue
            patient = [one for part in parts for one in part["patient"]]
            observed, low, high = (
                np.concatenate([part[key] for part in parts]) for key in ("observed", "low", "high")
            )
            named = (method, "carried") if method == METHODS[-1] else (method,)
            for name in named:
                predicted = np.concatenate([part["predicted"][name] for part in parts])
                row = {"data": data, "method": name, "folds": len(parts)}
                row["patients"] = len(set(patient))
                row |= {"levels": len(observed), **metrics(patient, observed, predicted)}
                if name == method:
                    inside = (observed >= low) & (observed <= high)
                    row["coverage90"] = round(float(inside.mean()), 4)
                    row["chosen"] = sorted({part["chosen"] for part in parts})
                found.append(row)
    return found


def main() -> None:
    """Run the chosen cells and write results.json from every finished one."""
    choice = command.parse(__doc__ or "")
    if not folder().is_dir():
        command.say("LATENTPK_DATA names no folder with pk/: nothing was run, nothing written")
        return
    outcome = run_cells(plan(), work, ledger=LEDGER, choice=choice)
    rows = table(outcome)
    bars = [
        {"what": "R2 of auto", "at_least": GOAL, "value": row["r2"]["value"],
         "met": row["r2"]["value"] >= GOAL, "folds": row["folds"]}
        for row in rows
        if (row["data"], row["method"]) == ("repaired", "auto")
    ]  # fmt: skip
    head = {"task": "tdm1", **outcome.head(), "protocol": PROTOCOL, "machine": machine.describe()}
    seconds = [
        {key: one[key] for key in ("data", "method", "fold", "chosen", "seconds")}
        for one in outcome.results()
    ]
    write_json(FOLDER / "results.json", {**head, "table": rows, "bars": bars, "costs": seconds})
    for row in rows:
        command.say(
            f"{row['data']:>14} {row['method']:>12} {row['folds']} folds"
            f"  R2 {row['r2']['value']:.4f}  MAE {row['mae']['value']:.3f}"
            f"  log-RMSE {row['log_rmse']['value']:.4f}"
            f"  coverage {row.get('coverage90', '-')}"
        )


if __name__ == "__main__":
    main()
