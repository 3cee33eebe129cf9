"""A population fit kept as a model: what forecasts, exposures and doses open."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from latentpk.errors import ArtifactError, InputError
from latentpk.inference.initial import measure
from latentpk.inference.trust import Domain
from latentpk.models.bundle import from_arrays, to_arrays
from latentpk.models.config import CovariateConfig, Frozen
from latentpk.models.latent import LatentModel
from latentpk.models.population import PopulationConfig
from latentpk.storage import read_bundle, write_bundle
from latentpk.workflows.card import versions
from latentpk.workflows.population.fit import PopulationFit
from latentpk.workflows.population.outcome import describe
from latentpk.workflows.predictor import Predictor, half_life
from latentpk.workflows.setup import covariate_configs, dose_covariate_configs, seen_range

KIND, SCHEMA = "population-model", 1
SPAN = 3.0  # of usual doses about the median of those fitted to


class Kept(Frozen):
    """All of a kept population that is no array.

    Attributes:
        config: What the model is made of.
        covariates: What the data held of each.
        dose_covariates: And of what is said of each dose.
        usual_dose: Median dose of the data [mg].
        undecided: Where doses of undecided route go: 0 central, 1 the absorption site.
        reading: Arguments of `read_nonmem` for data it is to forecast.
        card: The model card.
    """

    config: PopulationConfig
    covariates: tuple[CovariateConfig, ...] = ()
    dose_covariates: tuple[CovariateConfig, ...] = ()
    usual_dose: float
    undecided: float
    reading: dict[str, Any]
    card: dict[str, Any]


@dataclass(frozen=True, eq=False)
class FittedPopulation:
    """A population at its estimates, to be asked about patients.

    Attributes:
        model: The latent model; it has no encoder, and answers as a published one does.
        kept: All else.
    """

    model: LatentModel
    kept: Kept

    @staticmethod
    def of(
        fit: PopulationFit,
        found: Mapping[str, Any] | None = None,
        *,
        route: Literal["auto", "iv", "oral"] = "auto",
    ) -> "FittedPopulation":
        """Make a model of a fit.

        Args:
            fit: The fit.
            found: What `describe` says of it, where that was computed already.
            route: What the data were read with.

        Raises:
            InputError: No likelihood.
        """
        found = describe(fit) if found is None else found
        if not np.isfinite(fit.found.minus2):
            raise InputError(
                "There is no likelihood at these values, so there is no model to keep. Give "
                "starting values (--initial) near the data."
            )
        cohort, config = fit.cohort, fit.config
        covariates, said = covariate_configs(cohort), dose_covariate_configs(cohort)
        reading: dict[str, Any] = {
            "units": cohort.described_units,
            "covariates": list(cohort.covariate_names),
            "interpolation": cohort.interpolation,
            "medians": {known.name: known.median for known in covariates},
            "occasions": [] if config.within else None,
        }
        if config.residual != "lognormal":
            reading["negative"] = "keep"  # as they were fitted to
        if route != "auto":
            reading["route"] = route
        if said:
            reading["dose_covariates"] = [known.name for known in said]
        return FittedPopulation(
            fit.model,
            Kept(
                config=config,
                covariates=covariates,
                dose_covariates=said,
                usual_dose=float(measure(fit.records).dose),
                undecided=float(config.oral),
                reading=reading,
                card=_card(fit, found, (*covariates, *said)),
            ),
        )

    def card(self) -> dict[str, Any]:
        """The model card: estimates, data, covariates, warnings, versions, hashes."""
        return self.kept.card

    def predictor(self, name: str = "this model") -> Predictor:
        """What answers for patients; `name` is what answers call it."""
        kept = self.kept
        middle = jnp.asarray([known.median for known in kept.covariates], jnp.float64)
        typical = np.exp(np.asarray(self.model.prior.location(middle)))
        return Predictor(
            name=name,
            model=self.model,
            reading=dict(kept.reading),
            covariates=tuple(known.name for known in kept.covariates),
            undecided=kept.undecided,
            domain=Domain(
                tuple(map(seen_range, kept.covariates)),
                half_life(self.model, typical),
                usual=(kept.usual_dose / SPAN, kept.usual_dose * SPAN),
                doses=tuple(map(seen_range, kept.dose_covariates)),
            ),
            usual_dose=kept.usual_dose,
            dose_covariates=tuple(known.name for known in kept.dose_covariates),
            about={
                "name": name,
                "citation": "fitted by latentpk popfit",
                "decoder": kept.config.structure,
                "sha256": kept.card.get("hashes", {}).get("model", ""),
            },
        )

    def save(self, folder: str | Path) -> None:
        """Write the model to a folder, whole or not at all."""
        manifest = self.kept.model_dump(mode="json")
        write_bundle(
            folder, kind=KIND, schema=SCHEMA, manifest=manifest, arrays=to_arrays(self.model)
        )

    @staticmethod
    def load(folder: str | Path) -> "FittedPopulation":
        """Read a model.

        Raises:
            ArtifactError: The folder is damaged, foreign or of another version, or its user's
                system is not registered in this process.
        """
        bundle = read_bundle(folder, kind=KIND, schema=SCHEMA)
        try:
            kept = Kept.model_validate(bundle.manifest)
        except ValueError as error:
            raise ArtifactError(f"{folder}: the manifest describes no model: {error}") from error
        card = kept.card | {"hashes": {**kept.card.get("hashes", {}), "model": bundle.seal}}
        model = from_arrays(kept.config, bundle.arrays)
        return FittedPopulation(model, kept.model_copy(update={"card": card}))


def _card(
    fit: PopulationFit, found: Mapping[str, Any], covariates: tuple[CovariateConfig, ...]
) -> dict[str, Any]:
    """Estimates as lines to read; the fit's own JSON has every number."""
    meta, likelihood = found["meta"], found["likelihood"]
    spread = found["random_effects"]
    values = {
        name: _line(one)
        + (f", SD of log {spread[name]['value']:.3g}" if name in spread else ", the same in all")
        for name, one in found["parameters"].items()
    }
    effects = {
        name: f"{one['value']:.4g}, {one['shape']} about {one['reference']:g}"
        for name, one in found["effects"].items()
    }
    within = {
        f"{name}, SD between occasions": f"{one['value']:.3g}"
        for name, one in found["between_occasions"].items()
    }
    pairs = {
        f"correlation of {name}": f"{one['value']:.3g}"
        for name, one in found["correlations"].items()
    }
    return {
        "population": {"structure": meta["structure"]} | values | effects | pairs | within,
        "residual error": {"formula": meta["error"]}
        | {name: _line(one) for name, one in found["residual"].items()},
        "fit": {
            "method": meta["method"],
            "-2 log likelihood": likelihood["minus2_log_likelihood"],
            "BICc": likelihood["bicc"],
            "arrived": found["convergence"]["arrived"],
        },
        "data": {
            "subjects": meta["subjects"],
            "levels": meta["levels"],
            "units": fit.cohort.described_units,
            "interpolation": fit.cohort.interpolation,
        },
        "covariates": [
            {"name": c.name, "kind": c.kind, "low": c.low, "median": c.median, "high": c.high}
            for c in covariates
        ],
        "warnings": list(found["warnings"]),
        "versions": versions(),
        "hashes": {"data": fit.cohort.source_hash},
    }


def _line(one: Mapping[str, Any]) -> str:
    unit = "" if one.get("unit") in (None, "1") else f" {one['unit']}"
    between = "" if one["lo"] is None else f" ({one['lo']:.4g} to {one['hi']:.4g})"
    return f"{one['value']:.4g}{unit}{between}"
