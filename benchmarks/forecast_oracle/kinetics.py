"""Concentrations of linear drugs in numpy, for truths and oracles.

Written apart from the package's kinetics on purpose: an error of one cannot hide in the other.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Site = tuple[Floats | float, Floats, Floats]  # share of the dose, ka [1/h], lag [h]


class Doses(NamedTuple):
    """Doses of several patients, padded with amount 0.

    Attributes:
        time: Start of the dose [h], shape (patient, dose).
        amount: [mg], shape (patient, dose).
        duration: Of the infusion [h], 0 for oral doses, shape (patient, dose).
        state: A covariate of each dose, such as fed (1) or fasted (0), shape (patient, dose).
    """

    time: Floats
    amount: Floats
    duration: Floats
    state: Floats | None = None

    def take(self, index: NDArray[np.intp] | slice) -> "Doses":
        """The chosen patients' doses."""
        state = None if self.state is None else self.state[index]
        return Doses(self.time[index], self.amount[index], self.duration[index], state)


def two_compartment_infusion(parameters: Floats, time: Floats, doses: Doses) -> Floats:
    """Concentration of a two-compartment drug given by infusions into its central compartment.

    Args:
        parameters: cl [L/h], v1 [L], q [L/h], v2 [L], shape (patient, draw, 4).
        time: [h], shape (patient, time).
        doses: Infusions, durations above 0.

    Returns:
        Concentration [mg/L], shape (patient, draw, time).
    """
    cl, v1, q, v2 = np.moveaxis(parameters[:, :, None, :], -1, 0)
    k10, k12, k21 = cl / v1, q / v1, q / v2
    root = np.sqrt((k10 + k12 - k21) ** 2 + 4 * k12 * k21)
    fast = (k10 + k12 + k21 + root) / 2
    slow = k10 * k21 / fast  # product of the roots: no cancellation
    modes = ((fast, (fast - k21) / (v1 * root)), (slow, (k21 - slow) / (v1 * root)))
    total = np.zeros((*parameters.shape[:2], time.shape[1]))
    for start, amount, duration in _columns(doses):
        since = (time - start)[:, None, :]
        during = np.clip(since, 0, duration[:, None])
        after = np.clip(since - duration[:, None], 0, None)
        rate = (amount / duration)[:, None, :]
        for decay, weight in modes:
            total += rate * weight / decay * -np.expm1(-decay * during) * np.exp(-decay * after)
    return total


def oral_one_compartment(
    parameters: Floats, sites: Sequence[Site], time: Floats, doses: Doses
) -> Floats:
    """Concentration of a one-compartment drug absorbed at first order through several sites.

    Args:
        parameters: cl [L/h], v [L], shape (patient, draw, 2).
        sites: For each site: share of the dose, ka [1/h], lag [h], each (patient, draw).
        time: [h], shape (patient, time).
        doses: Oral doses; their durations are not read.

    Returns:
        Concentration [mg/L], shape (patient, draw, time).
    """
    cl, v = np.moveaxis(parameters[:, :, None, :], -1, 0)
    decay = cl / v
    total = np.zeros((*parameters.shape[:2], time.shape[1]))
    for start, amount, _ in _columns(doses):
        since = (time - start)[:, None, :]
        for share, ka, lag in sites:
            entered = amount[:, None, :] * np.asarray(share)[..., None] / v
            late = np.clip(since - lag[..., None], 0, None)
            total += entered * ka[..., None] * _between(decay, ka[..., None], late)
    return total


def _between(a: Floats, b: Floats, time: Floats) -> Floats:
    """(exp(-a t) - exp(-b t))/(b - a), exact where a = b."""
    x = np.abs(a - b) * time
    small = x < 1e-5
    series = 1 - x / 2 + x**2 / 6
    g = np.where(small, series, -np.expm1(-x) / np.where(small, 1.0, x))
    return time * np.exp(-np.minimum(a, b) * time) * g


def _columns(doses: Doses) -> Iterator[tuple[Floats, ...]]:
    """Each dose of every patient as (patient, 1) columns; all-padding columns are left out."""
    for column in range(doses.time.shape[1]):
        if np.any(doses.amount[:, column] > 0):
            yield tuple(field[:, column : column + 1] for field in doses[:3])
