"""Small studies, begun from the general model: python -m benchmarks.general.run --help."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.complex_profiles.populations import POPULATIONS
from benchmarks.forecast_oracle import cohorts
from benchmarks.forecast_oracle.score import score
from benchmarks.harness import command, machine, ours
from benchmarks.harness.cells import Cell, Ledger, Outcome, run_cells, write_json
from benchmarks.harness.statistics import Interval, bootstrap, root_mean_square
from benchmarks.leave_one_out import run as left_out

FOLDER = Path(__file__).parent
COHORTS = ("oral-1c", "vancomycin-2c-infusion", "transit-seen")
SIZES = (8, 16, 40)
METHODS = ("general", "auto", "neural_ode")
UNSEEN, SEED = 40, 1
THEOPHYLLINE, FOLDS = "theophylline", 6
PROTOCOL = {"version": 1, "unseen": UNSEEN, "folds": FOLDS}
LEDGER = Ledger(FOLDER, PROTOCOL)


def plan() -> list[Cell]:
    """Studies of 8 before larger ones; each of a drug, by every method; then theophylline."""
    small = [
        Cell({"cohort": cohort, "n": n, "method": method, "seed": SEED})
        for n in SIZES
        for cohort in COHORTS
        for method in METHODS
    ]
    folds = [
        Cell({"cohort": THEOPHYLLINE, "n": 11, "method": method, "fold": fold})
        for fold in range(FOLDS)
        for method in METHODS[:2]
    ]
    return small + folds


def work(cell: Cell) -> dict[str, Any]:
    """Run one cell."""
    settings = dict(cell.settings)
    if settings["cohort"] == THEOPHYLLINE:
        return _theophylline(settings["method"], settings["fold"])
    return _study(settings)


def fit(table: Any, method: str, covariates: list[str], route: Any) -> tuple[Any, float]:
    """A model of a study, and the seconds it took."""
    from latentpk import ProfileVAE, read_nonmem
    from latentpk.workflows.general.tune import TuneSettings, tune

    begun = time.perf_counter()
    cohort = read_nonmem(table, covariates=covariates, route=route)
    if method == "general":
        model = tune(cohort, TuneSettings(route=route, seed=SEED))
    else:
        model = ProfileVAE(decoder=method, seed=SEED).fit(cohort)
    return model, time.perf_counter() - begun


def _study(settings: dict[str, Any]) -> dict[str, Any]:
    population = POPULATIONS[settings["cohort"]]
    train = cohorts.training(population, max(SIZES), seed=settings["seed"])
    train = train.take(slice(0, settings["n"]))
    asked = cohorts.unseen(population, UNSEEN, seed=settings["seed"])
    route = "oral" if population.oral else "iv"  # whoever gave the doses knows it
    with tempfile.TemporaryDirectory() as folder:
        path = cohorts.write_training(train, Path(folder) / "train.csv")
        model, seconds = fit(path, settings["method"], list(population.covariates), route)
        ward = cohorts.write_forecast(asked, Path(folder) / "ward.csv")
        later, forecasting = ours.forecast(model, ward)
    shape = asked.truth.shape
    found = score(
        asked, later.ipred.reshape(shape), (later.low.reshape(shape), later.high.reshape(shape))
    )
    return {
        "score": found.json(),
        "seconds": {"fit": seconds, "forecast": forecasting},
        "chosen": model.fitted.chosen.decoder,
        "rungs": later.methods,
    }


def _theophylline(method: str, fold: int) -> dict[str, Any]:
    """One subject left out, by the rules of leave_one_out."""
    table = left_out.load(THEOPHYLLINE)
    subject = table["ID"].unique(maintain_order=True).to_list()[fold]
    asked = left_out.ask(table.filter(pl.col("ID") == subject)).drop("RANK")
    observed = asked.filter(pl.col("EVID") == 2)["OBSERVED"].to_numpy()
    train = table.filter(pl.col("ID") != subject).drop("RANK")
    model, seconds = fit(train, method, ["WT"], "oral")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "asked.csv"
        asked.drop("OBSERVED").write_csv(path)
        later, forecasting = ours.forecast(model, path)
    off = np.log(np.maximum(later.ipred, 1e-6) / observed) ** 2
    return {
        "subject": subject,
        "score": {"squares": [float(off.sum())], "counts": [float(off.size)]},
        "seconds": {"fit": seconds, "forecast": forecasting},
        "chosen": model.fitted.chosen.decoder,
    }


def rows(outcome: Outcome) -> list[dict[str, Any]]:
    """Log-RMSE of each method, and how much less the general model's is on the same patients."""
    found: dict[tuple[str, int], dict[str, list[dict[str, Any]]]] = {}
    for one in outcome.results():
        methods = found.setdefault((one["cohort"], one["n"]), {})
        methods.setdefault(one["method"], []).append(one["score"])
    table = []
    for (cohort, n), methods in found.items():
        pooled = {name: Pooled.of(parts) for name, parts in methods.items()}
        mine = pooled.get("general")
        for method, one in pooled.items():
            row = {"cohort": cohort, "n": n, "method": method, "patients": len(one.squares)}
            row["log_rmse"] = _interval(cohort, one).json()
            row["coverage90"] = one.coverage
            if method != "general" and mine is not None and len(mine.squares) == len(one.squares):
                row["general_minus_this"] = _interval(cohort, mine, one).json()
            table.append(row)
    return table


@dataclass(frozen=True)
class Pooled:
    """One method's errors, patient by patient; of several cells where each has one patient."""

    squares: np.ndarray
    counts: np.ndarray
    inside: np.ndarray | None

    @staticmethod
    def of(parts: list[dict[str, Any]]) -> "Pooled":
        """Cells joined."""
        names = ("squares", "counts", "inside")
        lists = [np.concatenate([part.get(k, []) for part in parts]) for k in names]
        return Pooled(lists[0], lists[1], lists[2] if len(lists[2]) else None)

    @property
    def coverage(self) -> float | None:
        """Share of new measurements within the 90 % interval."""
        return None if self.inside is None else float(self.inside.sum() / self.counts.sum())


def _interval(cohort: str, one: Pooled, less: Pooled | None = None) -> Interval:
    """Log-RMSE of one method, or what is left of it less another's; patients drawn anew."""

    def size(of: Pooled, index: np.ndarray) -> float:
        if cohort == THEOPHYLLINE:  # as leave_one_out says it: the mean of subjects' log-RMSE
            return float(np.sqrt(of.squares[index] / of.counts[index]).mean())
        return root_mean_square(of.squares, of.counts, index)

    def value(index: list[np.ndarray]) -> float:
        return size(one, index[0]) - (0.0 if less is None else size(less, index[0]))

    return bootstrap(value, [len(one.squares)])


def main() -> None:
    """Run the chosen cells and write results.json from every finished one."""
    choice = command.parse(__doc__ or "")
    outcome = run_cells(plan(), work, ledger=LEDGER, choice=choice)
    keys = ("cohort", "n", "method", "fold", "seconds", "chosen", "rungs")
    costs = [{k: one[k] for k in keys if k in one} for one in outcome.results()]
    table = rows(outcome)
    write_json(
        FOLDER / "results.json",
        {
            "task": "general",
            **outcome.head(),
            "protocol": PROTOCOL,
            "machine": machine.describe(),
            "table": table,
            "costs": costs,
        },
    )
    for row in table:
        interval = row["log_rmse"]
        command.say(
            f"{row['cohort']:>24} n = {row['n']:>2} {row['method']:>12}  {interval['value']:.3f}"
            f" [{interval['low']:.3f}, {interval['high']:.3f}]"
        )


if __name__ == "__main__":
    main()
