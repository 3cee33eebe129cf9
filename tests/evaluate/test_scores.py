"""Scores against their definitions."""

import numpy as np
import pytest

from latentpk.evaluate.scores import coverage, interval_score, mae, r2, rmse

TRUTH = np.array([[1.0], [2.0], [3.0], [6.0]])
FOUND = np.array([[1.0], [3.0], [3.0], [4.0]])


def test_scores_of_four_rows_by_hand():
    assert r2(TRUTH, FOUND)[0] == pytest.approx(1 - 5 / 14)
    assert rmse(TRUTH, FOUND)[0] == pytest.approx(np.sqrt(5 / 4))
    assert mae(TRUTH, FOUND)[0] == pytest.approx(3 / 4)


def test_r2_is_0_for_the_mean_and_1_for_the_truth():
    both = np.concatenate([np.full_like(TRUTH, 3.0), TRUTH], axis=1)
    np.testing.assert_allclose(r2(np.tile(TRUTH, 2), both), [0, 1])


def test_r2_has_no_value_where_the_truth_does_not_vary():
    found = r2(np.array([[1.0, 1.0], [1.0, 2.0]]), np.array([[1.0, 1.0], [0.5, 2.0]]))
    assert np.isnan(found[0])
    assert found[1] == 1
    assert np.isnan(r2(TRUTH[:1], FOUND[:1]))


def test_coverage_counts_the_ends():
    low, high = FOUND - 1, FOUND + 1
    assert coverage(TRUTH, low, high)[0] == 0.75  # 6 is above 5, and 2 is the end itself


def test_the_interval_score_is_width_and_what_misses_costs():
    low, high = FOUND - 1, FOUND + 0.5
    # rows 1 and 3 inside: 1.5 each; row 2 at the end; row 4 is 1.5 above, at 20 each
    assert interval_score(TRUTH, low, high)[0] == pytest.approx((4 * 1.5 + 20 * 1.5) / 4)
    assert interval_score(TRUTH, low, high, level=0.5)[0] == pytest.approx((6 + 4 * 1.5) / 4)
    below = interval_score(np.array([[0.0]]), np.array([[2.0]]), np.array([[3.0]]))
    assert below[0] == pytest.approx(1 + 20 * 2)


def test_the_true_quantiles_have_the_least_interval_score():
    truth = np.random.default_rng(0).normal(size=(20_000, 1))
    scores = [
        interval_score(truth, np.full_like(truth, -half), np.full_like(truth, half))[0]
        for half in (1.2, 1.645, 2.2)
    ]
    assert scores[1] == min(scores)
