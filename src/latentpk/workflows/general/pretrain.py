"""Training the general model: simulated studies of many drugs, one field, one encoder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from pydantic import Field

from latentpk.inference.hierarchy import Floors, floors_of, told_of
from latentpk.inference.initial import Scales, place
from latentpk.inference.training import Course, Trainer, TrainingSettings, train
from latentpk.models.config import EncoderConfig, Frozen, ModelConfig, NeuralOdeConfig
from latentpk.models.latent import LatentModel, build
from latentpk.models.record import Record, stack_records, take
from latentpk.records.subject import Subject
from latentpk.workflows.card import versions
from latentpk.workflows.checkpoint import Checkpoint
from latentpk.workflows.general.model import General
from latentpk.workflows.general.scaling import SHORTEST, scale_free, scales_of
from latentpk.workflows.general.studies import Study, simulate_studies

Progress = Callable[[int, int, str], None]
WIDE = 1.0  # SD of z between anyone given any drug, to begin with
NARROW = 0.3  # SD of z between people given one drug, to begin with
ONE = Scales(time=1.0, early=0.1, level=1.0, dose=1.0, least=0.01)


class PretrainSettings(Frozen):
    """How the general model is trained.

    Attributes:
        studies: Simulated, of a drug each.
        floors: Of them, those from which it is learned how drugs and people differ.
        epochs: At most.
        samples: Draws of the bound.
        free: Latent dimensions that only the network reads.
        width: Of the field's network.
        hidden: Of the encoder.
        seed: Of everything random.
    """

    studies: int = Field(default=400, ge=2)
    floors: int = Field(default=80, ge=2)
    epochs: int = Field(default=52, ge=1)
    samples: int = Field(default=2, ge=1)
    free: int = Field(default=3, ge=0, le=8)
    width: int = Field(default=16, ge=1, le=64)
    hidden: int = Field(default=64, ge=1, le=512)
    seed: int = Field(default=0, ge=0)


def general_config(settings: PretrainSettings) -> ModelConfig:
    """A learned field with a depot, whose every size is 1."""
    decoder = NeuralOdeConfig(
        depot=True,
        free=settings.free,
        width=settings.width,
        time_scale=1.0,
        level_scale=1.0,
        shortest=SHORTEST,
    )
    encoder = EncoderConfig(hidden=settings.hidden, time_scale=1.0, level_scale=1.0, dose_scale=1.0)
    return ModelConfig(decoder=decoder, floor=1e-3, encoder=encoder)


def pretrain(
    settings: PretrainSettings | None = None,
    *,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
) -> General:
    """Train the general model on simulated studies.

    Every study is measured by its own sizes, so that drugs of all sizes are one population, whose
    prior is wide. What the levels of each subject say then tells how far drugs lie apart, and how
    far people given one drug.

    Args:
        settings: How; None takes the defaults.
        progress: Called with (done, total, label).
        checkpoint: Folder that keeps unfinished training; the same call resumes from it.
    """
    settings = settings or PretrainSettings()
    identity = {"settings": settings.model_dump(mode="json"), "versions": versions()}
    store = Checkpoint(checkpoint, identity)
    studies = simulate_studies(settings.studies, settings.seed, progress=progress)
    subjects, study = _without_units(studies)
    records = stack_records(subjects, tight=True)
    config = general_config(settings)
    training = TrainingSettings(
        epochs=settings.epochs,
        anneal=max(settings.epochs // 3, 1),
        samples=settings.samples,
        seed=settings.seed,
    )
    start = _start(config, records, settings.seed)
    trainer = Trainer(start, records, training)

    def on_epoch(state: Any, history: Any) -> None:
        store.keep(state, history)
        if progress is not None:
            progress(len(history.terms), settings.epochs, "training")

    course = Course(start, np.arange(len(subjects)), training)
    state, history = train(
        trainer, course, state=store.state, history=store.history, on_epoch=on_epoch
    )
    store.write()
    model = trainer.finish(state)
    floors = _floors(model, records, study, settings.floors)
    told = {
        "studies": len(studies),
        "subjects": len(subjects),
        "levels": int(np.asarray(records.mask).sum()),
        "epochs": len(history.terms),
        "bound after the ELBO [nats per subject]": float(history.terms[-1].bound),
        "mechanisms": _counted(studies),
    }
    made = {"settings": settings.model_dump(mode="json"), "versions": versions()}
    return General(model, config, floors, {"training": told, **made})


def _without_units(studies: tuple[Study, ...]) -> tuple[list[Subject], np.ndarray]:
    """Everyone in units of their study, and the number of that study."""
    subjects: list[Subject] = []
    number: list[int] = []
    for study in studies:
        cohort = study.cohort
        scales = scales_of(cohort)
        subjects += [scale_free(subject, scales) for subject in cohort]
        number += [number[-1] + 1 if number else 0] * len(cohort)
    return subjects, np.asarray(number)


def _start(config: ModelConfig, records: Record, seed: int) -> LatentModel:
    """Two compartments that fit the pooled levels best, and a wide prior."""
    model = place(build(config, jax.random.key(seed)), records, ONE, seed)
    wide = jnp.log(WIDE) * jnp.eye(model.effects)
    return eqx.tree_at(lambda m: m.prior.factor, model, wide)


def _floors(model: LatentModel, records: Record, study: np.ndarray, count: int) -> Floors:
    """How drugs and people differ, from the first studies."""
    chosen = np.flatnonzero(study < count)
    known, _ = told_of(model, take(records, chosen))
    chol = np.asarray(model.prior.chol())
    begun = Floors(
        np.asarray(model.prior.typical),  # pyright: ignore[reportAttributeAccessIssue]
        chol @ chol.T,
        NARROW**2 * np.eye(model.effects),
    )
    return floors_of(known, study[chosen], begun)


def _counted(studies: tuple[Study, ...]) -> dict[str, int]:
    kinds = sorted({study.drug.mechanism for study in studies})
    return {kind: sum(study.drug.mechanism == kind for study in studies) for kind in kinds}
