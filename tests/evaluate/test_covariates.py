"""Which covariates act, as chance allows."""

from dataclasses import replace

import numpy as np
import pytest

from latentpk.evaluate.covariates import (
    NEAR,
    choose,
    rivals,
    selection_probabilities,
    shape_probabilities,
)


def test_what_acts_is_found_in_its_shape_and_nothing_else(problem):
    found = choose(problem)
    places = {one.place: one.shape for one in found.fit.chosen}
    assert set(places) == {(0, "WT"), (1, "WT"), (2, "SEX")}
    assert places[2, "SEX"] == "category"
    assert all(gain > found.threshold for gain in found.gains)
    likely = selection_probabilities(problem, found, resamples=10)
    assert min(likely[place] for place in places) >= 0.8
    assert np.mean([share for place, share in likely.items() if place not in places]) < 0.15


def test_shapes_are_told_apart_where_they_differ(make):
    steep = make(1500, 5, [(0, lambda x: np.log(1 - 0.02 * (x["AGE"] - 50)))], 400.0)
    (one,) = choose(steep).fit.chosen
    assert (one.place, one.shape) == ((0, "AGE"), "linear")
    bent = make(400, 5, [(0, lambda x: 2.0 * np.log(x["AGE"] / 50))], 400.0)
    (one,) = choose(bent).fit.chosen
    assert (one.place, one.shape) == ((0, "AGE"), "power")


def test_shapes_that_the_data_tell_are_near_certain_and_others_are_shared_out(make, acting):
    bent = make(400, 5, [(0, lambda x: 2.0 * np.log(x["AGE"] / 50))], 400.0)
    fit = choose(bent).fit
    sure = shape_probabilities(bent, fit, fit.chosen[0])
    assert set(sure) == {"power", "exponential", "linear"}
    np.testing.assert_allclose(sum(sure.values()), 1.0)
    assert sure["power"] > 0.99
    # a weight to the power of 1 is a line through nothing: one function by two names
    twice = make(120, 7, [(1, lambda x: np.log(x["WT"] / 70))], 400.0)
    fit = choose(twice).fit
    shared = shape_probabilities(twice, fit, fit.chosen[0])
    assert 0.3 < shared["power"] / (shared["power"] + shared["linear"]) < 0.95
    code = make(80, 3, acting(3))
    fit = choose(code).fit
    (sex,) = [one for one in fit.chosen if one.covariate == "SEX"]
    assert shape_probabilities(code, fit, sex) == {"category": 1.0}


@pytest.mark.long
def test_shape_probabilities_are_right_as_often_as_they_say(make):
    """Exponential and power beside each other; a power is twice as likely beforehand, and is."""
    said, right = [], []
    for k in range(60):
        bent = k % 3 > 0
        steep = (lambda x: 0.6 * np.log(x["AGE"] / 50)) if bent else (lambda x: 0.3 * x["AGE"] / 20)
        data = make(150, 900 + k, [(0, steep)], 60.0)
        fit = choose(data, permutations=60).fit
        for one in fit.chosen:
            if one.place == (0, "AGE"):
                odds = shape_probabilities(data, fit, one)
                own, other = odds["power"], odds["exponential"]
                said.append(own / (own + other))
                right.append(bent)
    said, right = np.array(said), np.array(right)
    assert len(said) > 40
    assert abs(said.mean() - right.mean()) < 0.15
    assert np.mean((said - right) ** 2) < 0.22  # a guess by frequency alone has 0.22


@pytest.mark.long
def test_where_nothing_acts_something_is_found_as_often_as_was_allowed(make):
    found = [bool(choose(make(40, 100 + k), permutations=100).fit.chosen) for k in range(60)]
    assert 0 < np.mean(found) <= 0.22  # 0.1, with three standard errors of sixty data sets


def test_a_covariate_that_does_nearly_as_well_is_named_and_no_other(make):
    """An age that all but is weight does as well, and is told; one of its own is not."""
    apart = make(120, 7, [(0, lambda x: 0.75 * np.log(x["WT"] / 70))], 400.0)
    fit = choose(apart).fit
    assert rivals(apart, fit, fit.chosen[0]) == {}
    design, weight = apart.design.copy(), apart.design[:, 0]
    age = weight + 0.05 * weight.std() * np.random.default_rng(1).normal(size=120)
    design[:, 3:6] = np.stack([age, age / age.std(), age / age.std()], axis=1)
    twins = replace(apart, design=design)
    fit = choose(twins).fit
    near = rivals(twins, fit, fit.chosen[0])
    assert set(near) == {"WT", "AGE"} - {fit.chosen[0].covariate}
    assert max(near.values()) < NEAR
