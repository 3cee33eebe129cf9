"""Exposures of doses that add up: linear in the amounts, or read off curves that are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from latentpk.dosing.best_amount import best_amount, weighted_median
from latentpk.dosing.exposure import Window, of_sums
from latentpk.dosing.metric import Metric
from latentpk.dosing.regimen import Regimen
from latentpk.dosing.spread import Spread, spread

Widening = Callable[[Regimen], Float[np.ndarray, " draw"] | None]
NEGLIGIBLE = 1e-12


def _as_seen(regimen: Regimen) -> None:
    """A regimen that is not beyond what the model was trained on."""
    return


@dataclass(frozen=True, eq=False)
class Straight:
    """An exposure linear in the amounts: history + amount x unit + (loading - amount) x first.

    Where a regimen is beyond what the model was trained on, each draw is multiplied by its factor.
    """

    weight: Float[np.ndarray, " draw"]
    base: Float[np.ndarray, " draw"]
    unit: Float[np.ndarray, " draw"]
    first: Float[np.ndarray, " draw"]
    widening: Widening = _as_seen

    def of(self, regimens: Sequence[Regimen]) -> Float[np.ndarray, "regimen draw"]:
        """Exposures of every regimen and draw."""
        values = _amounts(regimens) @ np.stack([self.base, self.unit, self.first])
        factor = _factors(self.widening, regimens, self.weight)
        return values if factor is None else values * factor

    def spreads(
        self, regimens: Sequence[Regimen], values: Float[np.ndarray, "regimen draw"]
    ) -> list[Spread]:
        """Spread of each regimen's exposures; without a history all draws keep their order."""
        factor = _factors(self.widening, regimens, self.weight)
        if self.base.any() or self.first.any() or factor is not None:
            return [spread(row, self.weight) for row in values]
        unit = spread(self.unit, self.weight)
        return [
            Spread(one.amount * unit.median, one.amount * unit.lo, one.amount * unit.hi)
            for one in regimens
        ]

    def best(self, kind: Regimen, aim: float, top: float) -> float:
        """A sum of |a_i - amount| u_i is least at a weighted median, exactly.

        Where an amount is beyond what was seen, the best one is looked for on the line.
        """
        unit = np.maximum(self.unit, NEGLIGIBLE)
        found = max(weighted_median((aim - self.base) / unit, self.weight * unit), 0.0)
        if self.widening(replace(kind, amount=found)) is None:
            return found
        return _searched(self, kind, aim, top)

    def doubt(self, regimen: Regimen) -> str:
        """Nothing."""
        return ""


@dataclass(frozen=True, eq=False)
class Curved:
    """An exposure read off curves that are linear in the amounts."""

    weight: Float[np.ndarray, " draw"]
    metric: Metric
    window: Window
    parts: dict[int, Float[np.ndarray, "time draw"]]  # by column of `_amounts`; absent: zero
    widening: Widening = _as_seen

    def of(self, regimens: Sequence[Regimen]) -> Float[np.ndarray, "regimen draw"]:
        """Exposures of every regimen and draw."""
        amounts = _amounts(regimens)[:, list(self.parts)]
        factor = _factors(self.widening, regimens, self.weight)
        return of_sums(self.metric, self.window, tuple(self.parts.values()), amounts, factor)

    def spreads(
        self, regimens: Sequence[Regimen], values: Float[np.ndarray, "regimen draw"]
    ) -> list[Spread]:
        """Spread of each regimen's exposures, which are `values`."""
        return [spread(row, self.weight) for row in values]

    def best(self, kind: Regimen, aim: float, top: float) -> float:
        """By a line search on the stored curves."""
        return _searched(self, kind, aim, top)

    def doubt(self, regimen: Regimen) -> str:
        """Nothing."""
        return ""


def _amounts(regimens: Sequence[Regimen]) -> Float[np.ndarray, "regimen part"]:
    """What history, unit and first dose are multiplied by."""
    extra = [0.0 if r.loading is None else r.loading - r.amount for r in regimens]
    return np.array([[1.0, r.amount, more] for r, more in zip(regimens, extra, strict=True)])


def _factors(
    widening: Widening, regimens: Sequence[Regimen], weight: Float[np.ndarray, " draw"]
) -> Float[np.ndarray, "regimen draw"] | None:
    """What each draw is multiplied by under each regimen; None where all are as trained on."""
    each = [widening(regimen) for regimen in regimens]
    if all(one is None for one in each):
        return None
    return np.stack([np.ones(weight.size) if one is None else one for one in each])


def _searched(line: Straight | Curved, kind: Regimen, aim: float, top: float) -> float:
    """The amount of least expected loss, by a line search."""

    def values(amount: float) -> np.ndarray:
        return line.of([replace(kind, amount=amount)])[0]

    return best_amount(values, aim, line.weight, top)
