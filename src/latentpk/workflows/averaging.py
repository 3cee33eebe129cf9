"""Several models of one drug asked together about the same patients."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from latentpk.dosing.patient import Mixture, Seen
from latentpk.errors import InputError
from latentpk.inference.averaging import Panel
from latentpk.inference.posterior import PosteriorSettings
from latentpk.inference.trust import Trust
from latentpk.records.subject import Cohort
from latentpk.workflows.forecast import Progress, forecast_table
from latentpk.workflows.patient import Posterior
from latentpk.workflows.predictor import Predictor

Pair = tuple[Predictor, Cohort]


@dataclass(frozen=True, eq=False)
class Average:
    """The posterior of one patient under several models; of one model, that posterior.

    Attributes:
        panel: The models' weights, and what they have to say.
        posteriors: One for each model.
    """

    panel: Panel
    posteriors: tuple[Posterior, ...]

    @staticmethod
    def of(names: Sequence[str], posteriors: Sequence[Posterior]) -> "Average":
        """Weigh the posteriors of one patient."""
        said = zip(names, posteriors, strict=True)
        panel = Panel.of([posterior.say(name) for name, posterior in said])
        return Average(panel, tuple(posteriors))

    @property
    def first(self) -> Posterior:
        """The posterior of the weightiest model."""
        return self.posteriors[self.panel.first]

    @property
    def gates(self) -> tuple[Trust, ...]:
        """The panel's gates A, B and C."""
        return self.panel.gates

    @property
    def seed(self) -> int:
        """Seed of the draws."""
        return self.posteriors[0].seed

    @property
    def heard(self) -> list[int]:
        """Which models have weight."""
        return [int(m) for m in np.flatnonzero(self.panel.weight > 0)]

    def patient(self) -> Seen:
        """The record, and the draws of the models with weight."""
        if len(self.heard) == 1:
            return self.posteriors[self.heard[0]].patient()
        parts = tuple(self.posteriors[m].patient() for m in self.heard)
        return Mixture(parts, self.panel.weight[self.heard])


def forecast(
    pairs: Sequence[Pair], *, draws: int = 1024, seed: int = 0, progress: Progress | None = None
) -> pl.DataFrame:
    """Forecast a cohort by one model, or by the average of several.

    Args:
        pairs: A model with the cohort read by its `reading`; several models of one drug, each
            with the same patients, are weighed by the marginal likelihood of the levels.
        draws: Posterior draws of a subject.
        seed: Of the draws.
        progress: Called with (done, total, label).

    Returns:
        Columns as `forecast_table` gives them.

    Raises:
        InputError: A cohort of another model, models that cannot be averaged.
    """
    check_alike(pairs)
    if len(pairs) == 1:
        predictor, cohort = pairs[0]
        return predictor.forecast(cohort, draws=draws, seed=seed, progress=progress)
    settings = PosteriorSettings(draws=draws, seed=seed, rival=True)
    voices = [predictor.voice(cohort, settings) for predictor, cohort in pairs]
    return forecast_table(voices, progress=progress)


def asked_alike(pairs: Sequence[Pair], asked: Cohort) -> list[Pair]:
    """The same models asked for the output rows of the first one's changed cohort."""
    rows = {subject.id: subject.outputs for subject in asked}
    found = []
    for predictor, cohort in pairs:
        kept = [replace(s, outputs=rows[s.id]) for s in cohort if s.id in rows]
        found.append((predictor, replace(cohort, subjects=tuple(kept))))
    return found


def check_alike(pairs: Sequence[Pair]) -> None:
    """Refuse models that cannot be averaged, and cohorts that are not the same patients.

    Raises:
        InputError: Models of different drugs or salts, the same model twice, cohorts of different
            patients or units, a cohort read for another model.
    """
    for predictor, cohort in pairs:
        predictor.check(cohort)
    (first, whole), *others = pairs
    problems = []
    names = [predictor.name for predictor, _ in pairs]
    problems += [
        f"{name} is named twice" for name in sorted({n for n in names if names.count(n) > 1})
    ]
    for predictor, cohort in others:
        drugs = {one.about.get("drug") for one in (first, predictor)} - {None}
        if len(drugs) > 1:
            problems.append(
                f"{first.name} is a model of {first.about['drug']} and {predictor.name} of "
                f"{predictor.about['drug']}"
            )
        elif predictor.salt_factor != first.salt_factor:
            problems.append(
                f"{first.name} counts doses with salt factor {first.salt_factor:g} and "
                f"{predictor.name} with {predictor.salt_factor:g}"
            )
        if predictor.dose_covariates != first.dose_covariates:
            problems.append(f"{predictor.name} knows doses by other covariates than {first.name}")
        if [s.id for s in cohort] != [s.id for s in whole]:
            problems.append(f"{predictor.name} was given other patients than {first.name}")
        if any(cohort.units.unit(name) != whole.units.unit(name) for name in ("DV", "AMT")):
            problems.append(f"{predictor.name} reads AMT or DV in another unit than {first.name}")
    if problems:
        raise InputError(
            "Models are averaged over the same patients, drug and units: "
            + "; ".join(problems)
            + ". Leave one out."
        )
