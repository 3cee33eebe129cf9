"""The methods: each one's scores on unseen patients, of the trained regimens and of others."""

import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.complex_profiles.populations import POPULATIONS
from benchmarks.forecast_oracle import cohorts, oracle
from benchmarks.forecast_oracle.cohorts import Patients
from benchmarks.forecast_oracle.score import score
from benchmarks.harness import ours

UNSEEN, SIZE = 500, 500  # unseen patients of each seed and regimen; training patients
DRAWS = oracle.Settings(draws=4096, pilot=1024, stages=4, block=10)


@dataclass(frozen=True)
class Task:
    """One cell: a cohort, a seed, and how it is answered for."""

    cohort: str
    seed: int

    @property
    def train(self) -> Patients:
        """The training patients."""
        return cohorts.training(POPULATIONS[self.cohort], SIZE, seed=self.seed)

    @property
    def asked(self) -> dict[str, Patients]:
        """Unseen patients of the regimens trained on ("known") and, where there are any, others."""
        return _asked(self.cohort, self.seed)


@cache
def _asked(cohort: str, seed: int) -> dict[str, Patients]:
    population = POPULATIONS[cohort]
    found = {"known": cohorts.unseen(population, UNSEEN, seed=seed)}
    if population.other_regimen is not None:
        found["other"] = cohorts.unseen_regimen(population, UNSEEN, seed=seed)
    return found


def run_oracle(task: Task) -> dict[str, Any]:
    """The Bayes oracle, and the prediction at the true typical values."""
    scores, seconds, moved, least = {}, {}, {}, {}
    for name, patients in task.asked.items():
        begun = time.perf_counter()
        found = oracle.forecast(patients, seed=task.seed, settings=DRAWS)
        seconds[name] = time.perf_counter() - begun
        centre = np.zeros((len(patients), 1, len(patients.population.omega)))
        typical = oracle.concentrations(patients, centre, patients.later)[:, 0]
        best = score(patients, np.exp(found.log_mean), (found.low, found.high))
        half = score(patients, np.exp(found.log_mean_half))
        scores[f"oracle/{name}"] = best.json()
        scores[f"true-population/{name}"] = score(patients, typical).json()
        moved[name] = abs(best.log_rmse / half.log_rmse - 1)
        least[name] = float(found.size.min())
    return {
        "scores": scores,
        "seconds": seconds,
        "moved_by_doubling": moved,
        "effective_draws_least": least,
    }


def run_ours(task: Task, *, method: str, structure: str = "auto") -> dict[str, Any]:
    """One of our fits, asked about every unseen patient."""
    population = POPULATIONS[task.cohort]
    known, said = population.covariates, population.dose_covariates
    route = "oral" if population.oral else "iv"  # whoever gave the doses knows it
    recipe = ours.Recipe(method, structure, known, task.seed, route, said)
    scores, seconds, rungs = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        train = cohorts.write_training(task.train, Path(folder) / "train.csv")
        model, seconds["fit"] = ours.fit(train, recipe)
        for name, patients in task.asked.items():
            path = cohorts.write_forecast(patients, Path(folder) / f"{name}.csv")
            later, seconds[name] = ours.forecast(model, path)
            shape = patients.truth.shape
            interval = (later.low.reshape(shape), later.high.reshape(shape))
            scores[f"{method}/{name}"] = score(
                patients, later.ipred.reshape(shape), interval
            ).json()
            rungs[name] = later.methods
    return {
        "scores": scores,
        "seconds": seconds,
        "rungs": rungs,
        "chosen": model.fitted.chosen.decoder,
        "told": list(model.notices),
    }
