"""The three true populations, from published parameters, fixed before any fit (see README.md)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.forecast_oracle import designs, kinetics
from benchmarks.forecast_oracle.designs import Design
from benchmarks.forecast_oracle.kinetics import Doses

Floats = NDArray[np.float64]
Kinetics = Callable[[Floats, Floats, Doses], Floats]


@dataclass(frozen=True)
class Population:
    """A true population: covariates, random effects, kinetics, residual error, records.

    Attributes:
        name: The cohort's name.
        oral: Doses are extravascular.
        covariates: Names, in the order of the covariates' columns.
        draw_covariates: Generator and number of patients to (patient, covariate).
        typical: Covariates to the link scale's typical parameters, (patient, parameter).
        omega: Covariance of the random effects on the link scale, (parameter, parameter).
        concentration: Link-scale parameters (patient, draw, parameter), times (patient, time) [h]
            and doses to concentrations [mg/L], (patient, draw, time).
        additive: Residual standard deviation at 0 [mg/L].
        proportional: Residual coefficient of variation.
        regimen: Generator and two covariates to dose times, amounts, durations.
        level: Draws the time of one level of a forecast patient.
        level_whole: Draws the time of one level of a training patient.
        design: When patients are measured.
        floor: Least concentration that a forecast's logarithm is taken of [mg/L].
        dose_covariates: Name of the covariate of each dose, if there is one.
        other_regimen: Like `regimen`, of doses and intervals that nobody is trained on.
    """

    name: str
    oral: bool
    covariates: tuple[str, ...]
    draw_covariates: Callable[[np.random.Generator, int], Floats]
    typical: Callable[[Floats], Floats]
    omega: Floats
    concentration: Kinetics
    additive: float
    proportional: float
    regimen: Callable[[np.random.Generator, float, float], designs.Regimen]
    level: designs.Draw
    level_whole: designs.Draw
    design: Design
    floor: float = 1e-3
    dose_covariates: tuple[str, ...] = ()
    other_regimen: Callable[[np.random.Generator, float, float], designs.Regimen] | None = None

    def deviation(self, concentration: Floats) -> Floats:
        """Residual standard deviation [mg/L]: sqrt(additive^2 + (proportional f)^2)."""
        return np.sqrt(self.additive**2 + (self.proportional * concentration) ** 2)


def _lognormal(
    rng: np.random.Generator, size: int, *, median: float, cv: float, low: float, high: float
) -> Floats:
    draws = median * np.exp(np.sqrt(np.log1p(cv**2)) * rng.standard_normal(size))
    return np.clip(draws, low, high)


def _adults(rng: np.random.Generator, size: int) -> Floats:
    weight = _lognormal(rng, size, median=75, cv=0.22, low=40, high=150)
    crcl = _lognormal(rng, size, median=66, cv=0.5, low=20, high=160)
    return np.round(np.stack([weight, crcl], axis=1), 1)


def _weights(rng: np.random.Generator, size: int) -> Floats:
    return np.round(_lognormal(rng, size, median=72, cv=0.2, low=40, high=130), 1)[:, None]


def _thomson(covariates: Floats) -> Floats:
    weight, crcl = covariates.T
    cl = 2.99 * (1 + 0.0154 * (crcl - 66))
    return np.log(np.stack([cl, 0.675 * weight, np.full_like(cl, 2.28), 0.732 * weight], axis=1))


def _vancomycin(link: Floats, time: Floats, doses: Doses) -> Floats:
    return kinetics.two_compartment_infusion(np.exp(link), time, doses)


def _savic(covariates: Floats) -> Floats:
    size = covariates[:, 0] / 70
    lag, ka = np.full_like(size, 0.9), np.full_like(size, 1.45)
    return np.log(np.stack([0.132 * size**0.75, 7.96 * size, ka, lag], axis=1))


def _warfarin(link: Floats, time: Floats, doses: Doses) -> Floats:
    natural = np.exp(link)
    site = (1.0, natural[..., 2], natural[..., 3])
    return kinetics.oral_one_compartment(natural[..., :2], [site], time, doses)


def _two_peaks(covariates: Floats) -> Floats:
    size = covariates[:, 0] / 70
    rest = np.tile([np.log(2.5), np.log(0.6), np.log(3.0), np.log(0.35 / 0.65)], (len(size), 1))
    return np.column_stack([np.log(8 * size**0.75), np.log(25 * size), rest])


def _dual(link: Floats, time: Floats, doses: Doses) -> Floats:
    natural = np.exp(link[..., :5])
    share = 1 / (1 + np.exp(-link[..., 5]))
    ka1, ka2, lag = np.moveaxis(natural[..., 2:], -1, 0)
    sites = [(share, ka1, np.zeros_like(lag)), (1 - share, ka2, lag)]
    return kinetics.oral_one_compartment(natural[..., :2], sites, time, doses)


def _thomson_omega() -> Floats:
    omega = np.diag([0.0729, 0.0225, 0.2401, 1.69])
    omega[0, 1] = omega[1, 0] = 0.01
    return omega


VANCOMYCIN = Population(
    name="vancomycin-2c-infusion",
    oral=False,
    covariates=("WT", "CRCL"),
    draw_covariates=_adults,
    typical=_thomson,
    omega=_thomson_omega(),
    concentration=_vancomycin,
    additive=1.6,
    proportional=0.15,
    regimen=designs.vancomycin_regimen,
    level=designs.infusion_level,
    level_whole=designs.infusion_level,
    design=Design(48.0, 120.0, (1, 4), (2, 6), tuple(np.arange(51.0, 121.0, 3.0))),
)

WARFARIN = Population(
    name="oral-1c",
    oral=True,
    covariates=("WT",),
    draw_covariates=_weights,
    typical=_savic,
    omega=np.diag([0.0797, 0.0478, 0.689, 0.252]),
    concentration=_warfarin,
    additive=0.231,
    proportional=0.0632,
    regimen=designs.warfarin_regimen,
    level=designs.oral_level,
    level_whole=designs.oral_level,
    design=Design(72.0, 144.0, (1, 4), (2, 6), tuple(np.arange(75.0, 145.0, 3.0))),
)

TWO_PEAKS = Population(
    name="two-peaks",
    oral=True,
    covariates=("WT",),
    draw_covariates=_weights,
    typical=_two_peaks,
    omega=np.diag([0.25, 0.2, 0.4, 0.3, 0.2, 0.6]) ** 2,
    concentration=_dual,
    additive=0.05,
    proportional=0.10,
    regimen=designs.two_peak_regimen,
    level=designs.dense_level,
    level_whole=designs.dense_level,
    design=Design(24.0, 48.0, (1, 4), (8, 10), tuple(np.arange(24.5, 48.1, 1.0))),
)

POPULATIONS = {population.name: population for population in (VANCOMYCIN, WARFARIN, TWO_PEAKS)}
