"""How each member is fitted to encoded rows, and what networks are trained on."""

import numpy as np
import pytest

from latentpk.inference import members
from latentpk.inference.members import (
    Lesson,
    MemberSettings,
    fit_member,
    fit_networks,
    network_config,
)
from latentpk.inference.smote import SmoteSettings
from latentpk.models.ensemble import MEMBERS, read


@pytest.fixture(scope="module")
def lesson(nano_rows, nano_settings):
    target = (nano_rows.target - nano_rows.target.mean(axis=0)) / nano_rows.target.std(axis=0)
    return Lesson.of(nano_rows.known, target)


@pytest.mark.parametrize("name", [name for name in MEMBERS if name != "network"])
def test_every_member_is_fitted_predicts_and_is_the_same_again(lesson, nano_rows, name):
    one, again = (fit_member(name, lesson, nano_rows.targets, seed=5) for _ in range(2))
    found = one.predict(read(name, lesson.encoded))
    assert found.shape == lesson.target.shape
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, again.predict(read(name, lesson.encoded)))
    left = np.mean((found - lesson.target) ** 2)
    assert left == pytest.approx(1.0) if name == "mean" else left < 0.95


@pytest.mark.parametrize("name", ["random_forest", "extra_trees", "xgboost"])
def test_the_seed_decides_of_the_trees(lesson, nano_rows, name):
    one, other = (fit_member(name, lesson, nano_rows.targets, seed=seed) for seed in (5, 6))
    between = 0.5 * (read(name, lesson.encoded)[1:] + read(name, lesson.encoded)[:-1])
    between = np.nan_to_num(between)  # not rows of the fit, which extra trees know by heart
    assert (one.predict(between) != other.predict(between)).any()


def test_the_shape_of_networks_follows_the_settings(lesson):
    raw = lesson.descriptors.columns
    both = network_config(lesson.descriptors, 7, MemberSettings(width=6))
    assert both.views == (raw, tuple(range(16)))
    assert (both.targets, both.width, both.attends) == (7, 6, True)
    alone = network_config(lesson.descriptors, 7, MemberSettings(knowledge=False, tasks="single"))
    assert (alone.views, alone.targets) == ((raw,), 1)


@pytest.fixture
def taught(monkeypatch):
    """What networks were trained on, instead of training them."""
    seen = []

    def train(config, lessons, settings, *, seeds):
        seen.append((lessons, list(seeds)))
        from latentpk.models.multiview import network_size

        return np.zeros((len(seeds), network_size(config.key)))

    monkeypatch.setattr(members, "train_networks", train)
    return seen


def test_networks_of_all_folds_are_one_program_with_padded_rows(lesson, nano_rows, taught):
    some = np.arange(30)
    other = Lesson.of(nano_rows.known.take(some), lesson.target[some])
    settings = MemberSettings(networks=2, width=4)
    found = fit_networks([lesson, other], settings, seed=1)
    ((lessons, seeds),) = taught
    assert len(set(seeds)) == len(seeds) == 4
    assert lessons.target.shape == (4, 128, 7)
    assert lessons.weight.sum(axis=(1, 2)).tolist() == [78 * 7, 78 * 7, 45 * 7, 45 * 7]
    assert not lessons.target[:2, 78:].any()
    assert not lessons.target[2:, 45:].any()
    np.testing.assert_array_equal(lessons.views[0][2, :30], other.encoded.views[0])
    assert [len(one.networks[0].weights) for one in found] == [2, 2]


def test_synthetic_rows_are_of_the_folds_own_rows(lesson, nano_rows, taught, monkeypatch):
    given = []
    real = members.oversample
    monkeypatch.setattr(
        members,
        "oversample",
        lambda known, *rest, **own: given.append(known) or real(known, *rest, **own),
    )
    some = np.arange(0, 52, 2)
    own = Lesson.of(nano_rows.known.take(some), lesson.target[some])
    fit_networks([own], MemberSettings(networks=3), seed=1)
    assert len(given) == 3
    for known in given:
        np.testing.assert_array_equal(known.number, nano_rows.known.number[some])
    lessons = taught[0][0]
    assert lessons.weight[:, :, 0].sum(axis=1).tolist() == [39.0] * 3
    low, high = lesson.target[some].min(axis=0), lesson.target[some].max(axis=0)
    assert (lessons.target >= np.minimum(low, 0) - 1e-12).all()
    assert (lessons.target <= np.maximum(high, 0) + 1e-12).all()


def test_without_smote_there_are_the_rows_alone(lesson, taught):
    fit_networks([lesson], MemberSettings(networks=1, smote=SmoteSettings(added=0)), seed=1)
    assert taught[0][0].weight[0, :, 0].sum() == 52


def test_single_tasks_have_a_network_for_each_target(lesson, taught):
    (learner,) = fit_networks([lesson], MemberSettings(networks=1, tasks="single"), seed=1)
    lessons, seeds = taught[0]
    assert len(learner.networks) == len(set(seeds)) == 7
    assert lessons.target.shape == (7, 128, 1)
    for k in range(7):
        np.testing.assert_array_equal(lessons.target[k, :52, 0], lesson.target[:, k])
    assert learner.predict(lesson.known).shape == (52, 7)


@pytest.mark.parametrize("change", [{"knowledge": False}, {"attends": False}, {"tokens": 3}])
def test_networks_of_every_reading_predict(lesson, taught, change):
    (learner,) = fit_networks([lesson], MemberSettings(networks=1, **change), seed=1)
    assert learner.predict(lesson.known).shape == (52, 7)
