"""An ensemble's predictions, and its way to the disk and back."""

import numpy as np
import pytest

from latentpk.errors import ArtifactError
from latentpk.models.descriptors import NUMBERS, Properties
from latentpk.models.ensemble import MEMBERS, from_parts, to_parts

CLOSE = {"rtol": 1e-9, "atol": 1e-9}  # sums of another length round otherwise


@pytest.fixture(scope="module")
def ensemble(nano_fit):
    return nano_fit[0]


@pytest.fixture(scope="module")
def known(nano_rows):
    return nano_rows.known


@pytest.fixture
def parts(ensemble):
    manifest, arrays, files = to_parts(ensemble)
    return manifest, {name: value.copy() for name, value in arrays.items()}, dict(files)


@pytest.mark.long
def test_the_median_is_the_weighted_sum_of_the_members(ensemble, known):
    found = ensemble.predict(known)
    assert tuple(found.members) == tuple(sorted(found.members, key=MEMBERS.index))
    stacked = np.stack([found.members[name] for name in MEMBERS])
    blended = sum(w * own for w, own in zip(ensemble.weights[:, None], stacked, strict=True))
    np.testing.assert_allclose(found.median, blended, **CLOSE)
    assert (found.reach > 0).all()


def test_the_mean_predicts_the_mean_of_training(ensemble, known, nano_rows):
    own = ensemble.predict(known).members["mean"]
    np.testing.assert_allclose(own, np.tile(nano_rows.target.mean(axis=0), (len(known), 1)))


def test_a_row_is_predicted_alike_in_any_company_and_order(ensemble, known):
    whole = ensemble.predict(known)
    for rows in (np.array([7]), np.arange(51, -1, -1), np.array([3, 3, 50])):
        own = ensemble.predict(known.take(rows))
        np.testing.assert_allclose(own.median, whole.median[rows], **CLOSE)
        np.testing.assert_allclose(own.reach, whole.reach[:, rows], **CLOSE)


def test_what_is_missing_gives_a_finite_prediction(ensemble, known):
    nothing = Properties(np.full((2, len(NUMBERS)), np.nan), np.full_like(known.code[:2], -1))
    some = Properties(known.number[:2].copy(), known.code[:2])
    some.number[:, :4] = np.nan
    for one in (nothing, some):
        found = ensemble.predict(one)
        assert np.isfinite(found.median).all()
        assert np.isfinite(found.reach).all()


def test_far_particles_get_wider_intervals(ensemble, known):
    far = Properties(known.number + 30.0, known.code)
    here, there = ensemble.predict(known), ensemble.predict(far)
    assert (there.stretch > 1.5).all()
    assert (there.reach > here.reach).mean() > 0.99
    assert ensemble.predict(known).stretch.max() == 1


def test_it_is_stored_to_the_last_bit(ensemble, known, parts):
    again = from_parts(*parts)
    one, other = ensemble.predict(known), again.predict(known)
    np.testing.assert_array_equal(one.median, other.median)
    np.testing.assert_array_equal(one.reach, other.reach)
    np.testing.assert_array_equal(ensemble.disagreement(known), again.disagreement(known))
    assert again.domain.judge(known) == ensemble.domain.judge(known)
    assert again.descriptors == ensemble.descriptors


ARRAYS = [
    "center", "scale", "weights", "domain.number", "domain.code", "networks", "mean.level",
    "ridge.slope", "gaussian_process.support", "random_forest.value", "extra_trees.root",
    "uncertainty.down",
]  # fmt: skip


@pytest.mark.parametrize("name", ARRAYS)
def test_a_missing_array_is_refused(parts, name):
    del parts[1][name]
    with pytest.raises(ArtifactError):
        from_parts(*parts)


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_of_another_shape_is_refused(parts, name):
    parts[1][name] = parts[1][name][..., :-1] if name != "domain.code" else parts[1][name][:-1]
    with pytest.raises(ArtifactError):
        from_parts(*parts)


@pytest.mark.parametrize(
    "name", [n for n in ARRAYS if n not in ("domain.code", "extra_trees.root")]
)
def test_a_value_that_is_not_finite_is_refused(parts, name):
    parts[1][name].flat[0] = np.inf
    with pytest.raises(ArtifactError):
        from_parts(*parts)


def wrong_weights(manifest, arrays, files):
    arrays["weights"][0] += 0.1


def negative_weights(manifest, arrays, files):
    arrays["weights"][0] -= 2.0
    arrays["weights"][1] += 2.0


def zero_scale(manifest, arrays, files):
    arrays["scale"][0] = 0.0


def code_out_of_range(manifest, arrays, files):
    arrays["domain.code"][0, 0] = 99


def code_below_range(manifest, arrays, files):
    arrays["domain.code"][0, 0] = -2


def unknown_array(manifest, arrays, files):
    arrays["spare.wheel"] = np.zeros(1)


def no_booster(manifest, arrays, files):
    files.pop(next(iter(files)))


def changed_booster(manifest, arrays, files):
    name = next(iter(files))
    files[name] = files[name][: len(files[name]) // 2]


def another_network(manifest, arrays, files):
    manifest["network"]["width"] = 5


def other_columns(manifest, arrays, files):
    views = manifest["network"]["views"]
    views[0] = views[0][1:] + views[0][:1]


def no_columns(manifest, arrays, files):
    manifest["network"]["views"][0] = ()


def fewer_learners(manifest, arrays, files):
    manifest["learners"] = manifest["learners"][:-1]


def more_tasks(manifest, arrays, files):
    manifest["tasks"] = 7


def fewer_targets(manifest, arrays, files):
    manifest["targets"] = manifest["targets"][:-1]


def fewer_numbers(manifest, arrays, files):
    manifest["descriptors"]["numbers"] = manifest["descriptors"]["numbers"][:-1]


def no_distance(manifest, arrays, files):
    manifest["usual"] = 0.0


def unknown_field(manifest, arrays, files):
    manifest["spare"] = 1


@pytest.mark.parametrize(
    "damage",
    [
        wrong_weights, negative_weights, zero_scale, code_out_of_range, code_below_range,
        unknown_array, no_booster, changed_booster, another_network, other_columns, no_columns,
        fewer_learners, more_tasks, fewer_targets, fewer_numbers, no_distance, unknown_field,
    ],
)  # fmt: skip
def test_every_other_damage_is_refused(parts, damage):
    damage(*parts)
    with pytest.raises(ArtifactError):
        from_parts(*parts)
