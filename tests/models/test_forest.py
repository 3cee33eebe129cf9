"""Forests made by hand; those that scikit-learn grows are in inference/test_trees.py."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentpk.errors import ArtifactError
from latentpk.models.forest import Forest

FEATURES, TARGETS = 3, 2


def random_arrays(seed, trees=4, splits=6):
    """Trees that grow by turning a random leaf into a split."""
    rng = np.random.default_rng(seed)
    root, nodes = [], []
    for _ in range(trees):
        root.append(len(nodes))
        nodes.append([-1, 0.0, -1, -1])
        for _ in range(rng.integers(0, splits + 1)):
            leaves = [i for i in range(root[-1], len(nodes)) if nodes[i][0] == -1]
            split = [rng.integers(FEATURES), rng.standard_normal(), len(nodes), len(nodes) + 1]
            nodes[rng.choice(leaves)] = split
            nodes += [[-1, 0.0, -1, -1], [-1, 0.0, -1, -1]]
    feature, threshold, left, right = map(np.array, zip(*nodes, strict=True))
    integers = {"root": np.array(root), "feature": feature, "left": left, "right": right}
    return {
        **{name: array.astype(np.int32) for name, array in integers.items()},
        "threshold": threshold.astype(np.float64),
        "value": rng.standard_normal(((feature == -1).sum(), TARGETS)),
    }


def make(arrays):
    return Forest.from_arrays(arrays, features=FEATURES, targets=TARGETS)


def one_by_one(arrays, x):
    """Every tree's values for every row, shape (row, tree, target), one step at a time."""
    leaves = np.flatnonzero(arrays["feature"] == -1).tolist()
    result = np.empty((len(x), len(arrays["root"]), TARGETS))
    for i, row in enumerate(x.astype(np.float32)):
        for tree, node in enumerate(arrays["root"]):
            while arrays["feature"][node] != -1:
                low = row[arrays["feature"][node]] <= arrays["threshold"][node]
                node = arrays["left" if low else "right"][node]
            result[i, tree] = arrays["value"][leaves.index(node)]
    return result


def rows(count, seed=0):
    return np.random.default_rng(seed).standard_normal((count, FEATURES))


@pytest.mark.parametrize("seed", range(5))
def test_mean_and_spread_are_those_of_trees_walked_one_by_one(seed):
    arrays, x = random_arrays(seed), rows(40, seed)
    single = one_by_one(arrays, x)
    np.testing.assert_allclose(make(arrays).predict(x), single.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(make(arrays).spread(x), single.std(axis=1), atol=1e-14)


def test_columns_are_compared_in_float32():
    arrays = {
        "root": np.array([0], np.int32),
        "feature": np.array([2, -1, -1], np.int32),
        "threshold": np.array([np.float64(np.float32(0.1)), 0, 0]),
        "left": np.array([1, -1, -1], np.int32),
        "right": np.array([2, -1, -1], np.int32),
        "value": np.array([[1.0, 2.0], [3.0, 4.0]]),
    }
    edge = np.float64(np.float32(0.1))  # above 0.1
    x = np.zeros((3, FEATURES))
    x[:, 2] = [edge, edge + 1e-12, np.nextafter(np.float32(edge), np.float32(1))]
    assert make(arrays).predict(x)[:, 0].tolist() == [1.0, 1.0, 3.0]


@settings(max_examples=20)
@given(st.integers(0, 299), st.integers(1, 300))
def test_a_prediction_does_not_depend_on_the_other_rows(start, count):
    forest, x = make(random_arrays(0, trees=300, splits=3)), rows(300)  # blocks of 218 rows
    some = slice(start, start + count)
    np.testing.assert_array_equal(forest.predict(x)[some], forest.predict(x[some]))
    np.testing.assert_array_equal(forest.spread(x)[some], forest.spread(x[some]))


def test_no_rows_give_no_predictions():
    assert make(random_arrays(0)).predict(rows(0)).shape == (0, TARGETS)


def test_arrays_come_back_as_they_were():
    arrays = random_arrays(1)
    again = make(make(arrays).to_arrays()).to_arrays()
    assert again.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(again[name], array, strict=True)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_columns_that_are_not_finite_are_refused(value):
    x = rows(3)
    x[1, 2] = value
    with pytest.raises(ValueError, match="Fill what is missing first"):
        make(random_arrays(0)).predict(x)


def test_another_number_of_columns_is_refused():
    with pytest.raises(ValueError, match=r"shape \(5, 2\); this forest reads 3 columns"):
        make(random_arrays(0)).predict(rows(5)[:, :2])


def cell(name, value, at=0):
    """Damage of one cell, the `at`-th of those that are no leaf's (a leaf's for `value`)."""

    def _cell(arrays):
        if name == "value" or name == "root":
            arrays[name].flat[at] = value
        else:
            arrays[name][np.flatnonzero(arrays["feature"] != -1)[at]] = value

    return _cell


def replaced(name, change):
    def _replaced(arrays):
        arrays[name] = change(arrays[name])

    return _replaced


def two_parents(arrays):
    split = np.flatnonzero(arrays["feature"] != -1)[0]
    arrays["right"][split] = arrays["left"][split]


def beyond_the_tree(arrays):
    arrays["left"][arrays["root"][0]] = arrays["root"][1]


def on_from_a_leaf(arrays):
    leaf = np.flatnonzero(arrays["feature"] == -1)[0]
    arrays["right"][leaf] = leaf + 1


DAMAGES = {
    "a child that points back": (cell("left", 0, at=1), "left leads to a node outside"),
    "a child that is its parent": (cell("right", 0), "right leads to a node outside"),
    "a child out of bounds": (cell("right", 10_000), "right leads to a node outside"),
    "a negative child": (cell("left", -1), "left leads to a node outside"),
    "a child in another tree": (beyond_the_tree, "left leads to a node outside"),
    "a leaf with a child": (on_from_a_leaf, "right leads on from a leaf"),
    "two ways to a node": (two_parents, "a node has two parents or none"),
    "a column out of bounds": (cell("feature", FEATURES), "a column outside 0 to 2"),
    "a negative column": (cell("feature", -2), "a column outside 0 to 2"),
    "a threshold that is NaN": (cell("threshold", np.nan), "threshold holds"),
    "an infinite threshold": (cell("threshold", np.inf), "threshold holds"),
    "a value that is NaN": (cell("value", np.nan), "value holds"),
    "a root out of bounds": (cell("root", 10_000, at=-1), "root does not increase"),
    "a root before the last": (cell("root", 0, at=1), "root does not increase"),
    "nodes before the first tree": (cell("root", 1), "root does not increase"),
    "roots whose differences overflow": (
        replaced("root", lambda a: np.array([0, 2**31 - 1, -(2**31)], np.int32)),
        "root does not increase",
    ),
    "no tree": (replaced("root", lambda a: a[:0]), "root does not increase"),
    "another dtype": (replaced("left", lambda a: a.astype(np.int64)), "left is int64"),
    "integers for values": (replaced("value", lambda a: a.astype(int)), "value is int64"),
    "a cut array": (replaced("threshold", lambda a: a[:-1]), "threshold is float64"),
    "a matrix": (replaced("feature", lambda a: a[:, None]), "feature is int32"),
    "too few leaves": (replaced("value", lambda a: a[1:]), "value is float64"),
    "another number of targets": (replaced("value", lambda a: a[:, :1]), "value is float64"),
    "a missing array": (lambda arrays: arrays.pop("right"), "right is missing"),
    "an unknown array": (lambda arrays: arrays.update(gain=np.zeros(1)), "gain is unknown"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_refused(damage):
    arrays = {name: array.copy() for name, array in random_arrays(3).items()}
    hurt, words = DAMAGES[damage]
    hurt(arrays)
    with pytest.raises(ArtifactError, match=words):
        make(arrays)


def test_every_fault_is_named_at_once():
    arrays = random_arrays(3)
    for name, value in (("left", 0), ("threshold", np.nan), ("value", np.inf)):
        cell(name, value)(arrays)
    with pytest.raises(ArtifactError) as caught:
        make(arrays)
    message = str(caught.value)
    assert all(word in message for word in ("left leads", "threshold holds", "value holds"))
    assert "fit the model again" in message
