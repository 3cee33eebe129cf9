"""The amount of least expected loss: what the search finds is what the closed form says."""

import numpy as np
import pytest

from latentpk.dosing.best_amount import amounts_tried, best_amount, weighted_median

RNG = np.random.default_rng(0)
UNIT = RNG.lognormal(0.0, 0.4, 201)  # exposure of one unit of amount, under each draw
WEIGHT = RNG.dirichlet(np.ones(201))


def test_half_of_the_weight_lies_on_either_side_of_its_median():
    ranked = np.argsort(UNIT)
    place = list(UNIT[ranked]).index(weighted_median(UNIT, WEIGHT))
    share = np.cumsum(WEIGHT[ranked])
    assert share[place - 1] < 0.5 <= share[place]


@pytest.mark.parametrize("top", [20.0, 400.0, 2000.0])  # too little, about as much, and too much
def test_the_search_finds_the_weighted_median_where_exposures_are_linear(top):
    aim = 400.0
    found = best_amount(lambda amount: amount * UNIT, aim, WEIGHT, top)
    assert found == pytest.approx(weighted_median(aim / UNIT, WEIGHT * UNIT), rel=0.01)


def test_amounts_are_doubled_until_more_is_surely_too_much():
    assert amounts_tried(lambda amount: amount * np.ones(201), 70.0, WEIGHT, 10.0, 60) == [
        10.0, 20.0, 40.0, 80.0,
    ]  # fmt: skip
    assert amounts_tried(lambda amount: np.zeros(201), 70.0, WEIGHT, 10.0, 2) == [10.0, 20.0, 40.0]
