"""Virtual patients of a row: covariates, true parameters, two label doses, two measured levels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.dose_quality.rows import Label, Row, card
from benchmarks.forecast_oracle.kinetics import Doses

Floats = NDArray[np.float64]
TROUGH = 0.5  # h before the third dose


@dataclass(frozen=True)
class Patients:
    """A row's patients; the same ones whatever number of levels is known.

    Attributes:
        row: Their row.
        covariates: By name, (patient,).
        label: Label dosing.
        doses: The two doses given, (patient, 2).
        theta: True parameters, (patient, parameter).
        time: Peak and trough sample of the second interval [h], (patient, 2).
        level: Measured there [mg/L], (patient, 2).
    """

    row: Row
    covariates: dict[str, Floats]
    label: Label
    doses: Doses
    theta: Floats
    time: Floats
    level: Floats

    def __len__(self) -> int:
        return len(self.theta)

    def known(self, levels: int) -> tuple[Floats, Floats]:
        """Times and values of the levels known: none, the trough, or peak and trough."""
        first = 2 - levels
        return self.time[:, first:], self.level[:, first:]

    def exposure(self, daily: Floats) -> Floats:
        """True exposure at steady state of amounts a day, (patient,)."""
        return self.row.hours / 24 * daily / self.theta[:, 0]


def draw(row: Row, size: int, seed: int) -> Patients:
    """Draw patients who had two label doses and a peak and a trough level after the second."""
    rng = np.random.default_rng([seed, 91])
    covariates = _covariates(row, size, rng)
    effects = rng.standard_normal((size, row.loading.shape[1]))
    theta = np.exp(row.typical(covariates) + effects @ row.loading.T)
    label = row.label(covariates)
    start = np.stack([np.zeros(size), label.interval], axis=1)
    amount = np.stack([label.first, label.amount], axis=1)
    doses = Doses(start, amount, np.full_like(start, row.infusion))
    peak = label.interval + rng.uniform(*row.peak, size)
    time = np.round(np.stack([peak, 2 * label.interval - TROUGH], axis=1), 2)
    clean = row.concentration(theta[:, None, :], time, doses)[:, 0]
    sd = row.deviation(clean)
    level = clean + sd * rng.standard_normal(clean.shape)
    while np.any(low := level <= 0):  # a laboratory reports no level below 0
        level[low] = (clean + sd * rng.standard_normal(clean.shape))[low]
    return Patients(row, covariates, label, doses, theta, time, level)


def _covariates(row: Row, size: int, rng: np.random.Generator) -> dict[str, Floats]:
    from latentpk.library.design import LogNormal

    known: list[dict[str, float]] = []
    for _ in range(size):
        one: dict[str, float] = {}
        for spec in card(row.name).covariates:
            sample = spec.sample
            sample = sample.at(one) if isinstance(sample, LogNormal) else sample
            one[spec.name] = sample.draw(rng)
        known.append(one)
    names = known[0] or {"NUMBER": 0.0}
    return {
        name: np.array([one.get(name, float(k)) for k, one in enumerate(known)]) for name in names
    }


def records(patients: Patients, levels: int) -> pl.DataFrame:
    """NONMEM records: two doses, the levels known, and the time of the third dose as EVID 2."""
    time, level = patients.known(levels)
    doses, row = patients.doses, patients.row
    parts: list[tuple[Floats, int, dict[str, Any]]] = [(doses.time, 1, {"AMT": doses.amount})]
    if not row.oral:
        parts[0][2]["RATE"] = doses.amount / doses.duration
    if levels:
        parts.append((time, 0, {"DV": level}))
    parts.append((2 * patients.label.interval[:, None], 2, {}))
    frames = [_part(patients, *part) for part in parts]
    return pl.concat(frames, how="diagonal").sort("ID", "TIME", maintain_order=True)


def _part(patients: Patients, time: Floats, evid: int, values: dict[str, Floats]) -> pl.DataFrame:
    count = time.shape[1]
    columns: dict[str, Any] = {
        "ID": np.repeat(np.arange(1, len(patients) + 1), count),
        "TIME": time.ravel(),
        "EVID": np.full(time.size, evid),
        "MDV": np.full(time.size, int(evid != 0)),
        "CMT": np.full(time.size, 2 if patients.row.oral and evid != 1 else 1),
    }
    columns |= {name: np.ravel(values[name]) for name in values}
    empty = {"AMT", "DV"} - set(values)
    columns |= {name: np.full(time.size, np.nan) for name in empty}
    columns |= {name: np.repeat(value, count) for name, value in patients.covariates.items()}
    frame = pl.DataFrame(columns)
    return frame.with_columns(pl.col(name).fill_nan(None) for name in sorted(empty))
