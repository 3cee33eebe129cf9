"""Joining the latent model's delivery to the ensemble's."""

import numpy as np
import pytest

from latentpk.inference.joint import fit_joint
from latentpk.models.joint import DELIVERED

NONE = np.zeros(3)


@pytest.fixture
def case(nano_fit, nano_joined):
    """An ensemble, its inner predictions, a latent model, and a maker of delivery columns."""
    ensemble, inner = nano_fit
    latent = nano_joined.joint.latent
    columns = [ensemble.targets.index(name) for name in DELIVERED]
    missed = inner.truth[:, columns] - inner.weighed[:, columns]

    def delivered(addition):
        standard = inner.weighed[:, columns] + addition
        return standard * ensemble.scale[columns] + ensemble.center[columns]

    return ensemble, inner, latent, missed, delivered


def share(case, addition, noise=NONE):
    ensemble, inner, latent, _, delivered = case
    return fit_joint(ensemble, inner, latent, delivered(addition), noise)[0].share


def test_what_the_ensemble_missed_is_taken_whole_and_nonsense_not_at_all(case):
    missed = case[3]
    np.testing.assert_allclose(share(case, missed), 1.0)
    np.testing.assert_allclose(share(case, 0.5 * missed), 1.0)  # never more than the whole
    np.testing.assert_allclose(share(case, -missed), 0.0)
    np.testing.assert_allclose(share(case, 2 * missed), 0.5, rtol=1e-2)


def test_an_addition_measured_with_error_has_the_share_of_one_without(case):
    missed = case[3] - case[3].mean(axis=0)
    rng = np.random.default_rng(0)
    error = rng.normal(size=missed.shape)
    error -= missed * np.sum(error * missed) / np.sum(missed**2)  # of no use at all
    error -= error.mean(axis=0)
    noisy = 2 * missed + error
    own = np.mean(error**2, axis=0) * case[0].scale[4:] ** 2
    less = np.sum(2 * missed**2) / np.sum(noisy**2)
    np.testing.assert_allclose(share(case, noisy), less, rtol=1e-2)
    np.testing.assert_allclose(share(case, noisy, own), 0.5, rtol=1e-2)


def test_noise_larger_than_all_of_it_gives_a_share_within_bounds(case):
    for addition in (case[3], -case[3]):
        assert 0 <= share(case, addition, np.full(3, 1e3))[0] <= 1


def test_joined_predictions_are_the_mixture_and_unbiased_where_it_is_whole(case):
    ensemble, inner, latent, missed, delivered = case
    joint, found = fit_joint(ensemble, inner, latent, delivered(missed + 3.0), NONE)
    np.testing.assert_allclose(joint.offset / ensemble.scale[4:], -3.0)
    np.testing.assert_allclose(found, np.where(np.arange(7) < 4, inner.weighed, inner.truth))
