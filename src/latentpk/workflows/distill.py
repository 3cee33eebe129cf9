"""A published model to a trained one: an encoder, or a whole VAE, learned from simulation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import equinox as eqx
import jax
import numpy as np
from pydantic import Field

from latentpk.errors import InputError
from latentpk.inference.initial import measure
from latentpk.inference.training import Course, Trainer, TrainingHistory, TrainingSettings, train
from latentpk.kinetics.systems import is_system
from latentpk.library.card import LibraryModel
from latentpk.library.catalog import open_model
from latentpk.models.config import EncoderConfig, Frozen
from latentpk.models.distilled import DistilledConfig, build_distilled
from latentpk.models.latent import LatentModel
from latentpk.models.record import Record, stack_records
from latentpk.records.subject import Cohort
from latentpk.units import parse_units
from latentpk.workflows.card import Outcome, card, published_ranges, versions
from latentpk.workflows.checkpoint import Checkpoint
from latentpk.workflows.origin import Kept, Origin
from latentpk.workflows.predictor import published_predictor
from latentpk.workflows.profile import Fitted, ProfileSettings, ProfileVAE
from latentpk.workflows.setup import covariate_configs
from latentpk.workflows.teaching import teaching_cohort

Progress = Callable[[int, int, str], None]
EPOCHS = 150  # of an encoder alone; it ends earlier where it gains no more
# An encoder that learns alone needs no tight bound but a clear gradient: few draws. The bound
# creeps up for long, so more epochs are compared.
SAMPLES, PATIENCE = 2, 40


class DistillSettings(Frozen):
    """How a published model is distilled.

    Attributes:
        subjects: Patients simulated.
        decoder: "compartment" keeps the published population and trains the encoder; "kernel"
            trains a whole VAE with a free response on the simulated patients.
        epochs: At most this many; None is 150 for an encoder, and a fit's default for a kernel.
        seed: Of everything random.
        units: Of files that the model will answer; None is h, mg, mg/L.
    """

    subjects: int = Field(default=1000, ge=2)
    decoder: Literal["compartment", "kernel"] = "compartment"
    epochs: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0)
    units: str | None = None


def distill(
    name: str | LibraryModel,
    settings: DistillSettings | None = None,
    *,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
) -> ProfileVAE:
    """Train a VAE on patients simulated from a published model.

    With the compartment decoder the population stays as published, so posteriors agree with the
    published model's; what is learned is where refinement begins. With the kernel decoder the
    population is learned too and agrees as far as training went. Covariate ranges, salt factor,
    definition of renal function and design come over from the card.

    Args:
        name: Library name, or a published model.
        settings: How; None takes the defaults.
        progress: Called with (done, total, label).
        checkpoint: Folder that keeps unfinished training; the same call resumes from it.

    Returns:
        A fitted ProfileVAE.

    Raises:
        InputError: An unknown name, or units that do not exist.

    Example:
        >>> small = DistillSettings(subjects=20, epochs=1)
        >>> model = distill("vancomycin-buelga-2005", small)
        >>> print(model.fitted.chosen)
        1c-iv, published prior, undecided doses iv
    """
    settings = settings or DistillSettings()
    published = open_model(name) if isinstance(name, str) else name
    if not isinstance(published, LibraryModel):
        raise InputError("Only a published model can be distilled.")
    parse_units(settings.units)
    if settings.decoder == "kernel" and is_system(published.population.structure):
        raise InputError(
            f"{published.name} is not linear, and a kernel superposes doses: it could not learn "
            "it. Leave out --decoder kernel."
        )
    if published.population.occasions is not None:
        raise InputError(
            f"In {published.name} patients vary between occasions, which no trained encoder reads. "
            "Use the published model itself: it needs no training."
        )
    root = published_predictor(published)
    origin = Origin(
        how="distilled", source=published.name, sha256=root.about["sha256"], published=published
    )
    cohort = teaching_cohort(published, settings.subjects, settings.seed, progress=progress)
    route: Literal["iv", "oral"] = "oral" if root.undecided else "iv"
    if settings.decoder == "kernel":
        chosen: dict[str, Any] = {"decoder": "kernel", "route": route, "seed": settings.seed}
        if settings.epochs is not None:
            chosen["epochs"] = settings.epochs
        whole = ProfileVAE(**chosen).fit(cohort, progress=progress, checkpoint=checkpoint)
        told = whole.fitted.card
    else:
        whole = _learn_encoder(published, cohort, route, settings, (progress, checkpoint))
        told = whole.fitted.card
    return whole.derived(
        origin,
        card={"origin": _origin_card(origin, settings), **told}
        | {"covariates": published_ranges(published)},
        reading=root.reading | ({} if settings.units is None else {"units": settings.units}),
    )


def train_encoder(
    model: LatentModel,
    records: Record,
    settings: TrainingSettings,
    store: Checkpoint,
    progress: Progress | None,
) -> tuple[LatentModel, TrainingHistory]:
    """Let the encoder alone learn a population that stays as it is.

    Args:
        model: With the encoder to begin from.
        records: Stacked records of simulated patients.
        settings: How; no more epochs than these.
        store: Keeps unfinished training, and what was kept before.
        progress: Called with (done, total, label).

    Returns:
        The model with its trained encoder, and what went by.
    """
    trainer = Trainer(model, records, settings)
    everyone = np.arange(records.mask.shape[0])

    def on_epoch(state: Any, history: TrainingHistory) -> None:
        store.keep(state, history)
        if progress is not None:
            progress(len(history.terms), settings.epochs, "training the encoder")

    if progress is not None:  # compiling comes first, and takes the longest
        progress(len(store.history.terms), settings.epochs, "training the encoder")
    state, history = train(
        trainer,
        Course(model, everyone, settings, encoder_only=True),
        state=store.state,
        history=store.history,
        on_epoch=on_epoch,
    )
    encoder = trainer.finish(state).encoder
    return eqx.tree_at(lambda m: m.encoder, model, encoder), history


def encoder_training(epochs: int, seed: int) -> TrainingSettings:
    """How an encoder is trained alone."""
    return TrainingSettings(epochs=epochs, samples=SAMPLES, patience=PATIENCE, seed=seed)


def distilled_config(published: LibraryModel, cohort: Cohort, records: Record) -> DistilledConfig:
    """How the encoder of a published model reads patients like these."""
    scales = measure(records)
    encoder = EncoderConfig(
        time_scale=scales.time, level_scale=scales.level, dose_scale=scales.dose
    )
    return DistilledConfig(
        population=published.population, covariates=covariate_configs(cohort), encoder=encoder
    )


def _learn_encoder(
    published: LibraryModel,
    cohort: Cohort,
    route: Literal["iv", "oral"],
    settings: DistillSettings,
    watch: tuple[Progress | None, Path | None],
) -> ProfileVAE:
    progress, folder = watch
    identity = {
        "data": cohort.source_hash,
        "settings": settings.model_dump(mode="json"),
        "versions": versions(),
    }
    store = Checkpoint(folder, identity)
    records = stack_records(cohort.subjects, undecided=float(route == "oral"), tight=True)
    config = distilled_config(published, cohort, records)
    training = encoder_training(settings.epochs or EPOCHS, settings.seed)
    start = build_distilled(config, jax.random.key(settings.seed))
    model, history = train_encoder(start, records, training, store, progress)
    fitted = Fitted(
        settings=ProfileSettings(
            decoder="compartment",
            residual=published.population.residual.kind,
            epochs=training.epochs,
            seed=settings.seed,
        ),
        config=config,
        chosen=Kept(decoder=published.population.structure, route=route, prior="published"),
        card=card(Outcome(model, config, (), history), cohort),
        reading={},
        notices=(store.note,) if store.note else (),
    )
    return ProfileVAE.assembled(model, fitted, store)


def _origin_card(origin: Origin, settings: DistillSettings) -> dict[str, Any]:
    assert origin.published is not None  # noqa: S101 - distilled from one
    return {
        "distilled from": origin.source,
        "citation": origin.published.source.citation,
        "sha256": origin.sha256,
        "simulated patients": settings.subjects,
        "seed": settings.seed,
        "population": "as published"
        if settings.decoder == "compartment"
        else "learned from the simulated patients",
        "salt factor": origin.published.salt_factor,
        "renal function": origin.published.renal or "-",
    }
