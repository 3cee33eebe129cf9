"""Which decoder, structure, route and prior: decided by forecasts of held-out subjects."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from latentpk.compilation import threads
from latentpk.errors import ConvergenceError
from latentpk.inference.splitting import divide
from latentpk.inference.training import Course, train
from latentpk.kinetics.system import Superposed
from latentpk.kinetics.systems import is_system, parse_system
from latentpk.models.record import take
from latentpk.workflows.ground import Ground
from latentpk.workflows.mechanism import doses_add_up, mechanisms
from latentpk.workflows.setup import HYBRID
from latentpk.workflows.trials import (
    FOLDS_BELOW,
    FREE,
    GAIN,
    Candidate,
    PriorKind,
    Route,
    Trial,
    apart,
    choose,
    decided_route,
    folds,
    gain_of,
    is_closed,
)

QUICK = ("kernel",)  # of them, those that every search tries
ENOUGH = 2000  # subjects of which a quarter decides between one and two compartments
CLOSE = 4.0  # standard errors within which a quarter of fewer does not
LEARNED_FROM = 100  # subjects below which neither a hybrid nor a field is tried unasked
TRIAL_EPOCHS = 80
FOLLOWED_EPOCHS = 50  # of a mechanism that is dear: it begins near and has no shape to learn
ADDED_EPOCHS = 160  # of one in closed form, whose lags and shares are learned slowly


def try_candidate(ground: Ground, candidate: Candidate, *, every: bool = False) -> Trial:
    """Train on part of the subjects and score the forecasts of the others.

    Args:
        ground: The cohort.
        candidate: What to try.
        every: Whether to hold out every subject of a large cohort in turn, too.

    Returns:
        The scores of all held-out subjects: a quarter of a large cohort, in turn all of a small
        one. A candidate that cannot be trained scores -1e9.
    """
    family = ground.family(candidate.undivided)
    epochs = trial_epochs(candidate.decoder)
    settings = ground.training.model_copy(update={"epochs": epochs, "anneal": epochs // 2})
    model, freedom = ground.start(candidate, family.config)
    records = ground.records(candidate.route)
    scores: list[np.ndarray] = []
    for kept, held in folds(len(ground.cohort), ground.training.seed, every=every):
        try:
            state, _ = train(trainer := family.trainer, Course(model, kept, settings, freedom))
            if candidate.components > 1:
                begun = divide(trainer.finish(state), take(records, kept), candidate.components)
                trainer = ground.family(candidate).trainer
                state, _ = train(trainer, Course(begun, kept, settings, freedom))
        except ConvergenceError:
            return Trial(candidate=candidate, scores=(-1e9,))
        scores.append(trainer.forecast_scores(state, held))
    joined = np.nan_to_num(np.concatenate(scores), nan=-1e3, neginf=-1e3, posinf=-1e3)
    return Trial(candidate=candidate, scores=tuple(float(s) for s in joined))


def trial_epochs(decoder: str) -> int:
    """How long a candidate is trained in its trial.

    Example:
        >>> [trial_epochs(name) for name in ("2c-iv", "1c-transit", "1c-mm-iv")]
        [80, 160, 50]
    """
    if not is_system(decoder):
        return TRIAL_EPOCHS
    added = isinstance(parse_system(decoder), Superposed)
    return ADDED_EPOCHS if added else FOLLOWED_EPOCHS


def _score(trial: Trial) -> str:
    return f"{trial.mean:.3f} nats per level"


@dataclass(eq=False)
class Selection:
    """The search, with every trial made, so that it can be told and resumed.

    Attributes:
        ground: The cohort.
        trials: By candidate, in the order tried.
        on_trial: Called after each.
        turned: Trials of every subject in turn, where a quarter left a choice open.
        reasons: Why dear candidates were tried, or not.
    """

    ground: Ground
    trials: dict[Candidate, Trial] = field(default_factory=dict)
    on_trial: Callable[[Trial], None] = lambda trial: None
    turned: dict[Candidate, Trial] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)

    def attempt(self, candidates: Sequence[Candidate]) -> list[Trial]:
        """Try candidates; the programs of two families compile and run side by side."""
        lanes: dict[tuple[str, str], list[Candidate]] = {}
        for candidate in candidates:
            if candidate not in self.trials:
                lane = "compartment" if is_closed(candidate.decoder) else candidate.decoder
                lanes.setdefault((lane, candidate.route), []).append(candidate)
        with ThreadPoolExecutor(threads()) as pool:
            list(pool.map(self._run_lane, lanes.values()))
        return [self.trials[c] for c in candidates]

    def decided(self, simpler: Candidate, richer: Candidate) -> list[Trial]:
        """The trials of two candidates, of every subject in turn where a quarter does not decide.

        A quarter of a few hundred subjects misses a second compartment as often as not, and then
        forecasts are a fifth worse; and of two free curves one seems ahead of a structure that is
        right in one study of five, and then mechanisms are looked for that are not there.
        """
        pair = self.trials[simpler], self.trials[richer]
        count = len(self.ground.cohort)
        if not FOLDS_BELOW <= count < ENOUGH or apart(*pair) >= CLOSE:
            return list(pair)
        for one in (simpler, richer):
            if one not in self.turned:
                self.turned[one] = try_candidate(self.ground, one, every=True)
        return [self.turned[simpler], self.turned[richer]]

    def tell(self, chosen: Candidate) -> tuple[str, ...]:
        """Every score, and why the highest was not taken where it was not."""
        ranked = sorted(self.trials.values(), key=lambda trial: str(trial.candidate))
        lines = [f"held-out forecast of {t.candidate}: {_score(t)}" for t in ranked]
        lines += [f"all held out in turn, {t.candidate}: {_score(t)}" for t in self.turned.values()]
        lines += self.reasons
        lines.append(f"chosen: {chosen}")
        if chosen in self.trials:
            held, highest = self.trials[chosen], max(ranked, key=lambda trial: trial.mean)
            distance = apart(highest, held)
            if highest.candidate != chosen and np.isfinite(distance):
                lines.append(
                    f"{highest.candidate} scored {highest.mean - held.mean:.3f} higher, "
                    f"{distance:.1f} standard errors: too little to decide for it"
                )
        return tuple(lines)

    def _run_lane(self, candidates: Sequence[Candidate]) -> None:
        for candidate in candidates:
            trial = try_candidate(self.ground, candidate)
            with self.ground.lock:
                self.trials[candidate] = trial
                self.on_trial(trial)


def select(
    selection: Selection,
    *,
    decoder: str,
    structure: str,
    route: Literal["auto", "iv", "oral"],
    prior: Literal["auto", "linear", "multiview"],
    components: int | Literal["auto"] = 1,
) -> Candidate:
    """Choose what is left open.

    Args:
        selection: The search so far.
        decoder: "auto", "compartment", "mechanistic", "kernel", "neural_ode", "hybrid" or "grid".
        structure: "auto" or a structure's name; a nonlinear one is taken as it is.
        route: "auto", "iv" or "oral", for doses of undecided route.
        prior: "auto", "linear" or "multiview".
        components: Groups of people; "auto" tries two against one.

    Returns:
        The chosen candidate.
    """
    subjects = selection.ground.cohort.subjects
    depot = np.concatenate([s.doses.depot for s in subjects])
    absorbed = bool(selection.ground.dose_covariates) and route == "auto"
    open_route = bool(np.isnan(depot).any()) and route == "auto" and not absorbed
    fixed: Route = "oral" if absorbed else decided_route(selection.ground.cohort, route)
    routes: tuple[Route, ...] = ("iv", "oral") if open_route else (fixed,)
    first_prior: PriorKind = "linear" if prior == "auto" else prior
    if is_system(structure):
        if route == "auto":
            fixed = "oral" if parse_system(structure).oral else "iv"
        best = Candidate(decoder=structure, route=fixed, prior=first_prior)
    elif decoder in FREE:
        options = [Candidate(decoder=decoder, route=r, prior=first_prior) for r in routes]
        best = options[0] if len(options) == 1 else choose(selection.attempt(options)).candidate
    else:
        free = QUICK if decoder == "auto" else ()
        best = _structure(selection, structure, routes, first_prior, free)
        rivals = [best.model_copy(update={"decoder": name}) for name in free]
        if decoder == "hybrid":
            best = best.model_copy(update={"decoder": HYBRID + best.decoder})
        if rivals:
            best = _rivalled(selection, best, rivals)
    if prior == "auto" and selection.ground.worth_views:
        views = best.model_copy(update={"prior": "multiview"})
        best = choose(selection.attempt([best, views])).candidate
    counted = best.model_copy(update={"components": 2 if components == "auto" else components})
    return choose(selection.attempt([best, counted])).candidate if components == "auto" else counted


def _rivalled(selection: Selection, structure: Candidate, quick: Sequence[Candidate]) -> Candidate:
    """The structure, or a decoder that forecasts better.

    The grid is never among them: its profile is of a whole regimen, so it may forecast best where
    all have the same one, and says nothing of another. A hybrid is tried on every cohort that can
    teach it. Where a rival shows that the structure misfits (all held out in turn, where a quarter
    leaves that open) ready-made mechanisms are tried, which take their place beside the structures:
    a free curve must forecast better than them too, since they know other doses and intervals and
    it does not. The learned field, whose trial takes as long as all others, is tried where no
    mechanism leaves the rivals behind.
    """
    ground, rivals = selection.ground, list(quick)
    if len(ground.cohort) < LEARNED_FROM:
        few = f"hybrid, mechanisms and neural_ode not tried: fewer than {LEARNED_FROM} subjects"
        selection.reasons.append(few)
        return choose(selection.attempt([structure, *rivals])).candidate
    rivals.append(structure.model_copy(update={"decoder": HYBRID + structure.decoder}))
    plain, *others = selection.attempt([structure, *rivals])
    best = max(others, key=lambda trial: gain_of(trial, plain))
    pair = [plain, best]
    if gain_of(best, plain) > GAIN:  # one of two is ahead by chance more often than one would be
        pair = selection.decided(structure, best.candidate)
    gain = gain_of(pair[1], pair[0])
    dear = "mechanisms and neural_ode"
    if ground.dose_covariates:
        why = f"{dear} not tried: they do not follow each dose alone, which has covariates"
    elif ground.records(structure.route).paths.steady:
        why = f"{dear} not tried: doses at steady state, which they cannot follow"
    elif gain <= GAIN:
        why = f"{dear} not tried: no rival forecasts better by {GAIN:g} standard errors"
    else:
        why = f"mechanisms tried: {best.candidate} forecasts better than {structure} by "
        selection.reasons.append(f"{why}{gain:.1f} standard errors, so the structure misfits")
        return _explained(selection, plain, others)
    selection.reasons.append(why)
    return choose(pair).candidate


def _explained(selection: Selection, plain: Trial, rivals: Sequence[Trial]) -> Candidate:
    """What forecasts best where the structure misfits: a mechanism, or a free curve.

    Where a kernel forecasts better than a hybrid, whose factor sees the level, doses add up: then
    nothing that saturates is tried, nor a learned field beside a mechanism that holds its place.
    """
    structure, ground = plain.candidate, selection.ground
    route = structure.route
    held, ahead = plain, float("-inf")
    changing = ground.records(route).change.shape[-1] > 1
    ladders = mechanisms(oral=ground.oral(route), both=ground.both(route), changing=changing)
    kernel, hybrid = rivals
    added = (distance := gain_of(kernel, hybrid)) > GAIN
    if added:
        ladders = tuple(ladder for ladder in ladders if doses_add_up(ladder[0][0]))
        why = f"saturation and targets not tried: {kernel.candidate}, whose doses add up, forecasts"
        selection.reasons.append(
            f"{why} better than {hybrid.candidate} by {distance:.1f} standard errors"
        )
    for ladder in ladders:
        for names in ladder:
            tried = [structure.model_copy(update={"decoder": name}) for name in names]
            trials = selection.attempt(tried)
            held = choose([held, *trials])
            if held is not trials[-1]:
                break
        trained = [rival for rival in rivals if len(rival.scores) == len(held.scores)]
        ahead = min((gain_of(held, rival) for rival in trained), default=float("inf"))
        if ahead > GAIN:
            why = f"neural_ode not tried: {held.candidate} forecasts better than every free curve "
            selection.reasons.append(f"{why}by {ahead:.1f} standard errors or more")
            return held.candidate
    if added and held is not plain and choose([held, *rivals]) is held:
        why = (
            f"neural_ode not tried: doses add up, and no free curve takes {held.candidate}'s place"
        )
        selection.reasons.append(why)
        return held.candidate
    selection.reasons.append("neural_ode tried: no mechanism leaves every free curve behind")
    field_ = selection.attempt([structure.model_copy(update={"decoder": "neural_ode"})])
    return choose([held, *rivals, *field_]).candidate


def _structure(
    selection: Selection,
    structure: str,
    routes: Sequence[Route],
    prior: PriorKind,
    free: Sequence[str],
) -> Candidate:
    """Choose the number of compartments, the route and the lag.

    `free` names decoders that will be tried afterwards anyway: with a known route their programs
    compile beside the compartments' one.
    """
    ground = selection.ground
    if structure != "auto":
        options = [Candidate(decoder=structure, route=r, prior=prior) for r in routes]
        return options[0] if len(options) == 1 else choose(selection.attempt(options)).candidate

    def named(compartments: int, route: Route, lag: str = "") -> Candidate:
        kind = f"oral{lag}" if ground.oral(route) else "iv"
        fraction = "-f" if ground.both(route) else ""
        return Candidate(decoder=f"{compartments}c-{kind}{fraction}", route=route, prior=prior)

    # what is said of a dose may change its lag: with it compartments are counted beside a lag
    said = bool(ground.dose_covariates) and all(ground.oral(r) for r in routes)
    lag = "-lag" if said else ""
    first = [named(1, r, lag) for r in routes] + [named(2, r, lag) for r in routes]
    beside = [Candidate(decoder=d, route=routes[0], prior=prior) for d in free]
    trials = selection.attempt(first + (beside if len(routes) == 1 else []))
    few = len(ground.cohort) < FOLDS_BELOW
    best = choose(trials[: len(first)], few=few).candidate
    pair = selection.decided(named(1, best.route, lag), named(2, best.route, lag))
    best = choose(pair, few=few).candidate
    size = int(best.decoder[0])
    further = [named(3, best.route, lag)] if size == 2 else []
    if said:
        simpler = selection.attempt([named(size, best.route)])
        return choose([*simpler, selection.trials[best], *selection.attempt(further)]).candidate
    if ground.oral(best.route):
        further.append(named(size, best.route, "-lag"))
    return choose([selection.trials[best], *selection.attempt(further)]).candidate
