"""Cohorts with labels, and the oracle."""

import numpy as np
import pytest
from benchmarks.complexity import cohorts


def test_simple_people_follow_the_closed_form():
    theta, dose = np.array([[1.2, 5.0, 40.0]]), np.array([2.0])
    time = np.arange(0, 28.01, cohorts.STEP)
    ka, k = 1.2, 5.0 / 40.0
    exact = 140.0 * ka / 40.0 / (ka - k) * (np.exp(-k * time) - np.exp(-ka * time))
    assert cohorts.courses(cohorts.PLAIN, theta, dose)[0] == pytest.approx(exact, abs=2e-6)


def test_recirculation_raises_levels_after_the_gallbladder_empties_and_not_before():
    people = cohorts.OTHERS["recirculation"]
    theta = np.array([[1.2, 5.0, 40.0, 2.0, 7.0]])
    one = cohorts.courses(people, theta, np.array([2.0]))[0]
    other = cohorts.courses(cohorts.PLAIN, theta[:, :3], np.array([2.0]))[0]
    place = round(7 / cohorts.STEP)
    assert one[:place] == pytest.approx(other[:place])
    assert one[place + 40] > 1.5 * other[place + 40]


def test_a_quarter_of_the_dose_is_less_than_a_quarter_where_elimination_saturates():
    people, theta = cohorts.OTHERS["saturable"], np.array([[1.2, 12.0, 40.0, 0.6]])
    low, high = (cohorts.courses(people, theta, np.array([d]))[0] for d in cohorts.DOSES)
    assert low[240] < 0.8 * high[240] / 4


def test_half_are_complex_with_six_levels_each_and_the_seed_decides():
    one, again = (cohorts.cohort("recirculation", 20, 3) for _ in range(2))
    assert one.table.equals(again.table)
    assert one.complex.sum() == 10
    assert one.table.filter(one.table["EVID"] == 0).height == 120
    assert not cohorts.cohort("simple", 20, 3).complex.any()


def test_the_area_counts_pairs():
    labels = np.array([True, True, False, False])
    assert cohorts.area(np.array([2.0, 1.0, 1.0, 0.0]), labels) == 0.875
    assert cohorts.area(np.array([0.0, 0.0, 1.0, 1.0]), labels) == 0.0


def test_the_oracle_tells_them_apart():
    mixed = cohorts.cohort("recirculation", 60, 5)
    assert cohorts.area(cohorts.oracle(mixed, "recirculation", draws=4000), mixed.complex) > 0.95
