"""The forecast score: log-RMSE at noise-free later concentrations, its ratio, its coverage."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.forecast_oracle.cohorts import Patients
from benchmarks.harness.statistics import Interval, bootstrap, root_mean_square

Floats = NDArray[np.float64]
LEVEL = 0.9  # of the intervals


@dataclass(frozen=True)
class Score:
    """One method's errors on one seed's unseen patients, subject by subject.

    Attributes:
        squares: Sum of (log forecast - log truth)^2, shape (patient,).
        counts: Scored times, shape (patient,).
        inside: New measurements within the 90 % interval, shape (patient,), or None.
        penalty: Sum of the interval's scores [mg/L], shape (patient,), or None.
    """

    squares: Floats
    counts: Floats
    inside: Floats | None = None
    penalty: Floats | None = None

    @property
    def log_rmse(self) -> float:
        """sqrt(mean((log IPRED - log C_true)^2)) over all scored times."""
        return root_mean_square(self.squares, self.counts, np.arange(len(self.counts)))

    @property
    def coverage(self) -> float | None:
        """Share of new measurements within the 90 % interval."""
        return None if self.inside is None else float(self.inside.sum() / self.counts.sum())

    def json(self) -> dict[str, list[float]]:
        """Lists for a cell's file."""
        lists = {key: value for key, value in vars(self).items() if value is not None}
        return {key: [float(f"{x:.7g}") for x in value] for key, value in lists.items()}

    @staticmethod
    def parse(stored: dict[str, list[float]]) -> "Score":
        """The inverse of `json`."""
        return Score(**{key: np.array(value) for key, value in stored.items()})


def score(
    patients: Patients, forecast: Floats, interval: tuple[Floats, Floats] | None = None
) -> Score:
    """Score a forecast of the later times.

    Args:
        patients: With their truth.
        forecast: Concentrations [mg/L], shape (patient, later).
        interval: 5 and 95 % of a new measurement [mg/L], each (patient, later).

    Returns:
        Errors by patient; forecasts below the population's floor count as the floor.
    """
    if forecast.shape != patients.truth.shape or not np.all(np.isfinite(forecast)):
        raise ValueError(f"A finite forecast of shape {patients.truth.shape} is needed.")
    floor = patients.population.floor
    error = np.log(np.maximum(forecast, floor)) - np.log(patients.truth)
    inside = penalty = None
    if interval is not None:
        low, high = interval
        within = (patients.fresh >= low) & (patients.fresh <= high)
        missed = np.maximum(low - patients.fresh, 0) + np.maximum(patients.fresh - high, 0)
        each = high - low + 2 / (1 - LEVEL) * missed
        inside = (within & patients.scored).sum(axis=1).astype(float)
        penalty = np.where(patients.scored, each, 0.0).sum(axis=1)
    return Score(
        squares=np.where(patients.scored, error**2, 0.0).sum(axis=1),
        counts=patients.scored.sum(axis=1).astype(float),
        inside=inside,
        penalty=penalty,
    )


def ratio(method: Sequence[Score], oracle: Sequence[Score], *, draws: int = 2000) -> Interval:
    """Mean over seeds of log-RMSE(method)/log-RMSE(oracle), bootstrapped by patient.

    Args:
        method: The method's score for each seed.
        oracle: The oracle's on the same patients.
        draws: Bootstrap draws.
    """
    pairs = list(zip(method, oracle, strict=True))

    def mean_ratio(chosen: list[NDArray[np.intp]]) -> float:
        return float(
            np.mean(
                [
                    root_mean_square(mine.squares, mine.counts, index)
                    / root_mean_square(best.squares, best.counts, index)
                    for (mine, best), index in zip(pairs, chosen, strict=True)
                ]
            )
        )

    return bootstrap(mean_ratio, [len(mine.counts) for mine, _ in pairs], draws=draws)


def coverage(scores: Sequence[Score], *, draws: int = 2000) -> Interval:
    """Share of new measurements within 90 % intervals, mean over seeds, bootstrapped by patient."""
    pairs = [(one.inside, one.counts) for one in scores if one.inside is not None]

    def share(chosen: list[NDArray[np.intp]]) -> float:
        parts = zip(pairs, chosen, strict=True)
        return float(np.mean([a[index].sum() / b[index].sum() for (a, b), index in parts]))

    return bootstrap(share, [len(counts) for _, counts in pairs], draws=draws)


def interval_score(
    method: Sequence[Score], oracle: Sequence[Score], *, draws: int = 2000
) -> Interval:
    """Mean over seeds of the ratio of two methods' interval scores, bootstrapped by patient.

    An interval's score is its width plus 20 times the distance by which the measurement misses it.
    """
    pairs = [
        (mine.penalty, best.penalty)
        for mine, best in zip(method, oracle, strict=True)
        if mine.penalty is not None and best.penalty is not None
    ]

    def mean_ratio(chosen: list[NDArray[np.intp]]) -> float:
        parts = zip(pairs, chosen, strict=True)
        return float(np.mean([a[index].sum() / b[index].sum() for (a, b), index in parts]))

    return bootstrap(mean_ratio, [len(mine) for mine, _ in pairs], draws=draws)
