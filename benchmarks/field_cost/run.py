"""Whole processes that fit the learned field: python -m benchmarks.field_cost.run --help."""

import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.harness import command, machine
from benchmarks.harness.cells import Cell, Ledger, run_cells, write_json
from benchmarks.speed.process import COMMAND

FOLDER = Path(__file__).parent
BASE = {"subjects": 500, "doses": 3, "levels": 7, "states": 3}
CHANGES = ({}, {"doses": 1}, {"doses": 6}, {"levels": 4}, {"levels": 14}, {"states": 4})
PROTOCOL = {"version": 1, "threads": 2}
LEDGER = Ledger(FOLDER, PROTOCOL)
BAR = 300.0  # seconds
INTERVAL, STEP = 24.0, 0.05  # hours


def plan() -> list[Cell]:
    """The base, then one change at a time."""
    return [Cell(BASE | change) for change in CHANGES]


def simulate(settings: dict[str, Any]) -> pl.DataFrame:
    """Subjects whose elimination saturates; a bolus or a dose by mouth each day."""
    rng = np.random.default_rng([1, *settings.values()])
    oral = settings["states"] == 4
    end = INTERVAL * settings["doses"]
    grid = np.arange(0, end + STEP, STEP)
    rows = []
    for number in range(1, settings["subjects"] + 1):
        vmax, km, v, ka = np.exp(np.log([20, 5, 50, 1.2]) + 0.25 * rng.standard_normal(4))
        amount = float(rng.choice([100, 300, 600]))
        starts = np.arange(settings["doses"]) * INTERVAL
        gut, level, course = 0.0, 0.0, []
        for time_now in grid:  # Euler steps of 3 minutes: a cost does not depend on their error
            if np.isclose(starts, time_now, atol=STEP / 2).any():
                gut, level = (gut + amount, level) if oral else (gut, level + amount / v)
            course.append(level)
            enters = ka * gut * STEP if oral else 0.0
            gut -= enters
            level += enters / v - vmax * level / (km + level) / v * STEP
        times = np.sort(rng.choice(np.arange(0.5, end, 0.5), settings["levels"], replace=False))
        values = np.interp(times, grid, course) * np.exp(0.1 * rng.standard_normal(len(times)))
        rows += [(number, t, 1, 1, 1, amount, None) for t in starts]
        where = 2 if oral else 1
        rows += [
            (number, t, 0, 0, where, 0.0, max(y, 1e-3)) for t, y in zip(times, values, strict=True)
        ]
    names = ["ID", "TIME", "EVID", "MDV", "CMT", "AMT", "DV"]
    return pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None).sort(
        "ID", "TIME", "EVID", descending=[False, False, True]
    )


def work(cell: Cell) -> dict[str, Any]:
    """One whole process with nothing compiled beforehand."""
    settings = dict(cell.settings)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        simulate(settings).write_csv(folder / "data.csv")
        route = "oral" if settings["states"] == 4 else "iv"
        asked = ["fit", "data.csv", "--decoder", "neural-ode", "--route", route, "--threads", "2"]
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("NPROC", "OMP_NUM_THREADS", "JAX_COMPILATION_CACHE_DIR")
        } | {"XDG_CACHE_HOME": str(folder / "cache")}
        environment["PYTHONPATH"] = str(Path("src").resolve())
        begun = time.perf_counter()
        subprocess.run(
            [*COMMAND, *asked, "--out", "out.model", "--quiet"],
            cwd=folder,
            env=environment,
            check=True,
            capture_output=True,
        )
        return {"seconds": time.perf_counter() - begun}


def main() -> None:
    """Run the chosen cells and write results.json from every finished one."""
    choice = command.parse(__doc__ or "")
    outcome = run_cells(plan(), work, ledger=LEDGER, choice=choice)
    rows = [
        {key: one[key] for key in (*BASE, "seconds")} | {"seconds": round(one["seconds"], 1)}
        for one in outcome.results()
    ]
    bars = [
        {"what": "500 subjects, seconds of a whole process", "at_most": BAR}
        | {"value": row["seconds"], "met": row["seconds"] <= BAR}
        for row in rows
        if {key: row[key] for key in BASE} == BASE
    ]
    head = {"task": "field_cost", **outcome.head(), "protocol": PROTOCOL}
    write_json(
        FOLDER / "results.json",
        head | {"machine": machine.describe(), "table": rows, "bars": bars},
    )
    for row in rows:
        command.say(", ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
