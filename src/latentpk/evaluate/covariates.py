"""Which covariates act on which parameter: effects chosen by likelihood, as chance allows.

Effects enter one by one while the best of them passes what the best of as many would reach by
chance: the same statistic with the covariates' rows permuted between patients, which keeps how they
go together. Then they are taken out and exchanged as long as that helps. Where the likelihood
hardly tells shapes apart, as for a covariate that varies little, the usual one stays: a power.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from latentpk.evaluate.effects import Candidate, Problem, Regression
from latentpk.models.population import Shape

Progress = Callable[[int, int, str], None]
STAY = 0.8  # share of the threshold that keeps an effect that has entered
UNUSUAL = 1.4  # of -2 log L that another shape must bring: a power is twice as likely beforehand
SOME = 1e-6  # of -2 log L, less than which is nothing
NEAR = 6.0  # of -2 log L by which an effect may be worse and still be the true one: odds of 20


@dataclass(frozen=True, eq=False)
class Choice:
    """What was chosen, and what chance would reach.

    Attributes:
        fit: The chosen effects, fitted.
        threshold: Of -2 log L by degree of freedom, which the best of all effects passes by chance
            in as many cases as `false_inclusion` says.
        gains: How much -2 log L rises without each chosen effect.
    """

    fit: Regression
    threshold: float
    gains: tuple[float, ...]


def choose(
    problem: Problem, *, false_inclusion: float = 0.1, permutations: int = 200, seed: int = 0
) -> Choice:
    """Choose effects: forward, backward and by exchange.

    Args:
        problem: Patients and candidates.
        false_inclusion: Share of null data sets in which anything may be chosen.
        permutations: Of the covariates, for the threshold.
        seed: Of them.

    Returns:
        The choice.
    """
    threshold = _by_chance(problem, false_inclusion, permutations, seed)
    fit = problem.empty
    while problem.scores(fit).max(initial=0.0) >= max(threshold, SOME):
        richer = _best_addition(problem, fit)
        if richer is None or _gain(fit, richer) < STAY * threshold:
            break
        fit = _exchange(problem, _without_idle(problem, richer, threshold))
    fit = _exchange(problem, _without_idle(problem, fit, threshold))
    return Choice(fit, threshold, _gains(problem, fit))


def _gain(poorer: Regression, richer: Regression) -> float:
    """Fall of -2 log L for each further column."""
    more = sum(len(one.columns) for one in richer.chosen)
    more -= sum(len(one.columns) for one in poorer.chosen)
    return (poorer.minus2 - richer.minus2) / max(more, 1)


def _best_addition(problem: Problem, fit: Regression) -> Regression | None:
    """The richest of the few additions that the scores put first, fitted."""
    scores = problem.scores(fit)
    order = [k for k in np.argsort(-scores)[:3] if scores[k] > 0]
    tried = [problem.fit((*fit.chosen, problem.candidates[k]), fit) for k in order]
    return min(tried, key=lambda one: one.minus2, default=None)


def _without_idle(problem: Problem, fit: Regression, threshold: float) -> Regression:
    """Without the effects that no longer pass, the idlest first."""
    while fit.chosen:
        poorer = [_leave_out(problem, fit, one) for one in fit.chosen]
        gains = [_gain(own, fit) for own in poorer]
        least = int(np.argmin(gains))
        if gains[least] >= STAY * threshold:
            break
        fit = poorer[least]
    return fit


def _exchange(problem: Problem, fit: Regression) -> Regression:
    """Each effect in its best shape, or by the covariate that does better, while that helps."""
    better = True
    while better:
        better = False
        for one in fit.chosen:
            rest = tuple(other for other in fit.chosen if other is not one)
            taken = {other.place for other in rest}
            rivals = [
                rival
                for rival in problem.candidates
                if rival.parameter == one.parameter
                and rival is not one
                and rival.place not in taken
                and len(rival.columns) == len(one.columns)
            ]
            base = _leave_out(problem, fit, one)
            scores = dict(zip(problem.candidates, problem.scores(base), strict=True))
            rivals = sorted(rivals, key=lambda rival: -scores[rival])[:3]
            tried = [problem.fit((*rest, rival), base) for rival in rivals]
            best = min(tried, key=_cost, default=fit)
            if _cost(best) < _cost(fit) - 1e-4:
                fit, better = best, True
                break
    return fit


def rivals(problem: Problem, fit: Regression, one: Candidate) -> dict[str, float]:
    """Covariates that do nearly as well in the place of a chosen one.

    Args:
        problem: Patients and candidates.
        fit: The chosen effects, fitted.
        one: Of these.

    Returns:
        By covariate: how much -2 log L rises when it acts instead, where that is less than NEAR;
        below 0 where it would be better in a shape that is not usual.
    """
    base = _leave_out(problem, fit, one)
    scores = dict(zip(problem.candidates, problem.scores(base), strict=True))
    acting = {other.covariate for other in fit.chosen if other.parameter == one.parameter}
    best: dict[str, Candidate] = {}
    for other in problem.candidates:
        if other.parameter == one.parameter and other.covariate not in acting:
            held = best.setdefault(other.covariate, other)
            best[other.covariate] = max(held, other, key=lambda found: scores[found])
    likeliest = sorted(best.values(), key=lambda other: -scores[other] * len(other.columns))[:3]
    rises = {
        other.covariate: problem.fit((*base.chosen, other), base).minus2 - fit.minus2
        for other in likeliest
    }
    return {name: rise for name, rise in rises.items() if rise < NEAR}


def shape_probabilities(problem: Problem, fit: Regression, one: Candidate) -> dict[Shape, float]:
    """How likely each shape of a chosen effect is, the other effects staying as they are.

    Args:
        problem: Patients and candidates.
        fit: The chosen effects, fitted.
        one: Of these.

    Returns:
        By shape, adding up to 1: by likelihood, a power twice as likely beforehand.
    """
    rest = tuple(other for other in fit.chosen if other is not one)
    base = _leave_out(problem, fit, one)
    costs: dict[Shape, float] = {
        other.shape: _cost(fit if other is one else problem.fit((*rest, other), base))
        for other in problem.candidates
        if other.place == one.place
    }
    least = min(costs.values())
    weights: dict[Shape, float] = {
        shape: float(np.exp(0.5 * (least - cost))) for shape, cost in costs.items()
    }
    total = sum(weights.values())
    return {shape: weight / total for shape, weight in weights.items()}


def _cost(fit: Regression) -> float:
    """-2 log L, and what shapes that are not usual must bring."""
    unusual = sum(one.shape in ("exponential", "linear") for one in fit.chosen)
    return fit.minus2 + UNUSUAL * unusual


def _leave_out(problem: Problem, fit: Regression, one: Candidate) -> Regression:
    return problem.fit(tuple(other for other in fit.chosen if other is not one), fit)


def _gains(problem: Problem, fit: Regression) -> tuple[float, ...]:
    return tuple(_leave_out(problem, fit, one).minus2 - fit.minus2 for one in fit.chosen)


def _by_chance(problem: Problem, share: float, count: int, seed: int) -> float:
    """The statistic that the best of all candidates passes in a share of permuted data sets."""
    rng, empty = np.random.default_rng(seed), problem.empty
    subjects = len(problem.design)
    best = [
        problem.scores(empty, problem.design[rng.permutation(subjects)]).max(initial=0.0)
        for _ in range(count)
    ]
    return float(np.quantile(best, 1 - share)) if best else 0.0


def selection_probabilities(
    problem: Problem,
    choice: Choice,
    *,
    resamples: int = 50,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[tuple[int, str], float]:
    """How often each effect is chosen when patients are drawn anew, whatever its shape.

    The threshold stays; each resample chooses forward and backward. Nothing without resamples.
    """
    rng, count = np.random.default_rng([seed, 1]), len(problem.design)
    hits = {one.place: 0 for one in problem.candidates}
    for number in range(resamples):
        if progress is not None:
            progress(number, resamples, "resamples")
        own = problem.take(rng.integers(count, size=count))
        fit = own.empty
        while (scores := own.scores(fit)).max(initial=0.0) >= max(choice.threshold, SOME):
            fit = own.fit((*fit.chosen, own.candidates[int(np.argmax(scores))]), fit)
        for one in _without_idle(own, fit, choice.threshold).chosen:
            hits[one.place] += 1
    return {place: hit / resamples for place, hit in hits.items()} if resamples else {}
