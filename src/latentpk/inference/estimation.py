"""Maximum marginal likelihood of a population model: descent by exact gradients.

Random effects are integrated out by one of the rules of `marginal`: a descent begins with few
points, ends with as many as were asked for, and where that was left open is checked with more.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from pydantic import Field

from latentpk.inference.climb import LITTLE, NEAR, Climb
from latentpk.inference.likelihood import Likelihood, Places, compile_ahead, make_likelihood
from latentpk.inference.marginal import Method, Rule, make_rule
from latentpk.models.config import Frozen
from latentpk.models.latent import LatentModel
from latentpk.models.record import Record

Progress = Callable[[int, int, str], None]
STEEP = 1e-2  # above which it did not arrive
STEP = 1e-4  # of differences of the exact gradient
LADDER = (9, 15, 25)  # nodes of quadrature up to three effects, each checked with the next
LOW_LADDER = (5, 7)  # the same of four, where nine would be 6,561 points
SAME = 2e-4  # of -2 log L, as which two rules agree
CLOSE = 2e-3  # as which few nodes say that more are enough
FEW = 1000  # points that a descent may begin with
MOST_POINTS = 4000  # of quadrature beyond four effects


class EstimationSettings(Frozen):
    """How a population is estimated.

    Attributes:
        method: How random effects are integrated out; None is quadrature up to three of them
            (occasions count; four where courses are those of named equations), sampling beyond.
        nodes: Of quadrature, in each dimension; None is as many of 9, 15, 25 as it takes, up to
            three effects, of 5 and 7 for four, and what is feasible beyond.
        draws: Of sampling.
        evaluations: At most.
    """

    method: Method | None = None
    nodes: int | None = Field(default=None, ge=1, le=64)
    draws: int = Field(default=2048, ge=64)
    evaluations: int = Field(default=500, ge=0)


@dataclass(frozen=True, eq=False)
class Estimate:
    """A population at its estimates.

    Attributes:
        model: There.
        names: Of the numbers estimated, such as "log ka", "ka~WT", "log sd ka", "log a".
        value: They, shape (number,).
        minus2: -2 log likelihood with all constants.
        each: Of each subject, shape (subject,).
        gradient: Of `minus2`, shape (number,).
        scores: Each subject's own gradient, shape (subject, number).
        hessian: Of `minus2`, shape (number, number); None where it was not asked for.
        modes: Of each subject's effects, shape (subject, effect).
        rule: The method that it is the likelihood of.
        evaluations: Of the likelihood.
        arrived: Whether the gradient vanishes there.
        stopped: What the optimizer said.
    """

    model: LatentModel
    names: tuple[str, ...]
    value: Float[np.ndarray, " number"]
    minus2: float
    each: Float[np.ndarray, " subject"]
    gradient: Float[np.ndarray, " number"]
    scores: Float[np.ndarray, "subject number"]
    hessian: Float[np.ndarray, "number number"] | None
    modes: Float[np.ndarray, "subject effect"]
    rule: str
    evaluations: int
    arrived: bool
    stopped: str


class Plan(NamedTuple):
    """How a likelihood is climbed.

    Attributes:
        begin: What the descent begins with where the rest is dear; None: with the first rung.
        rungs: Rules and their names; the next one is climbed where its value is another.
    """

    begin: Rule | None
    rungs: tuple[tuple[Rule, str], ...]


def make_plan(settings: EstimationSettings, effects: int, *, simulated: bool = False) -> Plan:
    """What settings ask for, for as many random effects.

    Args:
        settings: How.
        effects: Of a subject, occasions included.
        simulated: Whether the model's courses are those of named equations.

    Example:
        >>> [name for _, name in make_plan(EstimationSettings(), 2).rungs]
        ['quadrature, 9', 'quadrature, 15', 'quadrature, 25']
    """
    # many subjects of a compartment model: exact gradients through 625 points cost more than draws
    few = effects <= 4 if simulated else effects <= 3
    method = settings.method or ("quadrature" if few else "sampling")
    focei = make_rule("focei", effects)
    if method in ("focei", "laplace"):
        return Plan(None, ((make_rule(method, effects), method),))
    if method == "sampling":
        rule = make_rule(method, effects, draws=settings.draws)
        return Plan(focei, ((rule, f"sampling, {settings.draws}"),))
    nodes = LADDER if effects <= 3 else LOW_LADDER
    if settings.nodes is not None or effects > 4:
        nodes = (settings.nodes or max(3, int(MOST_POINTS ** (1 / effects))),)
    rules = tuple(
        (make_rule(method, effects, nodes=count), f"quadrature, {count}") for count in nodes
    )
    dear = len(rules[0][0].point) > FEW
    return Plan(focei if dear else None, rules)


def begin_compiling(model: LatentModel, records: Record, settings: EstimationSettings) -> None:
    """Begin to compile what `estimate` will run, beside the search for where it begins.

    Args:
        model: As it will be given, at any values.
        records: Stacked records.
        settings: How it will be estimated.
    """
    plan = _plan_for(model, records, settings)
    (first, _), *more = plan.rungs
    for rule in (first,) if plan.begin is None else (plan.begin, first):
        compile_ahead(model, records, rule)
    if more:
        compile_ahead(model, records, more[0][0], value=True)


def _plan_for(model: LatentModel, records: Record, settings: EstimationSettings) -> Plan:
    return make_plan(settings, _effects(model, records), simulated=model.decoder.simulated)


def _effects(model: LatentModel, records: Record) -> int:
    return model.effects + records.occasions * model.kappas


def _apart(climb: Climb, one: Likelihood, other: Likelihood) -> float:
    placed = one.place(climb.at, climb.modes)
    known = one.evaluate(climb.at, placed)[0]  # its gradient is compiled already, its value not
    return abs(float((known - other.value(climb.at, placed)).sum()))


def estimate(
    model: LatentModel,
    records: Record,
    settings: EstimationSettings,
    *,
    hessian: bool = True,
    progress: Progress | None = None,
) -> Estimate:
    """Maximize the marginal likelihood.

    Args:
        model: Of `build_population`, at starting values.
        records: Stacked records.
        settings: How; no evaluations: the likelihood at the start.
        hessian: Whether the curvature at the end is computed, for standard errors.
        progress: Called with (done, total, label).

    Returns:
        The estimates, and how they were reached.
    """
    tell = progress or (lambda done, total, label: None)
    plan = _plan_for(model, records, settings)
    rule, name = plan.rungs[0]
    likelihood = make_likelihood(model, records, rule)
    empty = np.zeros((records.mask.shape[0], _effects(model, records)))
    climb = Climb(likelihood.start, empty, settings.evaluations, tell)
    if plan.begin is not None:
        climb.over(make_likelihood(model, records, plan.begin), NEAR)
    climb.settle(likelihood)
    finest = likelihood
    for close, (rule, name) in zip((CLOSE, SAME), plan.rungs[1:], strict=False):  # noqa: B007
        finest = make_likelihood(model, records, rule)
        # quadrature's error falls geometrically: few nodes that are near say that more are there
        if _apart(climb, likelihood, finest) < close:
            break
        likelihood = finest
        climb.settle(likelihood)
    placed = likelihood.place(climb.at, climb.modes)
    each, slope = likelihood.evaluate(climb.at, placed)
    if finest is not likelihood:
        each = finest.value(climb.at, placed)
    curvature = _hessian(likelihood, climb.at, placed, tell) if hessian else None
    gradient = slope.sum(axis=0)
    return Estimate(
        likelihood.model_at(climb.at),
        likelihood.names,
        climb.at,
        float(each.sum()),
        each,
        gradient,
        slope,
        curvature,
        placed.mode,
        name,
        climb.used,
        bool(np.isfinite(each).all() and _rests(climb, likelihood, gradient)),
        climb.stopped,
    )


def _rests(climb: Climb, likelihood: Likelihood, gradient: np.ndarray) -> bool:
    """Whether nothing is left to be gained."""
    if np.abs(gradient).max(initial=0.0) < STEEP:
        return True
    return likelihood.noisy and climb.gain is not None and climb.gain < LITTLE


def _hessian(
    likelihood: Likelihood, value: np.ndarray, placed: Places, tell: Progress
) -> Float[np.ndarray, "number number"]:
    """Differences of the exact gradient; points that are held stay."""
    size = len(value)

    def gradient(at: np.ndarray) -> np.ndarray:
        modes = placed if likelihood.held else likelihood.place(at, placed.mode)
        return likelihood.evaluate(at, modes)[1].sum(axis=0)

    here, columns = gradient(value), []
    for k in range(size):
        tell(k, size, "standard errors")
        step = np.zeros(size)
        step[k] = STEP
        columns.append((gradient(value + step) - here) / STEP)
    tell(size, size, "standard errors")
    found = np.stack(columns, axis=1)
    return 0.5 * (found + found.T)
