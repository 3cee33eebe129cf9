"""Boosted trees, one XGBoost model per target, kept as bytes in Universal Binary JSON (UBJ).

XGBoost reads what it is given on trust: a byte changed on disk can end the process or make a walk
endless. So stored bytes are read here first, and only trees whose every walk ends are handed on.
"""

import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Float32, Float64

from latentpk.errors import ArtifactError
from latentpk.models.forest import tree_faults
from latentpk.storage.layout import PART_NAME

if TYPE_CHECKING:  # importing latentpk must not wait for it
    import xgboost

_PREFIX = "xgboost-"
_DEEPEST = 64  # splits from root to leaf; contributions recurse as deep


@dataclass(frozen=True, eq=False)
class Boosters:
    """One boosted ensemble per target.

    Attributes:
        targets: Names of the targets.
        features: Number of columns they read.
        models: Each target's model as UBJ bytes.
        threads: Threads of XGBoost.
    """

    targets: tuple[str, ...]
    features: int
    models: tuple[bytes, ...]
    threads: int = 1

    def __post_init__(self) -> None:
        names = [_part_name(target) for target in self.targets]
        if len(set(names)) < len(names) or not all(map(PART_NAME.fullmatch, names)):
            raise ValueError(
                f"The targets {', '.join(self.targets)} would be stored as {', '.join(names)}. "
                "Give them short names that differ in letters or digits."
            )

    def predict(self, x: Float[np.ndarray, "row feature"]) -> Float64[np.ndarray, "row target"]:
        """Predict every target.

        Args:
            x: Columns in the order and units of the fit, shape (row, feature); NaN is missing.

        Returns:
            Targets in the units of the fit, computed in float32, shape (row, target).

        Raises:
            ValueError: Another number of columns, or one that is infinite.
        """
        return self._over_targets(x, contributions=False)

    def contributions(
        self, x: Float[np.ndarray, "row feature"]
    ) -> Float64[np.ndarray, "row target column"]:
        """What each column adds to a prediction: exact Shapley values of the trees (Lundberg 2020).

        About 50 times the work of `predict`: for the rows that are explained, not for a screen.

        Args:
            x: Columns in the order and units of the fit, shape (row, feature); NaN is missing.

        Returns:
            In the units of the targets, shape (row, target, feature + 1). The last entry is the
            same for all rows, the mean over the fit; all together sum to the prediction.

        Raises:
            ValueError: Another number of columns, or one that is infinite.

        References:
            Lundberg SM et al. From local explanations to global understanding with explainable AI
            for trees. Nature Machine Intelligence 2020;2:56-67, algorithm 2.
        """
        return self._over_targets(x, contributions=True)

    def parts(self) -> dict[str, bytes]:
        """Name every target's bytes for a bundle, such as "xgboost-kt-res-max.ubj"."""
        names = map(_part_name, self.targets)
        return dict(zip(names, self.models, strict=True))

    @classmethod
    def from_parts(
        cls, parts: Mapping[str, bytes], *, targets: Sequence[str], features: int, threads: int = 1
    ) -> "Boosters":
        """Rebuild boosters, trusting nothing in the bytes.

        Args:
            parts: From `parts`; a bundle's other parts are let be.
            targets: Names of the targets.
            features: Number of columns they must read.
            threads: Threads of XGBoost.

        Returns:
            The boosters; every walk through their trees ends.

        Raises:
            ArtifactError: A part is missing, unknown, no booster, or one of other columns; every
                fault is named.
        """
        names = [_part_name(target) for target in targets]
        models = tuple(parts.get(name, b"") for name in names)
        result = cls(tuple(targets), features, models, threads)
        stored = {name for name in parts if name.startswith(_PREFIX)}
        faults = [f"{name} is unknown" for name in sorted(stored - set(names))]
        for name, data in zip(names, models, strict=True):
            found = _faults(data, features) if name in parts else ["missing"]
            faults += [f"{name} is {fault}" for fault in found]
        if faults := faults or result._refused():
            raise ArtifactError(
                f"The stored boosters do not fit the model: {'; '.join(faults)}. The folder is "
                "damaged or from another version: fit the model again."
            )
        return result

    def _refused(self) -> list[str]:
        import xgboost

        try:
            _ = self._loaded
        except xgboost.core.XGBoostError as error:
            return [f"XGBoost {xgboost.__version__} refuses one ({str(error)[:80]!r})"]
        return []

    def _over_targets(
        self, x: Float[np.ndarray, "row feature"], *, contributions: bool
    ) -> Float64[np.ndarray, "row target *column"]:
        single = self._single(x)
        if not len(x):  # XGBoost warns of an empty table and forgets its width
            column = (self.features + 1,) if contributions else ()
            return np.empty((0, len(self.targets), *column))
        import xgboost

        rows = xgboost.DMatrix(single, nthread=self.threads)
        by_target = [one.predict(rows, pred_contribs=contributions) for one in self._loaded]
        return np.stack(by_target, axis=1).astype(np.float64)

    @cached_property
    def _loaded(self) -> "tuple[xgboost.Booster, ...]":
        import xgboost

        settings = {"nthread": self.threads}
        return tuple(xgboost.Booster(settings, model_file=bytearray(m)) for m in self.models)

    def _single(self, x: Float[np.ndarray, "row feature"]) -> Float32[np.ndarray, "row feature"]:
        if x.ndim != 2 or x.shape[1] != self.features:
            raise ValueError(
                f"x has shape {x.shape}; these boosters read {self.features} columns. Pass the "
                "columns of the fit, in their order."
            )
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite: told below
            single = x.astype(np.float32)
        if np.isinf(single).any():
            raise ValueError("Boosters read numbers or NaN, nothing infinite. Mend the columns.")
        return single


def _part_name(target: str) -> str:
    return f"{_PREFIX}{re.sub('[^a-z0-9]+', '-', target.lower())}.ubj"


# What a booster must be


def _faults(data: bytes, features: int) -> list[str]:
    """What keeps bytes from being a booster that is safe to load, each as it follows "is"."""
    try:
        learner = _Reader(data).document()["learner"]
        return _learner_faults(learner, features) or _ensemble_faults(learner, features)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return [f"no booster ({type(error).__name__}: {str(error)[:60]})"]


def _learner_faults(learner: dict[str, Any], features: int) -> list[str]:
    scalar, model = learner["learner_model_param"], learner["gradient_booster"]["model"]
    trees = str(len(model["trees"]))
    rules = [
        ("of other columns", scalar["num_feature"], str(features)),
        ("of several targets", scalar["num_target"], "1"),
        ("of several classes", scalar["num_class"], "0"),
        ("of another objective", learner["objective"]["name"], "reg:squarederror"),
        ("of another kind", learner["gradient_booster"]["name"], "gbtree"),
        ("with named columns", len(learner["feature_names"]), 0),
        ("with typed columns", len(learner["feature_types"]), 0),
        ("with categories", [len(item) for item in model["cats"].values()], [0, 0, 0]),
        ("of another number of trees", model["gbtree_model_param"]["num_trees"], trees),
        ("of parallel trees", model["gbtree_model_param"]["num_parallel_tree"], "1"),
        ("of uneven rounds", list(model["iteration_indptr"]), list(range(int(trees) + 1))),
        ("of several outputs", list(model["tree_info"]), [0] * int(trees)),
    ]
    faults = [fault for fault, have, want in rules if have != want]
    # a vector since XGBoost 3.1, a plain number before
    if not np.isfinite(float(scalar["base_score"].removeprefix("[").removesuffix("]"))):
        faults.append("without a finite base score")
    return faults


_PER_NODE = {
    "base_weights": np.float32,
    "default_left": np.uint8,
    "left_children": np.int32,
    "loss_changes": np.float32,
    "parents": np.int32,
    "right_children": np.int32,
    "split_conditions": np.float32,
    "split_indices": np.int32,
    "split_type": np.uint8,
    "sum_hessian": np.float32,
}
_EMPTY = ("categories", "categories_nodes", "categories_segments", "categories_sizes")


def _ensemble_faults(learner: dict[str, Any], features: int) -> list[str]:
    trees = learner["gradient_booster"]["model"]["trees"]
    if not trees:
        return ["without trees"]
    for tree in trees:
        if not _is_whole(tree, features):
            return ["of a tree whose arrays do not fit together"]
    nodes = [tree["split_indices"].size for tree in trees]
    first = np.cumsum([0, *nodes[:-1]])
    flat = {name: np.concatenate([tree[name] for tree in trees]) for name in _PER_NODE}
    leaf, offset = flat["left_children"] == -1, np.repeat(first, nodes)
    arrays = {
        "root": first,
        "feature": np.where(leaf, -1, flat["split_indices"]),
        "threshold": flat["split_conditions"],
        "left": np.where(flat["left_children"] == -1, -1, flat["left_children"] + offset),
        "right": np.where(flat["right_children"] == -1, -1, flat["right_children"] + offset),
    }
    faults = [f"of broken trees ({fault})" for fault in tree_faults(arrays, features)]
    if (flat["split_indices"] < 0).any() or flat["split_type"].any():
        faults.append("of broken trees (a split that is no number)")
    if not np.isfinite(flat["sum_hessian"]).all() or (flat["sum_hessian"][~leaf] <= 0).any():
        faults.append("of broken trees (a split without rows)")
    return faults or _shape_faults(arrays, flat["parents"] + offset)


def _is_whole(tree: dict[str, Any], features: int) -> bool:
    nodes = tree["split_indices"].size
    wanted = {"num_feature": features, "num_nodes": nodes, "num_deleted": 0}
    return (
        all(tree["tree_param"][name] == str(count) for name, count in wanted.items())
        and tree["tree_param"]["size_leaf_vector"] in ("0", "1")
        and all(len(tree[name]) == 0 for name in _EMPTY)
        and all(
            isinstance(tree[name], np.ndarray)
            and tree[name].dtype == np.dtype(dtype).newbyteorder(">")
            and tree[name].shape == (nodes,)
            for name, dtype in _PER_NODE.items()
        )
    )


def _shape_faults(arrays: Mapping[str, np.ndarray], parents: np.ndarray) -> list[str]:
    """Whether parents and children agree, and no path is too long to recurse along."""
    level = arrays["root"]
    for _ in range(_DEEPEST + 1):
        level = level[arrays["feature"][level] != -1]
        children = [arrays[name][level] for name in ("left", "right")]
        if any((parents[child] != level).any() for child in children):
            return ["of broken trees (a child of another parent)"]
        level = np.concatenate(children)
    return [f"of trees deeper than {_DEEPEST}"] if level.size else []


# Universal Binary JSON, as far as XGBoost writes it

_NUMBERS = {
    b"i": np.dtype(np.int8),
    b"U": np.dtype(np.uint8),
    b"I": np.dtype(">i2"),
    b"l": np.dtype(">i4"),
    b"L": np.dtype(">i8"),
    b"d": np.dtype(">f4"),
    b"D": np.dtype(">f8"),
}


class _Reader:
    """One pass over the bytes; ValueError where they are cut short or mean nothing."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def document(self) -> dict[str, Any]:
        value = self.value()
        if self.at != len(self.data) or not isinstance(value, dict):
            raise ValueError("more or less than one object")
        return value

    def take(self, count: int) -> bytes:
        start, self.at = self.at, self.at + count
        if not start <= self.at <= len(self.data):
            raise ValueError("cut short")
        return self.data[start : self.at]

    def value(self) -> Any:
        marker = self.take(1)
        if marker == b"{":
            return self.mapping()
        if marker == b"[":
            return self.array()
        if marker == b"S":
            return self.text()
        return self.numbers(marker, 1)[0].item()

    def length(self) -> int:
        marker, count = struct.unpack(">cq", self.take(9))
        if marker != b"L" or count < 0:
            raise ValueError("no length")
        return count

    def text(self) -> str:
        return self.take(self.length()).decode()

    def mapping(self) -> dict[str, Any]:
        result: dict[str, Any] = {}
        while self.data[self.at : self.at + 1] != b"}":
            key = self.text()
            if key in result:
                raise ValueError("a key occurs twice in one object")
            result[key] = self.value()
        self.at += 1
        return result

    def array(self) -> list | np.ndarray:
        marker = self.take(1)
        kind = self.take(2)[:1] if marker == b"$" else None
        if self.data[self.at - 1 : self.at] != b"#":
            raise ValueError("an array without a length")
        count = self.length()
        return [self.value() for _ in range(count)] if kind is None else self.numbers(kind, count)

    def numbers(self, marker: bytes, count: int) -> np.ndarray:
        if marker not in _NUMBERS:
            raise ValueError(f"unknown marker {marker!r}")
        dtype = _NUMBERS[marker]
        return np.frombuffer(self.take(count * dtype.itemsize), dtype)
