from dataclasses import replace

import numpy as np
import pytest
from benchmarks.forecast_oracle import cohorts, oracle
from benchmarks.forecast_oracle.populations import POPULATIONS, WARFARIN
from scipy.stats import norm

FEW = oracle.Settings(draws=4096, pilot=1024, stages=3)


def clearance_alone():
    """The oral population with one random effect, on clearance, and the others at 0."""

    def concentration(link, time, doses):
        fixed = np.broadcast_to(np.log([7.96, 1.45, 0.9]), (*link.shape[:2], 3))
        return WARFARIN.concentration(np.concatenate([link, fixed], axis=-1), time, doses)

    return replace(
        WARFARIN,
        typical=lambda covariates: np.log(np.full((len(covariates), 1), 0.132)),
        omega=np.array([[0.3]]),
        concentration=concentration,
    )


def brute_force(patients):
    """Posterior mean of log C and 5/95 % of a new measurement, on a grid of the one effect."""
    grid = np.linspace(-6, 6, 4001)
    eps = np.broadcast_to(grid[None, :, None], (len(patients), grid.size, 1))
    clean = oracle.concentrations(patients, eps, patients.level_time)
    deviation = np.sqrt(0.231**2 + (0.0632 * clean) ** 2)
    levels = norm.logpdf(patients.level[:, None], clean, deviation)
    levels -= norm.logsf(0, clean, deviation)
    joint = np.where(patients.measured[:, None], levels, 0).sum(-1) + norm.logpdf(grid)
    weight = np.exp(joint - joint.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    later = oracle.concentrations(patients, eps, patients.later)
    return np.einsum("ig,igt->it", weight, np.log(later)), weight, later


@pytest.fixture(scope="module")
def patients():
    return cohorts.unseen(clearance_alone(), 12, seed=8)


def test_the_oracle_agrees_with_a_brute_force_grid(patients):
    expected, _, _ = brute_force(patients)
    found = oracle.forecast(patients, seed=1, settings=FEW)
    # 4096 draws of a posterior whose log C has a deviation below 0.4.
    np.testing.assert_allclose(found.log_mean, expected, atol=0.03)
    assert np.sqrt(np.mean((found.log_mean - expected) ** 2)) < 0.006
    assert found.size.min() > 1000


def test_the_oracles_interval_holds_its_share_of_the_predictive(patients):
    _, weight, later = brute_force(patients)
    found = oracle.forecast(patients, seed=1, settings=FEW)
    deviation = np.sqrt(0.231**2 + (0.0632 * later) ** 2)
    for bound, share in ((found.low, 0.05), (found.high, 0.95)):
        below = norm.cdf(bound[:, None], later, deviation) - norm.cdf(0, later, deviation)
        mass = np.einsum("ig,igt->it", weight, below / norm.sf(0, later, deviation))
        assert np.abs(mass - share).max() < 0.03


def test_two_separated_modes_are_both_found():
    def two_humps(eps):
        near = norm.logpdf(eps[..., 0], 1.5, 0.1), norm.logpdf(eps[..., 0], -1.5, 0.1)
        return np.logaddexp(*near)

    eps, log_weight = oracle.posterior_draws(
        two_humps, 2, 4, np.random.default_rng(2), oracle.Settings(draws=8192)
    )
    right = (np.exp(log_weight) * (eps[..., 0] > 0)).sum(axis=1)
    np.testing.assert_allclose(right, 0.5, atol=0.05)


@pytest.mark.parametrize("name", sorted(POPULATIONS))
def test_no_later_concentration_reaches_the_oracle(name):
    patients = cohorts.unseen(POPULATIONS[name], 4, seed=9)
    blind = replace(
        patients,
        truth=patients.truth * np.nan,
        fresh=patients.fresh * np.nan,
        eta=patients.eta * np.nan,
    )
    found, same = (oracle.forecast(one, seed=1, settings=FEW) for one in (patients, blind))
    np.testing.assert_array_equal(found.log_mean, same.log_mean)


@pytest.mark.benchmark
@pytest.mark.parametrize("name", sorted(POPULATIONS))
def test_the_oracles_intervals_cover_what_they_say(name):
    patients = cohorts.unseen(POPULATIONS[name], 150, seed=10)
    found = oracle.forecast(patients, seed=1)
    inside = (patients.fresh >= found.low) & (patients.fresh <= found.high)
    assert 0.87 < inside.mean() < 0.93
