"""Daily doses by label, Sawchuk-Zaske, MAP and the true model's posterior, in numpy."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_ndtr, ndtri
from scipy.stats import qmc

from benchmarks.dose_quality.patients import Patients

Floats = NDArray[np.float64]
DRAWS, BLOCK = 2**15, 8


@dataclass(frozen=True)
class Choices:
    """What can be given to each patient.

    Attributes:
        daily: Amounts a day of each patient's regimens [mg], padded with nan, (patient, regimen).
    """

    daily: Floats

    @staticmethod
    def of(patients: Patients) -> "Choices":
        """Every amount at every interval, as distinct amounts a day."""
        row, rows = patients.row, []
        for k in range(len(patients)):
            one = {name: float(value[k]) for name, value in patients.covariates.items()}
            daily = {24 * a / i for a in row.amounts(one) for i in row.intervals}
            rows.append(np.array(sorted(daily)))
        width = max(len(one) for one in rows)
        return Choices(
            np.stack([np.pad(o, (0, width - len(o)), constant_values=np.nan) for o in rows])
        )

    def nearest(self, patients: Patients, clearance: Floats) -> Floats:
        """The daily dose whose exposure at a known clearance is nearest to the aim."""
        predicted = patients.row.hours / 24 * self.daily / clearance[:, None]
        best = np.nanargmin(np.abs(predicted - patients.row.aim), axis=1)
        return np.take_along_axis(self.daily, best[:, None], axis=1)[:, 0]


@dataclass(frozen=True)
class Known:
    """The true posterior of each patient's clearance.

    Attributes:
        clearance: Prior draws [L/h], (patient, draw).
        weight: Normalized, (patient, draw).
    """

    clearance: Floats
    weight: Floats


def sawchuk_zaske(patients: Patients, choices: Choices) -> tuple[Floats, NDArray[np.bool_]]:
    """Two levels, one exponential: slope, then volume from the doses given, then clearance.

    Oral doses are taken as instantaneous, as the method does. Where the levels do not fall it
    fails, and the label stands.

    Returns:
        Daily dose [mg] and whether the method failed, (patient,).
    """
    (t1, t2), (c1, c2) = patients.time.T, patients.level.T
    failed = c2 >= c1
    slope = np.where(failed, 1.0, np.log(c1 / c2) / (t2 - t1))
    shape = np.zeros(len(patients))  # concentration at the first level for a volume of 1 L
    for start, amount, length in zip(*(field.T for field in patients.doses[:3]), strict=True):
        since = t1 - start - length
        spread = np.where(
            length > 0, -np.expm1(-slope * length) / np.maximum(slope * length, 1e-12), 1
        )
        shape += amount * spread * np.exp(-slope * since)
    clearance = slope * shape / c1
    chosen = choices.nearest(patients, clearance)
    return np.where(failed, patients.label.daily, chosen), failed


def log_likelihood(patients: Patients, levels: int, eps: Floats, index: slice) -> Floats:
    """Log density of the known levels, normal truncated at 0 as they were drawn.

    Args:
        patients: All.
        levels: How many are known.
        eps: Standard normal effects, (patient or 1, draw, effect).
        index: Which patients.

    Returns:
        Shape (patient, draw).
    """
    theta, clean, sd, level = _predicted(patients, levels, eps, index)
    if levels == 0:
        return np.zeros(theta.shape[:2])
    density = -0.5 * ((level - clean) / sd) ** 2 - np.log(sd) - log_ndtr(clean / sd)
    return density.sum(axis=-1)


def _predicted(patients: Patients, levels: int, eps: Floats, index: slice) -> tuple[Floats, ...]:
    row = patients.row
    covariates = {name: value[index] for name, value in patients.covariates.items()}
    theta = np.exp(row.typical(covariates)[:, None, :] + eps @ row.loading.T)
    time, level = (field[index] for field in patients.known(levels))
    clean = row.concentration(theta, time, patients.doses.take(index))
    return theta, clean, row.deviation(clean), level[:, None, :]


def posterior(patients: Patients, levels: int, index: slice) -> Known:
    """The true model's posterior by brute force: many even prior draws, weighted."""
    eps = _even(patients.row.loading.shape[1])[None]
    log_weight = log_likelihood(patients, levels, eps, index)
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    covariates = {name: value[index] for name, value in patients.covariates.items()}
    location = patients.row.typical(covariates)[:, :1]
    clearance = np.exp(location + (eps[0] @ patients.row.loading[0])[None])
    return Known(clearance, weight / weight.sum(axis=1, keepdims=True))


def best_attainable(
    patients: Patients, choices: Choices, levels: int
) -> tuple[Floats, Floats, Floats]:
    """The daily dose of greatest true probability of the range; equals by expected loss.

    Returns:
        Daily dose [mg], that probability, and effective draws, each (patient,).
    """
    chance, loss, size = true_chances(patients, choices.daily, levels)
    rank = np.round(chance, 6) - 1e-9 * loss / patients.row.aim
    best = np.nanargmax(rank, axis=1)[:, None]
    daily, chance = (np.take_along_axis(x, best, axis=1)[:, 0] for x in (choices.daily, chance))
    return daily, chance, size


def true_chances(patients: Patients, daily: Floats, levels: int) -> tuple[Floats, Floats, Floats]:
    """What daily doses [mg] would do under the true posterior.

    Args:
        patients: The patients.
        daily: Each patient's amounts a day [mg], nan where there is none, (patient, regimen).
        levels: How many are known.

    Returns:
        Probability of the range and expected |aim - exposure|, nan where there is no dose, each
        (patient, regimen); effective draws, (patient,).
    """
    row, parts = patients.row, []
    for start in range(0, len(patients), BLOCK):
        index = slice(start, start + BLOCK)
        known = posterior(patients, levels, index)
        values = [row.hours / 24 * column[:, None] / known.clearance for column in daily[index].T]
        inside = [((v >= row.low) & (v <= row.high)) * known.weight for v in values]
        loss = [np.abs(v - row.aim) * known.weight for v in values]
        some = np.where(np.isnan(daily[index]), np.nan, 1.0)
        chance, cost = (np.stack([v.sum(axis=1) for v in x], axis=1) for x in (inside, loss))
        parts.append((some * chance, cost, 1 / (known.weight**2).sum(axis=1)))
    chance, cost, size = (np.concatenate(part) for part in zip(*parts, strict=True))
    return chance, cost, size


def most_probable(patients: Patients, choices: Choices, levels: int) -> Floats:
    """The daily dose nearest the aim at the mode (MAP) of the true model, residual untruncated.

    The search begins at the best of the prior's mean and a few prior draws.
    """
    effects = patients.row.loading.shape[1]
    places = np.concatenate([np.zeros((1, effects)), _even(effects)[:64]])
    clearance = np.empty(len(patients))
    for k in range(len(patients)):
        index = slice(k, k + 1)

        def objective(eps: Floats, index: slice = index) -> Floats:
            _, clean, sd, level = _predicted(patients, levels, eps[None], index)
            misfit = 0.5 * ((level - clean) / sd) ** 2 + np.log(sd)
            return misfit[0].sum(axis=-1) + 0.5 * (eps**2).sum(axis=-1)

        start = places[np.argmin(objective(places))]
        mode = start
        if levels:
            mode = minimize(lambda x, f=objective: float(f(x[None])[0]), start, method="L-BFGS-B").x
        theta, *_ = _predicted(patients, levels, mode[None, None], index)
        clearance[k] = theta[0, 0, 0]
    return choices.nearest(patients, clearance)


def _even(effects: int) -> Floats:
    """Standard normal draws from a scrambled Sobol sequence, (draw, effect)."""
    engine = qmc.Sobol(effects, scramble=True, rng=np.random.default_rng(5))
    return ndtri(np.clip(engine.random(DRAWS), 1e-12, 1 - 1e-12))
