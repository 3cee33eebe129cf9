"""Calibrating intervals on out-of-fold residuals (split conformal prediction, Vovk 2005)."""

import numpy as np
from jaxtyping import Float
from scipy.optimize import nnls

from latentpk.models.uncertainty import LEVEL, Uncertainty

TINY = 1e-12  # squared error of a target that does not vary


def calibrate(
    residual: Float[np.ndarray, "row target"],
    disagreement: Float[np.ndarray, "row target"] | None,
    stretch: Float[np.ndarray, " row"],
    *,
    level: float = LEVEL,
) -> Uncertainty:
    """Fit the error's size, then the factor of each end that leaves its share of residuals out.

    Args:
        residual: Truth minus prediction of rows no member had seen, shape (row, target).
        disagreement: Of the trees; None makes intervals of one width.
        stretch: At these rows, at least 1.
        level: Of the intervals; as much of the rest is left below as above.

    Returns:
        How far intervals reach. Each end is the conformal one of its side, the
        ceil((n + 1) (1 + level) / 2) th of n; an end never lies beyond the prediction.
    """
    rows, targets = residual.shape
    floor, slope = np.maximum(np.mean(residual**2, axis=0), TINY), np.zeros(targets)
    if disagreement is not None:
        for t in range(targets):
            floor[t], slope[t] = _size(residual[:, t] / stretch, disagreement[:, t])
    unit = Uncertainty(floor, slope, np.ones(targets), np.ones(targets))
    spread = np.zeros_like(residual) if disagreement is None else disagreement
    score = np.sort(residual / unit.size(spread, stretch), axis=0)
    last = min(int(np.ceil((rows + 1) * (1 + level) / 2)), rows) - 1
    return Uncertainty(
        floor, slope, np.maximum(-score[rows - 1 - last], 0), np.maximum(score[last], 0)
    )


def _size(residual: np.ndarray, disagreement: np.ndarray) -> tuple[float, float]:
    """Squared residuals on squared disagreement, twice, weighted by what the first fit gave."""
    squared, spread = residual**2, disagreement**2
    mean = max(float(squared.mean()), TINY)
    expected = np.full(len(squared), mean)
    level, slope = mean, 0.0
    for _ in range(2):
        system = np.stack([np.ones_like(spread), spread], axis=1) / expected[:, None]
        level, slope = nnls(system, squared / expected)[0]
        expected = np.maximum(level + slope * spread, 0.05 * mean)
    return max(float(level), 0.05 * mean), float(slope)
