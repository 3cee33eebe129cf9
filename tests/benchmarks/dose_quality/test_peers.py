import dataclasses

import numpy as np
import pytest
from benchmarks.dose_quality import peers
from benchmarks.dose_quality.patients import draw
from benchmarks.dose_quality.rows import ROWS
from scipy.stats import norm


@pytest.fixture(scope="module")
def neonates():
    """One compartment, and levels without error."""
    found = draw(ROWS["neonates"], 12, seed=4)
    clean = found.row.concentration(found.theta[:, None], found.time, found.doses)[:, 0]
    return dataclasses.replace(found, level=clean)


@pytest.fixture(scope="module")
def choices(neonates):
    return peers.Choices.of(neonates)


def test_exact_levels_of_one_compartment_give_the_true_clearance(neonates, choices):
    daily, failed = peers.sawchuk_zaske(neonates, choices)
    assert not failed.any()
    np.testing.assert_allclose(daily, choices.nearest(neonates, neonates.theta[:, 0]))
    assert (np.abs(neonates.exposure(daily) - 500) < 30).all()


def test_levels_that_rise_leave_the_label(neonates, choices):
    rising = dataclasses.replace(neonates, level=neonates.level[:, ::-1])
    daily, failed = peers.sawchuk_zaske(rising, choices)
    assert failed.all()
    np.testing.assert_array_equal(daily, rising.label.daily)


def test_without_levels_the_best_is_that_of_the_lognormal_prior(neonates, choices):
    _, chance, size = peers.best_attainable(neonates, choices, 0)
    sd = np.sqrt(0.0465)
    location = neonates.row.typical(neonates.covariates)[:, :1]
    low, high = (np.log(choices.daily / end) for end in (600.0, 400.0))
    truth = norm.cdf((high - location) / sd) - norm.cdf((low - location) / sd)
    np.testing.assert_allclose(chance, np.nanmax(truth, axis=1), atol=1e-3)
    np.testing.assert_allclose(size, peers.DRAWS)


def test_the_mode_of_one_patient_has_the_least_objective(neonates, choices):
    """Against a fine grid of both effects."""
    one = dataclasses.replace(
        neonates,
        covariates={name: value[:1] for name, value in neonates.covariates.items()},
        label=dataclasses.replace(
            neonates.label, **{n: v[:1] for n, v in vars(neonates.label).items()}
        ),
        doses=neonates.doses.take(slice(0, 1)),
        theta=neonates.theta[:1],
        time=neonates.time[:1],
        level=neonates.level[:1] * 1.5,
    )
    grid = np.stack(np.meshgrid(*[np.linspace(-4, 4, 401)] * 2, indexing="ij"), -1).reshape(
        1, -1, 2
    )
    theta, clean, sd, level = peers._predicted(one, 2, grid, slice(0, 1))
    misfit = (0.5 * ((level - clean) / sd) ** 2 + np.log(sd)).sum(-1) + 0.5 * (grid**2).sum(-1)
    clearance = theta[0, np.argmin(misfit[0]), 0]
    few = peers.Choices(choices.daily[:1])
    np.testing.assert_allclose(
        peers.most_probable(one, few, 2), few.nearest(one, np.array([clearance])), rtol=0.03
    )


@pytest.mark.long
def test_more_levels_attain_more(neonates):
    patients = draw(ROWS["neonates"], 100, seed=5)
    choices = peers.Choices.of(patients)
    chances = [peers.best_attainable(patients, choices, n)[1].mean() for n in (0, 1, 2)]
    assert chances[0] < chances[1] < chances[2]
