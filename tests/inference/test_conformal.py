"""Intervals calibrated on out-of-fold residuals."""

import numpy as np
import pytest

from latentpk.inference.conformal import calibrate


def test_the_quantile_is_the_conformal_one():
    residual = np.arange(1.0, 20.0)[:, None] * np.where(np.arange(19) % 2, 1, -1)[:, None]
    found = calibrate(residual, None, np.ones(19))
    half = found.half_width(np.zeros((1, 1)), np.ones(1))
    assert half == pytest.approx(18.0)  # the ceil(20 x 0.9) = 18th smallest of 19
    assert calibrate(residual, None, np.ones(19), level=0.5).half_width(
        np.zeros((1, 1)), np.ones(1)
    ) == pytest.approx(10.0)


def test_few_rows_give_the_largest_residual():
    found = calibrate(np.array([[1.0], [-5.0], [2.0]]), None, np.ones(3))
    assert found.half_width(np.zeros((1, 1)), np.ones(1)) == pytest.approx(5.0)


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_exchangeable_residuals_are_covered_as_promised(level):
    rng = np.random.default_rng(0)
    hit = []
    for _ in range(100):
        spread, stretch = rng.uniform(0.2, 2.0, (260, 2)), rng.choice([1.0, 2.0], 260)
        residual = np.sqrt(0.1 + spread**2) * stretch[:, None] * rng.standard_t(4, (260, 2))
        found = calibrate(residual[:60], spread[:60], stretch[:60], level=level)
        half = found.half_width(spread[60:], stretch[60:])
        hit.append(np.mean(np.abs(residual[60:]) <= half))
    assert np.mean(hit) == pytest.approx(level + 0.5 * (1 - level) / 30, abs=0.012)
    assert np.mean(hit) >= level - 0.005


def test_intervals_are_wider_where_trees_disagree():
    rng = np.random.default_rng(1)
    spread = rng.uniform(0.1, 3.0, (400, 1))
    residual = spread * rng.normal(size=(400, 1))
    found = calibrate(residual, spread, np.ones(400))
    narrow, wide = found.half_width(np.array([[0.5], [2.0]]), np.ones(2))[:, 0]
    assert wide / narrow == pytest.approx(4, rel=0.35)
    flat = calibrate(residual, rng.permutation(spread), np.ones(400))
    narrow, wide = flat.half_width(np.array([[0.5], [2.0]]), np.ones(2))[:, 0]
    assert wide / narrow < 1.7


def test_an_error_that_is_stretched_is_not_counted_twice():
    rng = np.random.default_rng(2)
    stretch = np.repeat([1.0, 3.0], 500)
    residual = stretch[:, None] * rng.normal(size=(1000, 1))
    found = calibrate(residual, np.full((1000, 1), 0.3), stretch)
    half = found.half_width(np.full((2, 1), 0.3), np.array([1.0, 3.0]))[:, 0]
    np.testing.assert_allclose(half, [1.645, 3 * 1.645], rtol=0.1)


def test_without_disagreement_all_intervals_are_alike():
    residual = np.random.default_rng(3).normal(size=(50, 2))
    found = calibrate(residual, None, np.ones(50))
    assert not found.slope.any()


def test_a_target_without_error_has_a_finite_interval():
    found = calibrate(np.zeros((30, 1)), np.ones((30, 1)), np.ones(30))
    assert np.isfinite(found.half_width(np.ones((1, 1)), np.ones(1))).all()
