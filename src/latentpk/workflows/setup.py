"""From a cohort to the configuration of a latent model."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from latentpk.inference.initial import Scales
from latentpk.inference.trust import Range
from latentpk.kinetics.structure import Structure
from latentpk.kinetics.systems import is_system
from latentpk.models.config import (
    CompartmentConfig,
    CovariateConfig,
    CovariateKind,
    DecoderConfig,
    EncoderConfig,
    GridConfig,
    HybridConfig,
    KernelConfig,
    MechanisticConfig,
    ModelConfig,
    NeuralOdeConfig,
    ResidualKind,
)
from latentpk.records.subject import Cohort
from latentpk.units import PHYSICAL
from latentpk.views.patient import available

HYBRID = "hybrid-"  # before the structure of its mechanism
TARGET = "TARGET"  # a covariate of this name is a target's level, which a learned field reads


def covariate_configs(cohort: Cohort) -> tuple[CovariateConfig, ...]:
    """Describe each covariate by the cohort's first values; logs where all are positive."""
    first = np.stack([subject.covariates[0] for subject in cohort])
    every = np.concatenate([subject.covariates for subject in cohort])
    return tuple(
        _covariate(name, kind, first[:, i], every[:, i])
        for i, (name, kind) in enumerate(
            zip(cohort.covariate_names, cohort.covariate_kinds, strict=True)
        )
    )


def dose_covariate_configs(cohort: Cohort) -> tuple[CovariateConfig, ...]:
    """Describe each covariate of doses by the doses of the cohort."""
    every = np.concatenate([subject.doses.state for subject in cohort])
    named = zip(cohort.dose_covariates, cohort.dose_kinds, every.T, strict=True)
    return tuple(_covariate(name, kind, values, values) for name, kind, values in named)


def _covariate(
    name: str, kind: CovariateKind, first: np.ndarray, every: np.ndarray
) -> CovariateConfig:
    log = kind == "continuous" and bool((every > 0).all())
    values = np.log(first) if log else first
    spread = float(np.std(values))
    low, high = np.quantile(every, [0.005, 0.995])
    return CovariateConfig(
        name=name,
        kind=kind,
        log=log,
        levels=tuple(sorted(set(every.tolist()))) if kind == "categorical" else (),
        center=float(np.mean(values)) if kind == "continuous" else float(np.min(values)),
        scale=spread if kind == "continuous" and spread > 1e-9 else 1.0,
        low=float(low),
        high=float(high),
        median=float(np.median(first)),
    )


def decoder_config(
    name: str, scales: Scales, *, oral: bool, both: bool, covariates: Sequence[str] = ()
) -> DecoderConfig:
    """Make a decoder's configuration from its name.

    Args:
        name: Structure such as "2c-iv" or "1c-mm-oral", or "kernel", "grid", "neural_ode", or
            "hybrid-" and the structure of its mechanism.
        scales: Sizes of the cohort.
        oral: Whether some dose is extravascular.
        both: Whether both routes occur, so that F can be told.
        covariates: Names of the cohort's; one of them may be a target's level.
    """
    if name == "kernel":
        return KernelConfig(
            modes=3,
            sites=4 if oral else 0,
            disposition=3,
            absorption=4 if oral else 0,
            bioavailability=both,
        )
    if name.startswith(HYBRID):
        return HybridConfig(
            structure=name.removeprefix(HYBRID),
            horizon=scales.time,
            early=max(scales.early, 0.01 * scales.time),
            level_scale=scales.level,
        )
    if name == "neural_ode":
        return NeuralOdeConfig(
            depot=oral,
            bioavailability=both,
            time_scale=scales.time,
            level_scale=scales.level,
            shortest=0.04 * scales.time,
            target=TARGET if TARGET in covariates else None,
        )
    if name == "grid":
        return GridConfig(horizon=1.2 * scales.time)
    if is_system(name):
        return MechanisticConfig(structure=name)
    return CompartmentConfig(structure=str(Structure.parse(name)))


def model_config(
    covariates: tuple[CovariateConfig, ...],
    decoder: DecoderConfig,
    scales: Scales,
    *,
    prior: Literal["linear", "multiview"],
    residual: ResidualKind,
    dose_covariates: tuple[CovariateConfig, ...] = (),
) -> ModelConfig:
    """Put a model's configuration together.

    Args:
        covariates: From `covariate_configs`.
        decoder: From `decoder_config`.
        scales: Sizes of the cohort.
        prior: "linear" or "multiview".
        residual: Kind of residual error.
        dose_covariates: From `dose_covariate_configs`.
    """
    return ModelConfig(
        covariates=covariates,
        dose_covariates=dose_covariates,
        knowledge=available([c.name for c in covariates]),
        prior=prior,
        decoder=decoder,
        residual=residual,
        floor=1e-3 * scales.level,
        encoder=EncoderConfig(
            time_scale=scales.time, level_scale=scales.level, dose_scale=scales.dose
        ),
    )


def seen_range(known: CovariateConfig) -> Range:
    """Soft where the training data were; hard where nothing like it was seen.

    A continuous covariate that was positive throughout is refused beyond a third or three times
    what was seen, another one beyond a whole range on either side; a code must have been seen.
    """
    low, high = known.low, known.high
    if known.kind != "continuous":
        seen = known.levels or (low, high)
        return Range(known.name, "", (min(seen), max(seen)), (min(seen), max(seen)), code=True)
    width = high - low
    hard = (low / 3, high * 3) if known.log else (low - width, high + width)
    unit = PHYSICAL[known.name].unit if known.name in PHYSICAL else ""
    return Range(known.name, unit, (low, high), hard)
