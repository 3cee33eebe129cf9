"""Curves over bins, second rises, bends: on curves whose answer is known."""

import numpy as np
import pytest

from latentpk.evaluate.hints import find_hints
from latentpk.evaluate.pattern import (
    Course,
    band,
    bends,
    explained,
    second_rises,
    slope_of,
    sure_sign,
)

TIME = np.linspace(0.5, 24, 48)
PEOPLE = 12


def course(trained, rival, time=TIME, since=None):
    """A dozen people with nearly the same curves."""
    scale = np.exp(0.1 * np.random.default_rng(1).standard_normal((PEOPLE, 1)))
    one, other = scale * trained[None], scale * rival[None]
    when = np.broadcast_to(time, one.shape)
    ago = when if since is None else np.broadcast_to(since, one.shape)
    return Course(when, ago, one, other, one, other)


def whole_hints(found, dose=None, parameters=None):
    over = band(found.since, found.ratio)
    dose = np.full(PEOPLE, 100.0) if dose is None else dose
    return find_hints(found, over, parameters or {}, dose, of_whom="of all")


def hints(found, dose=None, parameters=None):
    return [hint.sign for hint in whole_hints(found, dose, parameters)]


DECLINE = np.exp(-0.1 * TIME)
AGAIN = DECLINE * (1 - 0.4 / (1 + np.exp(4 * (TIME - 8))))  # jumps up at 8 h


def test_a_second_rise_is_found_with_its_time():
    rises, when = second_rises(course(AGAIN, DECLINE))
    assert rises.all()
    assert np.median(when) == pytest.approx(8.5, abs=1.0)
    assert hints(course(AGAIN, DECLINE)) == ["second_rise"]


def test_a_rise_that_the_rival_has_too_is_none():
    assert not second_rises(course(AGAIN, AGAIN))[0].any()


def test_a_ripple_is_no_second_rise():
    fall = np.where(TIME < 10, np.exp(-0.1 * TIME), np.exp(-1.0))
    ripple = fall * (1 + 0.08 * np.exp(-((TIME - 15) ** 2)))
    assert not second_rises(course(ripple, DECLINE))[0].any()


def test_a_further_dose_is_no_second_rise():
    since = np.where(TIME < 12, TIME, TIME - 12)
    twice = np.exp(-0.1 * TIME) + np.where(TIME >= 12, np.exp(-0.1 * (TIME - 12)), 0)
    found = course(twice, 1.0 * np.exp(-0.1 * TIME), since=since)
    assert not second_rises(found)[0].any()


def test_equal_curves_give_no_hint():
    assert hints(course(DECLINE, DECLINE)) == []


def test_a_saturating_decline_bends_up_and_a_deep_compartment_down():
    saturating = DECLINE * np.exp(0.6 * (TIME / 24) * (1 - TIME / 24) * 4)
    deep = 0.9 * np.exp(-0.4 * TIME) + 0.1 * np.exp(-0.02 * TIME)
    assert np.median(bends(course(saturating, DECLINE))) > 0.4
    assert np.median(bends(course(deep, DECLINE))) < -0.2
    assert "bend" in hints(course(saturating, DECLINE))


def test_a_clearance_that_falls_with_the_dose_is_told():
    dose = np.geomspace(50, 800, PEOPLE)
    noise = 0.02 * np.random.default_rng(3).standard_normal(PEOPLE)
    falls = {"cl": -0.4 * np.log(dose) + noise}
    assert hints(course(DECLINE, DECLINE), dose, falls) == ["dose"]
    assert hints(course(DECLINE, DECLINE), dose, {"cl": noise}) == []
    assert hints(course(DECLINE, DECLINE), np.full(PEOPLE, 100.0), falls) == []


def test_elimination_saturates_where_clearance_falls_or_the_decline_bends_up():
    dose = np.geomspace(50, 800, PEOPLE)
    noise = 0.02 * np.random.default_rng(3).standard_normal(PEOPLE)
    moved = {"cl": -0.4 * np.log(dose) + noise, "v1": 0.4 * np.log(dose) + noise}
    found = whole_hints(course(DECLINE, DECLINE), dose, moved)
    assert [hint.saturates for hint in found] == [True, False]
    up = DECLINE * np.exp(0.6 * (TIME / 24) * (1 - TIME / 24) * 4)
    deep = 0.9 * np.exp(-0.4 * TIME) + 0.1 * np.exp(-0.02 * TIME)
    for trained, saturates in ((up, True), (deep, False)):
        bends_ = [h for h in whole_hints(course(trained, DECLINE)) if h.sign == "bend"]
        assert [hint.saturates for hint in bends_] == [saturates]


def test_bins_have_the_median_of_subjects_and_an_interval_around_it():
    rng = np.random.default_rng(0)
    y = 0.3 + 0.1 * rng.standard_normal((200, 10))
    found = band(np.broadcast_to(np.arange(10.0), y.shape), y)
    assert np.all(np.abs(found.median - 0.3) < 0.04)
    assert np.all((found.sure_low < found.median) & (found.median < found.sure_high))
    assert np.all((found.low < found.sure_low) & (found.sure_high < found.high))
    assert found.sure.all()


def test_too_few_subjects_make_no_bin():
    y = np.full((40, 1), 0.1)
    x = np.where(np.arange(40) < 3, 1.0, 2.0)[:, None]
    assert band(x, y).at.tolist() == [2.0]
    assert band(np.full((3, 2), np.nan), np.full((3, 2), np.nan)).at.size == 0


def test_the_share_of_variance_is_all_of_a_function_and_none_of_noise():
    rng = np.random.default_rng(4)
    x = rng.uniform(0, 1, 2000)
    assert explained(x, np.floor(8 * x)) > 0.95
    assert explained(x, rng.standard_normal(2000)) < 0.02
    assert explained(np.ones(2000), x) == 0.0


def test_a_sign_needs_subjects_who_agree():
    assert sure_sign(np.full(20, 0.2)) == (pytest.approx(0.2), True)
    assert not sure_sign(np.tile([0.5, -0.5], 20))[1]
    assert not sure_sign(np.full(3, 0.2))[1]
    assert not sure_sign(np.full(20, 0.01))[1]


def test_the_slope_is_least_squares():
    x = np.linspace(0, 1, 50)
    slope, error = slope_of(x, 2 * x + 0.01 * np.cos(40 * x))
    assert slope == pytest.approx(2, abs=0.02)
    assert error < 0.01
    assert slope_of(np.ones(50), x)[1] == np.inf
