"""Training of tree ensembles: forests over all targets at once, one boosted ensemble per target."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from latentpk.models.boosting import Boosters
from latentpk.models.forest import LEAF, Forest


@dataclass(frozen=True)
class ForestSettings:
    """How a forest is grown.

    Attributes:
        trees: Number of trees.
        max_features: Fraction of the columns tried at each split.
        min_samples_leaf: Fewest rows at a leaf.
    """

    trees: int = 300
    max_features: float = 0.4
    min_samples_leaf: int = 2


@dataclass(frozen=True)
class BoostSettings:
    """How each target's trees are boosted: squared error, a fixed number of rounds.

    Attributes:
        rounds: Number of trees; nothing is held out to stop earlier.
        depth: Most splits from root to leaf.
        eta: Share of each tree that is added.
        subsample: Fraction of the rows each tree sees.
        colsample_bytree: Fraction of the columns each tree sees.
        l2: Penalty on the squared leaves, in rows (XGBoost's lambda).
        min_child_weight: Fewest rows (or weight) at a leaf.
    """

    rounds: int = 150
    depth: int = 3
    eta: float = 0.06
    subsample: float = 0.8
    colsample_bytree: float = 0.5
    l2: float = 3.0
    min_child_weight: float = 4.0


def fit_forest(  # noqa: PLR0913  (three of them are the rows)
    x: Float[np.ndarray, "row feature"],
    y: Float[np.ndarray, "row target"],
    *,
    kind: Literal["random", "extra"],
    settings: ForestSettings = ForestSettings(),
    seed: int,
    threads: int = 1,
    weight: Float[np.ndarray, " row"] | None = None,
) -> Forest:
    """Grow one forest for all targets.

    A split serves every target: it lowers their summed variance, so give the targets on one
    scale, or the widest one decides alone.

    Args:
        x: Columns, finite, shape (row, feature).
        y: Targets, finite, shape (row, target).
        kind: "random": the best split of a bootstrap sample (Breiman 2001); "extra": the best of
            random splits of all rows (Geurts 2006).
        settings: How it is grown.
        seed: The same seed gives the same bits, for any number of threads.
        threads: Trees grown at once.
        weight: How much each row counts, shape (row,); None: all the same.

    Returns:
        The forest.

    Raises:
        ValueError: Something is not finite.

    References:
        Breiman L. Random forests. Machine Learning 2001;45:5-32.
        Geurts P, Ernst D, Wehenkel L. Extremely randomized trees. Machine Learning 2006;63:3-42.
    """
    if not np.isfinite(x).all():
        raise ValueError("A forest reads finite columns. Fill what is missing before the fit.")
    if not np.isfinite(y).all():
        raise ValueError(
            "A forest's targets are finite. Drop the rows without one, or use fit_boosters."
        )
    from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

    grow = RandomForestRegressor if kind == "random" else ExtraTreesRegressor
    estimator = grow(
        settings.trees,
        max_features=settings.max_features,
        min_samples_leaf=settings.min_samples_leaf,
        random_state=seed,
        n_jobs=threads,
    )
    estimator.fit(x, y[:, 0] if y.shape[1] == 1 else y, sample_weight=weight)
    return _flatten([one.tree_ for one in estimator.estimators_], x.shape[1])


def fit_boosters(  # noqa: PLR0913  (three of them are the rows)
    x: Float[np.ndarray, "row feature"],
    y: Float[np.ndarray, "row target"],
    *,
    targets: Sequence[str],
    settings: BoostSettings = BoostSettings(),
    seed: int,
    threads: int = 1,
    weight: Float[np.ndarray, " row"] | None = None,
) -> Boosters:
    """Boost trees for each target by itself (Chen 2016).

    Args:
        x: Columns, shape (row, feature); NaN is missing, which a tree learns to route.
        y: Targets, shape (row, target); a row counts where its target is not NaN.
        targets: Their names.
        settings: How they are boosted.
        seed: The same seed gives the same bits; a target's trees do not depend on the others.
        threads: Threads of XGBoost.
        weight: How much each row counts, shape (row,); None: all the same.

    Returns:
        The boosters, which predict with as many threads.

    Raises:
        ValueError: Something is infinite, a target is never known, or one has no name.

    References:
        Chen T, Guestrin C. XGBoost: a scalable tree boosting system. KDD 2016:785-794.
    """
    if len(targets) != y.shape[1]:
        raise ValueError(f"y has {y.shape[1]} targets, {len(targets)} have names. Name each one.")
    if np.isinf(x).any() or np.isinf(y).any():
        raise ValueError("Columns and targets are numbers or NaN, not infinite. Mend the rows.")
    if unknown := [name for name, k in zip(targets, y.T, strict=True) if np.isnan(k).all()]:
        raise ValueError(f"No row knows the targets {', '.join(unknown)}. Leave them out.")
    import xgboost

    models = []
    for column in y.T:
        known = ~np.isnan(column)
        weights = None if weight is None else weight[known]
        rows = xgboost.DMatrix(x[known], column[known], weight=weights, nthread=threads)
        booster = xgboost.train(_parameters(settings, seed, threads), rows, settings.rounds)
        models.append(bytes(booster.save_raw("ubj")))
    return Boosters(tuple(targets), x.shape[1], tuple(models), threads)


def _parameters(settings: BoostSettings, seed: int, threads: int) -> dict[str, object]:
    return {
        "objective": "reg:squarederror",
        "tree_method": "hist",
        "max_depth": settings.depth,
        "eta": settings.eta,
        "subsample": settings.subsample,
        "colsample_bytree": settings.colsample_bytree,
        "lambda": settings.l2,
        "min_child_weight": settings.min_child_weight,
        "seed": seed,
        "nthread": threads,
    }


def _flatten(trees: list, features: int) -> Forest:
    """scikit-learn's trees, laid end to end."""
    first = np.cumsum([0, *(tree.node_count for tree in trees)])
    leaf = np.concatenate([tree.children_left for tree in trees]) == LEAF
    offset = np.repeat(first[:-1], np.diff(first))

    def column(name: str, at_leaf: float, shift: np.ndarray | int = 0) -> np.ndarray:
        values = np.concatenate([getattr(tree, name) for tree in trees])
        return np.where(leaf, at_leaf, values + shift)

    return Forest(
        features=features,
        root=first[:-1].astype(np.int32),
        feature=column("feature", LEAF).astype(np.int32),
        threshold=column("threshold", 0.0),
        left=column("children_left", LEAF, offset).astype(np.int32),
        right=column("children_right", LEAF, offset).astype(np.int32),
        value=np.concatenate([tree.value[:, :, 0] for tree in trees])[leaf],
    )
