"""A published, distilled or fitted model to one adapted to local data."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import jax
import numpy as np
from jaxtyping import Float
from pydantic import Field

from latentpk.inference.departure import BetweenSites, departing
from latentpk.inference.polish import Polisher, PolishSettings, make_polisher
from latentpk.inference.posterior import PosteriorSettings, posteriors
from latentpk.library.card import LibraryModel
from latentpk.library.catalog import open_model
from latentpk.models.config import Frozen
from latentpk.models.distilled import with_encoder
from latentpk.models.latent import LatentModel
from latentpk.models.record import Record, stack_records, take
from latentpk.records.subject import Cohort, Subject
from latentpk.workflows.adapt_card import Local, adaptation_card, sentences
from latentpk.workflows.card import Outcome, card, identity, published_ranges, reading
from latentpk.workflows.checkpoint import Checkpoint
from latentpk.workflows.distill import EPOCHS, distilled_config, encoder_training, train_encoder
from latentpk.workflows.origin import Kept, Origin
from latentpk.workflows.predictor import Predictor, published_predictor
from latentpk.workflows.profile import Fitted, ProfileSettings, ProfileVAE
from latentpk.workflows.stages import ascend
from latentpk.workflows.teaching import redrawn, scattered, teaching_cohort
from latentpk.workflows.trials import Candidate, folds

Progress = Callable[[int, int, str], None]
TUNING = 30  # epochs of an encoder whose patients can only be copies of the local ones
HELD_OUT = "held-out"
# a departure has a dozen dimensions and begins near: half of a polish after training
ROUNDS, EPOCHS_A_ROUND = 4, 15
# in all: few patients need more draws each, or the draws' error moves the optimum
DRAWS, LEAST_DRAWS, MOST_DRAWS = 25_600, 96, 256


class AdaptSettings(Frozen):
    """How a model is adapted to local data.

    Attributes:
        sites: How much sites differ: the penalty that pulls towards the source.
        subjects: Patients simulated for the encoder.
        epochs: Of the encoder, at most.
        seed: Of everything random.
    """

    sites: BetweenSites = BetweenSites()
    subjects: int = Field(default=1000, ge=2)
    epochs: int = Field(default=EPOCHS, ge=1)
    seed: int = Field(default=0, ge=0)


@dataclass(frozen=True, eq=False)
class Source:
    """What is adapted.

    Attributes:
        name: What the user called it.
        model: Its latent model.
        predictor: What answers by it: reading, salt factor, domain.
        published: The published model at its root, None where there is none.
        fitted: Of a trained one; None for a published one.
    """

    name: str
    model: LatentModel
    predictor: Predictor
    published: LibraryModel | None
    fitted: Fitted | None

    @staticmethod
    def open(name: str | Path) -> "Source":
        """Open a published model by name, or a trained one by its folder.

        Raises:
            InputError: Neither.
            ArtifactError: The folder is damaged, foreign or of another version.
        """
        opened = open_model(str(name), load=ProfileVAE.load)
        if isinstance(opened, LibraryModel):
            return Source.of_published(opened)
        origin = opened.fitted.origin
        root = None if origin is None else origin.published
        predictor = opened.predictor(str(name))
        return Source(str(name), opened.model, predictor, root, opened.fitted)

    @staticmethod
    def of_published(published: LibraryModel) -> "Source":
        """A published model as a source."""
        predictor = published_predictor(published)
        return Source(published.name, predictor.model, predictor, published, None)


def adapt(
    source: Source,
    cohort: Cohort,
    settings: AdaptSettings | None = None,
    *,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
) -> ProfileVAE:
    r"""Adapt a model to local data.

    Structure and covariate effects stay. Typical values, standard deviations between patients
    and of the residual error move to the maximum of

    .. math:: \sum_i \log p(y_i|\delta) - \tfrac12 \sum_k \delta_k^2 / \tau_k^2

    with :math:`\delta` the changes of their logarithms and :math:`\tau` how much sites differ
    (`BetweenSites`): few patients hardly move it, many are free to. Where patients left out of
    the adaptation are worse explained by it than by the source, by more than one standard error,
    the source's population is kept. An encoder then learns the population that is used, from
    patients simulated from it.

    Args:
        source: From `Source.open`.
        cohort: Local patients, read with `source.predictor.reading`.
        settings: How; None takes the defaults.
        progress: Called with (done, total, label).
        checkpoint: Folder that keeps unfinished work; the same call resumes from it.

    Returns:
        A fitted ProfileVAE.

    Raises:
        InputError: The cohort was read for another model, or the source has the grid decoder.
    """
    settings = settings or AdaptSettings()
    source.predictor.check(cohort)
    store = Checkpoint(checkpoint, identity(cohort, settings, source.predictor.about["sha256"]))
    subjects = tuple(source.predictor.dosed(subject) for subject in cohort)
    records = stack_records(subjects, undecided=source.predictor.undecided, tight=True)
    moving = departing(source.model, settings.sites)
    polisher = make_polisher(moving, records, ascent(len(subjects), settings.seed))
    state = ascend(polisher, store, progress, "adapting the population")
    gains = _held_out(source.model, polisher, records, (store, settings.seed), progress)
    adapted = polisher.finish(state)
    local = Local(
        source=source.model,
        adapted=adapted,
        departure=polisher.parameters(state),
        sites=settings.sites,
        levels=np.asarray(records.mask).sum(axis=1),
        before=_evidence(source.model, records),
        after=_evidence(adapted, records),
        gains=gains,
    )
    used = adapted if local.kept else source.model
    outcome = _learn(source, used, (cohort, subjects), settings, (store, progress))
    return _assemble(source, outcome, cohort, settings, (local, store))


def ascent(subjects: int, seed: int) -> PolishSettings:
    """How the population ascends for so many subjects."""
    draws = int(np.clip(DRAWS // subjects, LEAST_DRAWS, MOST_DRAWS))
    return PolishSettings(rounds=ROUNDS, epochs=EPOCHS_A_ROUND, draws=draws, seed=seed)


def _held_out(
    source: LatentModel,
    polisher: Polisher,
    records: Record,
    kept: tuple[Checkpoint, int],
    progress: Progress | None,
) -> Float[np.ndarray, " held"]:
    """What adapting gains for subjects that were left out [nats], one subject at a time."""
    store, seed = kept
    if HELD_OUT in store.scores:
        return np.asarray(store.scores[HELD_OUT])
    splits = folds(records.mask.shape[0], seed)
    total = len(splits) * polisher.settings.rounds
    gains: list[np.ndarray] = []
    for k, (inside, outside) in enumerate(splits):
        state = polisher.start
        for round_ in range(polisher.settings.rounds):
            state = polisher.run_round(state, round_, inside)
            if progress is not None:
                done = k * polisher.settings.rounds + round_ + 1
                progress(done, total, "adapting without some patients, to forecast them")
        left = take(records, outside)
        gains.append(_evidence(polisher.finish(state), left) - _evidence(source, left))
    joined = np.concatenate(gains)
    store.keep_scores({HELD_OUT: joined.tolist()})
    return joined


def _evidence(model: LatentModel, records: Record) -> Float[np.ndarray, " subject"]:
    """Marginal log likelihood of each subject's levels [nats]."""
    return posteriors(model, records, PosteriorSettings(ladder=False)).log_evidence


def _learn(
    source: Source,
    used: LatentModel,
    local: tuple[Cohort, tuple[Subject, ...]],
    settings: AdaptSettings,
    watch: tuple[Checkpoint, Progress | None],
) -> Outcome:
    """Let an encoder learn the population that is used, from patients simulated from it."""
    (cohort, subjects), (store, progress) = local, watch
    undecided = source.predictor.undecided
    epochs = settings.epochs
    if source.published is None:
        epochs = min(epochs, TUNING)  # copies of few patients: enough to follow, not to forget
        taught = scattered(subjects, settings.subjects, settings.seed)
    else:
        half = max(settings.subjects // 2, 2)
        elsewhere = teaching_cohort(source.published, half, settings.seed, progress=progress)
        here = scattered(subjects, settings.subjects - half, settings.seed)
        taught = (*elsewhere.subjects, *here)
    records = redrawn(used, taught, undecided, settings.seed)
    if source.fitted is not None:
        config = source.fitted.config
    else:
        assert source.published is not None  # noqa: S101 - it is the source
        kinds = tuple(known.kind for known in source.published.required)
        everyone = replace(cohort, subjects=taught, covariate_kinds=kinds)
        config = distilled_config(source.published, everyone, records)
        used = with_encoder(used, config, jax.random.key(settings.seed))
    training = encoder_training(epochs, settings.seed)
    model, history = train_encoder(used, records, training, store, progress)
    return Outcome(model, config, (), history)


def _kept(source: Source) -> tuple[ProfileSettings, Candidate | Kept]:
    """What the source has decided: settings, decoder and route."""
    if source.fitted is not None:
        return source.fitted.settings, source.fitted.chosen
    assert source.published is not None  # noqa: S101 - a source without a fit is published
    population = source.published.population
    route: Literal["iv", "oral"] = "oral" if source.predictor.undecided else "iv"
    settings = ProfileSettings(decoder="compartment", residual=population.residual.kind)
    return settings, Kept(decoder=population.structure, route=route, prior="published")


def _assemble(
    source: Source,
    outcome: Outcome,
    cohort: Cohort,
    settings: AdaptSettings,
    found: tuple[Local, Checkpoint],
) -> ProfileVAE:
    local, store = found
    about, published = source.predictor.about, source.published
    origin = Origin(how="adapted", source=source.name, sha256=about["sha256"], published=published)
    told = {"origin": {"adapted from": source.name, "sha256": about["sha256"]}}
    told["origin"] |= {"citation": about["citation"]}
    told |= adaptation_card(local) | card(outcome, cohort)
    if published is not None:
        told |= {"covariates": published_ranges(published)}
    base, chosen = _kept(source)
    fitted = Fitted(
        settings=base.model_copy(update={"epochs": settings.epochs, "seed": settings.seed}),
        config=outcome.config,
        chosen=chosen,
        card=told,
        reading=reading(cohort, outcome.config),
        notices=(*((store.note,) if store.note else ()), *sentences(local)),
        origin=origin,
        experience=None if source.fitted is None else source.fitted.experience,
    )
    return ProfileVAE.assembled(outcome.model, fitted, store)
