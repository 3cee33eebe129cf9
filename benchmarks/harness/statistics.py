"""Medians and bootstrap intervals, subjects as the unit that is drawn again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def json(self) -> dict[str, float]:
        """Rounded to five digits."""
        return {key: float(f"{number:.5g}") for key, number in vars(self).items()}


def bootstrap(
    statistic: Callable[[list[NDArray[np.intp]]], float],
    sizes: Sequence[int],
    *,
    draws: int = 2000,
    seed: int = 20260101,
) -> Interval:
    """Percentile interval of a statistic of several groups of subjects.

    Subjects are drawn again within each group (a seed's cohort), so that methods scored on the
    same subjects stay paired.

    Args:
        statistic: Indices of each group's subjects to the figure.
        sizes: Number of subjects of each group.
        draws: Bootstrap draws.
        seed: Of the draws.

    Returns:
        The figure on all subjects, 2.5 % and 97.5 % of the draws.
    """
    rng = np.random.default_rng(seed)
    whole = statistic([np.arange(size) for size in sizes])
    again = [statistic([rng.integers(0, size, size) for size in sizes]) for _ in range(draws)]
    low, high = np.quantile(again, [0.025, 0.975])
    return Interval(float(whole), float(low), float(high))


def root_mean_square(squares: Floats, counts: Floats, index: NDArray[np.intp]) -> float:
    """sqrt(sum of squares / number of rows) over the chosen subjects.

    Args:
        squares: Each subject's sum of squared errors, shape (subject,).
        counts: Each subject's number of rows, shape (subject,).
        index: The chosen subjects.
    """
    return float(np.sqrt(squares[index].sum() / counts[index].sum()))


def median_seconds(times: Sequence[float]) -> dict[str, float | int]:
    """Median, least and greatest of repeated timings [s]."""
    return {
        "median": float(np.median(times)),
        "least": min(times),
        "greatest": max(times),
        "repeats": len(times),
    }
