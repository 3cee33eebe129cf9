import numpy as np
import pytest

from latentpk.inference.tumor_posterior import Seen, tumor_posterior
from latentpk.models.descriptors import properties
from latentpk.models.tumor import decode
from latentpk.workflows.nano.table import physiology, read_library

pytestmark = pytest.mark.long  # what all of them share takes half a minute

TIMES = np.array([2.0, 24.0])


@pytest.fixture(scope="module")
def case(nano_joined, nano_table):
    """The latent model, one particle's location, and its mouse."""
    particles = read_library(nano_table).particles
    latent = nano_joined.joint.latent
    return latent, latent.location(properties(particles))[:, 0], physiology(particles).body(0)


def seen(value, *, censored=False):
    return Seen(np.array([2.0]), np.array([value]), np.array([float(censored)]))


def middle(posterior, body):
    return np.sum(posterior.weight[:, None] * np.log(decode(posterior.z, body, TIMES).tissue), 0)


@pytest.mark.long
def test_without_measurements_it_is_the_prior(case):
    found = tumor_posterior(*case, None, seed=0)
    assert found.rung == 1
    np.testing.assert_allclose(found.weight, 1 / len(found.z))


def test_a_measurement_pulls_the_course_towards_it(case):
    prior = middle(tumor_posterior(*case, None, seed=0), case[2])
    for factor in (0.3, 3.0):
        value = float(np.exp(prior[0]) * factor)
        found = middle(tumor_posterior(*case, seen(value), seed=0), case[2])
        assert abs(found[0] - np.log(value)) < abs(prior[0] - np.log(value))
        assert np.sign(found[1] - prior[1]) == np.sign(np.log(factor))


@pytest.mark.long
def test_both_rungs_agree_with_many_plain_draws(case):
    prior = middle(tumor_posterior(*case, None, seed=0), case[2])
    value = seen(float(np.exp(prior[0] + 1.0)))
    plain = tumor_posterior(*case, value, draws=6_000, seed=5)
    placed = tumor_posterior(*case, value, draws=64, seed=2)  # too few: the second rung
    assert (plain.rung, placed.rung) == (1, 2)
    spread = np.sqrt(
        np.sum(
            plain.weight[:, None]
            * (np.log(decode(plain.z, case[2], TIMES).tissue) - middle(plain, case[2])) ** 2,
            axis=0,
        )
    )
    error = np.abs(middle(placed, case[2]) - middle(plain, case[2]))
    assert (error < 5 * spread / np.sqrt(placed.effective)).all()


def test_a_zero_says_that_less_was_there(case):
    prior = middle(tumor_posterior(*case, None, seed=0), case[2])
    value = float(np.exp(prior[0]))
    found = middle(tumor_posterior(*case, seen(value, censored=True), seed=0), case[2])
    assert found[0] < prior[0]


def test_even_points_have_the_weighted_mean(case):
    found = tumor_posterior(*case, seen(0.5), seed=0)
    points = found.even(4000, seed=1)
    np.testing.assert_allclose(points.mean(0), found.weight @ found.z, atol=0.1)
