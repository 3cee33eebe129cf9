"""Errors on unseen regimens: python -m benchmarks.unseen_regimens.run --help."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.forecast_oracle import cohorts
from benchmarks.forecast_oracle.populations import Population
from benchmarks.harness import command, machine, ours
from benchmarks.harness.cells import Cell, Ledger, run_cells, write_json
from benchmarks.unseen_regimens import superposed
from benchmarks.unseen_regimens.drugs import AMOUNTS, ASKED, DRUGS, INTERVAL, TRAINED, asked

Floats = NDArray[np.float64]
FOLDER = Path(__file__).parent
SUPERPOSED, FITTED = "superposed", {"neural_ode": 40, "hybrid": 60}  # and their epochs
OF_FITS = ("known", "a quarter", "four times", "every 6 h", "longer")
SIZE, UNSEEN, FEW, SEED, DRAWS = 50, 30, 12, 1, 256
PROTOCOL = {"version": 2, "size": SIZE, "unseen": [UNSEEN, FEW], "draws": DRAWS, "epochs": FITTED}
LEDGER = Ledger(FOLDER, PROTOCOL)
TOLERANCE = np.log(1.1)  # within it a regimen counts as the known one
KINDS = ("amount", "interval", "length")


def plan() -> list[Cell]:
    """Every drug by superposition, then fitted by one decoder after the other."""
    return [
        Cell({"decoder": decoder, "drug": drug, "seed": SEED})
        for decoder in (SUPERPOSED, *FITTED)
        for drug in DRUGS
    ]


def work(cell: Cell) -> dict[str, Any]:
    """Mean squared log errors of one drug on each regimen."""
    decoder, drug, seed = (cell.settings[key] for key in ("decoder", "drug", "seed"))
    truth = DRUGS[drug]
    found = _superposed(truth, seed) if decoder == SUPERPOSED else _fitted(truth, decoder, seed)
    return {
        "mean square": {
            name: float(np.nanmean(np.clip(error, -5, 5) ** 2)) for name, error in found.items()
        }
    }


def _superposed(truth: Population, seed: int) -> dict[str, Floats]:
    """By the best unit response of each patient."""
    learned = cohorts.unseen(truth, UNSEEN, seed=seed)
    same = {name: cohorts.unseen(asked(truth, name), UNSEEN, seed=seed) for name in ASKED}
    return {name: superposed.errors(learned, patients) for name, patients in same.items()}


def _fitted(truth: Population, decoder: str, seed: int) -> dict[str, Floats]:
    """By a decoder that is fitted to patients of the known regimen."""
    from latentpk import ProfileVAE, read_nonmem

    found = {}
    with tempfile.TemporaryDirectory() as name:
        train = cohorts.training(truth, SIZE, seed=seed)
        table = cohorts.write_training(train, Path(name) / "train.csv")
        structure = {"structure": "1c-oral"} if decoder == "hybrid" else {}
        model = ProfileVAE(
            decoder=decoder,
            **structure,
            prior="linear",
            route="oral",
            epochs=FITTED[decoder],
            seed=seed,
        ).fit(read_nonmem(table, covariates=["WT"]))
        for number, regimen in enumerate(OF_FITS):
            patients = cohorts.unseen(asked(truth, regimen), FEW, seed=10 * seed + number)
            path = cohorts.write_forecast(patients, Path(name) / "asked.csv")
            block = ours.Block.of(model.model, ours.read_unseen(path, model), oral=True)
            later = block.later(block.posteriors(ladder=False, draws=DRAWS))
            forecast = np.maximum(later.ipred.reshape(patients.truth.shape), 1e-9)
            error = np.log(forecast) - np.log(patients.truth)
            found[regimen] = np.where(patients.scored, error, np.nan)
    return found


def distance(regimen: str) -> dict[str, float]:
    """Logs of how far a regimen is beyond what was trained on and a tenth, by what it is of."""
    amounts, interval, until = ASKED[regimen]
    far = {
        "amount": max(np.log(AMOUNTS[0] / min(amounts)), np.log(max(amounts) / AMOUNTS[1])),
        "interval": abs(np.log(interval / INTERVAL)),
        "length": np.log(until / TRAINED),
    }
    return {kind: max(float(value - TOLERANCE), 0.0) for kind, value in far.items()}


def scales(results: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """For each decoder and kind the SD that an error gains over one unit of log distance.

    The root of the mean over drugs and regimens of what the squared error gains over the known
    regimen, divided by the distance; a drug on which it gains nothing counts as one.
    """
    found: dict[str, dict[str, float]] = {}
    for decoder in (SUPERPOSED, *FITTED):
        gains: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for result in results:
            if result["decoder"] != decoder:
                continue
            error = result["mean square"]
            for regimen in error:
                for kind, far in distance(regimen).items():
                    if far > 0:
                        gains[kind].append((error[regimen] - error["known"]) / far)
        if all(gains.values()):
            each = {kind: max(float(np.mean(gains[kind])), 0.0) ** 0.5 for kind in KINDS}
            found[decoder] = {kind: round(value, 3) for kind, value in each.items()}
    return found


def main() -> None:
    """Run the chosen cells and write results.json from every finished one."""
    outcome = run_cells(plan(), work, ledger=LEDGER, choice=command.parse(__doc__ or ""))
    results = outcome.results()
    found = scales(results)
    head = {"task": "unseen_regimens", **outcome.head(), "protocol": PROTOCOL}
    write_json(
        FOLDER / "results.json",
        {**head, "machine": machine.describe(), "scales": found, "cells": results},
    )
    for decoder, each in found.items():
        command.say(f"{decoder:>12} " + " ".join(f"{kind} {each[kind]:.3f}" for kind in KINDS))


if __name__ == "__main__":
    main()
