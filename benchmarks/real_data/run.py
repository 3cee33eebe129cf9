"""Forecasts of real levels, 5-fold by subject: python -m benchmarks.real_data.run --help."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.harness import command, machine, ours
from benchmarks.harness.cells import Cell, Ledger, Outcome, run_cells, write_json
from benchmarks.real_data import data, peer_nlme
from benchmarks.real_data.metrics import Errors, compare, errors, summarize

FOLDER = Path(__file__).parent
PROTOCOL = {
    "version": 1,
    "folds": data.FOLDS,
    "repeats": data.REPEATS,
    "given": "half, rounded up, at most 4",
}
LEDGER = Ledger(FOLDER, PROTOCOL)
MAP = "compartment-map"
ESTIMATORS = [{"data": "theophylline", "method": "estimators", "repeat": 0}]
RESIDUALS = ("combined2", "additive", "lognormal")


def plan() -> list[Cell]:
    """Every data set, repeat and fold by our two fits, and nlme on theophylline."""
    methods = {name: ["compartment", "auto"] for name in data.DATASETS}
    if peer_nlme.available():
        methods["theophylline"].append("nlme")
    else:
        command.say("R with nlme is absent: that peer is left out (apt install r-cran-nlme)")
    first = [Cell({**at, "fold": fold}) for at in ESTIMATORS for fold in range(data.FOLDS)]
    return first + [
        Cell({"data": name, "method": method, "repeat": repeat, "fold": fold})
        for repeat in range(data.REPEATS)
        for name in data.DATASETS
        for method in methods[name]
        for fold in range(data.FOLDS)
    ]


def work(cell: Cell) -> dict[str, Any]:
    """Fit four folds, forecast the later levels of the fifth."""
    settings = cell.settings
    dataset = data.DATASETS[settings["data"]]
    table = data.load(dataset, data.folder())
    fold = pl.col("ID").replace_strict(data.folds(table, settings["repeat"]))
    train = table.filter(fold != settings["fold"])
    asked = data.ask(table.filter(fold == settings["fold"]))
    later = asked.filter(pl.col("EVID") == 2)
    if settings["method"] == "nlme":
        found = _nlme(train, asked)
    elif settings["method"] == "estimators":
        found = _estimators(train, asked, dataset)
    else:
        found = _ours(train, asked, dataset, settings)
    return {
        "subject": [str(one) for one in later["ID"]],
        "observed": later["OBSERVED"].to_list(),
        **found,
    }


def _nlme(train: pl.DataFrame, asked: pl.DataFrame) -> dict[str, Any]:
    mode, centre = peer_nlme.forecast(train, asked)
    return {"predictions": {"nlme-map": mode.tolist(), "nlme-population": centre.tolist()}}


def _ours(
    train: pl.DataFrame, asked: pl.DataFrame, dataset: data.Dataset, settings: Any
) -> dict[str, Any]:
    decoder = settings["method"]
    recipe = ours.Recipe(decoder, "auto", dataset.covariates, settings["repeat"])
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "train.csv", Path(folder) / "asked.csv"
        train.write_csv(source)
        asked.drop("OBSERVED").write_csv(target)
        model, fit_seconds = ours.fit(source, recipe)
        later, seconds = ours.forecast(model, target)
        predictions = {decoder: later.ipred.tolist()}
        if decoder == "compartment":
            predictions[MAP] = ours.map_forecast(model, target).tolist()
            predictions["compartment-population"] = later.pred.tolist()
    return {
        "predictions": predictions,
        "interval": {"low": later.low.tolist(), "high": later.high.tolist()},
        "seconds": {"fit": fit_seconds, "forecast": seconds},
        "chosen": str(model.fitted.chosen),
        "rungs": later.methods,
    }


def _estimators(train: pl.DataFrame, asked: pl.DataFrame, dataset: data.Dataset) -> dict[str, Any]:
    """What other summaries of the posterior, draws and residual errors give for the same fit."""
    from latentpk import ProfileVAE, read_nonmem
    from latentpk.dosing.exposure import Window, heights, quantiles

    predictions: dict[str, list[float]] = {}
    for residual in RESIDUALS:
        model = ProfileVAE(decoder="compartment", seed=0, residual=residual)
        model.fit(read_nonmem(train, covariates=list(dataset.covariates)))
        cohort = read_nonmem(asked.drop("OBSERVED"), **model.reading(), purpose="forecast")
        for draws in (1024, 8192):
            for subject in cohort:
                posterior = model.posterior(subject, draws=draws)
                patient, outputs = posterior.patient(), subject.outputs
                later = ~outputs.is_level
                time, order = outputs.time[later], outputs.order[later]
                window = Window(float(time[0]), float(time[-1]), time, order)
                curve, weight = heights(patient, window), patient.weight
                at_mode = heights(patient.at_mode(posterior.mode), window)[0]
                summaries = {
                    "median": np.array([quantiles(c, weight, (0.5,))[0] for c in curve.T]),
                    "log-mean": np.exp(weight @ np.log(np.maximum(curve, 1e-9))),
                    "mean": weight @ curve,
                    "mode": at_mode,
                }
                for name, values in summaries.items():
                    key = f"{residual} {name} of {draws}"
                    predictions.setdefault(key, []).extend(values.tolist())
    return {"predictions": predictions}


def collect(results: list[dict[str, Any]], name: str) -> dict[str, list[Errors]]:
    """Method to its errors in each repeat of which every fold is done."""
    found: dict[str, list[Errors]] = {}
    mine = [one for one in results if one["data"] == name]
    order = sorted({subject for one in mine for subject in one["subject"]})
    for fitted in sorted({one["method"] for one in mine}):
        for repeat in range(data.REPEATS):
            part = [one for one in mine if (one["method"], one["repeat"]) == (fitted, repeat)]
            if len(part) == data.FOLDS:
                subject = [one for cell in part for one in cell["subject"]]
                observed = np.concatenate([cell["observed"] for cell in part])
                for method in part[0]["predictions"]:
                    predicted = np.concatenate([cell["predictions"][method] for cell in part])
                    found.setdefault(method, []).append(errors(subject, observed, predicted, order))
    return found


def table(outcome: Outcome) -> list[dict[str, Any]]:
    """Metrics of each data set and method, and the paired difference to MAP."""
    rows, results = [], outcome.results()
    for name in data.DATASETS:
        found = collect(results, name)
        for method, repeats in found.items():
            row = {
                "data": name,
                "method": method,
                "repeats": len(repeats),
                "subjects": int((repeats[0].counts > 0).sum()),
                "levels": int(repeats[0].counts.sum()),
                "metrics": summarize(repeats),
            }
            peer = found.get(MAP, [])[: len(repeats)]
            if method != MAP and len(peer) == len(repeats):
                row["minus_map"] = compare(repeats, peer)
                row["worse_than_map_beyond_noise"] = row["minus_map"]["log_rmse"]["low"] > 0
            rows.append(row)
    return rows


def coverage(outcome: Outcome) -> dict[str, dict[str, float]]:
    """Share of later levels within the 90 % prediction interval, by data set and decoder."""
    found: dict[str, dict[str, list[bool]]] = {}
    for one in outcome.results():
        if "interval" in one:
            low, high = (np.array(one["interval"][side]) for side in ("low", "high"))
            inside = (np.array(one["observed"]) >= low) & (np.array(one["observed"]) <= high)
            found.setdefault(one["data"], {}).setdefault(one["method"], []).extend(inside)
    return {
        name: {method: round(float(np.mean(inside)), 4) for method, inside in methods.items()}
        for name, methods in found.items()
    }


def main() -> None:
    """Run the chosen cells and write results.json from every finished one."""
    choice = command.parse(__doc__ or "")
    if not data.folder().is_dir():
        command.say("LATENTPK_DATA names no folder with pk/: nothing was run, nothing written")
        return
    outcome = run_cells(plan(), work, ledger=LEDGER, choice=choice)
    rows = table(outcome)
    chosen = {
        cell: record["result"]["chosen"]
        for cell, record in outcome.records.items()
        if "chosen" in record["result"]
    }
    write_json(
        FOLDER / "results.json",
        {
            "task": "real_data",
            **outcome.head(),
            "protocol": PROTOCOL,
            "machine": machine.describe(),
            "table": rows,
            "coverage90": coverage(outcome),
            "chosen": chosen,
        },
    )
    for row in rows:
        figures = "  ".join(f"{key} {one['value']:.3f}" for key, one in row["metrics"].items())
        worse = "  WORSE THAN MAP" if row.get("worse_than_map_beyond_noise") else ""
        command.say(f"{row['data']:>14} {row['method']:>24}  {figures}{worse}")


if __name__ == "__main__":
    main()
