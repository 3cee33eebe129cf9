"""Fitting an ensemble: nothing of a fold is used to predict it, and what is leaked is seen."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from latentpk.errors import InputError
from latentpk.evaluate.scores import r2
from latentpk.inference import ensemble as fitting
from latentpk.inference.blending import cross_weigh, weigh
from latentpk.inference.ensemble import Rows, fit_ensemble
from latentpk.inference.folds import make_folds
from latentpk.models.descriptors import NUMBERS, Properties, fit_descriptors
from latentpk.models.ensemble import MEMBERS

HD = NUMBERS.index("HD")


def with_target(rows, target):
    return Rows(rows.known, target, rows.targets, rows.groups, rows.scored)


@pytest.fixture(scope="module")
def fold(nano_rows):
    return make_folds(nano_rows.groups, 3, scored=nano_rows.scored, seed=0)


@pytest.mark.long
def test_weights_are_of_out_of_fold_predictions(nano_fit):
    ensemble, inner = nano_fit
    np.testing.assert_array_equal(
        ensemble.weights, weigh(inner.stacked(MEMBERS), inner.truth, inner.fold)
    )
    assert ensemble.weights.min() >= 0
    np.testing.assert_allclose(ensemble.weights.sum(axis=0), 1)


def test_what_is_judged_is_scored_rows_alone(nano_fit, nano_rows, fold):
    inner = nano_fit[1]
    assert len(inner.truth) == nano_rows.scored.sum() == 48
    np.testing.assert_array_equal(inner.fold, fold[nano_rows.scored])
    scale, center = nano_rows.target.std(axis=0), nano_rows.target.mean(axis=0)
    np.testing.assert_allclose(inner.truth * scale + center, nano_rows.target[nano_rows.scored])


def test_the_networks_of_a_fold_read_by_its_training_rows(nano_fit, nano_rows, fold):
    for k, learner in enumerate(nano_fit[0].learners):
        assert learner.descriptors == fit_descriptors(nano_rows.known.take(fold != k))


def test_a_folds_own_rows_change_nothing_of_what_predicts_them(nano_rows, nano_settings, fold):
    """Neither targets nor properties of the fold reach the networks that predict it."""
    own = fold == 1
    number, target = nano_rows.known.number.copy(), nano_rows.target.copy()
    number[own, HD] += 0.7
    # targets are standardized by all rows: keep mean and SD, change the order
    target[own] = target[own][::-1]
    changed = Rows(
        Properties(number, nano_rows.known.code),
        target,
        nano_rows.targets,
        nano_rows.groups,
        nano_rows.scored,
    )
    one = fit_ensemble(nano_rows, nano_settings, seed=0)[0]
    other = fit_ensemble(changed, nano_settings, seed=0)[0]
    mine, theirs = one.learners[1], other.learners[1]
    assert mine.descriptors == theirs.descriptors
    # the standardized targets of the other rows may move by a rounding
    for a, b in zip(mine.networks, theirs.networks, strict=True):
        np.testing.assert_allclose(a.weights, b.weights, atol=1e-3)
    away = one.learners[0].networks[0].weights - other.learners[0].networks[0].weights
    assert np.abs(away).max() > 0.01


def test_groups_stay_together(nano_fit, nano_rows):
    inner = nano_fit[1]
    groups = nano_rows.groups[nano_rows.scored]
    for group in np.unique(groups):
        assert len(np.unique(inner.fold[groups == group])) == 1


def test_the_same_seed_gives_the_same_bits(nano_fit, nano_rows, nano_settings):
    again = fit_ensemble(nano_rows, nano_settings, seed=0)[0]
    one, other = (found.predict(nano_rows.known) for found in (nano_fit[0], again))
    np.testing.assert_array_equal(one.median, other.median)
    np.testing.assert_array_equal(one.reach, other.reach)
    third = fit_ensemble(nano_rows, nano_settings, seed=1)[0].predict(nano_rows.known)
    assert (third.median != one.median).any()


def test_a_feature_that_is_the_target_is_seen(nano_rows, nano_settings):
    leaked = np.tile(nano_rows.known.number[:, NUMBERS.index("DOSE"), None], (1, 7))
    inner = fit_ensemble(with_target(nano_rows, leaked), nano_settings, seed=0)[1]
    blended = cross_weigh(inner.stacked(MEMBERS), inner.truth, inner.fold)
    assert r2(inner.truth, blended).min() > 0.85
    for name in ("random_forest", "extra_trees", "gaussian_process"):
        assert r2(inner.truth, inner.found[name]).min() > 0.5, name


def test_noise_is_not_predicted_out_of_fold(nano_rows, nano_settings):
    noise = np.random.default_rng(8).normal(size=nano_rows.target.shape)
    ensemble, inner = fit_ensemble(with_target(nano_rows, noise), nano_settings, seed=0)
    blended = cross_weigh(inner.stacked(MEMBERS), inner.truth, inner.fold)
    assert r2(inner.truth, blended).mean() < 0.0
    for name in MEMBERS:
        assert r2(inner.truth, inner.found[name]).mean() < 0.0, name
    # though the trees that saw the rows follow them
    seen = ensemble.predict(nano_rows.known).members["extra_trees"]
    assert r2(noise, seen).min() > 0.5


def test_intervals_cover_their_share_of_the_rows_they_were_calibrated_on(nano_fit):
    ensemble, inner = nano_fit
    blended = cross_weigh(inner.stacked(MEMBERS), inner.truth, inner.fold)
    down, up = ensemble.uncertainty.reach(inner.disagreement, inner.stretch)
    apart = inner.truth - blended
    for outside in (apart < -down - 1e-12, apart > up + 1e-12):
        np.testing.assert_allclose(outside.mean(axis=0), 1 - np.ceil(49 * 0.95) / 48)


def test_a_single_group_cannot_be_judged(nano_rows, nano_settings):
    alone = Rows(
        nano_rows.known, nano_rows.target, nano_rows.targets, np.zeros(52, int), nano_rows.scored
    )
    with pytest.raises(InputError, match="of one group"):
        fit_ensemble(alone, nano_settings, seed=0)


def test_matrix_products_use_one_thread_whatever_the_host_set(
    nano_rows, nano_settings, monkeypatch
):
    def threads():
        return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}

    seen = []
    real = fitting.fit_member
    monkeypatch.setattr(
        fitting, "fit_member", lambda *rest, **own: seen.append(threads()) or real(*rest, **own)
    )
    with threadpool_limits(2, user_api="blas"):
        fit_ensemble(nano_rows, nano_settings, seed=0)
        assert threads() == {2}
    assert seen
    assert all(one == {1} for one in seen)


def test_progress_comes_to_its_end(nano_rows, nano_settings):
    told = []
    fit_ensemble(nano_rows, nano_settings, seed=0, progress=lambda *own: told.append(own))
    done = [one[0] for one in told]
    assert done == sorted(done)
    assert told[-1][0] == told[-1][1] == 5
