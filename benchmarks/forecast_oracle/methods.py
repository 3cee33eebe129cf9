"""The methods of the forecast benchmark: each one's scores on one seed's unseen patients."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.forecast_oracle import cohorts, oracle
from benchmarks.forecast_oracle.cohorts import Patients
from benchmarks.forecast_oracle.populations import POPULATIONS
from benchmarks.forecast_oracle.published import published
from benchmarks.forecast_oracle.score import score
from benchmarks.harness import ours

UNSEEN, LARGEST = 500, 500  # unseen patients of each seed; the largest training set
STRUCTURES = {"vancomycin-2c-infusion": "2c-iv", "oral-1c": "1c-oral-lag", "two-peaks": "1c-oral"}


@dataclass(frozen=True)
class Task:
    """One cell: train on n patients of a seed, forecast that seed's unseen ones."""

    cohort: str
    n: int
    seed: int

    @property
    def train(self) -> Patients:
        """The training patients: the first n of the seed's largest set."""
        return _training(self.cohort, self.seed).take(slice(self.n))

    @property
    def unseen(self) -> Patients:
        """The patients to forecast, the same for every n and method."""
        return _unseen(self.cohort, self.seed)


Method = Callable[[Task], dict[str, Any]]


@cache
def _training(cohort: str, seed: int) -> Patients:
    return cohorts.training(POPULATIONS[cohort], LARGEST, seed=seed)


@cache
def _unseen(cohort: str, seed: int) -> Patients:
    return cohorts.unseen(POPULATIONS[cohort], UNSEEN, seed=seed)


def run_oracle(task: Task) -> dict[str, Any]:
    """The Bayes oracle, and the population prediction under the true parameters."""
    patients = task.unseen
    begun = time.perf_counter()
    found = oracle.forecast(patients, seed=task.seed)
    seconds = time.perf_counter() - begun
    centre = np.zeros((len(patients), 1, len(patients.population.omega)))
    typical = oracle.concentrations(patients, centre, patients.later)[:, 0]
    best = score(patients, np.exp(found.log_mean), (found.low, found.high))
    half = score(patients, np.exp(found.log_mean_half))
    return {
        "scores": {"oracle": best.json(), "true-population": score(patients, typical).json()},
        "seconds": {"forecast": seconds},
        "moved_by_doubling": abs(best.log_rmse / half.log_rmse - 1),
        "effective_draws_least": float(found.size.min()),
        "effective_draws_median": float(np.median(found.size)),
    }


def run_ours(task: Task, *, decoder: str, structure: str = "auto") -> dict[str, Any]:
    """One of our fits: its posterior, and for compartments its mode and population prediction."""
    train, unseen = task.train, task.unseen
    recipe = ours.Recipe(decoder, structure, unseen.population.covariates, task.seed)
    with tempfile.TemporaryDirectory() as folder:
        path = cohorts.write_forecast(unseen, Path(folder) / "unseen.csv")
        model, fit_seconds = ours.fit(
            cohorts.write_training(train, Path(folder) / "train.csv"), recipe
        )
        later, seconds = ours.forecast(model, path)
        shape = unseen.truth.shape
        interval = (later.low.reshape(shape), later.high.reshape(shape))
        scores = {decoder: score(unseen, later.ipred.reshape(shape), interval)}
        scores[f"{decoder}-population"] = score(unseen, later.pred.reshape(shape))
        if decoder == "compartment":
            mode = ours.map_forecast(model, path).reshape(shape)
            scores["compartment-map"] = score(unseen, mode)
    return {
        "scores": {name: one.json() for name, one in scores.items()},
        "seconds": {"fit": fit_seconds, "forecast": seconds},
        "rungs": later.methods,
    }


def run_true_model(task: Task) -> dict[str, Any]:
    """Our posterior, and its mode, under the true model: what is left is the price of learning."""
    from latentpk import read_nonmem
    from latentpk.models.published import build_published

    unseen = task.unseen
    with tempfile.TemporaryDirectory() as folder:
        path = cohorts.write_forecast(unseen, Path(folder) / "unseen.csv")
        population = published(unseen.population)
        names = list(population.covariates)
        cohort = read_nonmem(path, covariates=names, purpose="forecast")
    block = ours.Block.of(build_published(population), cohort)
    begun = time.perf_counter()
    found = block.posteriors()
    later = block.later(found)
    seconds = time.perf_counter() - begun
    shape = unseen.truth.shape
    interval = (later.low.reshape(shape), later.high.reshape(shape))
    mode = block.at(found.mode).reshape(shape)
    scores = {
        "true-posterior": score(unseen, later.ipred.reshape(shape), interval),
        "true-map": score(unseen, mode),
    }
    return {
        "scores": {name: one.json() for name, one in scores.items()},
        "seconds": {"forecast": seconds},
        "rungs": later.methods,
    }


def run_pkvae(task: Task) -> dict[str, Any]:
    """The published PKVAE; needs PyTorch."""
    from benchmarks.forecast_oracle import pkvae

    begun = time.perf_counter()
    fitted = pkvae.fit(task.train, seed=task.seed)
    trained = time.perf_counter()
    found = pkvae.forecast(fitted, task.unseen)
    return {
        "scores": {"pkvae": score(task.unseen, found).json()},
        "seconds": {"fit": trained - begun, "forecast": time.perf_counter() - trained},
        "epochs": fitted.epochs,
    }


METHODS: dict[str, Method] = {
    "oracle": run_oracle,
    "true-model": run_true_model,
    "auto": lambda task: run_ours(task, decoder="auto"),
    "compartment": lambda task: run_ours(
        task, decoder="compartment", structure=STRUCTURES[task.cohort]
    ),
    "kernel": lambda task: run_ours(task, decoder="kernel"),
    "grid": lambda task: run_ours(task, decoder="grid"),
    "pkvae": run_pkvae,
}
