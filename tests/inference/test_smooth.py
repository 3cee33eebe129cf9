"""Fits of the regressors that are a formula, against scikit-learn and closed forms."""

import numpy as np
import pytest

from latentpk.inference.smooth import PENALTY, fit_mean, fit_process, fit_ridge


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(40, 5))
    x[:, 4] = 3.0  # never varies
    y = np.stack([np.sin(2 * x[:, 0]), x[:, 1] + 0.1 * rng.normal(size=40)], axis=1)
    return x, y


def test_the_mean_reads_no_column(rows):
    x, y = rows
    found = fit_mean(y, 5)
    np.testing.assert_allclose(found.predict(x + 9), np.tile(y.mean(axis=0), (40, 1)))


def test_the_ridge_is_its_normal_equations(rows):
    x, y = rows
    z = (x[:, :4] - x[:, :4].mean(axis=0)) / x[:, :4].std(axis=0)
    slope = np.linalg.solve(z.T @ z + PENALTY * np.eye(4), z.T @ (y - y.mean(axis=0)))
    np.testing.assert_allclose(fit_ridge(x, y).predict(x), y.mean(axis=0) + z @ slope, atol=1e-10)


def test_a_column_that_never_varies_moves_nothing(rows):
    x, y = rows
    moved = x.copy()
    moved[:, 4] = 99.0
    found = fit_ridge(x, y)
    np.testing.assert_allclose(found.predict(moved), found.predict(x), atol=1e-8)


def test_a_ridge_of_one_target_has_one(rows):
    x, y = rows
    both, one = fit_ridge(x, y), fit_ridge(x, y[:, :1])
    np.testing.assert_allclose(one.predict(x), both.predict(x)[:, :1])


@pytest.mark.filterwarnings("ignore:The optimal value found:sklearn.exceptions.ConvergenceWarning")
def test_the_process_predicts_what_scikit_learn_does(rows):
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    x, y = rows
    found = fit_process(x, y)
    new = np.random.default_rng(5).normal(size=(7, 5))
    for t in range(2):
        kernel = ConstantKernel(0.5, (0.01, 10)) * Matern(3.0, (0.3, 30), nu=0.5)
        peer = GaussianProcessRegressor(kernel + WhiteKernel(0.5, (0.05, 2)), alpha=1e-6)
        np.testing.assert_allclose(found.predict(new)[:, t], peer.fit(x, y[:, t]).predict(new))


def test_noise_is_not_followed():
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(60, 3)), rng.normal(size=(60, 1))
    found = fit_process(x, y)
    fresh = rng.normal(size=(200, 3))
    assert found.predict(fresh).std() < 0.5 * y.std()
