"""Regression of what patients' levels say of their parameters on covariates."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from latentpk.evaluate.effects import Problem, Summaries, _expect


def test_the_likelihood_is_that_of_gaussian_estimates(make):
    """b = Lambda y: then y ~ N(location, Omega + 1/Lambda), up to what no effect changes."""
    problem = make(12, 0)
    chosen = (problem.candidates[0], problem.candidates[4])
    fit, empty = problem.fit(chosen), problem.empty
    own = problem.summaries
    estimate = np.linalg.solve(own.information, own.pull[..., None])[..., 0]

    def exact(fit):
        location = np.tile(fit.mean, (12, 1))
        for one, value in zip(fit.chosen, fit.coefficients, strict=True):
            location[:, one.parameter] += problem.design[:, one.columns] @ value
        covariance = np.diag(fit.variance) + np.linalg.inv(own.information)
        return -2 * sum(
            multivariate_normal(location[i], covariance[i]).logpdf(estimate[i]) for i in range(12)
        )

    assert fit.minus2 - empty.minus2 == pytest.approx(exact(fit) - exact(empty), abs=1e-6)


def test_the_slope_is_the_derivative_by_location(problem):
    fit = problem.empty
    pull, step = problem.summaries.pull, 1e-5
    for parameter in range(3):
        heights = []
        for sign in (1, -1):
            moved = fit.mean + sign * step * (np.arange(3) == parameter)
            location = np.tile(moved, (len(pull), 1))
            heights.append(_expect(pull, problem.summaries.information, location, fit.variance)[0])
        numeric = -(heights[0] - heights[1]) / (4 * step)
        assert fit.slope[:, parameter].sum() == pytest.approx(numeric, abs=1e-4)


def test_a_fit_is_an_optimum(problem):
    chosen = tuple(one for one in problem.candidates if one.place in {(0, "WT"), (2, "SEX")})
    chosen = tuple(one for one in chosen if one.shape in ("power", "category"))
    fit = problem.fit(chosen)
    assert fit.coefficients[0][0] == pytest.approx(0.75, abs=0.25)
    assert abs(fit.slope.sum(axis=0)).max() < 0.05 * fit.weight.sum(axis=0).max()
    again = problem.fit(chosen, problem.empty)
    assert again.minus2 == pytest.approx(fit.minus2, abs=1e-3)


def test_scores_foretell_how_far_the_likelihood_falls(problem):
    scores = problem.scores(problem.empty)
    for k in np.argsort(-scores)[:4]:
        fall = problem.empty.minus2 - problem.fit((problem.candidates[k],)).minus2
        assert scores[k] == pytest.approx(fall, rel=0.35)


def test_the_order_of_patients_changes_nothing(problem):
    turned = problem.take(np.arange(len(problem.design))[::-1])
    assert turned.empty.minus2 == pytest.approx(problem.empty.minus2)
    np.testing.assert_allclose(
        turned.scores(turned.empty), problem.scores(problem.empty), rtol=1e-6
    )


def test_patients_who_say_nothing_change_nothing(make, acting):
    problem = make(60, 7, acting(1))
    more = Problem(
        Summaries(
            np.concatenate([problem.summaries.pull, np.zeros((5, 3))]),
            np.concatenate([problem.summaries.information, np.zeros((5, 3, 3))]),
        ),
        np.concatenate([problem.design, np.ones((5, problem.design.shape[1]))]),
        problem.candidates,
    )
    chosen = (problem.candidates[0],)
    fall = problem.empty.minus2 - problem.fit(chosen).minus2
    assert more.empty.minus2 - more.fit(chosen).minus2 == pytest.approx(fall, abs=1e-2)
