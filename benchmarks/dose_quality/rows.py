"""The five wards: true populations, the models that answer, label dosing, and what may be given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.forecast_oracle.kinetics import (
    Doses,
    oral_one_compartment,
    two_compartment_infusion,
)

Floats = NDArray[np.float64]
Covariates = Mapping[str, Floats]
CIRRHOSIS = 0.35  # clearance of theophylline over that of matched controls: 18.8 / 53.7 mL/kg/h
CIRRHOSIS_CV = 0.60  # 11.3 / 18.8


@dataclass(frozen=True)
class Label:
    """What the label gives each patient, shape (patient,).

    Attributes:
        first: First dose [mg].
        amount: Every later dose [mg].
        interval: Between doses [h].
    """

    first: Floats
    amount: Floats
    interval: Floats

    @property
    def daily(self) -> Floats:
        """Amount a day [mg]."""
        return self.amount * 24 / self.interval


@dataclass(frozen=True)
class Row:
    """One kind of patient. The truth is written in numpy, apart from the package.

    Attributes:
        name: Of the row.
        model: Library name of the published model behind the truth.
        other: Library name of another model, which answers too.
        target: As `parse_target` reads it.
        low: Its lower end.
        high: Its upper end, above which is toxic.
        hours: Exposure is daily dose / CL x hours / 24: 24 for an area, 1 for an average.
        trained: Covariates that the trained model reads.
        typical: Covariates to log parameters, cl first, (patient, parameter).
        loading: Standard normal effects to log parameters, (parameter, effect).
        concentration: Parameters (patient, draw, parameter), times and doses to mg/L.
        additive: Residual standard deviation at 0 [mg/L].
        proportional: Residual coefficient of variation.
        label: Covariates to label dosing.
        amounts: Covariates of one patient to the amounts of a dose that can be given [mg].
        intervals: Between doses [h].
        infusion: Length of an infusion [h]; 0 by mouth.
        peak: Earliest and latest time of a peak sample after the dose began [h].
        changes: What the row's card changes in the published one.
    """

    name: str
    model: str
    other: str
    target: str
    low: float
    high: float
    hours: float
    trained: tuple[str, ...]
    typical: Callable[[Covariates], Floats]
    loading: Floats
    concentration: Callable[[Floats, Floats, Doses], Floats]
    additive: float
    proportional: float
    label: Callable[[Covariates], Label]
    amounts: Callable[[Mapping[str, float]], tuple[float, ...]]
    intervals: tuple[float, ...]
    infusion: float
    peak: tuple[float, float]
    changes: Callable[[Any], Any]

    @property
    def aim(self) -> float:
        """The middle of the range."""
        return (self.low + self.high) / 2

    @property
    def oral(self) -> bool:
        """Whether doses are taken by mouth."""
        return self.infusion == 0

    def deviation(self, concentration: Floats) -> Floats:
        """Residual standard deviation [mg/L]."""
        return np.hypot(self.additive, self.proportional * concentration)


@cache
def card(row: str) -> Any:
    """The published card with the row's patients."""
    from latentpk.library.catalog import read_model

    return ROWS[row].changes(read_model(ROWS[row].model))


def _patients(**samples: Any) -> Callable[[Any], Any]:
    """Other distributions of the covariates."""

    def change(published: Any) -> Any:
        covariates = tuple(
            one.model_copy(update={"sample": samples[one.name], "given": ()})
            if one.name in samples
            else one
            for one in published.covariates
        )
        return published.model_copy(update={"covariates": covariates})

    return change


def _lognormal(median: float, sd: float, low: float, high: float, decimals: int = 1) -> Any:
    from latentpk.library.design import LogNormal

    return LogNormal(kind="lognormal", median=median, sd=sd, low=low, high=high, decimals=decimals)


def _normal(mean: float, sd: float, low: float, high: float) -> Any:
    from latentpk.library.design import Normal

    return Normal(kind="normal", mean=mean, sd=sd, low=low, high=high, decimals=0)


def _never() -> Any:
    from latentpk.library.design import Bernoulli

    return Bernoulli(kind="bernoulli", probability=0.0)


def _as_published(published: Any) -> Any:
    return published


def _adults(published: Any) -> Any:
    samples = {"DIAL": _never(), "CRCL": _lognormal(80, 0.42, 20, 150, 0)}
    return _patients(**samples)(published)


def _kidneys(published: Any) -> Any:
    samples = {"DIAL": _never(), "CRCL": _lognormal(28, 0.35, 10, 50, 0)}
    return _patients(**samples)(published)


def _obese(published: Any) -> Any:
    samples = {"WT": _lognormal(125, 0.17, 100, 200), "PMA": _normal(2600, 600, 976, 4000)}
    return _patients(**samples)(published)


def _cirrhosis(published: Any) -> Any:
    """Clearance and its variability as measured in cirrhosis; smaller doses, less often."""
    population = published.population
    cl, *rest = population.parameters
    spread = population.variability
    covariance = ((float(np.log1p(CIRRHOSIS_CV**2)),), *spread.covariance[1:])
    slower = population.model_copy(
        update={
            "parameters": (cl.model_copy(update={"value": CIRRHOSIS * cl.value}), *rest),
            "variability": spread.model_copy(update={"covariance": covariance}),
        }
    )
    design = published.design
    interval = design.dosing.intervals[0].model_copy(update={"hours": 12.0})
    dosing = design.dosing.model_copy(
        update={"amounts": (100.0, 150.0, 200.0), "intervals": (interval,)}
    )
    return published.model_copy(
        update={"population": slower, "design": design.model_copy(update={"dosing": dosing})}
    )


def _goti(x: Covariates) -> Floats:
    cl, size = 4.5 * (x["CRCL"] / 120) ** 0.8, x["WT"] / 70
    return np.log(np.stack([cl, 58.4 * size, np.full_like(cl, 6.5), 38.4 * size], axis=1))


def _frymoyer(x: Covariates) -> Floats:
    size = x["WT"] / 2.9
    cl = 0.345 * size**0.75 / (1 + (x["PMA"] / 34.8) ** -4.53) * x["SCR"] ** -0.267
    return np.log(np.stack([cl, 1.75 * size], axis=1))


def _colin(x: Covariates) -> Floats:
    size, years = x["WT"] / 70, x["PMA"] / 52
    expected = np.exp(-1.22839 + 0.6719 * np.log10(years) + 6.27017 * np.exp(-3.1094 * years))
    grown = 1 / (1 + (x["PMA"] / 46.4464) ** -2.8864)
    old = 1 / (1 + (x["PMA"] / 3201.068) ** 2.241)
    cl = 5.312 * size**0.75 * grown * old * np.exp(-0.64856 * (x["SCR"] - expected))
    return np.log(np.stack([cl, 42.52 * size, 3.222 * size**0.75, 41.68 * size], axis=1))


def _theophylline(x: Covariates) -> Floats:
    count = len(next(iter(x.values())))
    return np.tile(np.log([CIRRHOSIS * 2.75, 31.8, 1.59]), (count, 1))


def _one_compartment(parameters: Floats, time: Floats, doses: Doses) -> Floats:
    cl, v = np.moveaxis(parameters[:, :, None, :], -1, 0)
    total = np.zeros((*parameters.shape[:2], time.shape[1]))
    for column in range(doses.time.shape[1]):
        start, amount, length = (field[:, column, None, None] for field in doses[:3])
        since = time[:, None, :] - start
        during, after = np.clip(since, 0, length), np.clip(since - length, 0, None)
        total += amount / length / cl * -np.expm1(-cl / v * during) * np.exp(-cl / v * after)
    return total


def _by_mouth(parameters: Floats, time: Floats, doses: Doses) -> Floats:
    ka = parameters[..., 2]
    return oral_one_compartment(parameters[..., :2], [(1.0, ka, np.zeros_like(ka))], time, doses)


def _diagonal(*variances: float, parameters: int, at: tuple[int, ...]) -> Floats:
    full = np.zeros((parameters, len(variances)))
    full[list(at), np.arange(len(variances))] = np.sqrt(variances)
    return full


def _colin_loading() -> Floats:
    full = _diagonal(0.0746, 0.0716, 0.684, parameters=4, at=(0, 1, 3))
    full[0] += 0.75 * full[1]  # CL moves with the patient's own V1, Q with V2
    full[2] += 0.75 * full[3]
    return full


def _rounded(amount: Floats, step: float, low: float, high: float) -> Floats:
    return np.clip(np.round(amount / step) * step, low, high)


def _adult_label(x: Covariates) -> Label:
    """Prescribing information: 2 g a day, or 15 mg a day for each mL/min where the kidneys fail."""
    interval = np.where(x["CRCL"] >= 50, 12.0, 24.0)
    daily = np.where(x["CRCL"] >= 100, 2000.0, 15.45 * x["CRCL"])
    amount = _rounded(daily * interval / 24, 125, 125, 2000)
    return Label(np.maximum(_rounded(15 * x["WT"], 250, 500, 2000), amount), amount, interval)


def _obese_label(x: Covariates) -> Label:
    """Prescribing information: 1 g every 12 h, every 24 h where creatinine is high."""
    interval = np.where(x["SCR"] >= 1.6, 24.0, 12.0)
    amount = np.full_like(interval, 1000.0)
    return Label(_rounded(15 * x["WT"], 250, 500, 3000), amount, interval)


def _neonatal_label(x: Covariates) -> Label:
    """The Merck Manual's table after Nelson's: by creatinine, with a first dose of 20 mg/kg."""
    early = x["PMA"] <= 28
    edges = np.where(early[:, None], [[0.5, 0.8, 1.1, 1.45]], [[0.7, 1.0, 1.3, 1.65]])
    step = (x["SCR"][:, None] >= edges - 1e-9).sum(axis=1)
    dose = np.array([15.0, 20.0, 15.0, 10.0, 15.0])[step] * x["WT"]
    interval = np.array([12.0, 24.0, 24.0, 24.0, 48.0])[step]
    return Label(_rounded(20 * x["WT"], 1, 5, 150), _rounded(dose, 1, 5, 150), interval)


def _hepatic_label(x: Covariates) -> Label:
    """Prescribing information: at most 400 mg a day in liver disease."""
    twice = np.full(len(next(iter(x.values()))), 200.0)
    return Label(twice, twice, np.full_like(twice, 12.0))


def _grid(low: int, high: int, step: int) -> Callable[[Mapping[str, float]], tuple[float, ...]]:
    amounts = tuple(float(v) for v in range(low, high + 1, step))
    return lambda x: amounts


def _per_kilogram(x: Mapping[str, float]) -> tuple[float, ...]:
    """5 to 24 mg/kg in whole mg."""
    return tuple(sorted({max(float(round(k * x["WT"])), 1.0) for k in range(5, 25)}))


_GOTI = {
    "model": "vancomycin-goti-2018",
    "other": "vancomycin-thomson-2009",
    "trained": ("WT", "CRCL"),
    "typical": _goti,
    "loading": _diagonal(0.14705, 0.51019, 0.28232, parameters=4, at=(0, 1, 3)),
    "concentration": two_compartment_infusion,
    "additive": 3.4,
    "proportional": 0.227,
    "label": _adult_label,
}
_VANCOMYCIN = {
    "target": "vancomycin-auc24",
    "low": 400.0,
    "high": 600.0,
    "hours": 24.0,
    "infusion": 1.0,
    "peak": (2.0, 3.0),
}
ROWS = {
    row.name: row
    for row in (
        Row(
            name="adults",
            changes=_adults,
            amounts=_grid(250, 2000, 250),
            intervals=(8.0, 12.0, 24.0),
            **_GOTI,
            **_VANCOMYCIN,
        ),
        Row(
            name="neonates",
            model="vancomycin-frymoyer-2014",
            other="vancomycin-dao-2019",
            trained=("PMA", "WT", "SCR"),
            typical=_frymoyer,
            loading=np.linalg.cholesky(np.array([[0.0465, 0.00734], [0.00734, 0.0119]])),
            concentration=_one_compartment,
            additive=1.3,
            proportional=0.205,
            label=_neonatal_label,
            changes=_as_published,
            amounts=_per_kilogram,
            intervals=(8.0, 12.0, 24.0),
            **_VANCOMYCIN,
        ),
        Row(
            name="kidney impairment",
            changes=_kidneys,
            amounts=_grid(250, 1500, 125),
            intervals=(12.0, 24.0, 48.0),
            **_GOTI,
            **_VANCOMYCIN,
        ),
        Row(
            name="liver impairment",
            model="theophylline",
            other="theophylline",
            target="theophylline-average",
            low=10.0,
            high=20.0,
            hours=1.0,
            trained=(),
            typical=_theophylline,
            loading=_diagonal(
                float(np.log1p(CIRRHOSIS_CV**2)), 0.0194, 0.402, parameters=3, at=(0, 1, 2)
            ),
            concentration=_by_mouth,
            additive=0.694,
            proportional=0.0,
            label=_hepatic_label,
            changes=_cirrhosis,
            amounts=_grid(50, 600, 50),
            intervals=(8.0, 12.0, 24.0),
            infusion=0.0,
            peak=(2.0, 4.0),
        ),
        Row(
            name="obesity",
            model="vancomycin-colin-2019",
            other="vancomycin-colin-2019-age-ratio",
            trained=("PMA", "WT", "SCR"),
            typical=_colin,
            loading=_colin_loading(),
            concentration=two_compartment_infusion,
            additive=1.23,
            proportional=0.2145,
            label=_obese_label,
            changes=_obese,
            amounts=_grid(250, 2500, 250),
            intervals=(8.0, 12.0, 24.0),
            **_VANCOMYCIN,
        ),
    )
}
