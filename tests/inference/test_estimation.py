"""Plans of likelihoods and descents on functions whose optimum is known."""

import numpy as np
import pytest

from latentpk.inference.climb import AT_REST, FLAT, LITTLE, TRIALS, Climb
from latentpk.inference.estimation import EstimationSettings, make_plan
from latentpk.inference.likelihood import Likelihood, Places, number_names
from latentpk.inference.marginal import Mode
from latentpk.models.population import PopulationConfig, Term


def likelihood_of(names, place, evaluate, *, held, noisy=False):
    return Likelihood(
        names=names,
        start=np.zeros(len(names)),
        place=place,
        evaluate=evaluate,
        value=lambda x, places: evaluate(x, places)[0],
        model_at=lambda x: x,  # type: ignore[arg-type]
        held=held,
        noisy=noisy,
        spreads=np.array([name.startswith("log sd") for name in names]),
    )


def quadratic(*, held, noisy=False, nan_beyond=np.inf):
    """Three subjects' bowls; where points are held, the gradient is a little off the value's."""
    centre, curve = np.array([1.0, -2.0]), np.array([[5.0, 1.0], [1.0, 0.5]])
    placed_at = []

    def place(x, warm):
        placed_at.append(x.copy())
        eps = np.full((3, 1), x.sum())
        return Places(eps, Mode(eps, np.ones((3, 1, 1))))

    def evaluate(x, places):
        apart = x - centre
        ripple = 1e-3 * np.sin(40 * places.mode.sum()) if held else 0.0
        height = apart @ curve @ apart + ripple
        if np.abs(x).max() > nan_beyond:
            height = np.nan
        weights = np.array([0.2, 0.3, 0.5])
        return height * weights, np.outer(weights, 2 * curve @ apart)

    made = likelihood_of(("a", "b"), place, evaluate, held=held, noisy=noisy)
    return made, centre, placed_at


@pytest.mark.parametrize("held", [False, True])
def test_a_descent_ends_where_the_gradient_vanishes(held):
    likelihood, centre, _ = quadratic(held=held)
    climb = Climb(np.array([8.0, 9.0]), np.zeros((3, 1)), 200, lambda *_: None)
    climb.settle(likelihood)
    np.testing.assert_allclose(climb.at, centre, atol=FLAT)
    assert 0 < climb.used <= 200


def test_points_that_are_held_are_placed_once_for_a_whole_descent():
    likelihood, centre, placed = quadratic(held=True)
    climb = Climb(np.array([8.0, 9.0]), np.zeros((3, 1)), 200, lambda *_: None)
    climb.over(likelihood, FLAT, likelihood.place(climb.at, climb.modes))
    assert len(placed) == 1
    np.testing.assert_allclose(climb.at, centre, atol=1e-3)


def test_a_descent_that_points_placed_anew_do_not_confirm_is_taken_back():
    """Points that stay see a bowl, which sinks as far as one leaves where they were placed."""

    def place(x, warm):
        return Places(x[None, :], Mode(x[None, :], np.eye(1)[None]))

    def evaluate(x, places):
        away = x - places.points.eps[0]
        height = x @ x - 3 * away @ away + 2 * (away**4).sum()
        return np.array([height]), (2 * x - 6 * away + 8 * away**3)[None, :]

    made = likelihood_of(("a",), place, evaluate, held=True)
    climb = Climb(np.array([0.1]), np.zeros((1, 1)), 400, lambda *_: None)
    climb.inverse = np.eye(1)  # as after a descent of another rule
    climb.settle(made)
    assert abs(climb.at[0]) <= 0.1


def test_an_sd_that_is_nothing_at_the_optimum_is_reached_like_any_other():
    """A valley along the logarithm, which falls ever less: hundreds of times flatter at its end."""

    def evaluate(x, places):
        sd, other = np.exp(x[0]), x[1] - 1.0
        height = 40 * sd**2 + other**2 + 3 * sd**2 * other
        slope = np.array([80 * sd**2 + 6 * sd**2 * other, 2 * other + 3 * sd**2])
        return np.array([height]), slope[None, :]

    def place(x, warm):
        return Places(warm, Mode(warm, np.ones((1, 1, 1))))

    made = likelihood_of(("log sd ka", "ka~WT"), place, evaluate, held=False)
    climb = Climb(np.array([np.log(0.4), 4.0]), np.zeros((1, 1)), 400, lambda *_: None)
    climb.settle(made)
    assert np.exp(climb.at[0]) < 1e-3
    np.testing.assert_allclose(climb.at[1], 1.0, atol=1e-3)
    assert climb.used < 25


def test_an_sd_that_is_there_is_found_from_both_sides():
    def evaluate(x, places):
        height = 10 * (x[0] - np.log(0.3)) ** 2
        return np.array([height]), np.array([[20 * (x[0] - np.log(0.3))]])

    def place(x, warm):
        return Places(warm, Mode(warm, np.ones((1, 1, 1))))

    for start in (1e-3, 5.0):
        made = likelihood_of(("log sd ka within",), place, evaluate, held=False)
        climb = Climb(np.array([np.log(start)]), np.zeros((1, 1)), 400, lambda *_: None)
        climb.settle(made)
        np.testing.assert_allclose(np.exp(climb.at[0]), 0.3, rtol=1e-4)


@pytest.mark.parametrize("noisy", [False, True])
def test_draws_rest_where_a_step_promises_less_than_their_noise(noisy):
    """Each placing tilts the bowl by as much as moves its lowest point a little."""
    placed = []

    def place(x, warm):
        placed.append(x.copy())
        return Places(warm, Mode(np.full((1, 1), 3e-3 * (-1) ** len(placed)), np.ones((1, 1, 1))))

    def evaluate(x, places):
        tilt = places.points.eps[0, 0]
        return np.array([x @ x + tilt * x[0]]), (2 * x + np.array([tilt]))[None, :]

    made = likelihood_of(("a",), place, evaluate, held=True, noisy=noisy)
    climb = Climb(np.array([2.0]), np.zeros((1, 1)), 400, lambda *_: None)
    climb.settle(made)
    assert abs(climb.at[0]) < 0.01
    held = len(placed)
    if noisy:
        assert climb.gain is not None
        assert climb.gain < LITTLE
    else:
        assert held > 6  # each placing has another lowest point: these are never enough


def test_a_search_along_a_kink_that_draws_have_made_is_given_up():
    """Nothing vanishes at a kink: no step from there is ever good enough for the optimizer."""

    def place(x, warm):
        return Places(warm, Mode(warm, np.ones((1, 1, 1))))

    def evaluate(x, places):
        return np.array([abs(x[0] - 0.3)]), np.array([[np.sign(x[0] - 0.3)]])

    made = likelihood_of(("a",), place, evaluate, held=True, noisy=True)
    climb = Climb(np.array([1.0]), np.zeros((1, 1)), 400, lambda *_: None)
    climb.inverse = np.eye(1)
    climb.over(made, FLAT, made.place(climb.at, climb.modes))
    assert abs(climb.at[0] - 0.3) < 0.01
    assert climb.stopped == AT_REST
    assert climb.used < 5 * TRIALS


def test_four_effects_of_named_equations_are_integrated_by_quadrature():
    names = [name for _, name in make_plan(EstimationSettings(), 4, simulated=True).rungs]
    assert names == ["quadrature, 5", "quadrature, 7"]


def test_places_without_a_likelihood_are_left():
    likelihood, _, _ = quadratic(held=False, nan_beyond=9.5)
    climb = Climb(np.array([8.0, 9.0]), np.zeros((3, 1)), 300, lambda *_: None)
    climb.settle(likelihood)
    assert np.isfinite(climb.at).all()
    assert np.isfinite(likelihood.value(climb.at, likelihood.place(climb.at, climb.modes))).all()


def test_no_evaluations_leave_everything_as_it_was():
    likelihood, _, _ = quadratic(held=False)
    climb = Climb(np.array([8.0, 9.0]), np.zeros((3, 1)), 0, lambda *_: None)
    climb.settle(likelihood)
    np.testing.assert_array_equal(climb.at, [8.0, 9.0])
    assert (climb.used, climb.stopped) == (0, "not asked for")


@pytest.mark.parametrize(
    ("settings", "effects", "names", "begins"),
    [
        ({}, 1, ["quadrature, 9", "quadrature, 15", "quadrature, 25"], False),
        ({}, 4, ["sampling, 2048"], True),
        ({"method": "quadrature"}, 4, ["quadrature, 5", "quadrature, 7"], False),
        ({"method": "focei"}, 5, ["focei"], False),
        ({"method": "quadrature", "nodes": 7}, 3, ["quadrature, 7"], False),
        ({"method": "quadrature", "nodes": 21}, 3, ["quadrature, 21"], True),
        ({"method": "quadrature"}, 5, ["quadrature, 5"], True),
    ],
)
def test_plans_follow_the_settings(settings, effects, names, begins):
    plan = make_plan(EstimationSettings(**settings), effects)
    assert [name for _, name in plan.rungs] == names
    assert (plan.begin is not None) == begins
    for rule, _ in plan.rungs:
        assert rule.point.shape == (len(rule.log_weight), effects)


def test_numbers_are_named_in_order():
    config = PopulationConfig(
        structure="1c-oral",
        parameters=("ka", "cl", "v1"),
        varying=("ka", "v1"),
        within=("cl",),
        omega="full",
        covariates=("WT",),
        terms=(Term(parameter="v1", covariate="WT", shape="power", reference=70.0),),
        residual="additive",
    )
    assert number_names(config) == (
        "log ka", "log cl", "log v1", "v1~WT", "log sd ka", "log sd v1", "factor v1,ka",
        "log sd cl within", "log a",
    )  # fmt: skip
