"""Forecast metrics of real levels, and paired bootstrap differences by subject."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.statistics import Interval, bootstrap

Floats = NDArray[np.float64]
NAMES = ("mpe", "mape", "rmse", "within20", "log_rmse")


@dataclass(frozen=True)
class Errors:
    """Sums of one method's errors by subject, of one repeat.

    Attributes:
        sums: Of (obs - pred)/obs, its absolute value, (obs - pred)^2, |obs - pred| <= 0.2 obs and
            (log obs - log pred)^2, shape (subject, 5).
        counts: Levels, shape (subject,).
    """

    sums: Floats
    counts: Floats

    def metrics(self, index: NDArray[np.intp]) -> Floats:
        """MPE, MAPE, RMSE [mg/L], share within 20 %, log-RMSE over the chosen subjects."""
        means = self.sums[index].sum(axis=0) / self.counts[index].sum()
        means[[2, 4]] = np.sqrt(means[[2, 4]])
        return means


def errors(
    subject: Sequence[str], observed: Floats, predicted: Floats, order: Sequence[str]
) -> Errors:
    """Sum a method's errors by subject.

    Args:
        subject: Of each level, shape (level,).
        observed: Levels [mg/L], above 0.
        predicted: Forecasts [mg/L]; below a thousandth of the median level they count as that.
        order: The subjects, in the order that all repeats share.

    Returns:
        Sums in that order.
    """
    floor = 1e-3 * np.median(observed)
    relative = (observed - predicted) / observed
    each = np.column_stack(
        [
            relative,
            np.abs(relative),
            (observed - predicted) ** 2,
            np.abs(relative) <= 0.2,
            (np.log(observed) - np.log(np.maximum(predicted, floor))) ** 2,
        ]
    )
    place = np.array([order.index(one) for one in subject])
    sums, counts = np.zeros((len(order), len(NAMES))), np.zeros(len(order))
    np.add.at(sums, place, each)
    np.add.at(counts, place, 1.0)
    return Errors(sums, counts)


def summarize(repeats: Sequence[Errors]) -> dict[str, dict[str, float]]:
    """Each metric, mean over repeats, with its bootstrap interval by subject."""
    return {
        name: _interval(lambda index, k=k: _mean(repeats, index)[k], repeats).json()
        for k, name in enumerate(NAMES)
    }


def compare(mine: Sequence[Errors], peer: Sequence[Errors]) -> dict[str, dict[str, float]]:
    """Paired differences to a peer (mine - peer) by subject; below 0 is better, but within20."""
    return {
        name: _interval(
            lambda index, k=k: _mean(mine, index)[k] - _mean(peer, index)[k], mine
        ).json()
        for k, name in enumerate(NAMES)
    }


def _mean(repeats: Sequence[Errors], index: NDArray[np.intp]) -> Floats:
    return np.mean([one.metrics(index) for one in repeats], axis=0)


def _interval(
    statistic: Callable[[NDArray[np.intp]], float], repeats: Sequence[Errors]
) -> Interval:
    return bootstrap(lambda chosen: float(statistic(chosen[0])), [len(repeats[0].counts)])
