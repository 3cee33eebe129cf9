"""Sparse regression on what patients' levels say of their parameters."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from latentpk.evaluate.covariates import (
    Candidate,
    Problem,
    Summaries,
    choose,
    selection_probabilities,
)

SHAPES = ("power", "exponential", "linear")


def make_problem(subjects, seed, effects=(), information=40.0):
    """Three parameters, a weight, an age, noise and a code; exact Gaussian summaries."""
    rng = np.random.default_rng(seed)
    weight = 70 * np.exp(0.25 * rng.standard_normal(subjects))
    age, noise = rng.uniform(20, 80, subjects), 5 + rng.standard_normal(subjects)
    sex = rng.integers(0, 2, subjects).astype(float)
    columns, candidates = [], []
    for name, x in (("WT", weight), ("AGE", age), ("NOISE", noise)):
        apart = (x - x.mean()) / x.std()
        for shape in SHAPES:
            columns.append(np.log(x / x.mean()) if shape == "power" else apart)
            candidates += [Candidate(k, name, shape, (len(columns) - 1,)) for k in range(3)]
    columns.append(sex)
    candidates += [Candidate(k, "SEX", "category", (len(columns) - 1,)) for k in range(3)]
    values = np.array([0.0, 1.0, 3.0]) + 0.3 * rng.standard_normal((subjects, 3))
    for parameter, effect in effects:
        values[:, parameter] += effect({"WT": weight, "AGE": age, "SEX": sex})
    root = 0.3 * rng.standard_normal((subjects, 3, 3)) + np.eye(3)
    own = information * np.einsum("nij,nkj->nik", root, root)
    error = np.einsum(
        "nji,nj->ni", np.linalg.inv(np.linalg.cholesky(own)), rng.standard_normal((subjects, 3))
    )
    pull = np.einsum("nij,nj->ni", own, values + error)
    return Problem(Summaries(pull, own), np.stack(columns, axis=1), tuple(candidates))


def truth(values):
    """Weight on two parameters, a code on the third."""
    return [
        (0, lambda x: 0.75 * np.log(x["WT"] / 70)),
        (1, lambda x: np.log(x["WT"] / 70)),
        (2, lambda x: -0.4 * x["SEX"]),
    ][:values]


@pytest.fixture(scope="module")
def problem():
    return make_problem(120, 3, truth(3))


def test_the_likelihood_is_that_of_gaussian_estimates():
    """b = Lambda y: then y ~ N(location, Omega + 1/Lambda), up to what no effect changes."""
    problem = make_problem(12, 0)
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
            from latentpk.evaluate.covariates import _expect

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


def test_what_acts_is_found_in_its_shape_and_nothing_else(problem):
    found = choose(problem)
    places = {one.place: one.shape for one in found.fit.chosen}
    assert set(places) == {(0, "WT"), (1, "WT"), (2, "SEX")}
    assert places[2, "SEX"] == "category"
    assert all(gain > found.threshold for gain in found.gains)
    likely = selection_probabilities(problem, found, resamples=10)
    assert min(likely[place] for place in places) >= 0.8
    assert np.mean([share for place, share in likely.items() if place not in places]) < 0.15


def test_shapes_are_told_apart_where_they_differ():
    steep = make_problem(1500, 5, [(0, lambda x: np.log(1 - 0.02 * (x["AGE"] - 50)))], 400.0)
    (one,) = choose(steep).fit.chosen
    assert (one.place, one.shape) == ((0, "AGE"), "linear")
    bent = make_problem(400, 5, [(0, lambda x: 2.0 * np.log(x["AGE"] / 50))], 400.0)
    (one,) = choose(bent).fit.chosen
    assert (one.place, one.shape) == ((0, "AGE"), "power")


def test_where_nothing_acts_something_is_found_as_often_as_was_allowed():
    found = [
        bool(choose(make_problem(40, 100 + k), permutations=100).fit.chosen) for k in range(60)
    ]
    assert 0 < np.mean(found) <= 0.22  # 0.1, with three standard errors of sixty data sets


def test_the_order_of_patients_changes_nothing(problem):
    turned = problem.take(np.arange(len(problem.design))[::-1])
    assert turned.empty.minus2 == pytest.approx(problem.empty.minus2)
    np.testing.assert_allclose(
        turned.scores(turned.empty), problem.scores(problem.empty), rtol=1e-6
    )


def test_patients_who_say_nothing_change_nothing():
    problem = make_problem(60, 7, truth(1))
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
