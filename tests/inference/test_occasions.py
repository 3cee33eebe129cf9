"""Posteriors of a patient who varies from one occasion to the next, against plain sampling."""

import numpy as np
import polars as pl
import pytest

from latentpk.inference.posterior import PosteriorSettings, posteriors
from latentpk.models.published import PopulationModel, build_published
from latentpk.models.record import stack_records
from latentpk.records import read_nonmem

pytestmark = pytest.mark.long  # what all of them share takes half a minute

CL, V, ERROR = 4.0, 30.0, 0.2
OMEGA, WITHIN = (0.09, 0.04), 0.06  # between patients (CL, V), between occasions (CL)
MANY = PosteriorSettings(draws=16384, ladder=False)
ROWS = [  # TIME, AMT, DV, OCC: the trough at 24 h is the first occasion's, the dose there begins
    (0.0, 300.0, None, 1),
    (2.0, 0.0, 7.0, 1),
    (24.0, 0.0, 0.9, 1),
    (24.0, 300.0, None, 2),
    (26.0, 0.0, 9.5, 2),
    (36.0, 0.0, 4.8, 2),
]


def population(within=WITHIN, omega=OMEGA, parameters=("cl",)):
    """One compartment whose clearance varies between occasions; None: it does not."""
    occasions = {
        "parameters": list(parameters),
        "variances": [within] * len(parameters),
        "convention": "",
    }
    return PopulationModel.model_validate(
        {
            "structure": "1c-iv",
            "parameters": [
                {"name": "cl", "value": CL, "unit": "L/h"},
                {"name": "v1", "value": V, "unit": "L"},
            ],
            "variability": {
                "parameters": ["cl", "v1"],
                "covariance": [[omega[0]], [0.0, omega[1]]],
                "convention": "",
            },
            "occasions": None if within is None else occasions,
            "residual": {"kind": "proportional", "proportional": ERROR},
        }
    )


def subjects(rows, *, occasions=()):
    frame = pl.DataFrame(
        [(1.0, *row) for row in rows],
        schema=dict.fromkeys(["ID", "TIME", "AMT", "DV", "OCC"], pl.Float64),
        orient="row",
    )
    return read_nonmem(
        frame, covariates=[], route="iv", purpose="forecast", occasions=occasions
    ).subjects


def found(rows, settings=MANY, *, within=WITHIN, omega=OMEGA, **stacking):
    model = build_published(population(within, omega))
    occasions = None if within is None else ()
    return posteriors(
        model, stack_records(subjects(rows, occasions=occasions), **stacking), settings
    )


def moments(eps, weight):
    """Mean and SD of each effect, and the standard errors of both."""
    weight = weight / weight.sum()
    mean = weight @ eps
    square = (eps - mean) ** 2
    variance = weight @ square
    mean_error = np.sqrt(weight**2 @ square)
    spread_error = np.sqrt(weight**2 @ (square - variance) ** 2) / (2 * np.sqrt(variance))
    return np.concatenate([mean, np.sqrt(variance)]), np.concatenate([mean_error, spread_error])


@pytest.fixture(scope="module")
def plain():
    """Effects (eta CL, eta V, kappa 1, kappa 2) from the prior, and their weights."""
    rng = np.random.default_rng(5)
    eps = rng.standard_normal((2_000_000, 4))
    v = V * np.exp(np.sqrt(OMEGA[1]) * eps[:, 1])
    first, second = (
        CL * np.exp(np.sqrt(OMEGA[0]) * eps[:, 0] + np.sqrt(WITHIN) * eps[:, k]) / v for k in (2, 3)
    )
    left = 300.0 * np.exp(-24.0 * first)
    curves = [
        300.0 * np.exp(-2.0 * first),
        left,
        (left + 300.0) * np.exp(-2.0 * second),
        (left + 300.0) * np.exp(-12.0 * second),
    ]
    log = np.zeros(len(eps))
    for amount, level in zip(curves, (7.0, 0.9, 9.5, 4.8), strict=True):
        f = amount / v
        log += -0.5 * ((level - f) / (ERROR * f)) ** 2 - np.log(ERROR * f * np.sqrt(2 * np.pi))
    return eps, np.exp(log)


@pytest.mark.long
def test_two_occasions_have_the_moments_of_plain_sampling(plain):
    ours = found(ROWS)
    assert ours.eps.shape == (1, 16384, 4)
    here, here_error = moments(ours.eps[0], ours.weight[0])
    there, there_error = moments(*plain)
    assert there_error.max() < 0.02
    assert (np.abs(here - there) < 4 * np.hypot(here_error, there_error)).all()
    weight = plain[1]
    error = np.hypot(weight.std() / weight.mean() / np.sqrt(weight.size), 1 / np.sqrt(ours.ess[0]))
    assert abs(ours.log_evidence[0] - np.log(weight.mean())) < 4 * error
    # the two occasions pull apart: kappa is not one effect seen twice
    assert here[2] > 0.1 > -0.1 > here[3]


@pytest.mark.long
def test_a_variance_that_vanishes_leaves_the_posterior_of_one_occasion():
    still = found(ROWS, within=None)
    assert still.eps.shape[2] == 2
    ours = found(ROWS, within=1e-10)
    here, here_error = moments(ours.eps[0][:, :2], ours.weight[0])
    there, there_error = moments(still.eps[0], still.weight[0])
    assert (np.abs(here - there) < 4 * np.hypot(here_error, there_error)).all()
    np.testing.assert_allclose(ours.mode[0, :2], still.mode[0], atol=1e-4)
    np.testing.assert_allclose(ours.log_evidence, still.log_evidence, atol=0.03)


@pytest.mark.long
def test_one_occasion_is_a_patient_with_both_variances():
    rows = [(time, amount, dv, 1) for time, amount, dv, _ in ROWS]
    ours = found(rows)
    assert ours.eps.shape[2] == 3
    both = OMEGA[0] + WITHIN
    summed = found(rows, within=None, omega=(both, OMEGA[1]))
    log_cl = ours.eps[0][:, 0] * np.sqrt(OMEGA[0]) + ours.eps[0][:, 2] * np.sqrt(WITHIN)
    here, here_error = moments(
        np.stack([log_cl / np.sqrt(both), ours.eps[0][:, 1]], 1), ours.weight[0]
    )
    there, there_error = moments(summed.eps[0], summed.weight[0])
    assert (np.abs(here - there) < 4 * np.hypot(here_error, there_error)).all()
    np.testing.assert_allclose(ours.log_evidence, summed.log_evidence, atol=0.03)


@pytest.mark.long
def test_padding_of_occasions_changes_no_answer():
    ours, padded = found(ROWS), found(ROWS, spare=1)
    assert (ours.eps.shape[2], padded.eps.shape[2]) == (4, 6)
    here, here_error = moments(ours.eps[0], ours.weight[0])
    there, there_error = moments(padded.eps[0], padded.weight[0])
    there, there_error = (x.reshape(2, 6)[:, :4].ravel() for x in (there, there_error))
    assert (np.abs(here - there) < 4 * np.hypot(here_error, there_error)).all()
    np.testing.assert_allclose(padded.mode[0], [*ours.mode[0], 0, 0], atol=1e-8)
    np.testing.assert_allclose(ours.objective, padded.objective, rtol=1e-10)


def test_occasions_after_the_last_level_are_not_sampled():
    later = [*ROWS, (48.0, 300.0, None, 3), (72.0, 300.0, None, 4)]
    ours, longer = found(ROWS), found(later)
    np.testing.assert_allclose(longer.eps, ours.eps, atol=1e-9)


def test_an_occ_that_a_model_does_not_know_changes_no_bit():
    same = [(time, amount, dv, 1) for time, amount, dv, _ in ROWS]
    one, other = found(ROWS, within=None), found(same, within=None)
    np.testing.assert_array_equal(one.eps, other.eps)
    np.testing.assert_array_equal(one.weight, other.weight)
