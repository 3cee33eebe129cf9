"""The Bayes oracle: posterior under the true model and the true population parameters.

Adaptive importance sampling in numpy, all patients of a block at once. Effects are whitened,
eta = L eps with eps ~ N(0, I). Stages of defensive mixtures (10 % prior, the rest Student-t(5) at
the weighted moments of the stage before, widened by 1.2, and at draws of it) are tempered while
the effective sample size is small, so that they contract towards the posterior step by step.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, log_ndtr, logsumexp

from benchmarks.forecast_oracle.cohorts import Patients

Floats = NDArray[np.float64]
LogLikelihood = Callable[[Floats], Floats]

FREEDOM = 5.0  # of the Student-t proposals
LOCAL = 15  # proposals at draws of the stage before: a posterior need not be one ellipsoid
SHARES = np.array([0.1, 0.6, *([0.3 / LOCAL] * LOCAL)])  # prior, moments, local


@dataclass(frozen=True)
class Settings:
    """How much the oracle draws.

    Attributes:
        draws: Draws of the last stage, for each patient.
        pilot: Draws of each stage before.
        stages: Adaptation stages.
        block: Patients at once (bounds memory).
    """

    draws: int = 8192
    pilot: int = 2048
    stages: int = 4
    block: int = 10


class Proposal(NamedTuple):
    """Components of the Student-t part: centre (patient, component, p), factor (.., p, p)."""

    centre: Floats
    factor: Floats


@dataclass(frozen=True)
class Forecast:
    """The oracle's forecast of a cohort.

    Attributes:
        log_mean: Posterior mean of log C, (patient, later).
        log_mean_half: The same from the first half of the draws.
        low: 5 % of a new measurement [mg/L], (patient, later).
        high: 95 % of a new measurement [mg/L], (patient, later).
        size: Effective number of draws, (patient,).
    """

    log_mean: Floats
    log_mean_half: Floats
    low: Floats
    high: Floats
    size: Floats


def forecast(patients: Patients, *, seed: int, settings: Settings = Settings()) -> Forecast:
    """Posterior mean of log C and 90 % intervals of new measurements at the later times.

    Args:
        patients: With their levels; their truth is not read.
        seed: Of the draws.
        settings: Number of draws.

    Returns:
        Arrays over (patient, later).
    """
    rng = np.random.default_rng([seed, 3])
    blocks = [
        _forecast_block(patients.take(slice(start, start + settings.block)), rng, settings)
        for start in range(0, len(patients), settings.block)
    ]
    return Forecast(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))


def _forecast_block(
    patients: Patients, rng: np.random.Generator, settings: Settings
) -> tuple[Floats, ...]:
    eps, log_weight = posterior_draws(
        level_likelihood(patients), len(patients.population.omega), len(patients), rng, settings
    )
    later = np.maximum(concentrations(patients, eps, patients.later), 1e-12)
    half = eps.shape[1] // 2
    low, high = _measurement_interval(patients, later, log_weight, rng)
    return (
        _mean(np.log(later), log_weight),
        _mean(np.log(later[:, :half]), log_weight[:, :half]),
        low,
        high,
        effective_size(log_weight),
    )


def concentrations(patients: Patients, eps: Floats, time: Floats) -> Floats:
    """Concentration of each draw [mg/L]: eps (patient, draw, p), time (patient, time)."""
    population = patients.population
    eta = eps @ np.linalg.cholesky(population.omega).T
    link = population.typical(patients.covariates)[:, None, :] + eta
    return population.concentration(link, time, patients.doses)


def level_likelihood(patients: Patients) -> LogLikelihood:
    """Log-likelihood of each patient's levels, normal truncated at 0 as they were drawn."""

    def log_likelihood(eps: Floats) -> Floats:
        clean = concentrations(patients, eps, patients.level_time)
        deviation = patients.population.deviation(clean)
        standard = (patients.level[:, None, :] - clean) / deviation
        density = -0.5 * standard**2 - np.log(deviation) - log_ndtr(clean / deviation)
        return np.where(patients.measured[:, None, :], density, 0.0).sum(axis=-1)

    return log_likelihood


def posterior_draws(
    log_likelihood: LogLikelihood,
    dimension: int,
    count: int,
    rng: np.random.Generator,
    settings: Settings,
) -> tuple[Floats, Floats]:
    """Weighted draws of eps of each patient.

    Args:
        log_likelihood: eps (patient, draw, p) to (patient, draw).
        dimension: p.
        count: Number of patients.
        rng: Random numbers.
        settings: Number of draws.

    Returns:
        eps (patient, draw, p) and normalized log weights (patient, draw).
    """
    eps = rng.standard_normal((count, settings.pilot, dimension))
    log_weight = _normalized(log_likelihood(eps))
    for stage in range(settings.stages):
        proposal = _adapt(eps, log_weight, rng)
        last = stage == settings.stages - 1
        eps = _draw(proposal, settings.draws if last else settings.pilot, rng)
        joint = log_likelihood(eps) + _log_normal(eps)
        log_weight = _normalized(joint - _log_density(proposal, eps))
    return eps, log_weight


def effective_size(log_weight: Floats) -> Floats:
    """Kish's effective number of draws of normalized log weights (patient, draw)."""
    return np.exp(-_log_sum(2 * log_weight)[:, 0])


def _adapt(eps: Floats, log_weight: Floats, rng: np.random.Generator) -> Proposal:
    weight = np.exp(_tempered(log_weight, least=30.0 * eps.shape[2]))
    mean = np.einsum("is,isp->ip", weight, eps)
    away = eps - mean[:, None, :]
    covariance = np.einsum("is,isp,isq->ipq", weight, away, away) + 1e-8 * np.eye(eps.shape[2])
    factor = np.linalg.cholesky(covariance)
    chosen = np.stack([rng.choice(eps.shape[1], LOCAL, p=row / row.sum()) for row in weight])
    local = np.take_along_axis(eps, chosen[:, :, None], axis=1)
    centre = np.concatenate([mean[:, None, :], local], axis=1)
    widths = np.array([1.2, *([0.6] * LOCAL)])
    return Proposal(centre, factor[:, None] * widths[None, :, None, None])


def _tempered(log_weight: Floats, *, least: float) -> Floats:
    """Flatten each patient's weights by the power that leaves `least` effective draws."""
    low, high = np.zeros(len(log_weight)), np.ones(len(log_weight))
    enough = effective_size(log_weight) >= least
    for _ in range(25):
        power = (low + high) / 2
        fits = effective_size(_normalized(power[:, None] * log_weight)) >= least
        low, high = np.where(fits, power, low), np.where(fits, high, power)
    return _normalized(np.where(enough, 1.0, low)[:, None] * log_weight)


def _draw(proposal: Proposal, count: int, rng: np.random.Generator) -> Floats:
    """Draws of the mixture in random order, so that a half of them is a sample as well."""
    patients, _, dimension = proposal.centre.shape
    which = rng.choice(len(SHARES), count, p=SHARES)
    normal = rng.standard_normal((patients, count, dimension))
    scale = np.sqrt(FREEDOM / rng.chisquare(FREEDOM, (patients, count)))
    component = np.maximum(which - 1, 0)
    moved = np.einsum("ispq,isq->isp", proposal.factor[:, component], normal)
    heavy = proposal.centre[:, component] + scale[..., None] * moved
    return np.where(which[None, :, None] == 0, normal, heavy)


def _log_density(proposal: Proposal, eps: Floats) -> Floats:
    dimension = eps.shape[2]
    constant = (
        gammaln((FREEDOM + dimension) / 2)
        - gammaln(FREEDOM / 2)
        - 0.5 * dimension * np.log(FREEDOM * np.pi)
    )
    parts = [_log_normal(eps)]
    for k in range(proposal.centre.shape[1]):
        factor = proposal.factor[:, k]
        away = eps - proposal.centre[:, k, None, :]
        solved = np.einsum("ipq,isq->isp", np.linalg.inv(factor), away)
        logdet = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1, keepdims=True)
        square = (solved**2).sum(axis=-1)
        parts.append(constant - logdet - (FREEDOM + dimension) / 2 * np.log1p(square / FREEDOM))
    return np.asarray(logsumexp(np.stack(parts), b=SHARES[:, None, None], axis=0))


def _log_normal(eps: Floats) -> Floats:
    return -0.5 * (eps**2).sum(axis=-1) - 0.5 * eps.shape[-1] * np.log(2 * np.pi)


def _normalized(log_weight: Floats) -> Floats:
    return log_weight - _log_sum(log_weight)


def _log_sum(log_weight: Floats) -> Floats:
    """Log of the sum over draws, (patient, 1)."""
    return np.asarray(logsumexp(log_weight, axis=1, keepdims=True))


def _mean(values: Floats, log_weight: Floats) -> Floats:
    return np.einsum("is,ist->it", np.exp(_normalized(log_weight)), values)


def _measurement_interval(
    patients: Patients, later: Floats, log_weight: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """5 and 95 % of a new measurement, from 2000 draws taken by weight."""
    chosen = np.stack([rng.choice(later.shape[1], 2000, p=row) for row in np.exp(log_weight)])
    clean = np.take_along_axis(later, chosen[:, :, None], axis=1)
    deviation = patients.population.deviation(clean)
    noisy = clean + deviation * rng.standard_normal(clean.shape)
    while np.any(low := noisy <= 0):  # as the levels themselves were drawn
        noisy[low] = (clean + deviation * rng.standard_normal(clean.shape))[low]
    return tuple(np.quantile(noisy, [0.05, 0.95], axis=1))
