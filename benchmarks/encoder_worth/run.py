"""What the encoder is worth: python -m benchmarks.encoder_worth.run --help."""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.forecast_oracle import cohorts, oracle
from benchmarks.forecast_oracle.cohorts import Patients
from benchmarks.forecast_oracle.methods import STRUCTURES, Task
from benchmarks.forecast_oracle.score import Score, coverage, ratio, score
from benchmarks.harness import command, machine, ours
from benchmarks.harness.cells import Cell, Ledger, run_cells, write_json

FOLDER = Path(__file__).parent
SEEDS, TRAINED, FORECAST = (1, 2, 3), 500, 200
PAIRS = (
    ("vancomycin-2c-infusion", "compartment"),
    ("oral-1c", "compartment"),
    ("two-peaks", "kernel"),
    ("vancomycin-2c-infusion", "kernel"),
)
PROTOCOL = {"version": 1, "trained": TRAINED, "forecast": FORECAST}
LEDGER = Ledger(FOLDER, PROTOCOL)


def plan() -> list[Cell]:
    """One fit for each cohort, decoder and seed."""
    return [
        Cell({"cohort": cohort, "decoder": decoder, "seed": seed})
        for seed in SEEDS
        for cohort, decoder in PAIRS
    ]


def work(cell: Cell) -> dict[str, Any]:
    """Fit, then forecast the same patients by every arm and by the oracle."""
    from benchmarks.encoder_worth.arms import ARMS

    cohort, decoder, seed = (cell.settings[key] for key in ("cohort", "decoder", "seed"))
    task = Task(cohort, TRAINED, seed)
    patients = task.unseen.take(slice(FORECAST))
    block = fitted_block(task, patients, decoder)
    found = {name: run_arm(arm, block, patients, seed) for name, arm in ARMS.items()}
    exact = found["nuts"]["log_forecast"]
    for name, one in found.items():
        apart = (one.pop("log_forecast") - exact)[patients.scored]
        if name in ("nuts", "encoder-only"):  # no ladder was climbed
            one["rungs"] = {}
        one["apart_from_nuts"] = float(np.sqrt(np.mean(apart**2)))
    best = oracle.forecast(patients, seed=seed)
    interval = (best.low, best.high)
    return {"arms": found, "oracle": score(patients, np.exp(best.log_mean), interval).json()}


def fitted_block(task: Task, patients: Patients, decoder: str) -> ours.Block:
    """Train on the task's patients and stack the ones to forecast."""
    structure = STRUCTURES[task.cohort] if decoder == "compartment" else "auto"
    recipe = ours.Recipe(decoder, structure, patients.population.covariates, task.seed)
    with tempfile.TemporaryDirectory() as folder:
        train = cohorts.write_training(task.train, Path(folder) / "train.csv")
        unseen = cohorts.write_forecast(patients, Path(folder) / "unseen.csv")
        model, _ = ours.fit(train, recipe)
        return ours.Block.of(model.model, ours.read_unseen(unseen, model))


def run_arm(arm: Any, block: ours.Block, patients: Patients, seed: int) -> dict[str, Any]:
    """Score one arm; its first call compiles, its second is timed."""
    begun = time.perf_counter()
    arm(block, seed)
    compiled = time.perf_counter()
    found = arm(block, seed)
    finished = time.perf_counter()
    later = block.later(found)
    shape = patients.truth.shape
    forecast = later.ipred.reshape(shape)
    interval = (later.low.reshape(shape), later.high.reshape(shape))
    floor = patients.population.floor
    return {
        "score": score(patients, forecast, interval).json(),
        "log_forecast": np.log(np.maximum(forecast, floor)),
        "first_call_seconds": compiled - begun,
        "ms_per_patient": 1000 * (finished - compiled) / len(patients),
        "rungs": later.methods,
    }


def rows(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each cohort, decoder and arm: error, distance from NUTS, time, rungs; means over seeds."""
    found = []
    for cohort, decoder in PAIRS:
        mine = [one for one in results if (one["cohort"], one["decoder"]) == (cohort, decoder)]
        best = [Score.parse(one["oracle"]) for one in mine]
        for arm in mine[0]["arms"] if mine else ():
            cells = [one["arms"][arm] for one in mine]
            scores = [Score.parse(one["score"]) for one in cells]
            rungs = {name for one in cells for name in one["rungs"]}
            found.append(
                {
                    "cohort": cohort,
                    "decoder": decoder,
                    "arm": arm,
                    "seeds": [one["seed"] for one in mine],
                    "log_rmse": [round(one.log_rmse, 5) for one in scores],
                    "ratio_to_oracle": ratio(scores, best).json(),
                    "coverage90": coverage(scores).json(),
                    **{
                        key: float(np.mean([one[key] for one in cells]))
                        for key in ("apart_from_nuts", "ms_per_patient", "first_call_seconds")
                    },
                    "rungs": {
                        name: float(np.mean([one["rungs"].get(name, 0) for one in cells]))
                        for name in sorted(rungs)
                    },
                }
            )
    return found


def main() -> None:
    """Run the chosen cells and write results.json from every finished one."""
    choice = command.parse(__doc__ or "")
    outcome = run_cells(plan(), work, ledger=LEDGER, choice=choice)
    table = rows(outcome.results())
    head = {"task": "encoder_worth", **outcome.head(), "protocol": PROTOCOL}
    write_json(FOLDER / "results.json", {**head, "machine": machine.describe(), "table": table})
    for row in table:
        command.say(
            f"{row['cohort']:>24} {row['decoder']:>12} {row['arm']:>22}"
            f"  {row['ratio_to_oracle']['value']:.3f} x oracle"
            f"  {row['apart_from_nuts']:.4f} from NUTS  {row['ms_per_patient']:.2f} ms"
            f"  coverage {row['coverage90']['value']:.3f}  {row['rungs']}"
        )


if __name__ == "__main__":
    main()
