"""Fitting an ensemble: members on inner folds, weights and intervals from their predictions."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import Field
from threadpoolctl import threadpool_limits

from latentpk.errors import InputError
from latentpk.inference.blending import cross_weigh, weigh
from latentpk.inference.conformal import calibrate
from latentpk.inference.folds import make_folds
from latentpk.inference.members import Lesson, MemberSettings, fit_member, fit_networks
from latentpk.inference.tumor_training import TumorSettings
from latentpk.models.config import Frozen
from latentpk.models.descriptors import Properties
from latentpk.models.domain import apart, fit_domain
from latentpk.models.ensemble import MEMBERS, Ensemble, read

Progress = Callable[[int, int, str], None]


class EnsembleSettings(Frozen):
    """How an ensemble is fitted.

    Attributes:
        folds: Inner folds.
        members: How members are fitted.
        tumor: How the latent model is trained that joins them where there are courses.
    """

    folds: int = Field(default=5, ge=2)
    members: MemberSettings = MemberSettings()
    tumor: TumorSettings = TumorSettings()


@dataclass(frozen=True, eq=False)
class Rows:
    """What an ensemble is fitted to.

    Attributes:
        known: Properties of the training rows.
        target: log10 of their targets, finite, shape (row, target).
        targets: Their names.
        groups: Rows of one group stay together; intervals then hold for unseen groups.
        scored: Rows that weights and intervals are judged on; the others only train.
    """

    known: Properties
    target: Float[np.ndarray, "row target"]
    targets: tuple[str, ...]
    groups: Int[np.ndarray, " row"]
    scored: Bool[np.ndarray, " row"]

    def take(self, rows: np.ndarray) -> "Rows":
        """Some of the rows."""
        groups, scored = self.groups[rows], self.scored[rows]
        return Rows(self.known.take(rows), self.target[rows], self.targets, groups, scored)


@dataclass(frozen=True, eq=False)
class Inner:
    """What members predicted of rows they had not seen, all on the standardized scale.

    Attributes:
        found: Each member's predictions, by name, shape (row, target).
        truth: The targets.
        fold: The fold of each row.
        disagreement: Of the trees.
        stretch: For being far from the other folds' particles.
    """

    found: dict[str, Float[np.ndarray, "row target"]]
    truth: Float[np.ndarray, "row target"]
    fold: Int[np.ndarray, " row"]
    disagreement: Float[np.ndarray, "row target"]
    stretch: Float[np.ndarray, " row"]

    def stacked(self, names: tuple[str, ...]) -> Float[np.ndarray, "member row target"]:
        """Predictions of some members."""
        return np.stack([self.found[name] for name in names])

    @cached_property
    def weighed(self) -> Float[np.ndarray, "row target"]:
        """The ensemble's own: each fold by weights of the others."""
        return cross_weigh(self.stacked(MEMBERS), self.truth, self.fold)


# matrices this small wait longer for threads than they are multiplied; trees have their own
@threadpool_limits.wrap(limits=1, user_api="blas")
def fit_ensemble(
    rows: Rows,
    settings: EnsembleSettings,
    *,
    seed: int,
    threads: int = 1,
    progress: Progress | None = None,
) -> tuple[Ensemble, Inner]:
    """Fit an ensemble.

    Args:
        rows: What it is fitted to.
        settings: How.
        seed: Of everything random.
        threads: Of trees.
        progress: Called with (done, total, label).

    Returns:
        The ensemble, and what its members predicted of scored rows out of fold.

    Raises:
        InputError: All scored rows are of one group, or alone.
    """
    known, targets, scored = rows.known, rows.targets, rows.scored
    tell = progress or (lambda done, total, label: None)
    total = settings.folds + 2
    center = rows.target.mean(axis=0)
    scale = np.maximum(rows.target.std(axis=0), 1e-9)
    standard = (rows.target - center) / scale
    fold = make_folds(rows.groups, settings.folds, scored=scored, seed=seed)
    used = np.unique(fold[fold >= 0])
    if used.size < 2:
        raise InputError(
            "Every particle that weights and intervals are judged on is of one group, such as one "
            "study: there is none to judge others by. Give the studies of more, or none."
        )
    lessons = [Lesson.of(known.take(fold != k), standard[fold != k]) for k in used]
    tell(0, total, "networks of every fold")
    learners = fit_networks(lessons, settings.members, seed=seed)
    found = {name: np.zeros_like(standard) for name in MEMBERS}
    disagreement = np.zeros_like(standard)
    domain = fit_domain(known, fold)
    stretch = np.ones(len(fold))
    for number, (k, lesson, learner) in enumerate(zip(used, lessons, learners, strict=True)):
        tell(1 + number, total, "trees of every fold")
        own = np.flatnonzero(fold == k)
        unseen = known.take(own)
        fitted = _fit_all(lesson, targets, seed=seed, threads=threads)
        encoded = lesson.descriptors.encode(unseen)
        for name, model in fitted.items():
            found[name][own] = model.predict(read(name, encoded))
        found["network"][own] = learner.predict(unseen)
        forests = [fitted[name] for name in ("random_forest", "extra_trees")]
        disagreement[own] = np.mean([one.spread(encoded.table) for one in forests], axis=0)
        stretch[own] = domain.stretch(apart(unseen, lesson.known, domain.scale).min(axis=1))
    tell(total - 1, total, "trees of all rows")
    inner = Inner(
        {name: own[scored] for name, own in found.items()},
        standard[scored],
        fold[scored],
        disagreement[scored],
        stretch[scored],
    )
    whole = Lesson.of(known, standard)
    ensemble = Ensemble(
        targets,
        center,
        scale,
        whole.descriptors,
        _fit_all(whole, targets, seed=seed, threads=threads),
        tuple(learners),
        weigh(inner.stacked(MEMBERS), inner.truth, inner.fold),
        calibrate(inner.truth - inner.weighed, inner.disagreement, inner.stretch),
        domain,
    )
    tell(total, total, "trees of all rows")
    return ensemble, inner


def _fit_all(
    lesson: Lesson, targets: tuple[str, ...], *, seed: int, threads: int
) -> dict[str, Any]:
    return {
        name: fit_member(name, lesson, targets, seed=seed, threads=threads)
        for name in MEMBERS
        if name != "network"
    }
