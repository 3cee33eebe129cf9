"""The members of the particle ensemble: how each is fitted to encoded rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field

from latentpk.inference.regression import Lessons, RegressionSettings, train_networks
from latentpk.inference.smooth import fit_mean, fit_process, fit_ridge
from latentpk.inference.smote import SmoteSettings, oversample
from latentpk.inference.trees import BoostSettings, ForestSettings, fit_boosters, fit_forest
from latentpk.models.config import Frozen
from latentpk.models.descriptors import Descriptors, Encoded, Properties, fit_descriptors
from latentpk.models.ensemble import Learner, Name
from latentpk.models.multiview import NetworkConfig, Networks

TREES = 200
ROWS = 128  # lessons are padded to a multiple of


class MemberSettings(Frozen):
    """How members are fitted.

    Attributes:
        networks: Networks of each fold.
        knowledge: Whether networks read the knowledge view.
        attends: Whether they attend, or are an MLP on both views.
        tokens: Abstract ones that each view is projected to; None for one per feature.
        tasks: One network for all targets, or one for each.
        width: Of tokens and hidden layers.
        training: Of the networks.
        smote: What is added to their rows.
    """

    networks: int = Field(default=2, ge=1)
    knowledge: bool = True
    attends: bool = True
    tokens: int | None = Field(default=None, ge=1)
    tasks: Literal["joint", "single"] = "joint"
    width: int = Field(default=16, ge=2)
    training: RegressionSettings = RegressionSettings()
    smote: SmoteSettings = SmoteSettings()


@dataclass(frozen=True, eq=False)
class Lesson:
    """The rows that members learn from, on one side of a split.

    Attributes:
        known: Their properties.
        target: Standardized log10 targets, shape (row, target).
        descriptors: Fitted on them.
        encoded: The rows as read.
    """

    known: Properties
    target: Float[np.ndarray, "row target"]
    descriptors: Descriptors
    encoded: Encoded

    @classmethod
    def of(cls, known: Properties, target: Float[np.ndarray, "row target"]) -> "Lesson":
        """Fit descriptors and read the rows."""
        descriptors = fit_descriptors(known)
        return cls(known, target, descriptors, descriptors.encode(known))


def fit_member(
    name: Name, lesson: Lesson, targets: tuple[str, ...], *, seed: int, threads: int = 1
) -> Any:
    """Fit any member but the networks, which are trained many at once.

    Args:
        name: Of the member.
        lesson: What it learns from.
        targets: Their names.
        seed: Of everything random.
        threads: Of the trees.

    Returns:
        The fitted model; `models.ensemble.read` gives what its `predict` takes.
    """
    rows, y = lesson.encoded, lesson.target
    fits: dict[str, Callable[[], Any]] = {
        "mean": lambda: fit_mean(y, rows.table.shape[1]),
        "ridge": lambda: fit_ridge(rows.wide, y),
        "gaussian_process": lambda: fit_process(rows.near, y),
        "random_forest": lambda: fit_forest(
            rows.table,
            y,
            kind="random",
            settings=ForestSettings(trees=TREES),
            seed=seed,
            threads=threads,
        ),
        "extra_trees": lambda: fit_forest(
            rows.table,
            y,
            kind="extra",
            settings=ForestSettings(trees=TREES, min_samples_leaf=1),
            seed=seed,
            threads=threads,
        ),
        "xgboost": lambda: fit_boosters(
            rows.gaps,
            y,
            targets=targets,
            settings=BoostSettings(
                rounds=200, depth=5, eta=0.045, subsample=0.7, colsample_bytree=0.3,
                min_child_weight=2.0,
            ),
            seed=seed,
            threads=threads,
        ),
    }  # fmt: skip
    return fits[name]()


def network_config(
    descriptors: Descriptors, targets: int, settings: MemberSettings
) -> NetworkConfig:
    """The shape of the networks for these settings."""
    knowledge = tuple(range(len(descriptors.knowledge)))
    views = (descriptors.columns, knowledge) if settings.knowledge else (descriptors.columns,)
    outputs = 1 if settings.tasks == "single" else targets
    return NetworkConfig(
        views=views,
        targets=outputs,
        width=settings.width,
        attends=settings.attends,
        tokens=settings.tokens,
    )


def fit_networks(lessons: list[Lesson], settings: MemberSettings, *, seed: int) -> list[Learner]:
    """Train the networks of all folds in one program.

    Args:
        lessons: One for each fold.
        settings: How many of each and how.
        seed: Of weights, noise and synthetic rows.

    Returns:
        For each lesson its networks, in one set for each target where tasks are single.
    """
    targets = lessons[0].target.shape[1]
    config = network_config(lessons[0].descriptors, targets, settings)
    tasks = (
        [slice(None)] if settings.tasks == "joint" else [slice(k, k + 1) for k in range(targets)]
    )
    rows, seeds = [], []
    for fold, lesson in enumerate(lessons):
        for k in range(settings.networks):
            own = seed + 7919 * fold + 104_729 * k
            new, target = oversample(lesson.known, lesson.target, settings.smote, seed=own)
            added = lesson.descriptors.encode(new).views
            views = [np.concatenate(pair) for pair in zip(lesson.encoded.views, added, strict=True)]
            together = np.concatenate([lesson.target, target])
            for number, task in enumerate(tasks):
                rows.append((views[: len(config.views)], together[:, task]))
                seeds.append((own + 15_485_863 * number) % 2**32)
    weights = train_networks(config, _padded(rows), settings.training, seeds=seeds)
    shaped = weights.reshape(len(lessons), settings.networks, len(tasks), -1)
    return [
        Learner(lesson.descriptors, tuple(Networks(config, of[:, k]) for k in range(len(tasks))))
        for lesson, of in zip(lessons, shaped, strict=True)
    ]


def _padded(rows: list[tuple[list[np.ndarray], np.ndarray]]) -> Lessons:
    longest = max(len(target) for _, target in rows)
    size = longest + -longest % ROWS

    def pad(x: np.ndarray) -> np.ndarray:
        return np.concatenate([x, np.zeros((size - len(x), x.shape[1]))])

    views = tuple(np.stack([pad(own[k]) for own, _ in rows]) for k in range(len(rows[0][0])))
    return Lessons(
        views,
        np.stack([pad(target) for _, target in rows]),
        np.stack([pad(np.ones_like(target)) for _, target in rows]),
    )
