"""A fitted model's card: data, covariates, decoder, training, versions, hashes."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from latentpk import __version__
from latentpk.inference.initial import absorption_of
from latentpk.inference.training import TrainingHistory
from latentpk.kinetics.doses import ABSORPTION
from latentpk.kinetics.structure import Structure
from latentpk.library.card import LibraryModel
from latentpk.models.config import (
    CompartmentConfig,
    Frozen,
    HybridConfig,
    MechanisticConfig,
    ModelConfig,
)
from latentpk.models.distilled import DistilledConfig
from latentpk.models.latent import LatentModel
from latentpk.models.parameters import parameter_unit
from latentpk.models.prior import LearnedPrior
from latentpk.models.published import PublishedPrior, structure_of
from latentpk.models.residual import FORMULAS
from latentpk.records.subject import Cohort


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a fit ended with.

    Attributes:
        model: The model.
        config: What it was built from.
        told: What choosing it found, as sentences.
        history: Of its training.
    """

    model: LatentModel
    config: ModelConfig | DistilledConfig
    told: tuple[str, ...]
    history: TrainingHistory


def identity(cohort: Cohort, settings: Frozen, source: str | None = None) -> dict[str, Any]:
    """What must match for unfinished work on a cohort to be resumed.

    Args:
        cohort: What is fitted, as it was read.
        settings: What was asked.
        source: Hash of the model it begins from; None where it begins from nothing.
    """
    began = {} if source is None else {"source": source}
    return began | {
        "data": cohort.source_hash,
        "covariates": list(cohort.covariate_names),
        "dose_covariates": list(cohort.dose_covariates),
        "interpolation": cohort.interpolation,
        "derive": cohort.derive and cohort.derive.to_dict(),
        "units": cohort.units.to_dict(),
        "settings": settings.model_dump(mode="json"),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions that a fit's bits depend on."""
    return {
        "latentpk": __version__,
        "jax": jax.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


def reading(cohort: Cohort, config: ModelConfig | DistilledConfig) -> dict[str, Any]:
    """Arguments of `read_nonmem` with which later data are read as the training data were."""
    found: dict[str, Any] = {
        "units": cohort.described_units,
        "covariates": [c.name for c in config.covariates],
        "interpolation": cohort.interpolation,
        "medians": {c.name: c.median for c in config.covariates},
    }
    if isinstance(config, ModelConfig) and config.dose_covariates:
        found["dose_covariates"] = [c.name for c in config.dose_covariates]
    return found | ({} if cohort.derive is None else {"derive": cohort.derive.to_dict()})


def card(outcome: Outcome, cohort: Cohort) -> dict[str, Any]:
    """Write the card of a fit.

    Args:
        outcome: The fit.
        cohort: What it was fitted to.

    Returns:
        Sections of JSON values, each number with its unit.
    """
    model, config = outcome.model, outcome.config
    scales = config.encoder
    residual = {
        "formula": FORMULAS[model.residual.kind],
        "a [mg/L]": float(np.exp(model.residual.log_a)),
        "b": float(np.exp(model.residual.log_b)),
    }
    return {
        "data": {
            "subjects": len(cohort),
            "levels": int(sum(len(s.levels) for s in cohort)),
            "doses": int(sum(len(s.doses) for s in cohort)),
            "units": cohort.described_units,
            "interpolation": cohort.interpolation,
            **({} if cohort.derive is None else {"computed": " ".join(cohort.computed)}),
            "typical time [h]": scales.time_scale,
            "median level [mg/L]": scales.level_scale,
            "median dose [mg]": scales.dose_scale,
        },
        "covariates": [
            {"name": c.name, "kind": c.kind, "low": c.low, "median": c.median, "high": c.high}
            for c in config.covariates
        ],
        "decoder": _decoder(model, config),
        "residual error": residual,
        **_absorption_of_doses(model, config),
        **({"groups of people": _groups(model, config)} if model.groups > 1 else {}),
        "training": {
            "epochs": len(outcome.history.terms),
            "bound after the ELBO [nats per subject]": float(outcome.history.terms[-1].bound),
        },
        "selection": list(outcome.told),
        "versions": versions(),
        "hashes": {"data": cohort.source_hash},
    }


def _absorption_of_doses(
    model: LatentModel, config: ModelConfig | DistilledConfig
) -> dict[str, list[dict[str, str]]]:
    """What each covariate of doses does to absorption; empty where there is none."""
    if not isinstance(config, ModelConfig) or not config.dose_covariates:
        return {}
    named = config.decoder
    names = ABSORPTION
    if isinstance(named, CompartmentConfig | HybridConfig):
        exist = absorption_of(Structure.parse(named.structure))
        names = tuple(name for name, there in zip(ABSORPTION, exist, strict=True) if there)
    reference = np.array(model.prior.reference_dose)
    rows: list[dict[str, str]] = []
    for place, known in enumerate(config.dose_covariates):
        for value in known.levels[1:] or (known.high,):
            state = reference.copy()
            state[place] = value
            log = np.asarray(model.prior.own(jnp.asarray(state[None])))[0]
            factors = dict(zip(ABSORPTION, np.exp(log), strict=True))
            said = f"{known.name} {value:.4g}, not {known.reference:.4g}"
            rows.append({"a dose with": said} | {name: f"x {factors[name]:.3g}" for name in names})
    return {"absorption of doses": rows}


def _groups(model: LatentModel, config: ModelConfig | DistilledConfig) -> list[dict[str, Any]]:
    """Each group's share, where it lies beside the first, and how wide it is."""
    prior = model.prior
    assert isinstance(prior, LearnedPrior)  # noqa: S101 - no other has groups
    assert prior.groups is not None  # noqa: S101
    named = config.decoder if isinstance(config, ModelConfig) else None
    names: tuple[str, ...] = ()
    if isinstance(named, CompartmentConfig | MechanisticConfig):
        names = structure_of(named.structure).names
    shares, shifts = np.exp(np.asarray(prior.log_shares())), np.asarray(prior.groups.shifts)
    sizes = np.exp(np.asarray(prior.groups.sizes))
    return [
        {"group": k + 1, "share": f"{100 * share:.3g} %"}
        | {name: f"x {np.exp(by):.3g}" for name, by in zip(names, shift, strict=False)}
        | {"SD of logs": f"x {size:.3g}"}
        for k, (share, shift, size) in enumerate(zip(shares, shifts, sizes, strict=True))
    ]


def published_ranges(published: LibraryModel) -> list[dict[str, Any]]:
    """Where a published model holds, covariate by covariate."""
    return [
        {
            "name": known.name,
            "unit": known.unit,
            "definition": known.definition,
            "caution outside": "{:g} to {:g}".format(*known.soft),
            "refused outside": "{:g} to {:g}".format(*known.hard),
        }
        for known in published.required
    ]


def _decoder(model: LatentModel, config: ModelConfig | DistilledConfig) -> dict[str, Any]:
    if isinstance(config, ModelConfig):
        about = {"name": config.decoder.name, "prior": config.prior}
        return about | dict(_population(model, config))
    about = {"name": "compartment", "prior": "published"}
    return about | {"structure": config.population.structure} | _published(model, config)


def _published(model: LatentModel, config: DistilledConfig) -> dict[str, str]:
    """Typical values with their covariate effects, how far a site moved them, and spread."""
    assert isinstance(model.prior, PublishedPrior)  # noqa: S101 - what the config builds
    moved = np.exp(np.asarray(model.prior.shift))
    spread = np.sqrt(np.sum(np.asarray(model.prior.chol()) ** 2, axis=1))
    lines: dict[str, str] = {}
    for known, factor, sd in zip(config.population.parameters, moved, spread, strict=True):
        local = "" if factor == 1 else f", all x {factor:.4g}"
        formula = known.formula().partition(" = ")[2]
        lines[known.name] = f"{formula}{local}, SD of log {sd:.3g}"
    return lines


def _population(model: LatentModel, config: ModelConfig) -> Mapping[str, Any]:
    """Typical values and spread, where the latent dimensions have names."""
    named = config.decoder
    if not isinstance(named, CompartmentConfig | MechanisticConfig) or not isinstance(
        model.prior, LearnedPrior
    ):
        return {"latent dimensions": model.effects}
    structure = structure_of(named.structure)
    names = structure.names
    factor = np.asarray(model.prior.chol())
    spread = np.sqrt(np.sum(factor**2, axis=1))
    typical = np.exp(np.asarray(model.prior.typical))
    return {"structure": str(structure)} | {
        name: f"{value:.4g} {parameter_unit(structure, name)}".rstrip() + f", SD of log {sd:.3g}"
        for name, value, sd in zip(names, typical, spread, strict=True)
    }
