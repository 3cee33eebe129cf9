"""Which decoder, structure, route and prior: decided by forecasts of held-out subjects."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from pydantic import Field

from latentpk.errors import ConvergenceError
from latentpk.inference.held_out import forecast_scores
from latentpk.inference.initial import Scales, measure, place
from latentpk.inference.training import TrainingSettings, make_trainer, train
from latentpk.models.config import CovariateConfig, Frozen, ModelConfig, ResidualKind
from latentpk.models.latent import build
from latentpk.models.record import Record, stack_records
from latentpk.records.subject import Cohort
from latentpk.workflows.setup import covariate_configs, decoder_config, model_config

Progress = Callable[[int, int, str], None]
Route = Literal["iv", "oral"]
PriorKind = Literal["linear", "multiview"]
FOLDS_BELOW = 60  # fewer subjects than this are all held out in turn
FOLDS = 3
GAIN = 0.5  # standard errors by which a richer model must forecast better
MULTIVIEW_FROM = 100  # subjects below which the prior stays linear
TRIAL_EPOCHS = 80


class Candidate(Frozen):
    """One way to model a cohort.

    Attributes:
        decoder: A structure such as "2c-iv", or "kernel", or "grid".
        route: Where doses of undecided route go.
        prior: "linear" or "multiview".
    """

    decoder: str
    route: Route
    prior: PriorKind = "linear"

    def __str__(self) -> str:
        return f"{self.decoder}, {self.prior} prior, undecided doses {self.route}"


class Trial(Frozen):
    """A candidate and its held-out score of every subject [nats per level]."""

    candidate: Candidate
    scores: tuple[float, ...] = Field(repr=False)

    @property
    def mean(self) -> float:
        """Mean score over subjects."""
        return float(np.mean(self.scores))


@dataclass(frozen=True, eq=False)
class Ground:
    """A cohort made ready for candidates: the same for all of one route.

    Attributes:
        cohort: The cohort.
        covariates: Its covariates.
        scales: Its sizes.
        residual: Kind of residual error.
        seed: Of everything random.
    """

    cohort: Cohort
    covariates: tuple[CovariateConfig, ...]
    scales: Scales
    residual: ResidualKind
    seed: int
    stacked: dict[str, Record] = field(default_factory=dict)

    def records(self, route: str) -> Record:
        """Stacked records with undecided doses sent this way."""
        if route not in self.stacked:
            self.stacked[route] = stack_records(
                self.cohort.subjects, undecided=float(route == "oral"), tight=True
            )
        return self.stacked[route]

    def config(self, candidate: Candidate) -> ModelConfig:
        """The candidate's model."""
        depot = self.records(candidate.route).doses
        given = (depot.amount > 0) | (depot.rate > 0)
        oral = bool((given & (depot.depot == 1)).any())
        both = oral and bool((given & (depot.depot == 0)).any())
        decoder = decoder_config(candidate.decoder, self.scales, oral=oral, both=both)
        return model_config(
            self.covariates, decoder, self.scales, prior=candidate.prior, residual=self.residual
        )


def make_ground(cohort: Cohort, residual: ResidualKind, seed: int) -> Ground:
    """Prepare a cohort for candidates."""
    records = stack_records(cohort.subjects, tight=True)
    return Ground(cohort, covariate_configs(cohort), measure(records), residual, seed)


def try_candidate(ground: Ground, candidate: Candidate, epochs: int = TRIAL_EPOCHS) -> Trial:
    """Train on part of the subjects and score the forecasts of the others.

    Args:
        ground: The cohort.
        candidate: What to try.
        epochs: Of each training.

    Returns:
        The scores of all held-out subjects: a quarter of a large cohort, in turn all of a small
        one. A candidate that cannot be trained scores -inf.
    """
    records = ground.records(candidate.route)
    settings = TrainingSettings(epochs=epochs, anneal=epochs // 2, seed=ground.seed)
    scores: list[np.ndarray] = []
    start = place(build(ground.config(candidate)), records, ground.scales, ground.seed)
    for kept, held in folds(len(ground.cohort), ground.seed):
        trainer = make_trainer(start, records, settings, kept)
        try:
            state, _ = train(trainer)
        except ConvergenceError:
            return Trial(candidate=candidate, scores=(-1e9,))
        scores.append(forecast_scores(trainer.finish(state), records, held))
    joined = np.nan_to_num(np.concatenate(scores), nan=-1e3, neginf=-1e3)
    return Trial(candidate=candidate, scores=tuple(float(s) for s in joined))


def folds(count: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split subjects into (trained on, held out): thirds in turn, or one quarter of many."""
    order = np.random.Generator(np.random.Philox([seed, count])).permutation(count)
    if count >= FOLDS_BELOW:
        held = count // 4
        return [(np.sort(order[held:]), np.sort(order[:held]))]
    parts = [np.sort(order[i :: min(FOLDS, count)]) for i in range(min(FOLDS, count))]
    return [(np.setdiff1d(order, part), part) for part in parts]


def better(richer: Trial, simpler: Trial) -> bool:
    """Whether the richer candidate forecasts better by more than half a standard error."""
    if len(richer.scores) != len(simpler.scores):
        return richer.mean > simpler.mean
    gain = np.asarray(richer.scores) - np.asarray(simpler.scores)
    error = np.std(gain, ddof=1) / np.sqrt(gain.size) if gain.size > 1 else 0.0
    return bool(np.mean(gain) > GAIN * error)


def choose(trials: Sequence[Trial]) -> Trial:
    """Take the first, and each later one that is better than the one held."""
    best = trials[0]
    for trial in trials[1:]:
        if better(trial, best):
            best = trial
    return best


@dataclass(eq=False)
class Selection:
    """The search, with every trial made, so that it can be told and resumed.

    Attributes:
        ground: The cohort.
        trials: By candidate, in the order tried.
        on_trial: Called after each.
    """

    ground: Ground
    trials: dict[Candidate, Trial] = field(default_factory=dict)
    on_trial: Callable[[Trial], None] = lambda trial: None

    def attempt(self, candidates: Sequence[Candidate]) -> list[Trial]:
        """Try candidates, two at a time: compiling one is the other's training time."""
        new = [c for c in candidates if c not in self.trials]
        with ThreadPoolExecutor(2) as pool:
            for trial in pool.map(lambda c: try_candidate(self.ground, c), new):
                self.trials[trial.candidate] = trial
                self.on_trial(trial)
        return [self.trials[c] for c in candidates]


def select(
    selection: Selection,
    *,
    decoder: str,
    structure: str,
    route: Literal["auto", "iv", "oral"],
    prior: Literal["auto", "linear", "multiview"],
) -> Candidate:
    """Choose what is left open.

    Args:
        selection: The search so far.
        decoder: "auto", "compartment", "kernel" or "grid".
        structure: "auto" or a structure's name.
        route: "auto", "iv" or "oral", for doses of undecided route.
        prior: "auto", "linear" or "multiview".

    Returns:
        The chosen candidate.
    """
    subjects = selection.ground.cohort.subjects
    depot = np.concatenate([s.doses.depot for s in subjects])
    open_route = bool(np.isnan(depot).any()) and route == "auto"
    fixed: Route = "oral" if route == "oral" else "iv"
    routes: tuple[Route, ...] = ("iv", "oral") if open_route else (fixed,)
    first_prior: PriorKind = "linear" if prior == "auto" else prior
    if decoder in ("kernel", "grid"):
        options = [Candidate(decoder=decoder, route=r, prior=first_prior) for r in routes]
        best = options[0] if len(options) == 1 else choose(selection.attempt(options)).candidate
    else:
        best = _structure(selection, structure, routes, first_prior)
        if decoder == "auto":
            rivals = [best.model_copy(update={"decoder": name}) for name in ("kernel", "grid")]
            best = choose(selection.attempt([best, *rivals])).candidate
    if prior == "auto" and _worth_views(selection.ground):
        views = best.model_copy(update={"prior": "multiview"})
        best = choose(selection.attempt([best, views])).candidate
    return best


def _structure(
    selection: Selection, structure: str, routes: Sequence[Route], prior: PriorKind
) -> Candidate:
    """Choose the number of compartments, the route and the lag."""
    if structure != "auto":
        options = [Candidate(decoder=structure, route=r, prior=prior) for r in routes]
        return options[0] if len(options) == 1 else choose(selection.attempt(options)).candidate

    def named(compartments: int, route: Route, lag: str = "") -> Candidate:
        oral = _is_oral(selection.ground, route)
        kind = f"oral{lag}" if oral else "iv"
        both = "-f" if oral and _has_both(selection.ground, route) else ""
        return Candidate(decoder=f"{compartments}c-{kind}{both}", route=route, prior=prior)

    first = selection.attempt([named(1, r) for r in routes] + [named(2, r) for r in routes])
    best = choose(first).candidate
    size = int(best.decoder[0])
    further: list[Candidate] = []
    if size == 2:
        further.append(named(3, best.route))
    if _is_oral(selection.ground, best.route):
        further.append(named(size, best.route, "-lag"))
    return choose([selection.trials[best], *selection.attempt(further)]).candidate


def _is_oral(ground: Ground, route: str) -> bool:
    doses = ground.records(route).doses
    return bool(((doses.amount > 0) & (doses.depot == 1)).any())


def _has_both(ground: Ground, route: str) -> bool:
    doses = ground.records(route).doses
    central = ((doses.amount > 0) | (doses.rate > 0)) & (doses.depot == 0)
    return _is_oral(ground, route) and bool(central.any())


def _worth_views(ground: Ground) -> bool:
    known = ground.config(Candidate(decoder="1c-iv", route="iv")).knowledge
    return len(ground.cohort) >= MULTIVIEW_FROM and len(known) > 0
