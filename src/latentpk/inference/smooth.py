"""Fitting of the regressors that are a formula, by scikit-learn."""

import warnings
from typing import Any

import numpy as np
from jaxtyping import Float

from latentpk.models.smooth import GaussianProcess, Linear

PENALTY = 300.0  # of the ridge, in rows: it is a peer that must not follow single studies


def fit_mean(y: Float[np.ndarray, "row target"], columns: int) -> Linear:
    """The training mean."""
    return Linear(np.zeros((columns, y.shape[1])), y.mean(axis=0))


def fit_ridge(x: Float[np.ndarray, "row column"], y: Float[np.ndarray, "row target"]) -> Linear:
    """Least squares with a penalty on standardized columns."""
    from sklearn.linear_model import Ridge

    center, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    found = Ridge(alpha=PENALTY).fit((x - center) / scale, y)
    slope = np.asarray(found.coef_, float).reshape(y.shape[1], -1).T / scale[:, None]
    return Linear(slope, np.asarray(found.intercept_, float).reshape(-1) - center @ slope)


def fit_process(
    x: Float[np.ndarray, "row column"], y: Float[np.ndarray, "row target"]
) -> GaussianProcess:
    """Gaussian processes, each target's length and noise by its marginal likelihood."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    duals, lengths = [], []
    for target in y.T:
        kernel = ConstantKernel(0.5, (0.01, 10)) * Matern(3.0, (0.3, 30), nu=0.5)
        process: Any = GaussianProcessRegressor(kernel + WhiteKernel(0.5, (0.05, 2)), alpha=1e-6)
        with warnings.catch_warnings():
            # a value at its bound is an answer here: no signal, or no noise to speak of
            warnings.simplefilter("ignore", ConvergenceWarning)
            process.fit(x, target)
        found = process.kernel_.get_params()
        lengths.append(float(found["k1__k2__length_scale"]))
        duals.append(float(found["k1__k1__constant_value"]) * np.ravel(process.alpha_))
    return GaussianProcess(x.copy(), np.stack(duals, axis=1), np.array(lengths))
