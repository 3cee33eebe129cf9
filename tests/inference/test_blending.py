"""Weights of members from predictions of rows that none had seen."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from latentpk.inference.blending import _simplex, blend, cross_blend, cross_weigh, weigh


def members(seed, count=5, rows=80, targets=3):
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(rows, targets))
    noise = rng.uniform(0.1, 3.0, (count, 1, 1)) * rng.normal(size=(count, rows, targets))
    return truth + noise, truth


@given(seed=st.integers(0, 10_000), count=st.integers(1, 8))
def test_weights_are_not_negative_and_sum_to_1(seed, count):
    weights = blend(*members(seed, count))
    assert weights.shape == (count, 3)
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=0), 1, atol=1e-9)


@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_perfect_member_is_found(place):
    found, truth = members(1)
    found += np.random.default_rng(2).normal(size=found.shape)
    found[place] = truth
    weights = blend(found, truth)
    assert weights[place].min() > 0.85  # the rest is drawn to equal weights
    free = _simplex(
        np.moveaxis(found, 0, -1)[:, 0], truth[:, 0], np.full(5, 0.2), 0.0
    )  # nothing draws
    np.testing.assert_allclose(free, np.eye(5)[place], atol=1e-6)


def test_the_mean_gets_the_weight_where_nothing_predicts():
    rng = np.random.default_rng(3)
    truth = rng.normal(size=(300, 2))
    found = np.stack([np.zeros_like(truth), *rng.normal(size=(3, 300, 2))])
    assert blend(found, truth)[0].min() > 0.7


def test_a_target_is_drawn_to_the_weights_of_all():
    rng = np.random.default_rng(4)
    truth = rng.normal(size=(60, 5))
    found = np.stack([truth + 0.3 * rng.normal(size=truth.shape), 0 * truth])
    found[:, :, 4] = found[::-1, :, 4]  # the fifth target's best member is the other
    weights = blend(found, truth)
    assert weights[0, :4].min() > 0.7
    assert 0.5 < weights[1, 4] < weights[0, :4].max()


def test_members_that_say_the_same_share():
    found, truth = members(5, count=1)
    weights = blend(np.concatenate([found, found]), truth)
    np.testing.assert_allclose(weights, 0.5, atol=1e-3)


def test_a_fold_is_blended_by_weights_of_the_others():
    found, truth = members(6)
    fold = np.arange(80) % 4
    blended = cross_blend(found, truth, fold)
    changed = truth.copy()
    changed[fold == 2] = 1e3
    again = cross_blend(found, changed, fold)
    np.testing.assert_array_equal(again[fold == 2], blended[fold == 2])
    assert (again[fold == 1] != blended[fold == 1]).any()
    own = np.einsum("mrt,mt->rt", found[:, fold == 2], blend(found[:, fold != 2], truth[fold != 2]))
    np.testing.assert_allclose(blended[fold == 2], own)


def test_a_target_that_does_not_vary_has_weights_too():
    found, truth = members(7)
    truth[:, 0] = 0.0
    weights = blend(found, truth)
    np.testing.assert_allclose(weights.sum(axis=0), 1)


def test_what_nothing_predicts_is_left_to_the_mean_and_what_is_predicted_is_not():
    rng = np.random.default_rng(8)
    truth, fold = rng.normal(size=(200, 2)), np.arange(200) % 5
    good = truth + 0.5 * rng.normal(size=truth.shape)
    found = np.stack([0 * truth, good, rng.normal(size=truth.shape)])
    found[1, :, 0] = rng.normal(size=200)  # the first target: noise alone
    weights = weigh(found, truth, fold)
    np.testing.assert_allclose(weights.sum(axis=0), 1)
    assert weights[0, 0] > blend(found, truth)[0, 0]
    assert weights[0, 0] > 0.9
    np.testing.assert_allclose(weights[:, 1], blend(found, truth)[:, 1], atol=0.1)


def test_a_fold_is_weighed_by_the_others_alone():
    found, truth = members(9)
    fold = np.arange(80) % 4
    changed = truth.copy()
    changed[fold == 1] += 50.0
    before, after = cross_weigh(found, truth, fold), cross_weigh(found, changed, fold)
    np.testing.assert_array_equal(before[fold == 1], after[fold == 1])
