"""The truths of complex profiles against adaptive integration."""

import numpy as np
import pytest
from benchmarks.complex_profiles import kinetics
from benchmarks.complex_profiles.populations import COMPLEX, REPLACED, titrated
from benchmarks.forecast_oracle import cohorts
from benchmarks.forecast_oracle.kinetics import Doses
from scipy.integrate import solve_ivp


def integrated(derivative, state, times, doses):
    """Values of the states at each time; `doses` are (time, change of the state)."""
    found, begun, state = [], 0.0, np.array(state, float)
    for time, change in [*doses, (times[-1] + 1.0, 0.0)]:
        inside = [t for t in times if begun <= t < time]
        if time > begun:
            solved = solve_ivp(
                derivative, (begun, time), state, "LSODA", rtol=1e-9, atol=1e-12,
                t_eval=sorted({*inside, time}), max_step=0.2,
            )  # fmt: skip
            found += [column for t, column in zip(solved.t, solved.y.T, strict=True) if t in inside]
            state = solved.y[:, -1]
        state, begun = state + change, time
    return np.array(found)


def asked(values):
    return {name: np.full((1, 1), value) for name, value in values.items()}


def given(times, amount, duration=0.0):
    block = np.array([times], float)
    return Doses(block, np.full_like(block, amount), np.full_like(block, duration))


def test_saturable_elimination_is_lamberts_function():
    p = {"vmax": 20.0, "km": 5.0, "v": 50.0}
    times = np.array([[0.25, 6.0, 24.0, 47.75]])
    found = kinetics.follow(kinetics.MICHAELIS_MENTEN, asked(p), times, given([0.0], 900.0))[0, 0]
    start = 900.0 / 50.0
    # implicit solution: km ln(c/c0) + c - c0 = -vmax t / v
    left = p["km"] * np.log(found / start) + found - start
    np.testing.assert_allclose(left, -p["vmax"] / p["v"] * times[0], rtol=1e-7)


def test_an_infusion_enters_during_its_hour():
    p = {"vmax": 1e-9, "km": 5.0, "v": 50.0}
    times = np.array([[0.5, 1.0, 40.0]])
    doses = given([0.0], 100.0, duration=1.0)
    found = kinetics.follow(kinetics.MICHAELIS_MENTEN, asked(p), times, doses)[0, 0]
    np.testing.assert_allclose(found, [1.0, 2.0, 2.0], rtol=1e-6)


def test_target_mediated_disposition_agrees_with_adaptive_integration():
    p = {"cl": 0.2 / 24, "v1": 3.0, "q": 0.5 / 24, "v2": 3.0, "ksyn": 5 / 24, "kint": 0.3 / 24}

    def free(total, target):
        b = total - target - kinetics.KSS
        return (b + np.sqrt(b**2 + 4 * kinetics.KSS * total)) / 2

    def derivative(_, y):
        level = free(y[0], y[2])
        bound = y[2] * level / (kinetics.KSS + level)
        flow = p["q"] * (level - y[1] / p["v2"])
        return [
            -p["cl"] / p["v1"] * level - flow / p["v1"] - p["kint"] * bound,
            flow,
            p["ksyn"] - kinetics.KDEG * (y[2] - bound) - p["kint"] * bound,
        ]

    times = np.array([6.0, 48.0, 330.0, 342.0, 660.0])
    change = np.array([60.0 / p["v1"], 0.0, 0.0])
    solved = integrated(
        derivative, [0.0, 0.0, p["ksyn"] / kinetics.KDEG], times, [(0.0, change), (336.0, change)]
    )
    expected = free(solved[:, 0], solved[:, 2])
    found = kinetics.follow(kinetics.TMDD, asked(p), times[None], given([0.0, 336.0], 60.0))
    np.testing.assert_allclose(found[0, 0], expected, rtol=2e-3)


def test_recirculation_agrees_with_adaptive_integration():
    p = {"ka": 1.2, "cl": 6.0, "clb": 8.0, "v": 30.0, "q": 10.0, "v2": 60.0}

    def derivative(t, y):
        eats = 3.0 * any(meal <= t % 24 < meal + 0.75 for meal in (4.0, 10.0))
        back = p["q"] / p["v2"] * y[2]
        return [
            -p["ka"] * y[0],
            p["ka"] * y[0] - (p["cl"] + p["clb"] + p["q"]) / p["v"] * y[1] + back + 0.9 * y[4],
            p["q"] / p["v"] * y[1] - back,
            p["clb"] / p["v"] * y[1] - eats * y[3],
            eats * y[3] - 0.9 * y[4],
        ]

    times = np.array([1.0, 3.75, 5.5, 9.75, 12.0, 23.75, 30.0])
    meals = [(meal, np.zeros(5)) for meal in (4.0, 4.75, 10.0, 10.75)]
    dose = np.array([500.0, 0, 0, 0, 0])
    plan = [(0.0, dose), *meals, (24.0, dose), (28.0, np.zeros(5)), (28.75, np.zeros(5))]
    expected = integrated(derivative, np.zeros(5), times, plan)[:, 1] / p["v"]
    found = kinetics.follow(kinetics.RECIRCULATION, asked(p), times[None], given([0, 24.0], 500.0))
    np.testing.assert_allclose(found[0, 0], expected, rtol=2e-3)


def test_a_gamma_input_agrees_with_its_convolution():
    cl, v, mtt, n = 5.0, 40.0, 5.0, 5.7
    times, fine = np.array([1.0, 5.0, 11.0, 30.0]), np.linspace(0, 30.0, 60001)
    ktr = (n + 1) / mtt
    from scipy.stats import gamma

    def convolved(t):
        u = fine[fine <= t]
        return np.trapezoid(
            100 * gamma.pdf(u, n + 1, scale=1 / ktr) * np.exp(-cl / v * (t - u)) / v, u
        )

    one = np.ones((1, 1))
    doses = given([0.0], 100.0)
    found = kinetics.gamma_input(cl * one, v * one, mtt * one, n, times[None], doses)[0, 0]
    np.testing.assert_allclose(found, [convolved(t) for t in times], rtol=1e-5)


def test_food_acts_on_its_own_dose_alone():
    ones = np.ones((1, 1))
    sites = ((ones, 1.5 * ones, 0.25 * ones), (1.5 * ones, 0.4 * ones, 1.5 * ones))
    times, doses = np.array([[13.0, 20.0]]), given([0.0, 12.0], 100.0)
    plain = kinetics.by_meal(
        8 * ones, 50 * ones, sites, times, doses._replace(state=np.zeros((1, 2)))
    )
    second = doses._replace(state=np.array([[0.0, 1.0]]))
    changed = kinetics.by_meal(8 * ones, 50 * ones, sites, times, second)
    first = kinetics.by_meal(
        8 * ones, 50 * ones, sites, times, given([0.0], 100.0)._replace(state=np.zeros((1, 1)))
    )
    assert changed[0, 0, 0] == pytest.approx(first[0, 0, 0])  # its lag has not passed
    assert changed[0, 0, 1] > plain[0, 0, 1]


@pytest.mark.parametrize("population", COMPLEX, ids=lambda p: p.name)
def test_courses_of_wild_draws_stay_finite(population):
    patients = cohorts.unseen(population, 4, seed=5)
    wild = 40 * np.sign(np.random.default_rng(1).standard_normal((4, 16, len(population.omega))))
    link = population.typical(patients.covariates)[:, None, :] + 0.3 * wild
    found = population.concentration(link, patients.later, patients.doses)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("population", COMPLEX, ids=lambda p: p.name)
def test_records_and_truths_are_whole(population):
    for draw in (cohorts.training, cohorts.unseen, cohorts.unseen_regimen):
        patients = draw(population, 6, seed=3)
        assert np.isfinite(patients.truth).all()
        assert (patients.truth >= 0).all()
        assert (patients.level[patients.measured] > 0).all()
        assert patients.scored.mean() > 0.6
    assert np.abs(cohorts.unseen(population, 6, seed=3).truth - patients.truth).max() > 0


def test_a_replaced_cohort_has_a_successor():
    names = {population.name for population in COMPLEX}
    for gone in REPLACED:
        assert gone.name not in names
        assert sum(name.startswith(gone.name) for name in names) == 1
    assert len(names) == 8


def test_titrated_doses_rise_after_the_first():
    regimens = [titrated(48.0, (100.0,), (3.0,), 144.0)(np.random.default_rng(1), 70.0, 70.0)]
    np.testing.assert_array_equal(regimens[0][1], [100.0, 300.0, 300.0])
