"""Cohorts drawn from a true population: NONMEM tables for the methods, truths for the score."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.forecast_oracle import designs
from benchmarks.forecast_oracle.designs import Regimen
from benchmarks.forecast_oracle.kinetics import Doses
from benchmarks.forecast_oracle.populations import Population

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Patients:
    """A cohort and its truth.

    Attributes:
        population: Where it was drawn from.
        covariates: (patient, covariate).
        doses: Padded with amount 0.
        eta: True random effects on the link scale, (patient, parameter).
        level_time: [h], padded with 0, (patient, level).
        level: Measured values [mg/L], padded with 1, (patient, level).
        measured: True where a level is one, (patient, level).
        later: Times to predict [h], (patient, later).
        truth: Noise-free concentrations there [mg/L], (patient, later).
        fresh: New noisy measurements there [mg/L], (patient, later).
        scored: Truth above 1 % of the patient's Cmax, (patient, later).
    """

    population: Population
    covariates: Floats
    doses: Doses
    eta: Floats
    level_time: Floats
    level: Floats
    measured: NDArray[np.bool_]
    later: Floats
    truth: Floats
    fresh: Floats
    scored: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.covariates)

    def take(self, index: NDArray[np.intp] | slice) -> "Patients":
        """The chosen patients."""
        arrays: dict[str, Any] = {
            name: value.take(index) if isinstance(value, Doses) else value[index]
            for name, value in vars(self).items()
            if name != "population"
        }
        return Patients(population=self.population, **arrays)


def training(population: Population, size: int, *, seed: int) -> Patients:
    """Patients with levels over their whole record; a smaller set is `take`n from a larger one."""
    return _draw(population, size, np.random.default_rng([seed, 1]), early=False)


def unseen(population: Population, size: int, *, seed: int) -> Patients:
    """Patients with one to four levels in the first part and a truth after it."""
    return _draw(population, size, np.random.default_rng([seed, 2]), early=True)


def unseen_regimen(population: Population, size: int, *, seed: int) -> Patients:
    """Patients like `unseen` on doses and at intervals that nobody was trained on."""
    if population.other_regimen is None:
        raise ValueError(f"{population.name} has no other regimen.")
    rng = np.random.default_rng([seed, 4])
    return _draw(replace(population, regimen=population.other_regimen), size, rng, early=True)


def _draw(population: Population, size: int, rng: np.random.Generator, *, early: bool) -> Patients:
    covariates = population.draw_covariates(rng, size)
    factor = np.linalg.cholesky(population.omega)
    eta = rng.standard_normal((size, len(factor))) @ factor.T
    children = rng.spawn(size)  # one for each patient: its record does not depend on the others
    regimens = [
        population.regimen(child, row[0], row[-1])
        for child, row in zip(children, covariates, strict=True)
    ]
    doses = designs.pad(regimens)
    times = [
        _times(population, child, regimen, early=early)
        for child, regimen in zip(children, regimens, strict=True)
    ]
    level_time, measured = _padded(times)
    link = (population.typical(covariates) + eta)[:, None, :]
    later = np.tile(population.design.later, (size, 1))
    truth = population.concentration(link, later, doses)[:, 0]
    step = population.design.grid
    grid = np.tile(np.arange(step, population.design.end + 0.4 * step, step), (size, 1))
    cmax = population.concentration(link, grid, doses)[:, 0].max(axis=1, keepdims=True)
    clean = population.concentration(link, level_time, doses)[:, 0]
    return Patients(
        population=population,
        covariates=covariates,
        doses=doses,
        eta=eta,
        level_time=level_time,
        measured=measured,
        level=np.where(measured, _measure(population, clean, children), 1.0),
        later=later,
        truth=truth,
        fresh=_measure(population, truth, children),
        scored=truth > 0.01 * cmax,
    )


def _times(
    population: Population, rng: np.random.Generator, regimen: Regimen, *, early: bool
) -> Floats:
    design = population.design
    low, high = design.early if early else design.whole
    return designs.level_times(
        rng,
        regimen,
        population.level if early else population.level_whole,
        count=int(rng.integers(low, high + 1)),
        until=design.split if early else design.end,
        rounding=design.rounding,
    )


def _padded(times: list[Floats]) -> tuple[Floats, NDArray[np.bool_]]:
    width = max(len(row) for row in times)
    block, mask = np.zeros((len(times), width)), np.zeros((len(times), width), dtype=bool)
    for row, found in enumerate(times):
        block[row, : len(found)], mask[row, : len(found)] = found, True
    return block, mask


def _measure(population: Population, clean: Floats, children: list[np.random.Generator]) -> Floats:
    """Add residual error; a laboratory reports no level below 0, so such a draw is drawn again."""
    noisy = np.empty_like(clean)
    deviation = population.deviation(clean)
    for row, rng in enumerate(children):
        noisy[row] = clean[row] + deviation[row] * rng.standard_normal(clean.shape[1])
        while np.any(low := noisy[row] <= 0):
            noisy[row, low] = (clean[row] + deviation[row] * rng.standard_normal(len(low)))[low]
    return noisy


def write_training(patients: Patients, path: Path) -> Path:
    """Doses and levels as a NONMEM table."""
    return _write(patients, path, later=False)


def write_forecast(patients: Patients, path: Path) -> Path:
    """Doses, levels and the times to predict (EVID=2, MDV=1, DV empty) as a NONMEM table."""
    return _write(patients, path, later=True)


def write_truth(patients: Patients, path: Path) -> Path:
    """ID, TIME, C_TRUE, DV_NEW, SCORED of every time to predict, in the forecast table's order."""
    count, width = patients.later.shape
    frame = pl.DataFrame(
        {
            "ID": np.repeat(np.arange(1, count + 1), width),
            "TIME": patients.later.ravel(),
            "C_TRUE": patients.truth.ravel(),
            "DV_NEW": patients.fresh.ravel(),
            "SCORED": patients.scored.ravel().astype(int),
        }
    )
    frame.write_csv(path)
    return path


def _write(patients: Patients, path: Path, *, later: bool) -> Path:
    rows = [row for subject in range(len(patients)) for row in _records(patients, subject, later)]
    names = ["ID", "TIME", "EVID", "MDV", "CMT", "AMT", "RATE", "DV"]
    names += [*patients.population.covariates, *patients.population.dose_covariates]
    frame = pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_csv(path)
    return path


def _records(patients: Patients, subject: int, later: bool) -> Iterator[tuple]:
    """One subject's records in the order of time, a dose before anything else at its time."""
    population = patients.population
    where = 2 if population.oral else 1
    records = []
    doses = [field[subject] for field in patients.doses[:3]]
    state = patients.doses.state
    for time, amount, duration in zip(*doses, strict=True):
        if amount > 0:
            rate = amount / duration if duration > 0 and not population.oral else 0.0
            records.append((time, 1, 1, 1, amount, rate, None))
    for column in np.flatnonzero(patients.measured[subject]):
        level = (patients.level_time[subject, column], patients.level[subject, column])
        records.append((level[0], 0, 0, where, 0.0, 0.0, level[1]))
    if later:
        records += [(time, 2, 1, where, 0.0, 0.0, None) for time in patients.later[subject]]
    # Python's sort is stable: doses come first in the list, hence first at equal times.
    for record in sorted(records, key=lambda row: row[0]):
        last = np.flatnonzero((doses[0] <= record[0]) & (doses[1] > 0))[-1]
        carried = [] if state is None else [state[subject, last]] * len(population.dose_covariates)
        yield (subject + 1, *record, *patients.covariates[subject], *carried)
