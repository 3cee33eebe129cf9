"""What the best decoder whose doses add up makes of a drug: no fit, no sampling error."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from benchmarks.forecast_oracle.cohorts import Patients
from benchmarks.forecast_oracle.kinetics import Doses

Floats = NDArray[np.float64]
KNOTS = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 36, 48, 72, 240.0])  # h
DENSE = np.arange(0.5, 72.1, 0.5)  # h


def errors(learned: Patients, asked: Patients) -> Floats:
    """Log errors of the later concentrations of each patient on the regimen asked about.

    Args:
        learned: The patients on the regimen trained on: each one's own unit response, a line
            between knots and never negative, is that of least relative error there.
        asked: The same patients on another; their response is scaled by their early levels.

    Returns:
        log forecast - log truth, shape (patient, later); nan where it is not scored.
    """
    truth = _truth(learned, np.tile(DENSE, (len(learned), 1)))
    early = np.tile(np.arange(2.0, asked.population.design.split + 0.1, 4.0), (len(asked), 1))
    seen, found = _truth(asked, early), np.full(asked.truth.shape, np.nan)
    for k in range(len(asked)):
        basis = _superposed(learned.doses, k, DENSE) / truth[k][:, None]
        response, _ = nnls(basis, np.ones(DENSE.size))
        first = _superposed(asked.doses, k, early[k]) @ response
        later = _superposed(asked.doses, k, asked.later[k]) @ response
        scale = np.mean(np.log(seen[k]) - np.log(np.maximum(first, 1e-9)))
        error = np.log(np.maximum(later, 1e-9)) + scale - np.log(asked.truth[k])
        found[k] = np.where(asked.scored[k], error, np.nan)
    return found


def _truth(patients: Patients, time: Floats) -> Floats:
    population = patients.population
    link = (population.typical(patients.covariates) + patients.eta)[:, None, :]
    return np.maximum(population.concentration(link, time, patients.doses)[:, 0], 1e-9)


def _superposed(doses: Doses, patient: int, time: Floats) -> Floats:
    """What each knot's share of the unit response adds to each time: (time, knot)."""
    total = np.zeros((time.size, KNOTS.size))
    for start, amount in zip(doses.time[patient], doses.amount[patient], strict=True):
        since = time - start
        hats = np.stack([np.interp(since, KNOTS, row) for row in np.eye(KNOTS.size)], axis=1)
        total += amount * np.where((since >= 0)[:, None], hats, 0.0)
    return total
