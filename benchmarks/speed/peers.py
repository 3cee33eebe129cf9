"""Peers of one patient's posterior in numpy and scipy, under the true vancomycin model."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from benchmarks.forecast_oracle.cohorts import Patients
from benchmarks.forecast_oracle.oracle import level_likelihood

Floats = NDArray[np.float64]


def prior_importance_sampling(patient: Patients, normal: Floats) -> tuple[Floats, float]:
    """Posterior mean of eps by weighting prior draws by the levels' likelihood, all at once.

    Args:
        patient: One patient.
        normal: Prior draws, shape (draw, parameter).

    Returns:
        Mean of eps, shape (parameter,), and the effective number of draws.
    """
    log_weight = level_likelihood(patient)(normal[None])[0]
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    return weight @ normal, float(1 / np.sum(weight**2))


def scipy_map(patient: Patients) -> Floats:
    """Mode of eps by L-BFGS-B with differences for the gradient, from the prior's mean."""
    log_likelihood = level_likelihood(patient)

    def objective(eps: Floats) -> float:
        return float(0.5 * eps @ eps - log_likelihood(eps[None, None])[0, 0])

    start = np.zeros(len(patient.population.omega))
    return minimize(objective, start, method="L-BFGS-B").x
