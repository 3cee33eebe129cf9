"""What answers for a patient, trained or published: a posterior, a forecast, three gates."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import polars as pl
from jaxtyping import Float

from latentpk.errors import InputError, Problem
from latentpk.inference.posterior import PosteriorSettings, posteriors, rows
from latentpk.inference.trust import Domain, Range
from latentpk.library.card import LibraryModel
from latentpk.library.catalog import open_model
from latentpk.library.design import Design
from latentpk.models.decoders.compartment import CompartmentDecoder
from latentpk.models.decoders.mechanistic import MechanisticDecoder
from latentpk.models.latent import LatentModel
from latentpk.models.published import build_published, structure_of
from latentpk.models.record import stack_records
from latentpk.records.subject import Cohort, Subject
from latentpk.storage import read_kind
from latentpk.workflows.forecast import Judge, Voice, by_occasions, forecast_table
from latentpk.workflows.patient import Posterior

Progress = Callable[[int, int, str], None]
BLOCK = 32  # subjects whose draws are held at once


@dataclass(frozen=True, eq=False)
class Predictor:
    """A population that can be asked about a patient.

    Attributes:
        name: What the user called it.
        model: The latent model.
        reading: Arguments of `read_nonmem` for data it is to answer.
        covariates: Names of its covariates, in order.
        dose_covariates: What it must know of each dose, in order.
        undecided: Where doses of undecided route go: 0 central, 1 the absorption site.
        domain: Where it holds.
        salt_factor: Mass of the measured molecule in one unit of dosed mass.
        design: How the drug is usually given; None for a trained model.
        usual_dose: Median dose of the training data [mg]; nan for a published model.
        about: Card and hash, as an answer carries them.
        coming: What is said of doses to come, in the order of `dose_covariates`; None where it is
            as of the patient's last dose.
    """

    name: str
    model: LatentModel
    reading: dict[str, Any]
    covariates: tuple[str, ...]
    undecided: float
    domain: Domain
    salt_factor: float = 1.0
    design: Design | None = None
    usual_dose: float = float("nan")
    dose_covariates: tuple[str, ...] = ()
    about: dict[str, Any] = field(default_factory=dict)
    coming: Float[np.ndarray, " covariate"] | None = None

    def posterior(
        self, subject: Subject, *, draws: int = 1024, seed: int = 0, least_ess: float = 0.1
    ) -> Posterior:
        """The posterior of one subject.

        Args:
            subject: From a cohort read with `reading`.
            draws: Posterior draws.
            seed: Of the draws.
            least_ess: Effective draws below which more work is done, as a share of `draws`.
        """
        return next(self.posteriors([subject], draws=draws, seed=seed, least_ess=least_ess))

    def posteriors(
        self,
        subjects: Sequence[Subject],
        *,
        draws: int = 1024,
        seed: int = 0,
        least_ess: float = 0.1,
    ) -> Iterator[Posterior]:
        """The posterior of each subject, computed in blocks; arguments as in `posterior`."""
        settings = PosteriorSettings(
            draws=draws,
            seed=seed,
            least_ess=least_ess,
            adaptive_draws=max(10_000, (2 if self.model.decoder.simulated else 4) * draws),
            rival=True,
        )
        judge = self._judge(settings)
        for start in range(0, len(subjects), BLOCK):
            block = [self.dosed(subject) for subject in subjects[start : start + BLOCK]]
            tight = self.model.decoder.simulated  # a step more costs more than a program more
            told: dict[int, Posterior] = {}
            for index in by_occasions(block):
                few = [block[i] for i in index]
                records = stack_records(
                    few,
                    undecided=self.undecided,
                    until_last_level=self.model.decoder.causal,
                    tight=tight,
                )
                found = posteriors(self.model, records, settings)
                for row, i in enumerate(index):
                    gates, one = judge(found, row, block[i]), rows(found, [row])
                    told[i] = Posterior(
                        self.model, block[i], one, self.undecided, gates, seed, self.coming
                    )
            yield from (told[i] for i in range(len(block)))

    def flattened(self, weight: float) -> "Predictor":
        r"""The same population with a flatter prior, for a patient unlike those it was built on.

        .. math:: p_w(\varepsilon) \propto N(\varepsilon; 0, I)^w = N(\varepsilon; 0, I / w)

        Of several groups of people each is flattened about its own typical patient; shares stay.

        Args:
            weight: w, the share of the prior's log density that counts, above 0 and at most 1; 1
                is the model as it is. (Flattened priors: Hughes and Keizer 2021,
                doi 10.1002/psp4.12684.)

        Raises:
            InputError: A weight outside (0, 1].
        """
        if not 0 < weight <= 1:
            raise InputError(
                f"The prior's weight is {weight:g}; it lies above 0 and is at most 1. "
                "1 is the model as it is."
            )
        if weight == 1:
            return self
        about = self.about | {"prior_weight": weight}
        return replace(self, model=self.model.widened(weight**-0.5), about=about)

    def saying(self, values: Mapping[str, float]) -> "Predictor":
        """The same model, told what holds of doses to come, such as {"FED": 1}.

        Args:
            values: Of every covariate of doses, in the unit that the model's card names.

        Raises:
            InputError: Every name that is unknown or missing, and every value that the model
                refuses.
        """
        known = ", ".join(self.dose_covariates) or "none"
        rule, where = f"The covariates of doses are {known}", "covariates of doses to come"
        problems = [
            Problem(where, f"{name} is not among them", rule, "Leave it out")
            for name in values
            if name not in self.dose_covariates
        ]
        problems += [
            Problem(where, f"{name} is missing", rule, "Say all of them")
            for name in self.dose_covariates
            if name not in values
        ]
        for one in self.domain.doses:
            low, high = one.hard
            value = values.get(one.name, low)
            if not low <= value <= high or (one.code and value % 1 != 0):
                law = f"{one.name} is {'a code ' * one.code}from {low:g} to {high:g}"
                problems.append(Problem(where, f"{one.name} is {value:g}", law, "Correct it"))
        if problems:
            raise InputError(problems, source=self.name)
        told = [float(values[name]) for name in self.dose_covariates]
        return replace(self, coming=np.array(told))

    def sequence(
        self, subject: Subject, *, draws: int = 1024, seed: int = 0, least_ess: float = 0.1
    ) -> Iterator[Posterior]:
        """The posterior before any level, then after each one; arguments as in `posterior`."""
        steps = [subject.after(levels) for levels in range(len(subject.levels) + 1)]
        return self.posteriors(steps, draws=draws, seed=seed, least_ess=least_ess)

    def forecast(
        self,
        cohort: Cohort,
        *,
        draws: int = 1024,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> pl.DataFrame:
        """Forecast a cohort; see `forecast_table` for the columns."""
        self.check(cohort)
        settings = PosteriorSettings(draws=draws, seed=seed, rival=True)
        return forecast_table([self.voice(cohort, settings)], progress=progress)

    def voice(self, cohort: Cohort, settings: PosteriorSettings) -> Voice:
        """This model asked about a cohort."""
        dosed = replace(cohort, subjects=tuple(self.dosed(s) for s in cohort))
        judge = self._judge(settings)
        return Voice(self.name, self.model, dosed, self.undecided, judge)

    def _judge(self, settings: PosteriorSettings) -> Judge:
        return Judge(self.domain, settings, self.half_life, self.model.beyond, self.coming)

    def half_life(self, covariates: Float[np.ndarray, " covariate"]) -> float:
        """Half-life of the typical patient with these covariates, the slowest mode [h]."""
        typical = np.exp(np.asarray(self.model.prior.location(jnp.asarray(covariates))))
        return half_life(self.model, typical)

    def dosed(self, subject: Subject) -> Subject:
        """The subject with doses as mass of the measured molecule."""
        if self.salt_factor == 1.0:
            return subject
        doses = subject.doses
        amount, rate = doses.amount * self.salt_factor, doses.rate * self.salt_factor
        return replace(subject, doses=replace(doses, amount=amount, rate=rate))

    def check(self, cohort: Cohort) -> None:
        """Refuse a cohort that was read for another model.

        Raises:
            InputError: Its covariates are not this model's, or its occasions were not looked for.
        """
        if self.model.kappas and not cohort.occasional:
            raise InputError(
                "In this model patients vary between occasions, and none were looked for. "
                "Read the table with read_nonmem(data, **predictor.reading, purpose='forecast')."
            )
        if cohort.covariate_names != self.covariates:
            raise InputError(
                f"covariates: {', '.join(cohort.covariate_names) or 'none'} were read. This model "
                f"needs {', '.join(self.covariates) or 'none'}, in this order. "
                "Read the table with read_nonmem(data, **model.reading(), purpose='forecast')."
            )
        if cohort.dose_covariates != self.dose_covariates:
            raise InputError(
                f"covariates of doses: {', '.join(cohort.dose_covariates) or 'none'} were read. "
                f"This model needs {', '.join(self.dose_covariates) or 'none'}, in this order. "
                "Read the table with read_nonmem(data, **model.reading(), purpose='forecast')."
            )


def published_predictor(card: LibraryModel) -> Predictor:
    """A published model, ready to answer without training.

    Args:
        card: From `read_model`.
    """
    population = card.population
    model = build_published(population)
    ranges = tuple(
        Range(c.name, c.unit, c.soft, c.hard, True, c.definition)
        if c.kind != "continuous"
        else Range(c.name, c.unit, c.soft, c.hard)
        for c in card.required
    )
    seal = hashlib.sha256(card.model_dump_json().encode()).hexdigest()
    # TAFD, where there is one, comes last: the typical patient has just begun
    middle = np.zeros(len(population.covariates))
    middle[: len(card.required)] = [c.sample.middle for c in card.required]
    typical = np.exp(np.asarray(model.prior.location(jnp.asarray(middle))))
    return Predictor(
        name=card.name,
        model=model,
        reading={
            "covariates": [c.name for c in card.required],
            "interpolation": "locf",
            "occasions": population.occasions and population.occasions.starts,
            "elapsed": population.hours or None,
        },
        covariates=tuple(population.covariates),
        undecided=float(structure_of(population.structure).oral),
        domain=Domain(
            ranges,
            half_life(model, typical),
            card.renal_definition and card.renal_definition.plain,
            (card.design.dosing.low, card.design.dosing.high),
        ),
        salt_factor=card.salt_factor,
        design=card.design,
        about={
            "name": card.name,
            "drug": card.drug,
            "citation": card.source.citation,
            "renal": card.renal,
            "weight": card.weight,
            "sha256": seal,
        },
    )


def half_life(model: LatentModel, parameters: np.ndarray) -> float:
    """Half-life of the slowest mode at given parameters [h]; nan where there is none to tell.

    Of a system that is not linear, at a low concentration.
    """
    if isinstance(model.decoder, MechanisticDecoder):
        return model.decoder.half_life(jnp.log(jnp.asarray(parameters)))
    if not isinstance(model.decoder, CompartmentDecoder):
        return float("nan")
    rates = np.asarray(model.decoder.structure.modes(jnp.asarray(parameters))[0])
    return float(np.log(2) / max(rates.min(), 1e-12))


def open_predictor(source: str | Path) -> Predictor:
    """Open a published model by name, or a trained or fitted one by its folder.

    Raises:
        InputError: Neither.
        ArtifactError: The folder is damaged, foreign or of another version.
    """
    opened = open_model(str(source), load=load_model)
    if isinstance(opened, LibraryModel):
        return published_predictor(opened)
    return opened.predictor(str(source))


def load_model(folder: str | Path) -> Any:
    """Read a folder that answers for patients: a `ProfileVAE`, or a `FittedPopulation`.

    Raises:
        ArtifactError: The folder is damaged, foreign or of another version.
    """
    from latentpk.workflows.population.fitted import KIND, FittedPopulation
    from latentpk.workflows.profile import ProfileVAE

    return FittedPopulation.load(folder) if read_kind(folder) == KIND else ProfileVAE.load(folder)
