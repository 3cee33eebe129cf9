"""Scores of predictions and of their intervals, one for each target."""

import numpy as np
from jaxtyping import Float


def r2(
    truth: Float[np.ndarray, "row target"], found: Float[np.ndarray, "row target"]
) -> Float[np.ndarray, " target"]:
    """1 - SSE / SST, with SST about the mean of all rows; NaN where the truth does not vary."""
    left, all_of_it = (np.sum((truth - one) ** 2, axis=0) for one in (found, truth.mean(axis=0)))
    varies = np.ptp(truth, axis=0) > 0
    return np.where(varies, 1 - left / np.where(varies, all_of_it, 1), np.nan)


def rmse(
    truth: Float[np.ndarray, "row target"], found: Float[np.ndarray, "row target"]
) -> Float[np.ndarray, " target"]:
    """Root of the mean squared error."""
    return np.sqrt(np.mean((truth - found) ** 2, axis=0))


def mae(
    truth: Float[np.ndarray, "row target"], found: Float[np.ndarray, "row target"]
) -> Float[np.ndarray, " target"]:
    """Mean absolute error."""
    return np.mean(np.abs(truth - found), axis=0)


def coverage(
    truth: Float[np.ndarray, "row target"],
    low: Float[np.ndarray, "row target"],
    high: Float[np.ndarray, "row target"],
) -> Float[np.ndarray, " target"]:
    """Share of rows inside their interval."""
    return np.mean((truth >= low) & (truth <= high), axis=0)


def interval_score(
    truth: Float[np.ndarray, "row target"],
    low: Float[np.ndarray, "row target"],
    high: Float[np.ndarray, "row target"],
    *,
    level: float = 0.9,
) -> Float[np.ndarray, " target"]:
    r"""Winkler's score: the width, and what misses it costs 2 / (1 - level) times its distance.

    Lower is better; an interval is rewarded for being narrow only where it covers.

    Reference: Gneiting T, Raftery AE. J Am Stat Assoc 2007;102:359-378, equation 43.
    """
    beyond = np.maximum(low - truth, 0) + np.maximum(truth - high, 0)
    return np.mean(high - low + 2 / (1 - level) * beyond, axis=0)
