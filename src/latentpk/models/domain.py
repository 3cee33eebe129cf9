"""Where a model has seen particles: distances to them, and a verdict on a new one."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from latentpk.models.descriptors import LEVELS, LOGGED, NUMBERS, Properties

Verdict = Literal["ok", "caution", "refuse"]
UNITS = {
    "HD": "nm", "ZETA": "mV", "CHARGE": "", "TSZ": "cm3", "TW": "g", "DOSE": "mg/kg", "BW": "g",
    "ZP_SIGNED": "mV",
}  # fmt: skip
NEEDED = ("HD", "ZETA", "CHARGE", "TSZ")  # a particle is complete that states them
MARGIN = 0.1  # of the range, beyond which no prediction is worth a look
WIDEST = 3.0  # times that an interval is stretched at most
FEW = 3  # particles of a category below which it was hardly seen
CHUNK = 256


@dataclass(frozen=True, eq=False)
class Domain:
    """The particles a model was trained on.

    Attributes:
        known: Their properties.
        usual: Distance to the nearest particle of another fold that 95 % of them keep.
    """

    known: Properties
    usual: float

    def distance(self, new: Properties) -> Float[np.ndarray, " row"]:
        """To the nearest particle: the mean over what both state."""
        starts = range(0, len(new), CHUNK)
        found = [
            apart(new.take(np.arange(k, min(k + CHUNK, len(new)))), self.known, self.scale)
            for k in starts
        ]
        return np.concatenate([np.zeros(0), *(one.min(axis=1) for one in found)])

    def stretch(self, distance: Float[np.ndarray, " row"]) -> Float[np.ndarray, " row"]:
        """How much wider intervals are far from all particles: 1 within the usual distance."""
        return np.clip(distance / self.usual, 1.0, WIDEST)

    @property
    def scale(self) -> Float[np.ndarray, " number"]:
        """SD of each number."""
        return spread(self.known)

    def judge(self, new: Properties) -> list[tuple[Verdict, str]]:
        """Judge each particle and say why.

        Returns:
            `refuse` where a number lies beyond all that was seen by a tenth of its range;
            `caution` where one is missing or beyond 98 % of what was seen, a category was hardly
            seen, or the particle is unlike every other; else `ok`.
        """
        distance = self.distance(new)
        bounds = [self._bounds(k) for k in range(len(NUMBERS))]
        counts = [
            np.bincount(codes[codes >= 0], minlength=len(levels))
            for codes, levels in zip(self.known.code.T, LEVELS.values(), strict=True)
        ]
        return [
            self._verdict(new, row, bounds, counts, float(distance[row])) for row in range(len(new))
        ]

    def unknown(self, new: Properties) -> list[tuple[str, ...]]:
        """What of each particle is not known that was known in training; `judge` has the rest."""
        numbers = [
            (name, np.isnan(value))
            for name, value, seen in zip(NUMBERS, new.number.T, self.known.number.T, strict=True)
            if name not in (*NEEDED, "TW") and not np.isnan(seen).all()
        ]
        levels = [
            (name, code < 0)
            for name, code, seen in zip(LEVELS, new.code.T, self.known.code.T, strict=True)
            if (seen >= 0).any()
        ]
        lacking = [*numbers, *levels]
        return [tuple(name for name, gone in lacking if gone[row]) for row in range(len(new))]

    def _bounds(self, k: int) -> tuple[float, float, float, float]:
        """Least, 1 %, 99 % and largest of a number; NaN where none was stated."""
        seen = self.known.number[:, k]
        seen = seen[~np.isnan(seen)]
        if not seen.size:
            return (np.nan, np.nan, np.nan, np.nan)
        low, high = np.quantile(seen, [0.01, 0.99])
        return float(seen.min()), float(low), float(high), float(seen.max())

    def _verdict(
        self,
        new: Properties,
        row: int,
        bounds: list[tuple[float, float, float, float]],
        counts: list[np.ndarray],
        distance: float,
    ) -> tuple[Verdict, str]:
        hard: list[str] = []
        soft: list[str] = []
        for name, value, (least, low, high, most) in zip(
            NUMBERS, new.number[row], bounds, strict=True
        ):
            if np.isnan(value):
                if name in NEEDED:
                    soft.append(f"{name} is missing")
                continue
            twice = name == "TW" and any(one.startswith("TSZ") for one in (*hard, *soft))
            if np.isnan(least) or twice:
                continue
            margin = MARGIN * (most - least)
            said = f"{name} {_natural(name, value)} is outside {_natural(name, least)} to " + (
                f"{_natural(name, most)} {UNITS[name]}".strip()
            )
            if value < least - margin or value > most + margin:
                hard.append(said)
            elif value < low or value > high:
                soft.append(f"{name} {_natural(name, value)} is at the edge of what was seen")
        for (name, levels), code, seen in zip(LEVELS.items(), new.code[row], counts, strict=True):
            if code >= 0 and seen.sum() and seen[code] < FEW:
                count = ("no particle", "1 particle", "2 particles")[seen[code]]
                soft.append(f"{name} {levels[code]} was seen in {count}")
        if distance > self.usual:
            soft.append(
                f"unlike every particle seen (distance {distance / self.usual:.1f} x usual)"
            )
        if hard:
            return "refuse", "; ".join([*hard, *soft])
        return ("caution", "; ".join(soft)) if soft else ("ok", "")


def _natural(name: str, value: float) -> str:
    return f"{np.exp(value) if name in LOGGED else value:.3g}"


def fit_domain(known: Properties, fold: Int[np.ndarray, " row"]) -> Domain:
    """Learn how far particles of different folds are apart."""
    near = apart(known, known, spread(known))
    other = fold[:, None] != fold[None]
    np.fill_diagonal(other, val=False)
    nearest = np.where(other, near, np.inf).min(axis=1)
    nearest = nearest[np.isfinite(nearest)]
    usual = float(np.quantile(nearest, 0.95)) if nearest.size else 1.0
    return Domain(known, max(usual, 1e-6))


def spread(known: Properties) -> Float[np.ndarray, " number"]:
    """SD of each number; 1 where it does not vary or was never stated."""
    seen: Bool[np.ndarray, "row number"] = ~np.isnan(known.number)
    count = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, known.number, 0).sum(axis=0) / count
    square = (np.where(seen, known.number - mean, 0) ** 2).sum(axis=0) / count
    return np.where(square > 1e-12, np.sqrt(square), 1.0)


def apart(
    one: Properties, other: Properties, scale: Float[np.ndarray, " number"]
) -> Float[np.ndarray, "one other"]:
    """Distance of particles: the mean over numbers (in SDs) and categories that both state."""
    numbers = np.abs(one.number[:, None] - other.number[None]) / scale
    both = (one.code[:, None] >= 0) & (other.code[None] >= 0)
    codes = np.where(both, one.code[:, None] != other.code[None], np.nan)
    parts = np.concatenate([numbers, codes], axis=2)
    stated = ~np.isnan(parts)
    return np.where(stated, parts, 0).sum(axis=2) / np.maximum(stated.sum(axis=2), 1)
