"""Descents of a population's likelihood, one after another from where the last one ended.

Points are placed around every subject's mode anew in each evaluation. Where gradients leave them in
place, value and gradient part near the optimum by the rule's error; there the points stay for a
whole descent, and are placed anew until that changes nothing.

An SD of a random effect may be 0 at the optimum, where its logarithm would be minus infinity and
-2 log L ever flatter on the way. Descents therefore move in u with SD = NARROW |sinh u|, in which
-2 log L has its minimum at 0 like any other, and which is the logarithm but for a constant where
the SD is large.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import OptimizeResult, minimize

from latentpk.inference.likelihood import Likelihood, Places

Progress = Callable[[int, int, str], None]
FLAT = 2e-4  # of the gradient of -2 log L, per log unit, where a descent rests
NEAR = 2e-2  # the same while points move with every evaluation
RESTS = 6  # descents with points that stay, at most
HALVES = 5  # of a descent that points placed anew do not confirm
NOISE = 0.01  # of -2 log L, between two placings of the points
LITTLE = 1e-4  # of -2 log L to be gained (a hundredth of a standard error), where draws may rest
PATIENCE = 4  # steps that gain no more together, after which a descent on draws rests
TRIALS = 10  # evaluations in a row that gain nothing: a search along a kink that draws have made
NARROW = 0.05  # SD of a random effect, from where on it is moved by its logarithm
ZERO = 1e-4  # of u, as which 0 is evaluated
AT_REST = "No step gains more than the noise of the draws."
NO_VALUE = 1e10  # of a place where the likelihood cannot be computed


class _InVainError(Exception):
    """A line search finds nothing lower: draws have made a kink where the likelihood has none."""


class Climb:
    """Where the descents are, and what they know of the curvature there.

    Attributes:
        at: The best place so far, shape (number,).
        modes: Of the subjects there, shape (subject, effect).
        inverse: Of the curvature of -2 log L in u; None before the first descent.
        used: Evaluations so far.
        stopped: What ended the last descent.
        gain: Of -2 log L that a Newton step promises, with points placed anew; None where that was
            not asked.
    """

    def __init__(
        self,
        start: Float[np.ndarray, " number"],
        modes: Float[np.ndarray, "subject effect"],
        evaluations: int,
        tell: Progress,
    ) -> None:
        self.at, self.modes = start, modes
        self.evaluations, self.tell = evaluations, tell
        self.inverse: np.ndarray | None = None
        self.used, self.stopped = 0, "not asked for"
        self.gain: float | None = None
        self._met: tuple[Places, np.ndarray, np.ndarray] | None = None  # last placed, and evaluated

    def settle(self, likelihood: Likelihood) -> None:
        """Descend until the gradient vanishes; on draws, until no step promises more than noise."""
        self.gain = None
        if not likelihood.held:
            self.over(likelihood, FLAT)
            return
        if self.inverse is None:
            self.over(likelihood, NEAR)
        placed, total, gradient = self._anew(likelihood)
        for _ in range(RESTS):
            if self.used >= self.evaluations or np.abs(gradient).max(initial=0.0) < FLAT:
                return
            if likelihood.noisy and self.gain is not None and self.gain < LITTLE:
                return
            start, known, before = self.at, self.inverse, total
            self.over(likelihood, FLAT, placed)
            placed, total, gradient = self._anew(likelihood)
            if total < before + NOISE:
                continue
            # far from where they were placed points miss the mass, which looks like a better place
            for _ in range(HALVES):
                self.at, self.inverse = 0.5 * (start + self.at), known
                placed, total, gradient = self._anew(likelihood)
                if total < before:
                    break
            else:
                self.at, self.gain = start, None
                return

    def _anew(self, likelihood: Likelihood) -> tuple[Places, float, np.ndarray]:
        """Points placed here, -2 log L and its gradient there."""
        placed = likelihood.place(self.at, self.modes)
        each, slope = likelihood.evaluate(self.at, placed)
        stretch = _numbers(_coordinates(self.at, likelihood.spreads), likelihood.spreads)[1]
        self.modes = placed.mode
        self._met = placed, each, slope * stretch
        if self.inverse is not None:
            steep = (slope * stretch).sum(axis=0)
            self.gain = 0.5 * float(steep @ self.inverse @ steep)
        return placed, float(each.sum()), slope.sum(axis=0)

    def over(self, likelihood: Likelihood, flat: float, placed: Places | None = None) -> None:
        """One descent by BFGS.

        It begins with the curvature of the last one, or that of the subjects' own gradients.

        Args:
            likelihood: What descends.
            flat: Gradient at which to rest.
            placed: Points that stay; None places them in every evaluation.
        """
        left = self.evaluations - self.used
        if left <= 0:
            return
        lowest, spreads, vain = np.inf, likelihood.spreads, 0
        begin = _coordinates(self.at, spreads)
        met, self._met = self._met, None

        def found_at(u: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            if met is not None and placed is met[0] and np.array_equal(u, begin):
                return *met[1:], met[0].mode
            x, stretch = _numbers(u, spreads)
            places = likelihood.place(x, self.modes) if placed is None else placed
            each, slope = likelihood.evaluate(x, places)
            return each, slope * stretch, places.mode

        def objective(u: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal lowest, vain
            self.used += 1
            self.tell(min(self.used, self.evaluations), self.evaluations, "likelihood")
            each, slope, eps = found_at(u)
            total, gradient = float(each.sum()), slope.sum(axis=0)
            if not (np.isfinite(total) and np.isfinite(gradient).all()):
                return NO_VALUE, np.zeros_like(u)
            vain = 0 if total < lowest - LITTLE else vain + 1
            if total < lowest:
                lowest, self.at, self.modes = total, _numbers(u, spreads)[0], eps
            if likelihood.noisy and vain > TRIALS:
                raise _InVainError
            return total, gradient

        reached: list[float] = []

        def tire(intermediate_result: OptimizeResult) -> None:
            reached.append(float(intermediate_result.fun))
            if len(reached) > PATIENCE and reached[-1 - PATIENCE] - reached[-1] < LITTLE:
                raise StopIteration  # the optimizer's word for: that is enough

        if self.inverse is None:
            _, slope, eps = found_at(begin)
            self.modes = np.where(np.isfinite(eps), eps, 0.0)
            self.inverse = _inverse(slope)
        options = {"gtol": flat, "maxiter": left, "hess_inv0": self.inverse}
        rest = tire if likelihood.noisy else None
        try:
            done = minimize(
                objective, begin, jac=True, method="BFGS", options=options, callback=rest
            )
        except _InVainError:
            self.stopped = AT_REST
            return
        known = 0.5 * (done.hess_inv + done.hess_inv.T)
        if np.isfinite(known).all() and np.linalg.eigvalsh(known)[0] > 0:
            self.inverse = known
        self.stopped = AT_REST if "StopIteration" in str(done.message) else str(done.message)


def _numbers(
    u: Float[np.ndarray, " number"], spreads: Bool[np.ndarray, " number"]
) -> tuple[Float[np.ndarray, " number"], Float[np.ndarray, " number"]]:
    """The numbers at u, and their derivatives there."""
    own = u[spreads]
    own = np.where(np.abs(own) < ZERO, ZERO, own)
    far = np.abs(own)
    x, stretch = u.copy(), np.ones_like(u)
    x[spreads] = np.log(0.5 * NARROW) + far + np.log1p(-np.exp(-2 * far))  # of |sinh|
    stretch[spreads] = 1 / np.tanh(own)
    return x, stretch


def _coordinates(
    x: Float[np.ndarray, " number"], spreads: Bool[np.ndarray, " number"]
) -> Float[np.ndarray, " number"]:
    """Where some numbers are in u."""
    u = x.copy()
    u[spreads] = np.arcsinh(np.exp(x[spreads]) / NARROW)
    return u


def _inverse(scores: Float[np.ndarray, "subject number"]) -> Float[np.ndarray, "number number"]:
    """Of the expected curvature of -2 log L, half the sum of products of scores, held positive."""
    size = scores.shape[1]
    if not np.isfinite(scores).all():
        return np.eye(size)
    outer = 0.5 * scores.T @ scores
    typical = max(np.trace(outer) / size, 1e-3)
    inverse = np.linalg.inv(outer + 0.02 * typical * np.eye(size))
    return 0.5 * (inverse + inverse.T)
