"""Folds of rows that keep groups together."""

import numpy as np
from jaxtyping import Bool, Int

ALWAYS = -1  # the fold of rows that always train


def make_folds(
    groups: Int[np.ndarray, " row"],
    count: int,
    *,
    scored: Bool[np.ndarray, " row"] | None = None,
    seed: int,
) -> Int[np.ndarray, " row"]:
    """Give each group to a fold, so that the folds hold about as many scored rows.

    Args:
        groups: Group of each row; rows of one group are never on both sides of a split.
        count: Folds.
        scored: Rows that predictions are judged on; by default all. A row that is not scored goes
            with its group; where its group has no scored row it always trains (fold -1).
        seed: Of the order in which groups are given out.

    Returns:
        The fold of each row, from 0, or -1.

    Example:
        >>> make_folds(np.array([7, 7, 8, 9]), 3, seed=0).tolist()
        [1, 1, 2, 0]
    """
    judged = np.ones(len(groups), dtype=bool) if scored is None else scored
    rng = np.random.default_rng(seed)
    fold, filled = np.full(len(groups), ALWAYS), np.zeros(count)
    for group in rng.permutation(np.unique(groups[judged])):
        own = groups == group
        least = rng.choice(np.flatnonzero(filled == filled.min()))
        fold[own] = least
        filled[least] += np.sum(own & judged)
    return fold
