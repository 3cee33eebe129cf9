"""Maximum marginal likelihood of a population model: descent by exact gradients.

Random effects are integrated out by one of the rules of `marginal`, whose points are placed around
every subject's mode anew in each evaluation. Where gradients leave them in place, value and
gradient part near the optimum by the rule's error; there the points stay for a whole descent, and
are placed anew until that changes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from pydantic import Field
from scipy.optimize import minimize

from latentpk.inference.likelihood import Likelihood, make_likelihood
from latentpk.inference.marginal import Method, Mode, Rule, make_rule
from latentpk.models.config import Frozen
from latentpk.models.latent import LatentModel
from latentpk.models.record import Record

Progress = Callable[[int, int, str], None]
NEAR = 2e-2  # the same while points move with every evaluation
RESTS = 6  # descents with points that stay, at most
FLAT = 2e-4  # of the gradient of -2 log L, per log unit, where the descent rests
STEEP = 1e-2  # above which it did not arrive
NO_VALUE = 1e10  # of a place where the likelihood cannot be computed
STEP = 1e-4  # of differences of the exact gradient
MORE_NODES = 25  # of quadrature, where 15 are off
SAME = 2e-4  # of -2 log L, as which two rules agree
MANY = 4_000_000  # points times levels above which quadrature begins where FOCEI ends


class EstimationSettings(Frozen):
    """How a population is estimated.

    Attributes:
        method: How random effects are integrated out; None is quadrature up to three of them
            (occasions count), sampling beyond.
        nodes: Of quadrature, in each dimension; None is 15 up to three effects, and more where
            these do not suffice, fewer beyond three effects.
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


def choose_rule(settings: EstimationSettings, effects: int) -> tuple[Rule, Method, int | None]:
    """The rule that settings ask for, for as many effects, its method and its size."""
    method = settings.method or ("quadrature" if effects <= 3 else "sampling")
    nodes = settings.nodes or (15 if effects <= 3 else max(3, int(4000 ** (1 / effects))))
    rule = make_rule(method, effects, nodes=nodes, draws=settings.draws)
    size = {"quadrature": nodes, "sampling": settings.draws}.get(method)
    return rule, method, size


def _finer(settings: EstimationSettings, effects: int, rule: Rule) -> Rule | None:
    """What quadrature is checked with where its nodes were not asked for."""
    if settings.nodes is not None or not rule.held or settings.method not in (None, "quadrature"):
        return None
    if effects > 3:
        return None
    return make_rule("quadrature", effects, nodes=MORE_NODES)


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
    effects = model.effects + records.occasions * model.kappas
    rule, method, size = choose_rule(settings, effects)
    modes = np.zeros((records.mask.shape[0], effects))
    used = 0
    if settings.evaluations and len(rule.point) * records.mask.size > MANY:
        begin = make_likelihood(model, records, make_rule("focei", effects))
        found = _descend(begin, begin.start, modes, settings.evaluations, tell)
        model, modes, used = begin.model_at(found.value), found.modes, found.used
    likelihood = make_likelihood(model, records, rule)
    found = _descend(likelihood, likelihood.start, modes, settings.evaluations, tell)
    more = _finer(settings, effects, rule)
    if more is not None and settings.evaluations:
        finer = make_likelihood(model, records, more)
        placed = likelihood.place(found.value, found.modes)
        apart = likelihood.value(found.value, placed) - finer.value(found.value, placed)
        if abs(float(apart.sum())) > SAME:
            used += found.used
            likelihood, size = finer, MORE_NODES
            found = _descend(finer, found.value, found.modes, settings.evaluations, tell)
    placed = likelihood.place(found.value, found.modes)
    each, slope = likelihood.evaluate(found.value, placed)
    curvature = _hessian(likelihood, found.value, placed, tell) if hessian else None
    gradient = slope.sum(axis=0)
    return Estimate(
        likelihood.model_at(found.value),
        likelihood.names,
        found.value,
        float(each.sum()),
        each,
        gradient,
        slope,
        curvature,
        np.asarray(placed.eps),
        method if size is None else f"{method}, {size}",
        used + found.used,
        bool(np.isfinite(each).all() and np.abs(gradient).max(initial=0.0) < STEEP),
        found.stopped,
    )


@dataclass(frozen=True, eq=False)
class _Descent:
    value: np.ndarray
    modes: np.ndarray
    used: int
    stopped: str


def _descend(
    likelihood: Likelihood,
    start: np.ndarray,
    modes: np.ndarray,
    evaluations: int,
    tell: Progress,
) -> _Descent:
    """BFGS with points placed in every evaluation; then, where they are held, with them at rest."""
    if not evaluations:
        return _Descent(start, modes, 0, "not asked for")
    climb = _Climb(likelihood, start, modes, evaluations, tell)
    stopped = climb.run(FLAT if not likelihood.held else NEAR, None)
    for _ in range(RESTS if likelihood.held else 0):
        placed = likelihood.place(climb.at, climb.modes)
        gradient = likelihood.evaluate(climb.at, placed)[1].sum(axis=0)
        if np.abs(gradient).max() < FLAT or climb.used >= evaluations:
            break
        stopped = climb.run(FLAT, placed)
    return _Descent(climb.at, climb.modes, climb.used, stopped)


class _Climb:
    """One descent after another from the best place so far."""

    def __init__(
        self,
        likelihood: Likelihood,
        start: np.ndarray,
        modes: np.ndarray,
        evaluations: int,
        tell: Progress,
    ) -> None:
        self.likelihood, self.at, self.modes = likelihood, start, modes
        self.evaluations, self.tell, self.used = evaluations, tell, 0

    def run(self, flat: float, placed: Mode | None) -> str:
        """BFGS; the inverse curvature it begins with is that of the subjects' own gradients.

        Args:
            flat: Gradient at which to rest.
            placed: Points that stay; None places them in every evaluation.

        Returns:
            What stopped it.
        """
        lowest = np.inf

        def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal lowest
            self.used += 1
            self.tell(min(self.used, self.evaluations), self.evaluations, "likelihood")
            each, slope, eps = self._evaluate(x, placed)
            total, gradient = float(each.sum()), slope.sum(axis=0)
            if not (np.isfinite(total) and np.isfinite(gradient).all()):
                return NO_VALUE, np.zeros_like(x)
            if total < lowest:
                lowest, self.at, self.modes = total, x.copy(), eps
            return total, gradient

        _, slope, eps = self._evaluate(self.at, placed)
        self.modes = np.where(np.isfinite(eps), eps, 0.0)
        left = max(self.evaluations - self.used, 1)
        options = {"gtol": flat, "maxiter": left, "hess_inv0": _inverse(slope)}
        done = minimize(objective, self.at, jac=True, method="BFGS", options=options)
        return str(done.message)

    def _evaluate(
        self, x: np.ndarray, placed: Mode | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        modes = self.likelihood.place(x, self.modes) if placed is None else placed
        each, slope = self.likelihood.evaluate(x, modes)
        return each, slope, np.asarray(modes.eps)


def _inverse(scores: Float[np.ndarray, "subject number"]) -> Float[np.ndarray, "number number"]:
    """Of the expected curvature of -2 log L, half the sum of products of scores, held positive."""
    size = scores.shape[1]
    if not np.isfinite(scores).all():
        return np.eye(size)
    outer = 0.5 * scores.T @ scores
    typical = max(np.trace(outer) / size, 1e-3)
    inverse = np.linalg.inv(outer + 0.02 * typical * np.eye(size))
    return 0.5 * (inverse + inverse.T)


def _hessian(
    likelihood: Likelihood, value: np.ndarray, placed: Mode, tell: Progress
) -> Float[np.ndarray, "number number"]:
    """Differences of the exact gradient; points that are held stay."""
    size = len(value)

    def gradient(at: np.ndarray) -> np.ndarray:
        modes = placed if likelihood.held else likelihood.place(at, np.asarray(placed.eps))
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
