"""Stages of a fit that follow its training: groups of people, polishing."""

from collections.abc import Callable
from dataclasses import replace

from latentpk.inference.epochs import TrainingState
from latentpk.inference.polish import Polisher, PolishSettings, make_polisher
from latentpk.inference.splitting import divide
from latentpk.inference.training import (
    Course,
    Trainer,
    TrainingHistory,
    train,
)
from latentpk.models.latent import LatentModel
from latentpk.models.prior import LearnedPrior
from latentpk.models.record import Record
from latentpk.workflows.checkpoint import Checkpoint
from latentpk.workflows.trials import Candidate

Progress = Callable[[int, int, str], None]


def train_groups(
    course: Course,
    records: Record,
    chosen: Candidate,
    store: Checkpoint,
    progress: Progress | None,
) -> tuple[Trainer, LatentModel, TrainingHistory]:
    """Divide a trained population, and train it on.

    Args:
        course: As it was trained, from the model that this led to.
        records: The records it was trained on.
        chosen: With the number of groups.
        store: Keeps what is unfinished.
        progress: Called with (done, total, label).

    Returns:
        The program that trains such models, the model, and its history.
    """
    begun = divide(course.start, records, chosen.components)
    trainer = Trainer(begun, records, course.settings)
    total = course.settings.epochs

    def on_epoch(state: TrainingState, history: TrainingHistory) -> None:
        store.keep_grouped(state, history)
        if progress is not None:
            progress(len(history.terms), total, "training the groups")

    if progress is not None:
        progress(0, total, "training the groups")
    state, history = train(
        trainer,
        replace(course, start=begun),
        state=store.grouped,
        history=store.grouped_history,
        on_epoch=on_epoch,
    )
    if progress is not None:
        progress(total, total, "training the groups")
    return trainer, trainer.finish(state), history


def largest_first(model: LatentModel) -> LatentModel:
    """The same model with its groups in falling order of their shares."""
    if model.groups == 1 or not isinstance(model.prior, LearnedPrior):
        return model
    return model.with_prior(model.prior.largest_first())


def polish(
    model: LatentModel, records: Record, seed: int, store: Checkpoint, progress: Progress | None
) -> LatentModel:
    """Let the population ascend its marginal likelihood, round by round.

    Args:
        model: A trained model.
        records: The records it was trained on.
        seed: Of everything random.
        store: Keeps what is unfinished.
        progress: Called with (done, total, label).
    """
    polisher = make_polisher(model, records, PolishSettings.of(model, seed))
    return polisher.finish(ascend(polisher, store, progress, "polishing the population"))


def ascend(
    polisher: Polisher, store: Checkpoint, progress: Progress | None, label: str
) -> TrainingState:
    """Every round of a polisher that is still to do.

    Args:
        polisher: What moves, and on whom.
        store: Keeps what is unfinished.
        progress: Called with (done, total, label).
        label: What this is.

    Returns:
        Where it ended.
    """
    state = polisher.start if store.polished is None else store.polished
    total = polisher.settings.rounds
    if progress is not None:
        progress(store.rounds, total, label)
    for done in range(store.rounds, total):
        state = polisher.run_round(state, done)
        store.keep_round(state, done + 1)
        if progress is not None:
            progress(done + 1, total, label)
    return state
