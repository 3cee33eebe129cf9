"""Intervals calibrated on out-of-fold residuals."""

import numpy as np
import pytest

from latentpk.inference.conformal import calibrate


def test_each_end_is_the_conformal_one_of_its_side():
    residual = np.random.default_rng(5).permutation(np.arange(-13.0, 26.0))[:, None]
    found = calibrate(residual, None, np.ones(39))
    # the ceil(40 x 0.95) = 38th smallest of 39, and the 38th largest
    np.testing.assert_allclose(found.reach(np.zeros((1, 1)), np.ones(1)).ravel(), [12.0, 24.0])
    half = calibrate(residual, None, np.ones(39), level=0.5).reach(np.zeros((1, 1)), np.ones(1))
    np.testing.assert_allclose(half.ravel(), [4.0, 16.0])  # the 30th of either side


def test_an_end_never_lies_beyond_the_prediction():
    found = calibrate(np.linspace(1.0, 2.0, 50)[:, None], None, np.ones(50))
    down, up = found.reach(np.zeros((1, 1)), np.ones(1))
    assert down == 0
    assert up == pytest.approx(2.0, abs=0.05)


def test_few_rows_give_the_largest_residual():
    found = calibrate(np.array([[1.0], [-5.0], [2.0]]), None, np.ones(3))
    np.testing.assert_allclose(found.reach(np.zeros((1, 1)), np.ones(1)).ravel(), [5.0, 2.0])


@pytest.mark.parametrize("skewed", [False, True])
@pytest.mark.parametrize("level", [0.5, 0.9])
def test_exchangeable_residuals_are_covered_as_promised(level, skewed):
    rng = np.random.default_rng(0)
    below, above = [], []
    for _ in range(100):
        spread, stretch = rng.uniform(0.2, 2.0, (260, 2)), rng.choice([1.0, 2.0], 260)
        drawn = rng.exponential(size=(260, 2)) - 0.7 if skewed else rng.standard_t(4, (260, 2))
        residual = np.sqrt(0.1 + spread**2) * stretch[:, None] * drawn
        found = calibrate(residual[:60], spread[:60], stretch[:60], level=level)
        down, up = found.reach(spread[60:], stretch[60:])
        below.append(np.mean(residual[60:] < -down))
        above.append(np.mean(residual[60:] > up))
    for outside in (below, above):  # each side leaves out its half, and never more
        assert np.mean(outside) == pytest.approx((1 - level) / 2, abs=0.02)
        assert np.mean(outside) <= (1 - level) / 2 + 0.004


def test_intervals_are_wider_where_trees_disagree():
    rng = np.random.default_rng(1)
    spread = rng.uniform(0.1, 3.0, (400, 1))
    residual = spread * rng.normal(size=(400, 1))
    found = calibrate(residual, spread, np.ones(400))
    narrow, wide = found.reach(np.array([[0.5], [2.0]]), np.ones(2))[1, :, 0]
    assert wide / narrow == pytest.approx(4, rel=0.35)
    flat = calibrate(residual, rng.permutation(spread), np.ones(400))
    narrow, wide = flat.reach(np.array([[0.5], [2.0]]), np.ones(2))[1, :, 0]
    assert wide / narrow < 1.7


def test_an_error_that_is_stretched_is_not_counted_twice():
    rng = np.random.default_rng(2)
    stretch = np.repeat([1.0, 3.0], 500)
    residual = stretch[:, None] * rng.normal(size=(1000, 1))
    found = calibrate(residual, np.full((1000, 1), 0.3), stretch)
    reach = found.reach(np.full((2, 1), 0.3), np.array([1.0, 3.0]))[:, :, 0]
    np.testing.assert_allclose(reach, np.tile([1.645, 3 * 1.645], (2, 1)), rtol=0.15)


def test_without_disagreement_all_intervals_are_alike():
    residual = np.random.default_rng(3).normal(size=(50, 2))
    found = calibrate(residual, None, np.ones(50))
    assert not found.slope.any()


def test_a_target_without_error_has_a_finite_interval():
    found = calibrate(np.zeros((30, 1)), np.ones((30, 1)), np.ones(30))
    assert np.isfinite(found.reach(np.ones((1, 1)), np.ones(1))).all()
