"""ProfileVAE: train on a population, then forecast a patient."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import jax.numpy as jnp
import numpy as np
import polars as pl
from pydantic import Field, field_validator

from latentpk.errors import ArtifactError, InputError, NotFittedError
from latentpk.inference.training import Course, Trainer, refresh_encoder, train
from latentpk.inference.trust import Domain
from latentpk.library.card import LibraryModel
from latentpk.models.beyond import SCALES, Beyond, Experience
from latentpk.models.bundle import from_arrays, to_arrays
from latentpk.models.config import MOST_GROUPS, Frozen, ModelConfig, ResidualKind
from latentpk.models.distilled import DistilledConfig
from latentpk.models.latent import LatentModel
from latentpk.models.prior import LearnedPrior
from latentpk.models.published import structure_name
from latentpk.records.definition import parse_derive
from latentpk.records.subject import Cohort, Subject
from latentpk.storage import read_bundle, write_bundle
from latentpk.workflows.card import Outcome, card, identity, reading
from latentpk.workflows.checkpoint import Checkpoint
from latentpk.workflows.doubts import doubtful_fit
from latentpk.workflows.ground import Ground, make_ground
from latentpk.workflows.mechanism import check_registered, resolved, starting_values
from latentpk.workflows.of_doses import check_of_doses
from latentpk.workflows.origin import Kept, Origin
from latentpk.workflows.patient import Posterior
from latentpk.workflows.predictor import Predictor, half_life, published_predictor
from latentpk.workflows.selection import Selection, select
from latentpk.workflows.setup import seen_range
from latentpk.workflows.stages import largest_first, polish, train_groups
from latentpk.workflows.trials import FREE, Candidate

Progress = Callable[[int, int, str], None]
TRIALS = 8  # usually made; where the structure misfits there are more
SPAN = 3.0  # of usual doses about the training data's median
KIND, SCHEMA = "profile-vae", 1


class ProfileSettings(Frozen):
    """What the user fixes of a fit; "auto" is chosen by held-out forecasts.

    Attributes:
        decoder: auto, compartment, mechanistic, kernel, neural_ode, hybrid or grid.
        structure: auto, or a structure such as "2c-iv" for the compartment decoder or the
            hybrid's mechanism; for the mechanistic decoder a nonlinear one or a `UserSystem`.
        initial: Where the parameters of a nonlinear structure begin, by name; without, a search
            tells, for those that there is one for.
        route: auto, iv or oral: where doses of undecided route go.
        prior: auto, linear or multiview.
        components: Groups of people that the population consists of, such as poor and extensive
            metabolizers, where nothing says who is who; auto tries two.
        residual: Kind of residual error.
        epochs: At most this many.
        seed: Of everything random.
    """

    decoder: Literal[
        "auto", "compartment", "mechanistic", "kernel", "neural_ode", "hybrid", "grid"
    ] = "auto"
    structure: str = "auto"
    initial: dict[str, float] | None = None
    route: Literal["auto", "iv", "oral"] = "auto"
    prior: Literal["auto", "linear", "multiview"] = "auto"
    components: Literal["auto"] | Annotated[int, Field(ge=1, le=MOST_GROUPS)] = 1
    residual: ResidualKind = "combined2"
    epochs: int = Field(default=200, ge=1)
    seed: int = Field(default=0, ge=0)

    @field_validator("structure", mode="before")
    @classmethod
    def _named(cls, structure: object) -> object:
        return structure_name(structure)


class Fitted(Frozen):
    """All of a fitted model that is no array.

    Attributes:
        settings: What the user fixed.
        config: What the model is built from.
        chosen: Decoder, route and prior: chosen by forecasts, or kept from a published model.
        card: The model card.
        reading: Arguments of `read_nonmem` for data it is to forecast.
        notices: Every choice made, as sentences.
        origin: The model it was distilled or adapted from; None where it was fitted from nothing.
        experience: What its training subjects were given; None in folders of before it was kept,
            where no regimen is checked.
    """

    settings: ProfileSettings
    config: ModelConfig | DistilledConfig
    chosen: Candidate | Kept
    card: dict[str, Any]
    reading: dict[str, Any]
    notices: tuple[str, ...]
    origin: Origin | None = None
    experience: Experience | None = None

    @property
    def beyond(self) -> Beyond | None:
        """What a learned decoder was trained on; None where a mechanism answers for any regimen."""
        named = None if isinstance(self.config, DistilledConfig) else self.config.decoder.name
        if self.experience is None or named not in SCALES:
            return None
        return Beyond(self.experience, SCALES[named], float(self.chosen.route == "oral"))


class ProfileVAE:
    """A variational autoencoder of concentration profiles.

    Example:
        >>> from latentpk.workflows.simulate import simulate
        >>> from latentpk import read_nonmem
        >>> cohort = read_nonmem(simulate("theophylline", 12, seed=1))
        >>> model = ProfileVAE(decoder="compartment", structure="1c-oral", prior="linear", epochs=2)
        >>> model.fit(cohort).posterior(cohort[0]).predict([1.0, 4.0]).ipred.shape
        (2,)
    """

    def __init__(self, **settings: Any) -> None:
        """Set what to fix; see `ProfileSettings`.

        Raises:
            InputError: An unknown setting or value.
        """
        try:
            self.settings = ProfileSettings(**settings)
        except ValueError as error:
            raise InputError(f"ProfileVAE: {error}") from error
        named = self.settings.structure != "auto"
        system = resolved(self.settings.decoder, self.settings.structure)
        if named and self.settings.decoder in FREE:
            raise InputError(
                f"structure {self.settings.structure} beside decoder {self.settings.decoder}: "
                "that decoder has no compartments. Leave out the structure (--structure), or "
                "take decoder compartment (--decoder)."
            )
        if system is not None:
            start = starting_values(system, self.settings.initial)
            update = {"structure": str(system), "initial": start or None}
            self.settings = self.settings.model_copy(update=update)
        elif self.settings.initial is not None:
            raise InputError("initial: only a nonlinear structure begins at given values.")
        self._model: LatentModel | None = None
        self._fitted: Fitted | None = None
        self._checkpoint: Checkpoint | None = None

    @property
    def model(self) -> LatentModel:
        """The latent model; NotFittedError before `fit` or `load`."""
        if self._model is None:
            raise NotFittedError("This ProfileVAE is not fitted: call fit(cohort) or load(folder).")
        return self._model

    @property
    def fitted(self) -> Fitted:
        """What was chosen in fitting."""
        if self._fitted is None:
            raise NotFittedError("This ProfileVAE is not fitted: call fit(cohort) or load(folder).")
        return self._fitted

    @property
    def notices(self) -> tuple[str, ...]:
        """Every choice that fitting made, as sentences to print."""
        return self.fitted.notices

    def fit(
        self,
        cohort: Cohort,
        *,
        progress: Progress | None = None,
        checkpoint: Path | None = None,
    ) -> "ProfileVAE":
        """Train on a population.

        Args:
            cohort: From `read_nonmem`.
            progress: Called with (done, total, label).
            checkpoint: Folder that keeps unfinished training; the same call resumes from it.

        Returns:
            This object, fitted.
        """
        settings = self.settings
        check_of_doses(cohort, settings.decoder, settings.structure, settings.route)
        store = Checkpoint(checkpoint, identity(cohort, settings))
        ground = make_ground(cohort, settings.residual, settings.seed, settings.initial)
        chosen, told = self._choose(ground, store, progress)
        records = ground.records(chosen.route)
        config = ground.config(chosen.decoder, chosen.route, chosen.prior)
        training = ground.effort(config).model_copy(update={"epochs": settings.epochs})
        start, freedom = ground.start(chosen, config)
        trainer = Trainer(start, records, training)
        everyone = np.arange(len(cohort))

        def on_epoch(state: Any, history: Any) -> None:
            store.keep(state, history)
            if progress is not None:
                progress(len(history.terms), settings.epochs, "training")

        state, history = train(
            trainer,
            Course(start, everyone, training, freedom),
            state=store.state,
            history=store.history,
            on_epoch=on_epoch,
        )
        if progress is not None:
            progress(settings.epochs, settings.epochs, "training")
        model = trainer.finish(state)
        if chosen.components > 1:
            course = Course(model, everyone, training, freedom)
            trainer, model, history = train_groups(course, records, chosen, store, progress)
            config = config.model_copy(update={"components": chosen.components})
        polished = polish(model, records, settings.seed, store, progress)
        self._model = largest_first(refresh_encoder(trainer, polished, everyone, training))
        told = (*told, *doubtful_fit(self._model, records, [subject.id for subject in cohort]))
        outcome = Outcome(self._model, config, told, history)
        notices = (*((store.note,) if store.note else ()), *told)
        self._fitted = Fitted(
            settings=settings,
            config=config,
            chosen=chosen,
            card=card(outcome, cohort),
            reading=reading(cohort, config),
            notices=notices,
            experience=Experience.of([s.doses for s in cohort], float(chosen.route == "oral")),
        )
        self._checkpoint = store
        return self

    def _choose(
        self, ground: Ground, store: Checkpoint, progress: Progress | None
    ) -> tuple[Candidate, tuple[str, ...]]:
        def on_trial(trial: Any) -> None:
            store.add(trial)
            if progress is not None:
                tried = len(selection.trials)
                progress(tried, max(tried + 1, TRIALS), "choosing the model")

        if progress is not None:
            progress(0, TRIALS, "choosing the model")
        selection = Selection(ground, {t.candidate: t for t in store.trials}, on_trial)
        settings = self.settings
        chosen = select(
            selection,
            decoder=settings.decoder,
            structure=settings.structure,
            route=settings.route,
            prior=settings.prior,
            components=settings.components,
        )
        return chosen, selection.tell(chosen)

    def reading(self) -> dict[str, Any]:
        """Arguments of `read_nonmem` for data this model is to forecast."""
        return dict(self.fitted.reading)

    def predictor(self, name: str = "this model") -> Predictor:
        """What answers for patients, as a published model does; `name` is what answers call it."""
        config, origin = self.fitted.config, self.fitted.origin
        about = {
            "name": name,
            "citation": "fitted by latentpk fit" if origin is None else origin.sentence,
            "decoder": str(self.fitted.chosen),
            "sha256": self.fitted.card.get("hashes", {}).get("model", ""),
        }
        if origin is not None and origin.published is not None:
            return self._as_published(origin.published, name, about)
        prior = self.model.prior
        typical = np.exp(prior.typical) if isinstance(prior, LearnedPrior) else np.zeros(0)
        derive = parse_derive(self.reading().get("derive"))
        said = config.dose_covariates if isinstance(config, ModelConfig) else ()
        return Predictor(
            name=name,
            model=replace(self.model, beyond=self.fitted.beyond),
            reading=self.reading(),
            covariates=tuple(c.name for c in config.covariates),
            undecided=float(self.fitted.chosen.route == "oral"),
            domain=Domain(
                tuple(map(seen_range, config.covariates)),
                half_life(self.model, np.asarray(typical)),
                derive.renal if derive else None,
                (config.encoder.dose_scale / SPAN, config.encoder.dose_scale * SPAN),
                tuple(map(seen_range, said)),
            ),
            usual_dose=config.encoder.dose_scale,
            dose_covariates=tuple(c.name for c in said),
            about=about,
        )

    def _as_published(self, published: LibraryModel, name: str, about: dict[str, Any]) -> Predictor:
        """Answer as the published model does: its ranges, salt factor, renal function, design."""
        root = published_predictor(published)
        known = [c.sample.middle for c in published.required]
        typical = np.exp(np.asarray(self.model.prior.location(jnp.asarray(known))))
        own = half_life(self.model, typical)  # nan where a kernel's latent patient has no names
        lives = root.domain.half_life if np.isnan(own) else own
        return replace(
            root,
            name=name,
            model=replace(self.model, beyond=self.fitted.beyond),
            reading=self.reading(),
            domain=replace(root.domain, half_life=lives),
            about=root.about | about,
        )

    def posterior(self, subject: Subject, *, draws: int = 1024, seed: int = 0) -> Posterior:
        """The posterior of one subject; see `Predictor.posterior`."""
        return self.predictor().posterior(subject, draws=draws, seed=seed)

    def forecast(
        self,
        cohort: Cohort,
        *,
        draws: int = 1024,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> pl.DataFrame:
        """Forecast a cohort; see `forecast_table` for the columns."""
        return self.predictor().forecast(cohort, draws=draws, seed=seed, progress=progress)

    def card(self) -> dict[str, Any]:
        """The model card: data, covariates, decoder, training, versions, hashes."""
        return self.fitted.card

    def save(self, folder: str | Path) -> None:
        """Write the model to a folder, whole or not at all, and forget its checkpoint."""
        write_bundle(
            folder,
            kind=KIND,
            schema=SCHEMA,
            manifest=self.fitted.model_dump(mode="json"),
            arrays=to_arrays(self.model),
        )
        if self._checkpoint is not None:
            self._checkpoint.remove()

    @staticmethod
    def load(folder: str | Path) -> "ProfileVAE":
        """Read a model.

        Raises:
            ArtifactError: The folder is damaged, foreign or of another version, or its user's
                system is not registered in this process.
        """
        bundle = read_bundle(folder, kind=KIND, schema=SCHEMA)
        check_registered(folder, bundle.manifest)
        try:
            fitted = Fitted.model_validate(bundle.manifest)
        except ValueError as error:
            raise ArtifactError(
                f"{folder}: the manifest does not describe a model: {error}"
            ) from error
        card = fitted.card | {"hashes": {**fitted.card.get("hashes", {}), "model": bundle.seal}}
        model = from_arrays(fitted.config, bundle.arrays)
        return ProfileVAE.assembled(model, fitted.model_copy(update={"card": card}))

    def derived(
        self, origin: Origin, *, card: dict[str, Any], reading: dict[str, Any]
    ) -> "ProfileVAE":
        """The same model with the origin, card and reading of what it was derived from."""
        update = {"origin": origin, "card": card, "reading": reading}
        fitted = self.fitted.model_copy(update=update)
        return ProfileVAE.assembled(self.model, fitted, self._checkpoint)

    @staticmethod
    def assembled(
        model: LatentModel, fitted: Fitted, checkpoint: Checkpoint | None = None
    ) -> "ProfileVAE":
        """Put a fitted ProfileVAE together from its parts.

        Args:
            model: The latent model.
            fitted: All else.
            checkpoint: What `save` is to forget.
        """
        whole = ProfileVAE(**fitted.settings.model_dump())
        whole._model, whole._fitted, whole._checkpoint = model, fitted, checkpoint
        return whole
