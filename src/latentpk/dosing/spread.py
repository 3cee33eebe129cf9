"""An uncertain quantity in three numbers: its median and its 5 and 95 % quantiles."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from latentpk.dosing.exposure import quantiles

BAND = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class Spread:
    """A quantity under the posterior: its median, and its 5 and 95 % quantiles."""

    median: float
    lo: float
    hi: float


def spread(values: Float[np.ndarray, " draw"], weight: Float[np.ndarray, " draw"]) -> Spread:
    """Median, 5 and 95 % quantiles."""
    lo, median, hi = quantiles(values, weight, BAND)
    return Spread(median, lo, hi)
