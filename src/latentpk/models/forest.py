r"""A fitted forest of regression trees as flat arrays: no pickle, no scikit-learn to predict.

.. math:: \hat y(x) = \frac{1}{T} \sum_{t=1}^{T} v_{\ell_t(x)}

where tree t leads x to its leaf :math:`\ell_t(x)`, going left where
:math:`x_{f} \le` threshold.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Int, Int32

from latentpk.errors import ArtifactError

LEAF = -1  # the feature, and both children, of a leaf
_WALKERS = 2**16  # (row, tree) pairs walked at once: 4 MB of leaves' values for 7 targets

_DTYPES = {
    "root": np.int32,
    "feature": np.int32,
    "threshold": np.float64,
    "left": np.int32,
    "right": np.int32,
    "value": np.float64,
}


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees laid end to end, all with the same targets.

    Leaves are numbered in the order of their nodes, so a leaf needs no pointer to its values.

    Attributes:
        features: Number of columns it reads.
        root: First node of every tree; a tree's nodes lie together.
        feature: Column a node asks for, -1 at leaves.
        threshold: A row goes left where its column is at most this, in the column's unit.
        left: Left child, -1 at leaves.
        right: Right child, -1 at leaves.
        value: Mean of each target at every leaf, in the target's unit.
    """

    features: int
    root: Int32[np.ndarray, " tree"]
    feature: Int32[np.ndarray, " node"]
    threshold: Float64[np.ndarray, " node"]
    left: Int32[np.ndarray, " node"]
    right: Int32[np.ndarray, " node"]
    value: Float64[np.ndarray, "leaf target"]

    def predict(self, x: Float[np.ndarray, "row feature"]) -> Float64[np.ndarray, "row target"]:
        """Mean over the trees.

        Assumes finite columns: fill what is missing first. Columns are compared in float32, as
        scikit-learn does, so that both give the same numbers.

        Args:
            x: Columns in the order and units of the fit, shape (row, feature).

        Returns:
            Targets in the units of the fit, shape (row, target).

        Raises:
            ValueError: Another number of columns, or one that is not finite.

        Example:
            >>> forest = Forest.from_arrays(
            ...     {"root": np.array([0], np.int32), "feature": np.array([0, -1, -1], np.int32),
            ...      "threshold": np.array([2.5, 0, 0]), "left": np.array([1, -1, -1], np.int32),
            ...      "right": np.array([2, -1, -1], np.int32), "value": np.array([[10.0], [20.0]])},
            ...     features=1, targets=1)
            >>> forest.predict(np.array([[2.5], [2.6]]))
            array([[10.],
                   [20.]])
        """
        return self._over_trees(x, np.mean)

    def spread(self, x: Float[np.ndarray, "row feature"]) -> Float64[np.ndarray, "row target"]:
        """Standard deviation over the trees: how far they disagree, not an interval.

        Args:
            x: Columns in the order and units of the fit, finite, shape (row, feature).

        Returns:
            Standard deviation (divisor: the number of trees) in the targets' units, shape
            (row, target); 0 for one tree.

        Raises:
            ValueError: Another number of columns, or one that is not finite.
        """
        return self._over_trees(x, np.std)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Name every array, as `from_arrays` reads them."""
        return {name: getattr(self, name) for name in _DTYPES}

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, np.ndarray], *, features: int, targets: int
    ) -> "Forest":
        """Rebuild a forest, trusting nothing in the arrays.

        Args:
            arrays: From `to_arrays`.
            features: Number of columns it must read.
            targets: Number of targets it must give.

        Returns:
            The forest; every walk through it ends.

        Raises:
            ArtifactError: An array is missing, unknown or misshapen, a child lies outside its tree
                or not after its parent, or a number is not finite; every fault is named.
        """
        faults = _shape_faults(arrays, targets) or [
            *tree_faults(arrays, features),
            *_value_faults(arrays),
        ]
        if faults:
            raise ArtifactError(
                f"The forest's arrays are no forest of {features} columns and {targets} targets: "
                f"{'; '.join(faults)}. The folder is damaged or from another version: fit the "
                "model again."
            )
        return cls(features=features, **{name: arrays[name] for name in _DTYPES})

    def _over_trees(
        self, x: Float[np.ndarray, "row feature"], reduce: Callable
    ) -> Float64[np.ndarray, "row target"]:
        single = self._single(x)
        result = np.empty((len(x), self.value.shape[1]))
        step = max(1, _WALKERS // len(self.root))
        walk = _Walk(self)
        for start in range(0, len(x), step):
            leaf = walk.leaves(single[start : start + step])
            result[start : start + step] = reduce(self.value[leaf], axis=1)
        return result

    def _single(self, x: Float[np.ndarray, "row feature"]) -> Float32[np.ndarray, "row feature"]:
        if x.ndim != 2 or x.shape[1] != self.features:
            raise ValueError(
                f"x has shape {x.shape}; this forest reads {self.features} columns. Pass the "
                "columns of the fit, in their order."
            )
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite: told below
            single = np.ascontiguousarray(x, dtype=np.float32)
        if not np.isfinite(single).all():
            raise ValueError("A forest reads finite columns. Fill what is missing first.")
        return single


class _Walk:
    """A forest's nodes as a walk reads them: every (row, tree) pair takes one step at a time."""

    def __init__(self, forest: Forest) -> None:
        self.root, self.feature, self.threshold = forest.root, forest.feature, forest.threshold
        # side by side, so that a step is one look-up
        self.child = np.stack([forest.left, forest.right], axis=1).ravel()
        self.leaf = np.cumsum(forest.feature == LEAF) - 1

    def leaves(self, x: Float32[np.ndarray, "row feature"]) -> Int[np.ndarray, "row tree"]:
        rows, columns = x.shape
        at = np.tile(self.root.astype(np.intp), rows)
        first = np.repeat(np.arange(rows) * columns, len(self.root))  # of a pair's row in `cells`
        cells = x.ravel()
        walking = np.flatnonzero(self.feature[at] != LEAF)
        node = at[walking]
        while walking.size:
            right = cells[first[walking] + self.feature[node]] > self.threshold[node]
            node = self.child[2 * node + right]
            at[walking] = node
            on = self.feature[node] != LEAF
            walking, node = walking[on], node[on]
        return self.leaf[at].reshape(rows, len(self.root))


def _shape_faults(arrays: Mapping[str, np.ndarray], targets: int) -> list[str]:
    faults = [f"{name} is missing" for name in sorted(_DTYPES.keys() - arrays.keys())]
    faults += [f"{name} is unknown" for name in sorted(arrays.keys() - _DTYPES.keys())]
    if faults:
        return faults
    nodes, leaves = arrays["feature"].size, int((arrays["feature"] == LEAF).sum())
    shapes = dict.fromkeys(_DTYPES, (nodes,))
    shapes |= {"root": (arrays["root"].size,), "value": (leaves, targets)}
    for name, dtype in _DTYPES.items():
        have = arrays[name]
        if have.dtype != dtype or have.shape != shapes[name]:
            want = f"{np.dtype(dtype)}{shapes[name]}"
            faults.append(f"{name} is {have.dtype}{have.shape}, not {want}")
    return faults


def _value_faults(arrays: Mapping[str, np.ndarray]) -> list[str]:
    return [] if np.isfinite(arrays["value"]).all() else ["value holds one that is not finite"]


def tree_faults(arrays: Mapping[str, np.ndarray], features: int) -> list[str]:
    """What keeps flat arrays from being trees: where nothing is said, every walk ends at a leaf.

    Args:
        arrays: root (tree,) and feature, threshold, left and right (node,), as `Forest` has them.
        features: Number of columns.

    Returns:
        One sentence's part for each fault.
    """
    root, feature, left, right = (arrays[name] for name in ("root", "feature", "left", "right"))
    nodes = len(feature)
    bounds = np.append(root, nodes)  # int64 now: differences of int32 may overflow
    if not len(root) or root[0] != 0 or (np.diff(bounds) <= 0).any():
        return ["root does not increase from 0 inside the nodes"]
    faults = []
    if not ((feature >= LEAF) & (feature < features)).all():
        faults.append(f"feature names a column outside 0 to {features - 1}")
    if not np.isfinite(arrays["threshold"]).all():
        faults.append("threshold holds one that is not finite")
    split, end = feature != LEAF, np.repeat(bounds[1:], np.diff(bounds))
    for name, child in (("left", left), ("right", right)):
        if (child[~split] != LEAF).any():
            faults.append(f"{name} leads on from a leaf")
        if not ((child > np.arange(nodes)) & (child < end))[split].all():
            faults.append(f"{name} leads to a node outside the tree or not after its parent")
    return faults or _parent_faults(root, np.concatenate([left[split], right[split]]), nodes)


def _parent_faults(
    root: Int[np.ndarray, " tree"], child: Int[np.ndarray, " child"], nodes: int
) -> list[str]:
    parents = np.bincount(child, minlength=nodes)
    parents[root] += 1
    return [] if (parents == 1).all() else ["a node has two parents or none"]
