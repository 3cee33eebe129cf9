"""The rest of one subject from four levels: python -m benchmarks.leave_one_out.run --help."""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.harness import command, machine, ours
from benchmarks.harness.carried import carried, stored
from benchmarks.harness.cells import Cell, Ledger, Outcome, run_cells, write_json
from benchmarks.harness.statistics import bootstrap

FOLDER = Path(__file__).parent
GIVEN = 4
DATA = {"theophylline": "1c-oral", "indomethacin": "2c-iv"}
FITS: dict[str, dict[str, Any]] = {
    "auto": {"decoder": "auto", "covariates": True},
    "compartment-plain": {"decoder": "compartment"},
    "compartment-lognormal": {"decoder": "compartment", "residual": "lognormal"},
    "general": {"general": True, "covariates": True},
}
ROUTES = {"theophylline": "oral", "indomethacin": "iv"}  # of `general`; the others find it
POPULATIONS: dict[str, dict[str, Any]] = {
    "popfit": {"error": "combined2"},
    "popfit-full": {"error": "combined2", "omega": "full"},
    "popfit-lognormal": {"error": "lognormal"},
}
PROTOCOL = {"version": 1, "given": GIVEN}
LEDGER = Ledger(FOLDER, PROTOCOL)
BARS = {"theophylline": (0.184, 0.244), "indomethacin": (0.245, 0.271)}


def plan() -> list[Cell]:
    """Each method on each data set: one cell fits as often as there are subjects."""
    return [
        Cell({"data": data, "method": method}) for data in DATA for method in (*POPULATIONS, *FITS)
    ]


def folder() -> Path:
    """The folder of the tables; it need not be there."""
    return Path(os.environ.get("LATENTPK_DATA", "absent")) / "pk"


def load(data: str) -> pl.DataFrame:
    """The table with RANK, a level's place in its subject's file order; none at time 0."""
    table = pl.read_csv(folder() / f"{data}.csv", infer_schema_length=None)
    level = pl.col("EVID") == 0
    ranked = table.with_columns(
        pl.col("DV").cast(pl.Float64), RANK=pl.when(level).then(level.cum_sum().over("ID"))
    )
    return ranked.filter(~level | (pl.col("TIME") > 0))


def ask(table: pl.DataFrame) -> pl.DataFrame:
    """Levels after the fourth row become times to predict, their values in OBSERVED."""
    later = pl.col("RANK").fill_null(0) > GIVEN
    return table.with_columns(
        OBSERVED=pl.when(later).then(pl.col("DV")),
        EVID=pl.when(later).then(2).otherwise("EVID"),
        MDV=pl.when(later).then(1).otherwise("MDV"),
        DV=pl.when(later).then(None).otherwise("DV"),
    )


def work(cell: Cell) -> dict[str, Any]:
    """Leave out each subject in turn."""
    data, method = cell.settings["data"], cell.settings["method"]
    table = load(data)
    subjects = table["ID"].unique(maintain_order=True).to_list()
    errors: dict[str, list[float]] = {}
    chosen, begun = [], time.perf_counter()
    for subject in subjects:
        train = table.filter(pl.col("ID") != subject).drop("RANK")
        asked = ask(table.filter(pl.col("ID") == subject)).drop("RANK")
        observed = asked.filter(pl.col("EVID") == 2)["OBSERVED"].to_numpy()
        answer = _population if method in POPULATIONS else _trained
        found, structure = answer(train, asked.drop("OBSERVED"), data, method)
        chosen.append(structure)
        for name, values in found.items():
            off = np.log(np.maximum(values, 1e-6)) - np.log(observed)
            errors.setdefault(name, []).append(float(np.sqrt(np.mean(off**2))))
    return {
        "subjects": subjects,
        "log_rmse": errors,
        "chosen": chosen,
        "seconds": time.perf_counter() - begun,
    }


def _trained(
    train: pl.DataFrame, asked: pl.DataFrame, data: str, method: str
) -> tuple[dict[str, np.ndarray], str]:
    from latentpk import ProfileVAE, read_nonmem
    from latentpk.workflows.general.tune import TuneSettings, tune

    settings = dict(FITS[method])
    with_weight = settings.pop("covariates", False) and data == "theophylline"
    cohort = read_nonmem(train, covariates=["WT"] if with_weight else [])
    if settings.pop("general", False):
        model = tune(cohort, TuneSettings(route=ROUTES[data], seed=1))
    else:
        model = ProfileVAE(seed=1, **settings).fit(cohort)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "asked.csv"
        asked.write_csv(path)
        later, _ = ours.forecast(model, path)
    return {method: later.ipred, f"{method}-population": later.pred}, model.fitted.chosen.decoder


def _population(
    train: pl.DataFrame, asked: pl.DataFrame, data: str, method: str
) -> tuple[dict[str, np.ndarray], str]:
    from latentpk import read_nonmem
    from latentpk.workflows.population.fit import PopfitSettings, fit_population, read_cohort

    settings = PopfitSettings(structure=DATA[data], **POPULATIONS[method])
    fit = fit_population(read_cohort(train, settings), settings)
    cohort = read_nonmem(asked, covariates=list(fit.config.covariates), purpose="forecast")
    block = ours.Block.of(fit.model, cohort, oral="oral" in DATA[data])
    found = block.posteriors()
    later = block.later(found)
    answers = {method: later.ipred, f"{method}-map": block.at(found.mode)}
    return answers | {f"{method}-population": later.pred}, DATA[data]


def rows(outcome: Outcome) -> list[dict[str, Any]]:
    """Mean log-RMSE over subjects of each method."""
    found = []
    for one in outcome.results():
        for name, errors in one["log_rmse"].items():
            values = np.array(errors)
            interval = bootstrap(lambda index, v=values: float(v[index[0]].mean()), [len(values)])
            row = {"data": one["data"], "method": name, "subjects": len(values)}
            found.append(row | {"log_rmse": interval.json(), "each": [round(v, 3) for v in errors]})
    return found


def bars(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What auto reaches of the best published figure and of MAP's."""
    return [
        {
            "data": row["data"],
            "what": what,
            "at_most": most,
            "value": row["log_rmse"]["value"],
            "met": row["log_rmse"]["value"] <= most,
        }
        for row in table
        if row["method"] == "auto"
        for what, most in zip(("best published", "MAP"), BARS[row["data"]], strict=True)
    ]


def main() -> None:
    """Run the chosen cells and write results.json from every finished one."""
    choice = command.parse(__doc__ or "")
    if not folder().is_dir():
        command.say("LATENTPK_DATA names no folder with pk/: nothing was run, nothing written")
        return
    outcome = run_cells(plan(), work, ledger=LEDGER, choice=choice)
    new = [
        {key: one[key] for key in ("data", "method", "chosen", "seconds")}
        for one in outcome.results()
    ]
    at = ("data", "method")
    before = stored(FOLDER / "results.json", PROTOCOL)
    table, costs = carried(before, rows(outcome), new, row_at=at, cost_at=at)
    head = {"task": "leave_one_out", **outcome.head(), "protocol": PROTOCOL}
    head |= {"cells_done": len(costs), "cells_carried": len(costs) - len(new)}
    write_json(
        FOLDER / "results.json",
        {
            **head,
            "machine": machine.describe(),
            "table": table,
            "bars": bars(table),
            "costs": costs,
        },
    )
    for row in table:
        interval = row["log_rmse"]
        command.say(
            f"{row['data']:>14} {row['method']:>32}  {interval['value']:.4f}"
            f" [{interval['low']:.3f}, {interval['high']:.3f}]"
        )


if __name__ == "__main__":
    main()
