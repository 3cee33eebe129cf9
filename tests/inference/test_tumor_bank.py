import numpy as np
import pytest
from scipy.stats import multivariate_normal

from latentpk.inference import tumor_bank
from latentpk.inference.tumor_bank import TYPICAL, WIDTH, fill_bank, kernels, tempered
from latentpk.models.tumor import LATENT, gaussian
from latentpk.workflows.nano.table import physiology, read_library

RNG = np.random.default_rng(4)


@pytest.fixture(scope="module")
def library(nano_table, nano_courses):
    return read_library(nano_table, timecourse=nano_courses)


@pytest.fixture(scope="module")
def filled(library, few_points):
    return fill_bank(library.courses, physiology(library.particles), seed=3)


def test_kernels_are_an_even_mixture():
    centres, z = RNG.standard_normal((4, 6)), RNG.standard_normal((7, 6))
    factor = np.tril(0.3 * RNG.standard_normal((6, 6)), -1) + np.eye(6)
    each = [multivariate_normal(middle, factor @ factor.T).pdf(z) for middle in centres]
    np.testing.assert_allclose(
        kernels(z, centres, factor), np.log(np.mean(each, axis=0)), rtol=1e-9
    )


def test_tempering_keeps_the_order_until_enough_points_count():
    log_weight = -np.linspace(0, 900, 300)
    weight = tempered(log_weight)
    assert weight.sum() == pytest.approx(1)
    assert (np.diff(weight) < 0).all()
    assert 1 / np.sum(weight**2) >= tumor_bank.ENOUGH


@pytest.mark.long
def test_points_weigh_more_where_measurements_are_explained(filled, library):
    prior = np.stack([gaussian(z, TYPICAL, np.diag(WIDTH)) for z in filled.z])
    apart = (filled.log_seen[:, None] - filled.tissue) * filled.measured[:, None]
    log_weight = -0.5 * np.sum(apart**2, axis=2) / 0.35**2 + prior - filled.log_proposal
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    expected = np.einsum("rd,rdt->rt", weight, filled.tissue)
    kept = (filled.measured > 0) & (filled.censored == 0)
    error = (expected - filled.log_seen)[kept]
    blind = (filled.tissue.mean(axis=1) - filled.log_seen)[kept]
    assert np.sqrt(np.mean(error**2)) < 0.6
    assert np.sqrt(np.mean(error**2)) < 0.7 * np.sqrt(np.mean(blind**2))


@pytest.mark.long
def test_a_particle_without_measurements_has_points_that_say_nothing(filled):
    assert filled.measured[-1].sum() == 0
    assert np.isfinite(filled.log_proposal[-1]).all()


@pytest.mark.long
def test_it_is_reproducible_and_rows_do_not_depend_on_each_other(filled, library):
    mouse = physiology(library.particles)
    again = fill_bank(library.courses, mouse, seed=3, threads=2)
    np.testing.assert_array_equal(again.z, filled.z)
    two = fill_bank(library.courses.take(np.arange(2)), mouse.take(np.arange(2)), seed=3)
    np.testing.assert_array_equal(two.z, filled.z[:2])
    assert filled.z.shape[2] == len(LATENT)
