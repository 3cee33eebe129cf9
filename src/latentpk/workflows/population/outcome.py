r"""What a population fit says, as JSON values with units.

Standard errors come from the observed information, half the curvature of -2 log L; of the natural
scale by the delta method. Criteria: :math:`AIC = -2\log L + 2p`,
:math:`BIC = -2\log L + p \log n`, and with :math:`p_R` numbers that random effects carry and
:math:`p_F` others :math:`BICc = -2\log L + p_R \log N + p_F \log n`, of N subjects and n levels
(Delattre, Lavielle and Poursat, Electron J Stat 2014;8:456).
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentpk.inference.estimation import Estimate
from latentpk.models.latent import LatentModel
from latentpk.models.parameters import parameter_unit
from latentpk.models.population import (
    RESIDUAL_TERMS,
    PopulationConfig,
    PopulationPrior,
    omega_factor,
)
from latentpk.models.published import structure_of
from latentpk.models.record import Record
from latentpk.models.residual import FORMULAS, Residual
from latentpk.workflows.doubts import doubtful_courses
from latentpk.workflows.population.fit import PopulationFit

WIDE = 1.959964  # standard errors on either side of a 95 % interval
VAGUE = 2.0  # a standard error of a logarithm (or of a coefficient's effect) that tells nothing
LEAST_SD = 0.01  # of a random effect, under which it is none
CONSTANT = "with all constants: the levels' N log(2 pi) is in it, N levels that are not censored"


def numbers_of(
    config: PopulationConfig, flat: Float[Array | np.ndarray, " number"]
) -> dict[str, Array]:
    """What the estimated numbers mean, natural scale.

    Args:
        config: What the model is made of.
        flat: In the order of `inference.estimation.number_names`.

    Returns:
        typical, coefficient, sd, correlation, within and residual: arrays.
    """
    return _natural(config.key)(np.asarray(flat, np.float64))[0]


@cache
def _natural(key: str) -> Callable[[Array | np.ndarray], tuple[dict[str, Array], dict[str, Array]]]:
    """What the numbers mean and the slopes of that, as one program."""
    numbers = partial(_meaning, PopulationConfig.model_validate_json(key))
    return jax.jit(lambda flat: (numbers(flat), jax.jacfwd(numbers)(flat)))


def _meaning(config: PopulationConfig, flat: Float[Array, " number"]) -> dict[str, Array]:
    counts = [
        len(config.parameters),
        sum(term.width for term in config.terms),
        len(config.varying),
        len(config.correlations),
        len(config.within),
    ]
    log_typical, coefficient, log_diagonal, below, log_within, residual = jnp.split(
        flat, np.cumsum(counts)
    )
    factor = omega_factor(config, log_diagonal, below)
    omega = factor @ factor.T
    sd = jnp.sqrt(jnp.diag(omega))
    pairs = [omega[i, j] / (sd[i] * sd[j]) for i, j in config.correlations]
    return {
        "typical": jnp.exp(log_typical),
        "coefficient": coefficient,
        "sd": sd,
        "correlation": jnp.stack(pairs) if pairs else below,
        "within": jnp.exp(log_within),
        "residual": jnp.exp(residual),
    }


def describe(fit: PopulationFit) -> dict[str, Any]:
    """Everything a fit says, as JSON values; null where there is no number."""
    config, found = fit.config, fit.found
    covariance, vague = _covariance(found, config)
    natural, slopes = jax.device_get(_natural(config.key)(found.value))
    values, errors = dict(natural), _errors(slopes, covariance)
    levels = np.asarray(fit.records.mask & ~fit.records.censored)
    individual = individual_predictions(fit.model, fit.records, found.modes)
    structure = structure_of(config.structure)
    return {
        "meta": _meta(fit),
        "parameters": {
            name: _one(values["typical"][k], errors["typical"][k], log=True)
            | {"unit": parameter_unit(structure, name) or None}
            for k, name in enumerate(config.parameters)
        },
        "effects": _effects(config, values["coefficient"], errors["coefficient"]),
        "random_effects": {
            name: _one(values["sd"][k], errors["sd"][k], log=True)
            | {"cv_percent": _finite(100 * np.sqrt(np.expm1(values["sd"][k] ** 2)))}
            for k, name in enumerate(config.varying)
        },
        "correlations": {
            f"{config.varying[i]},{config.varying[j]}": _one(
                values["correlation"][k], errors["correlation"][k], log=False
            )
            for k, (i, j) in enumerate(config.correlations)
        },
        "between_occasions": {
            name: _one(values["within"][k], errors["within"][k], log=True)
            for k, name in enumerate(config.within)
        },
        "residual": _residual(config, values["residual"], errors["residual"]),
        "likelihood": _likelihood(fit, int(levels.sum())),
        "shrinkage": _shrinkage(fit, values["sd"], individual, levels),
        "convergence": {
            "arrived": found.arrived,
            "largest_gradient": _finite(np.abs(found.gradient).max(initial=0.0)),
            "evaluations": found.evaluations,
            "stopped": found.stopped,
        },
        "warnings": warnings_of(fit, values, vague) + _doubts(fit),
        "structures": list(fit.tried),
        "subjects": _subjects(fit),
    }


def typical_predictions(model: LatentModel, records: Record) -> Float[np.ndarray, "subject level"]:
    """Concentrations of the typical patient with each one's covariates [mg/L]."""
    size = model.effects + records.occasions * model.kappas
    return individual_predictions(model, records, np.zeros((records.mask.shape[0], size)))


def individual_predictions(
    model: LatentModel, records: Record, eps: Float[np.ndarray, "subject effect"]
) -> Float[np.ndarray, "subject level"]:
    """Concentrations at the levels' times for some random effects [mg/L]."""
    return np.asarray(_curves(model, records, eps))


def individual_effects(fit: PopulationFit) -> Float[np.ndarray, "subject effect"]:
    """The modes of the subjects' random effects, on log parameters."""
    prior = fit.model.prior
    if not isinstance(prior, PopulationPrior):
        raise TypeError("only a population model has these effects")
    return fit.found.modes[:, : len(fit.config.varying)] @ np.asarray(_factor(prior)).T


def weighted_residuals(
    fit: PopulationFit, predicted: Float[np.ndarray, "subject level"]
) -> Float[np.ndarray, "subject level"]:
    """Levels minus predictions in units of the error's SD there."""
    both = jax.device_put((np.asarray(fit.records.value), predicted))
    return np.asarray(_standardized(fit.model.residual, *both))


@eqx.filter_jit
def _factor(prior: PopulationPrior) -> Array:
    return prior.factor()


@eqx.filter_jit
def _standardized(residual: Residual, value: Array, predicted: Array) -> Array:
    return jax.vmap(residual.standardized)(value, predicted)


@eqx.filter_jit
def _curves(model: LatentModel, records: Record, eps: Array | np.ndarray) -> Array:
    def one(item: tuple[Record, Array]) -> Array:
        record, e = item
        return model.concentration(e, model.location(record), record, record.time, record.order)

    return jax.lax.map(one, (records, eps))


def _meta(fit: PopulationFit) -> dict[str, Any]:
    config = fit.config
    return {
        "what": "population model by maximum marginal likelihood",
        "structure": config.structure,
        "parameters": list(config.parameters),
        "omega": config.omega,
        "error": FORMULAS[config.residual],
        "method": fit.found.rule,
        "subjects": len(fit.cohort),
        "levels": int(fit.records.mask.sum()),
        "censored": int((fit.records.mask & fit.records.censored).sum()),
        "data": fit.cohort.source_hash,
        "notices": list(fit.cohort.notices),
    }


def _covariance(
    found: Estimate, config: PopulationConfig
) -> tuple[Float[np.ndarray, "number number"] | None, list[str]]:
    """Of the estimated numbers, and which of them the data leave open.

    A random effect that has gone to nothing has no curvature: it is left out of the inverse.
    """
    if found.hessian is None or not np.isfinite(found.hessian).all():
        return None, []
    information, size = 0.5 * found.hessian, len(found.value)
    gone = [f"log sd {n}" for n in config.varying] + [f"log sd {n} within" for n in config.within]
    kept = np.array(
        [
            not (name in gone and np.exp(value) < LEAST_SD)
            for name, value in zip(found.names, found.value, strict=True)
        ]
    )
    own = information[np.ix_(kept, kept)]
    values, vectors = np.linalg.eigh(own)
    flat = values < 1 / (VAGUE**2 * max(1, kept.sum()))
    names = np.array(found.names)[kept]
    vague = [
        " and ".join(names[np.abs(vectors[:, k]) > 0.4 * np.abs(vectors[:, k]).max()])
        for k in np.flatnonzero(flat)
    ]
    covariance = np.full((size, size), np.nan)
    if (values > 0).all():
        covariance[np.ix_(kept, kept)] = (vectors / values) @ vectors.T
    return covariance, vague


def _errors(slopes: dict[str, np.ndarray], covariance: np.ndarray | None) -> dict[str, np.ndarray]:
    """Standard errors on the natural scale."""
    if covariance is None:
        return {name: np.full(slope.shape[0], np.nan) for name, slope in slopes.items()}
    errors = {}
    for name, rows in slopes.items():
        own = np.array(
            [row[row != 0] @ covariance[np.ix_(row != 0, row != 0)] @ row[row != 0] for row in rows]
        ).reshape(rows.shape[0])
        errors[name] = np.sqrt(np.where(own > 0, own, np.nan))
    return errors


def _one(value: float, error: float, *, log: bool) -> dict[str, Any]:
    relative = error / abs(value) if value else np.nan
    if log:
        factor = np.exp(min(WIDE * relative, 50.0))  # NaN stays; a vague one needs no overflow
        low, high = value / factor, value * factor
    else:
        low, high = value - WIDE * error, value + WIDE * error
    return {
        "value": _finite(value),
        "se": _finite(error),
        "rse_percent": _finite(100 * relative),
        "lo": _finite(low),
        "hi": _finite(high),
    }


def _effects(
    config: PopulationConfig, values: np.ndarray, errors: np.ndarray
) -> dict[str, dict[str, Any]]:
    told, place = {}, 0
    for term in config.terms:
        for name in term.names:
            told[name] = _one(values[place], errors[place], log=False) | {
                "shape": term.shape,
                "reference": term.reference,
            }
            place += 1
    return told


def _residual(
    config: PopulationConfig, values: np.ndarray, errors: np.ndarray
) -> dict[str, dict[str, Any]]:
    words = {"log_a": ("sigma_add", "mg/L"), "log_b": ("sigma_prop", "1")}
    return {
        words[term][0]: _one(values[k], errors[k], log=True) | {"unit": words[term][1]}
        for k, term in enumerate(RESIDUAL_TERMS[config.residual])
    }


def _likelihood(fit: PopulationFit, seen: int) -> dict[str, Any]:
    minus2, config = fit.found.minus2, fit.config
    count, levels, subjects = len(fit.found.value), int(fit.records.mask.sum()), len(fit.cohort)
    fixed = set(config.parameters) - set(config.varying) - set(config.within)
    plain = len(fixed) + len(RESIDUAL_TERMS[config.residual])
    plain += sum(term.width for term in config.terms if term.parameter in fixed)
    corrected = minus2 + (count - plain) * np.log(subjects) + plain * np.log(levels)
    return {
        "minus2_log_likelihood": _finite(minus2),
        "constant": CONSTANT,
        "without_n_log_2pi": _finite(minus2 - seen * np.log(2 * np.pi)),
        "estimated_numbers": count,
        "aic": _finite(minus2 + 2 * count),
        "bic": _finite(minus2 + count * np.log(levels)),
        "bicc": _finite(corrected),
    }


def bicc(fit: PopulationFit) -> float:
    """The corrected criterion of a fit; infinite where there is no likelihood."""
    value = _likelihood(fit, 0)["bicc"]
    return np.inf if value is None else value


def _shrinkage(
    fit: PopulationFit, sd: np.ndarray, individual: np.ndarray, levels: np.ndarray
) -> dict[str, Any]:
    """1 - SD of the modes over omega's, and 1 - SD of the weighted residuals."""
    eta = individual_effects(fit)
    residual = weighted_residuals(fit, individual)
    return {
        "definition": "1 - SD(modes) / omega, and 1 - SD of individual weighted residuals",
        "eta": {
            name: _finite(1 - eta[:, k].std(ddof=1) / sd[k]) if len(eta) > 1 else None
            for k, name in enumerate(fit.config.varying)
        },
        "epsilon": _finite(1 - residual[levels].std(ddof=1)),
    }


def warnings_of(fit: PopulationFit, values: dict[str, np.ndarray], vague: list[str]) -> list[str]:
    """What the user must know of these estimates."""
    told, config, found = [], fit.config, fit.found
    if not found.arrived:
        mend = (
            "Take --method focei, laplace or quadrature, whose likelihood does not change with "
            "where draws lie, or fewer random effects."
            if found.rule.startswith("sampling")
            else "Give starting values with --initial, or allow more evaluations."
        )
        told.append(
            f"The descent stopped early ({found.stopped}; the steepest gradient of -2 log L is "
            f"{np.abs(found.gradient).max():.2g}): these are no estimates. {mend}"
        )
    told += [
        f"The data cannot tell {names}: -2 log L hardly changes along it. Fix it with "
        "another structure, fewer random effects or effects, or add data that sees it."
        for names in vague
    ]
    for k, name in enumerate(config.varying):
        if values["sd"][k] < LEAST_SD:
            told.append(
                f"{name} does not vary between these patients: the SD of its random effect went "
                "to 0, the edge of what it can be, and has no standard error. Leave it out of "
                "--varying."
            )
    for k, name in enumerate(config.within):
        if values["within"][k] < LEAST_SD:
            told.append(f"{name} does not vary between occasions: leave it out of --iov.")
    for k, (i, j) in enumerate(config.correlations):
        if abs(values["correlation"][k]) > 0.99:
            told.append(
                f"{config.varying[i]} and {config.varying[j]} are estimated as one random effect "
                "(their correlation is at its limit)."
            )
    return told


def _doubts(fit: PopulationFit) -> list[str]:
    """Courses at the modes that the equations do not allow."""
    who = [subject.id for subject in fit.cohort]
    return doubtful_courses(fit.model, fit.records, fit.found.modes, who)


def _subjects(fit: PopulationFit) -> list[dict[str, Any]]:
    eta = individual_effects(fit)
    return [
        {
            "id": subject.id,
            "levels": len(subject.levels),
            "minus2_log_likelihood": _finite(fit.found.each[k]),
            "eta": {
                name: _finite(value) for name, value in zip(fit.config.varying, eta[k], strict=True)
            },
        }
        for k, subject in enumerate(fit.cohort)
    ]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
