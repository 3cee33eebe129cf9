"""Whether a property's importance is more than chance gives: boosters fitted to it mixed up.

XGBoost is fitted again with the property's values exchanged between particles, many times. What
importance it has then is what a property without information gets of a model that fits its rows
closely. Whole studies are exchanged where they are known: rows of one study share their values,
and a property that only tells studies apart is not to count as one that matters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from latentpk.inference.ensemble import Rows
from latentpk.inference.members import Lesson, fit_member
from latentpk.models.attribution import PLAYERS, by_owner
from latentpk.models.descriptors import Descriptors

Progress = Callable[[int, int, str], None]
QUANTILE = 0.95
EXPLAINED = 128  # rows that importance is the mean over, the same ones every time


@dataclass(frozen=True, eq=False)
class PermutedNull:
    """A property's importance beside what it has where its values are mixed up.

    Attributes:
        importance: Mean absolute contribution on the log10 scale, shape (target,).
        draws: The same of each permutation, shape (permutation, target).
    """

    importance: Float[np.ndarray, " target"]
    draws: Float[np.ndarray, "permutation target"]

    @property
    def quantile(self) -> Float[np.ndarray, " target"]:
        """95 % quantile of the permutations."""
        return np.quantile(self.draws, QUANTILE, axis=0)

    @property
    def p(self) -> Float[np.ndarray, " target"]:
        """Chance of such an importance without information; never below 1 / (permutations + 1)."""
        as_large = np.sum(self.draws >= self.importance, axis=0)
        return (1 + as_large) / (1 + len(self.draws))


def permuted_nulls(
    rows: Rows,
    names: Sequence[str],
    *,
    permutations: int,
    seed: int,
    threads: int = 1,
    progress: Progress | None = None,
) -> dict[str, PermutedNull]:
    """Compare properties with themselves mixed up.

    Args:
        rows: What boosters are fitted to; rows of one group are exchanged together.
        names: Properties of `PLAYERS`.
        permutations: How often each is mixed up.
        seed: Of the fits and the permutations.
        threads: Of the fits.
        progress: Called with (done, total, label).

    Returns:
        By property.
    """
    tell = progress or (lambda done, total, label: None)
    scale = np.maximum(rows.target.std(axis=0), 1e-9)
    lesson = Lesson.of(rows.known, (rows.target - rows.target.mean(axis=0)) / scale)
    rng = np.random.default_rng(seed)
    shown = rng.permutation(len(rows.known))[:EXPLAINED]

    def importance(gaps: np.ndarray, name: str) -> np.ndarray:
        mixed = replace(lesson, encoded=lesson.encoded._replace(gaps=gaps))
        boosters = fit_member("xgboost", mixed, rows.targets, seed=seed, threads=threads)
        added = boosters.contributions(gaps[shown])[:, :, _columns(lesson.descriptors, name)]
        return np.mean(np.abs(added.sum(axis=2)), axis=0) * scale

    found = {}
    gaps = lesson.encoded.gaps
    for number, name in enumerate(names):
        own, draws = _columns(lesson.descriptors, name), []
        for k in range(permutations):
            tell(number * permutations + k, len(names) * permutations, "permuted properties")
            mixed = gaps.copy()
            mixed[:, own] = gaps[np.ix_(exchanged(rows.groups, rng), own)]
            draws.append(importance(mixed, name))
        found[name] = PermutedNull(importance(gaps, name), np.stack(draws))
    tell(len(names) * permutations, len(names) * permutations, "permuted properties")
    return found


def exchanged(groups: Int[np.ndarray, " row"], rng: np.random.Generator) -> Int[np.ndarray, " row"]:
    """The row whose values each row takes, when groups take each other's.

    A group takes the values of one other group, again from its first where it has more rows.
    """
    _, group = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(group == k) for k in range(int(group.max(initial=-1)) + 1)]
    source = np.empty(len(group), dtype=int)
    for own, other in zip(members, rng.permutation(len(members)), strict=True):
        source[own] = np.resize(members[other], len(own))
    return source


def by_property(
    features: Float[np.ndarray, "row target feature"], descriptors: Descriptors
) -> Float[np.ndarray, "row target property"]:
    """Sum what features add into properties."""
    names = list(PLAYERS)
    owner = [
        next(k for k, name in enumerate(names) if feature in PLAYERS[name].features)
        for feature in descriptors.features
    ]
    return by_owner(features, owner, len(names))


def _columns(descriptors: Descriptors, name: str) -> np.ndarray:
    """Columns of the table that tell of a property."""
    own = [descriptors.features.index(feature) for feature in PLAYERS[name].features]
    return np.flatnonzero(np.isin(descriptors.table_columns, own))
