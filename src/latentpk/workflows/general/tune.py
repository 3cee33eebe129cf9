"""A small study's model from the general one."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from pydantic import Field

from latentpk.errors import InputError
from latentpk.inference.hierarchy import Floors, Place, factor_of, place_study, told_of
from latentpk.inference.polish import PolishSettings, make_polisher
from latentpk.kinetics.doses import refuse_steady
from latentpk.library import GENERAL
from latentpk.models.beyond import Experience
from latentpk.models.config import Frozen, ModelConfig
from latentpk.models.latent import LatentModel
from latentpk.models.record import Record, stack_records
from latentpk.records.subject import Cohort
from latentpk.workflows.card import Outcome, card, identity, reading
from latentpk.workflows.checkpoint import Checkpoint
from latentpk.workflows.distill import encoder_training, train_encoder
from latentpk.workflows.general.departure import Drugs, tuning
from latentpk.workflows.general.model import General, shipped_general
from latentpk.workflows.general.scaling import config_at, scales_of
from latentpk.workflows.of_doses import check_of_doses
from latentpk.workflows.origin import Origin
from latentpk.workflows.profile import Fitted, ProfileSettings, ProfileVAE
from latentpk.workflows.setup import covariate_configs
from latentpk.workflows.stages import ascend
from latentpk.workflows.teaching import redrawn, scattered
from latentpk.workflows.trials import Candidate, Route, decided_route

Progress = Callable[[int, int, str], None]
ROUTES: tuple[Route, ...] = ("iv", "oral")
PLACINGS = 3  # times the levels are read around where the study was found to lie
WORTH = 8.0  # subjects as which the usual covariance of people counts


class TuneSettings(Frozen):
    """How the general model is fine-tuned.

    Attributes:
        drugs: How far one drug's model may be from the general one.
        route: Where doses of undecided route go; auto takes the likelier one.
        subjects: Simulated for the encoder.
        epochs: Of the encoder, at most.
        seed: Of everything random.
    """

    drugs: Drugs = Drugs()
    route: Literal["auto", "iv", "oral"] = "auto"
    subjects: int = Field(default=400, ge=2)
    epochs: int = Field(default=30, ge=1)
    seed: int = Field(default=0, ge=0)


def tune(
    cohort: Cohort,
    settings: TuneSettings | None = None,
    *,
    general: General | None = None,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
) -> ProfileVAE:
    """Fine-tune the general model on a small study.

    The general model tells how drugs differ and how people given one drug do. Where the study's
    typical person lies and how its people differ then follows from their levels; covariate
    effects, residual error and, as far as the levels insist, the field itself ascend the marginal
    likelihood. An encoder learns the result from patients simulated from it.

    Args:
        cohort: From `read_nonmem`.
        settings: How; None takes the defaults.
        general: What to begin from; None is the shipped one.
        progress: Called with (done, total, label).
        checkpoint: Folder that keeps unfinished work; the same call resumes from it.

    Returns:
        A fitted ProfileVAE with a learned field.

    Raises:
        InputError: Doses at steady state, by both routes, or with covariates of their own.
    """
    settings = settings or TuneSettings()
    check_of_doses(cohort, "neural_ode", "auto", settings.route)
    general = general or shipped_general()
    store = Checkpoint(checkpoint, identity(cohort, settings, general.sha256))
    scales, covariates = scales_of(cohort), covariate_configs(cohort)
    floors, wide = general.floors_at(scales), general.at(scales, covariates)
    config = config_at(general.config, scales).model_copy(update={"covariates": covariates})
    chosen, records, found = _placed((wide, floors), cohort, settings.route, progress)
    begun = _lying(wide, found)
    polishing = PolishSettings.of(begun, settings.seed)
    polisher = make_polisher(tuning(begun, floors, settings.drugs), records, polishing)
    model = polisher.finish(ascend(polisher, store, progress, "fine-tuning the population"))
    undecided = float(chosen.route == "oral")
    taught = scattered(cohort.subjects, settings.subjects, settings.seed)
    drawn = redrawn(model, taught, undecided, settings.seed)
    training = encoder_training(settings.epochs, settings.seed)
    model, history = train_encoder(model, drawn, training, store, progress)
    told = (f"undecided doses: {chosen.route}",) if _undecided(cohort) else ()
    outcome = Outcome(model, config, told, history)
    return _assembled(outcome, chosen, cohort, (general, settings, store))


def _placed(
    general: tuple[LatentModel, Floors], cohort: Cohort, route: str, progress: Progress | None
) -> tuple[Candidate, Record, Place]:
    """Where the study lies, and where its undecided doses go: by the route that explains more."""
    tried: list[tuple[float, Candidate, Record, Place]] = []
    for one, records in _ways(cohort, route).items():
        found, evidence = _place(*general, records, progress)
        candidate = Candidate(decoder="neural_ode", route=one)
        tried.append((evidence, candidate, records, found))
    return max(tried, key=lambda item: item[0])[1:]


def _undecided(cohort: Cohort) -> bool:
    """Whether the file leaves the route of some dose open."""
    return any(bool(np.isnan(subject.doses.depot).any()) for subject in cohort)


def _ways(cohort: Cohort, route: str) -> dict[Route, Record]:
    """The records with undecided doses sent each way that the general model can follow.

    Raises:
        InputError: There is none: doses at steady state, or by both routes.
    """
    undecided = _undecided(cohort) and route == "auto"
    routes = ROUTES if undecided else (decided_route(cohort, route),)
    ways: dict[Route, Record] = {
        one: stack_records(cohort.subjects, undecided=float(one == "oral"), tight=True)
        for one in routes
    }
    for records in ways.values():
        refuse_steady(records.paths)
    one_route: dict[Route, Record] = {
        one: records
        for one, records in ways.items()
        if not (records.paths.depot and records.paths.central)
    }
    if not one_route:
        raise InputError(
            f"Doses go into veins and into an absorption site: the {GENERAL} model knows no "
            "bioavailability, since none of the studies it learned from could tell one. Fit from "
            "nothing (without --start-from), or keep the doses of one route."
        )
    return one_route


def _place(
    wide: LatentModel, floors: Floors, records: Record, progress: Progress | None
) -> tuple[Place, float]:
    """Read the levels where the study seems to lie, a few times over."""
    known, evidence = told_of(wide, records, progress)
    found = place_study(known, floors, worth=WORTH)
    for _ in range(PLACINGS - 1):
        known, evidence = told_of(_lying(wide, found), records, progress)
        found = place_study(known, floors, worth=WORTH)
    return found, evidence


def _lying(model: LatentModel, place: Place) -> LatentModel:
    """The model of people who lie there."""
    return eqx.tree_at(
        lambda m: (m.prior.typical, m.prior.factor),
        model,
        (jnp.asarray(place.middle), factor_of(place.within)),
    )


def _assembled(
    outcome: Outcome,
    chosen: Candidate,
    cohort: Cohort,
    how: tuple[General, TuneSettings, Checkpoint],
) -> ProfileVAE:
    (general, settings, store), config = how, outcome.config
    assert isinstance(config, ModelConfig)  # noqa: S101 - not a distilled one
    origin = Origin(how="fine-tuned", source=GENERAL, sha256=general.sha256)
    learned = general.card["training"]
    began = {
        "fine-tuned from": GENERAL,
        "sha256": general.sha256,
        "simulated studies behind it": learned["studies"],
    }
    told = (f"fine-tuned from the general model on {len(cohort)} subjects", *outcome.told)
    fitted = Fitted(
        settings=ProfileSettings(
            decoder="neural_ode",
            route=settings.route,
            residual=config.residual,
            epochs=settings.epochs,
            seed=settings.seed,
        ),
        config=config,
        chosen=chosen,
        card={"origin": began, **card(outcome, cohort)},
        reading=reading(cohort, config),
        notices=(*((store.note,) if store.note else ()), *told),
        origin=origin,
        experience=Experience.of([s.doses for s in cohort], float(chosen.route == "oral")),
    )
    return ProfileVAE.assembled(outcome.model, fitted, store)
