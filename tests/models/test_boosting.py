import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentpk.errors import ArtifactError
from latentpk.inference.trees import BoostSettings, fit_boosters
from latentpk.models.boosting import Boosters

FEATURES = 5
TARGETS = ("kt_res_max", "KTRES 50")
NAMES = ("xgboost-kt-res-max.ubj", "xgboost-ktres-50.ubj")


def table(count, seed=0):
    """Columns of which one in seven is missing, and two targets that depend on them."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, FEATURES))
    y = np.stack([x[:, 0] + np.sin(2 * x[:, 1]), x[:, 2] * x[:, 3]], axis=1)
    x[rng.random(x.shape) < 1 / 7] = np.nan
    return x, y + 0.1 * rng.standard_normal(y.shape)


@pytest.fixture(scope="module")
def boosters():
    x, y = table(120)
    return fit_boosters(x, y, targets=TARGETS, settings=BoostSettings(rounds=30), seed=1)


def load(parts, **changes):
    return Boosters.from_parts(parts, **{"targets": TARGETS, "features": FEATURES, **changes})


def test_contributions_sum_to_the_prediction(boosters):
    x, _ = table(50, seed=7)
    found = boosters.contributions(x)
    assert found.shape == (50, 2, FEATURES + 1)
    np.testing.assert_allclose(found.sum(axis=2), boosters.predict(x), atol=1e-5)
    assert np.ptp(found[:, :, -1], axis=0).max() == 0  # the bias is the same for all
    assert np.abs(found[:, 0, :2]).mean() > 5 * np.abs(found[:, 0, 2:-1]).mean()


def test_contributions_are_the_exact_shapley_values():
    both = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]] * 10)
    settings = BoostSettings(
        rounds=1, depth=2, eta=1, subsample=1, colsample_bytree=1, l2=0, min_child_weight=0
    )
    y = both.prod(axis=1, keepdims=True)
    found = fit_boosters(both, y, targets=["y"], settings=settings, seed=0).contributions(both[:4])
    # 1 where both are 1, a quarter of the rows: whoever is asked first, they share alike
    wanted = [[-1 / 8, -1 / 8], [-3 / 8, 1 / 8], [1 / 8, -3 / 8], [3 / 8, 3 / 8]]
    np.testing.assert_allclose(found[:, 0, :2], wanted, atol=1e-6)
    np.testing.assert_allclose(found[:, 0, 2], 0.25, atol=1e-6)


def test_parts_give_the_same_predictions(boosters):
    x, _ = table(50, seed=7)
    parts = boosters.parts()
    assert tuple(parts) == NAMES
    again = load({**parts, "forest.ubj": b"of another member"})
    assert again.parts() == parts
    np.testing.assert_array_equal(again.predict(x), boosters.predict(x))
    np.testing.assert_array_equal(again.contributions(x), boosters.contributions(x))


def test_threads_do_not_change_a_prediction(boosters):
    x, _ = table(50, seed=7)
    np.testing.assert_array_equal(replace(boosters, threads=2).predict(x), boosters.predict(x))


@given(st.integers(0, 299), st.integers(1, 300))
def test_a_prediction_does_not_depend_on_the_other_rows(boosters, start, count):
    x, _ = table(300, seed=3)
    some = slice(start, start + count)
    np.testing.assert_array_equal(boosters.predict(x)[some], boosters.predict(x[some]))


def test_no_rows_give_no_predictions(boosters):
    x, _ = table(0)
    assert boosters.predict(x).shape == (0, 2)
    assert boosters.contributions(x).shape == (0, 2, FEATURES + 1)


def test_columns_that_do_not_fit_are_refused(boosters):
    x, _ = table(4)
    with pytest.raises(ValueError, match=r"shape \(4, 4\); these boosters read 5 columns"):
        boosters.predict(x[:, 1:])
    x[2, 2] = -np.inf
    with pytest.raises(ValueError, match="nothing infinite"):
        boosters.contributions(x)


@pytest.mark.parametrize("targets", [("a b", "a-b"), ("k" * 60, "b"), ("cmax", "cmax")])
def test_targets_that_cannot_be_stored_are_refused(boosters, targets):
    with pytest.raises(ValueError, match="short names that differ"):
        replace(boosters, targets=targets)


def test_boosters_of_another_model_are_refused_with_every_fault(boosters):
    with pytest.raises(ArtifactError) as caught:
        load(boosters.parts(), features=6, targets=("kt_res_max", "cmax"))
    message = str(caught.value)
    assert "xgboost-ktres-50.ubj is unknown" in message
    assert "xgboost-cmax.ubj is missing" in message
    assert "xgboost-kt-res-max.ubj is of other columns" in message
    assert "fit the model again" in message


def array_of(data, name, dtype):
    """A writable view of the first tree's array of that name."""
    start = data.index(struct.pack(">q", len(name)) + name.encode()) + 8 + len(name) + 5
    (count,) = struct.unpack_from(">q", data, start)
    return np.frombuffer(data, dtype, count, start + 8)


def cell(name, value, at=0, dtype=">i4"):
    def _cell(data):
        array_of(data, name, dtype)[at] = value

    return _cell


def text(old, new):
    def _text(data):
        start = data.index(old)
        data[start : start + len(old)] = new

    return _text


def twins(data):
    left, right = (array_of(data, f"{side}_children", ">i4") for side in ("left", "right"))
    right[0] = left[0]


def more_nodes(data):
    data[data.index(b"num_nodesSL") + 19] = ord("9")  # the first digit, behind the text's length


# Each is something that XGBoost itself takes, and then crashes, hangs or answers nonsense.
DAMAGES = {
    "a child that points back": (cell("left_children", 0, at=1), "left leads to a node"),
    "a child out of bounds": (cell("right_children", 10**6), "right leads to a node"),
    "a split with one child": (cell("right_children", -1), "right leads to a node"),
    "two ways to a node": (twins, "two parents or none"),
    "a child of another parent": (cell("parents", 0, at=-1), "a child of another parent"),
    "a column out of bounds": (cell("split_indices", FEATURES), "a column outside 0 to 4"),
    "a negative column": (cell("split_indices", -7, at=-1), "a split that is no number"),
    "a threshold that is NaN": (cell("split_conditions", np.nan, dtype=">f4"), "threshold holds"),
    "a category": (cell("split_type", 1, dtype="u1"), "a split that is no number"),
    "a split without rows": (cell("sum_hessian", 0, dtype=">f4"), "a split without rows"),
    "another count of nodes": (more_nodes, "arrays do not fit together"),
    "integers for numbers": (text(b"weights[$d#", b"weights[$l#"), "arrays do not fit together"),
    "another objective": (text(b"reg:squarederror", b"reg:absoluteerro"), "another objective"),
    "another kind": (text(b"gbtree", b"gblint"), "no booster"),
    "a marker nobody knows": (text(b"[$d#", b"[$e#"), "no booster"),
    "a key twice": (text(b"left_children", b"split_indices"), "a key occurs twice"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_refused_before_xgboost_sees_it(boosters, damage, monkeypatch):
    monkeypatch.setattr("xgboost.Booster", None)
    parts = boosters.parts()
    data = bytearray(parts[NAMES[1]])
    hurt, words = DAMAGES[damage]
    hurt(data)
    with pytest.raises(ArtifactError, match=words) as caught:
        load({**parts, NAMES[1]: bytes(data)})
    assert NAMES[1] in str(caught.value)
    assert NAMES[0] not in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"hello", b'{"learner": {}}', bytes(100), b"[" * 5000]
)
def test_bytes_that_are_no_booster_are_refused(boosters, data):
    with pytest.raises(ArtifactError, match=r"ktres-50\.ubj is no booster"):
        load({**boosters.parts(), NAMES[1]: data})


def test_bytes_cut_short_or_with_more_behind_are_refused(boosters, monkeypatch):
    monkeypatch.setattr("xgboost.Booster", None)  # it would end the process
    whole = boosters.models[1]
    for cut in np.geomspace(1, len(whole), 12).astype(int):
        with pytest.raises(ArtifactError, match="no booster"):
            load({**boosters.parts(), NAMES[1]: whole[:-cut]})
    with pytest.raises(ArtifactError, match="no booster"):
        load({**boosters.parts(), NAMES[1]: whole + b"}"})


def test_what_xgboost_itself_refuses_is_an_artifact_error(boosters):
    data, key = bytearray(boosters.models[1]), b"scale_pos_weightSL" + bytes(7) + b"\x01"
    text(key + b"1", key + b"x")(data)
    with pytest.raises(ArtifactError, match=r"XGBoost .* refuses one"):
        load({**boosters.parts(), NAMES[1]: bytes(data)})


def test_trees_too_deep_to_recurse_along_are_refused(monkeypatch):
    x = np.arange(80.0)[:, None]
    settings = BoostSettings(rounds=1, depth=5, min_child_weight=0, subsample=1)
    deep = fit_boosters(x, x**2, targets=["y"], settings=settings, seed=0)
    Boosters.from_parts(deep.parts(), targets=["y"], features=1)
    monkeypatch.setattr("latentpk.models.boosting._DEEPEST", 4)
    with pytest.raises(ArtifactError, match="deeper than 4"):
        Boosters.from_parts(deep.parts(), targets=["y"], features=1)
