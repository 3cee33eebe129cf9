"""Two kinds of people: shares, moments, presence. Whole mixtures are tested with the workflow."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentpk import read_nonmem
from latentpk.inference.bank import Bank
from latentpk.inference.two_kinds import (
    Gaussian,
    Verdicts,
    completed,
    logit,
    moments,
    presence_of,
    share_interval,
    share_of,
    sigmoid,
    standard,
    surely_more,
)
from latentpk.models.record import stack_records


def test_the_share_is_that_of_people_who_are_told_apart():
    sure = np.where(np.arange(100) < 30, 40.0, -40.0)
    assert share_of(sure, 0.5, 0.0) == pytest.approx(0.3, abs=1e-5)


def test_levels_that_say_nothing_leave_the_share_where_it_was():
    assert share_of(np.zeros(50), 0.2, 2.0) == pytest.approx(0.2, abs=1e-6)


def test_a_share_known_from_many_moves_little():
    sure = np.full(10, 40.0)
    assert share_of(sure, 0.1, 90.0) == pytest.approx(0.19, abs=1e-5)


def test_the_interval_is_the_binomial_one_where_all_are_told_apart():
    sure = np.where(np.arange(400) < 100, 40.0, -40.0)
    low, high = share_interval(Verdicts(np.zeros(400), sure, 0.25))
    assert (low, high) == (pytest.approx(0.21, abs=0.01), pytest.approx(0.295, abs=0.01))


def test_the_interval_is_wide_where_nobody_is():
    low, high = share_interval(Verdicts(np.zeros(50), np.zeros(50), 0.4))
    assert low < 0.01
    assert high > 0.99


@pytest.fixture
def record(mixed):
    cohort = read_nonmem(mixed[0], covariates=["WT"])
    return stack_records(cohort.subjects)


def test_moments_are_those_of_whoever_belongs(record):
    rng = np.random.default_rng(0)
    eps = rng.standard_normal((300, 64, 2)) * [0.5, 1.0] + [1.0, 0.0]
    eps[150:] += 50.0
    bank = Bank(eps, np.zeros((300, 64)), np.zeros((300, 64, 1)), record)
    share = np.where(np.arange(300) < 150, 1.0, 0.0)
    found = moments(bank, np.full((300, 64), 1 / 64), share, standard(2))
    assert found.mean == pytest.approx([1.0, 0.0], abs=0.03)
    assert np.sqrt(np.diag(found.covariance)) == pytest.approx([0.52, 1.0], abs=0.03)


def test_nobody_leaves_the_anchor(record):
    anchor = Gaussian(np.array([2.0]), np.array([[0.3]]))
    bank = Bank(np.zeros((5, 4, 1)), np.zeros((5, 4)), np.zeros((5, 4, 1)), record)
    found = moments(bank, np.full((5, 4), 0.25), np.zeros(5), anchor)
    assert found.mean == pytest.approx(anchor.mean)
    assert found.covariance == pytest.approx(anchor.covariance)


@given(st.lists(st.floats(-3, 3), min_size=3, max_size=30))
def test_presence_rises_with_the_gain(gain):
    low = np.array(gain)
    assert presence_of(low) <= presence_of(low + 0.5) + 1e-12


def test_no_gain_is_no_presence():
    noise = np.random.default_rng(1).standard_normal(200)
    assert presence_of(noise - noise.mean()) < 0.01
    assert presence_of(noise + 1.0) > 0.99
    assert presence_of(np.array([5.0])) < 1e-9


def test_what_gains_no_more_than_its_noise_is_not_surely_more():
    noise = np.random.default_rng(2).standard_normal(400)
    before = np.random.default_rng(3).standard_normal(400)
    assert not surely_more(before + noise - noise.mean() + 0.05, before)
    assert surely_more(before + noise - noise.mean() + 0.15, before)
    assert not surely_more(before - 0.2, before)
    assert not surely_more(np.array([5.0]), np.array([0.0]))


def test_what_leaves_everybody_open_is_no_gain_and_what_tells_them_is():
    gain = np.full(40, 0.1)
    sure = Verdicts(np.zeros(40), np.where(np.arange(40) < 20, 30.0, -30.0), 0.5)
    np.testing.assert_allclose(completed(gain, sure), gain, atol=1e-9)
    open_ = Verdicts(np.zeros(40), np.zeros(40), 0.5)
    np.testing.assert_allclose(completed(gain, open_), gain - np.log(2))


def test_log_odds_come_back():
    p = np.array([0.01, 0.5, 0.9])
    assert sigmoid(np.array([logit(one) for one in p])) == pytest.approx(p)
