"""Two Gaussian floors: people of a study, studies of many drugs."""

import numpy as np
import pytest

from latentpk.inference.hierarchy import Floors, factor_of, floors_of, place_study
from latentpk.inference.splitting import Told

MIDDLE = np.array([0.5, -1.0])
BETWEEN = np.array([[0.8, 0.3], [0.3, 0.5]])
WITHIN = np.array([[0.10, -0.04], [-0.04, 0.15]])


def drawn(studies, people, seed, *, precision=30.0):
    """What levels say of people whose studies and own places are drawn from both floors."""
    rng = np.random.default_rng(seed)
    typical = rng.multivariate_normal(MIDDLE, BETWEEN, studies)
    study = np.repeat(np.arange(studies), people)
    z = typical[study] + rng.multivariate_normal(np.zeros(2), WITHIN, studies * people)
    seen = z + rng.standard_normal(z.shape) / np.sqrt(precision)
    each = np.broadcast_to(precision * np.eye(2), (len(z), 2, 2)).copy()
    return Told(each, precision * seen), study, typical


def test_both_floors_are_found_again():
    known, study, _ = drawn(400, 8, seed=1)
    found = floors_of(known, study, Floors(MIDDLE, np.eye(2), 0.5 * np.eye(2)))
    np.testing.assert_allclose(found.within, WITHIN, atol=0.015)
    np.testing.assert_allclose(found.between, BETWEEN, atol=0.12)


def test_a_place_is_the_joint_gaussian_conditioned():
    """By hand: all people and their middle are one Gaussian, levels are measurements of it."""
    known, _, _ = drawn(1, 4, seed=2)
    floors = Floors(MIDDLE, BETWEEN, WITHIN)
    found = place_study(known, floors, worth=1e9)  # people's covariance stays
    noise = np.linalg.inv(known.precision[0])
    seen = known.pull @ noise
    ones = np.ones((4, 1))
    cover = np.kron(ones @ ones.T, BETWEEN) + np.kron(np.eye(4), WITHIN + noise)
    gain = np.kron(ones.T, BETWEEN) @ np.linalg.inv(cover)
    np.testing.assert_allclose(found.middle, MIDDLE + gain @ (seen - MIDDLE).reshape(-1), rtol=1e-6)
    np.testing.assert_allclose(found.spread, BETWEEN - gain @ np.kron(ones, BETWEEN), atol=1e-9)


def test_levels_that_tell_nothing_leave_the_usual():
    floors = Floors(MIDDLE, BETWEEN, WITHIN)
    found = place_study(Told(np.zeros((5, 2, 2)), np.zeros((5, 2))), floors, worth=8.0)
    np.testing.assert_allclose(found.middle, MIDDLE, atol=1e-9)
    np.testing.assert_allclose(found.within, WITHIN, atol=1e-9)


@pytest.mark.parametrize("order", [[3, 1, 0, 2], [1, 0, 3, 2]])
def test_the_order_of_subjects_does_not_matter(order):
    known, _, _ = drawn(1, 4, seed=3)
    floors = Floors(MIDDLE, BETWEEN, WITHIN)
    one = place_study(known, floors, worth=8.0)
    other = place_study(Told(known.precision[order], known.pull[order]), floors, worth=8.0)
    np.testing.assert_allclose(one.middle, other.middle, rtol=1e-9)
    np.testing.assert_allclose(one.within, other.within, rtol=1e-9)


def test_many_subjects_overrule_the_usual_covariance():
    known, _, typical = drawn(1, 2000, seed=4, precision=1e4)
    found = place_study(known, Floors(MIDDLE, BETWEEN, 5 * WITHIN), worth=8.0)
    np.testing.assert_allclose(found.within, WITHIN, atol=0.02)
    np.testing.assert_allclose(found.middle, typical[0], atol=0.05)


def test_a_factor_is_what_a_learned_prior_holds():
    from latentpk.models.prior import LearnedPrior

    factor = factor_of(WITHIN)
    import equinox as eqx
    import jax

    prior = LearnedPrior(2, (), (), width=None, key=jax.random.key(0))
    chol = np.asarray(eqx.tree_at(lambda p: p.factor, prior, factor).chol())
    np.testing.assert_allclose(chol @ chol.T, WITHIN, atol=1e-12)
