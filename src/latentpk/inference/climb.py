"""Descents of a population's likelihood, one after another from where the last one ended.

Points are placed around every subject's mode anew in each evaluation. Where gradients leave them in
place, value and gradient part near the optimum by the rule's error; there the points stay for a
whole descent, and are placed anew until that changes nothing.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize

from latentpk.inference.likelihood import Likelihood, Places

Progress = Callable[[int, int, str], None]
FLAT = 2e-4  # of the gradient of -2 log L, per log unit, where a descent rests
NEAR = 2e-2  # the same while points move with every evaluation
RESTS = 6  # descents with points that stay, at most
HALVES = 5  # of a descent that points placed anew do not confirm
NOISE = 0.01  # of -2 log L, between two placings of the points
NO_VALUE = 1e10  # of a place where the likelihood cannot be computed


class Climb:
    """Where the descents are, and what they know of the curvature there.

    Attributes:
        at: The best place so far, shape (number,).
        modes: Of the subjects there, shape (subject, effect).
        inverse: Of the curvature of -2 log L; None before the first descent.
        used: Evaluations so far.
        stopped: What ended the last descent.
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

    def settle(self, likelihood: Likelihood) -> None:
        """Descend until the gradient vanishes."""
        if not likelihood.held:
            self.over(likelihood, FLAT)
            return
        if self.inverse is None:
            self.over(likelihood, NEAR)
        placed, total, gradient = self._anew(likelihood)
        for _ in range(RESTS):
            if self.used >= self.evaluations or np.abs(gradient).max(initial=0.0) < FLAT:
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
                self.at = start
                return

    def _anew(self, likelihood: Likelihood) -> tuple[Places, float, np.ndarray]:
        """Points placed here, -2 log L and its gradient there."""
        placed = likelihood.place(self.at, self.modes)
        each, slope = likelihood.evaluate(self.at, placed)
        self.modes = placed.mode
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
        lowest = np.inf

        def found_at(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            places = likelihood.place(x, self.modes) if placed is None else placed
            return *likelihood.evaluate(x, places), places.mode

        def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal lowest
            self.used += 1
            self.tell(min(self.used, self.evaluations), self.evaluations, "likelihood")
            each, slope, eps = found_at(x)
            total, gradient = float(each.sum()), slope.sum(axis=0)
            if not (np.isfinite(total) and np.isfinite(gradient).all()):
                return NO_VALUE, np.zeros_like(x)
            if total < lowest:
                lowest, self.at, self.modes = total, x.copy(), eps
            return total, gradient

        if self.inverse is None:
            _, slope, eps = found_at(self.at)
            self.modes = np.where(np.isfinite(eps), eps, 0.0)
            self.inverse = _inverse(slope)
        options = {"gtol": flat, "maxiter": left, "hess_inv0": self.inverse}
        done = minimize(objective, self.at, jac=True, method="BFGS", options=options)
        known = 0.5 * (done.hess_inv + done.hess_inv.T)
        if np.isfinite(known).all() and np.linalg.eigvalsh(known)[0] > 0:
            self.inverse = known
        self.stopped = str(done.message)


def _inverse(scores: Float[np.ndarray, "subject number"]) -> Float[np.ndarray, "number number"]:
    """Of the expected curvature of -2 log L, half the sum of products of scores, held positive."""
    size = scores.shape[1]
    if not np.isfinite(scores).all():
        return np.eye(size)
    outer = 0.5 * scores.T @ scores
    typical = max(np.trace(outer) / size, 1e-3)
    inverse = np.linalg.inv(outer + 0.02 * typical * np.eye(size))
    return 0.5 * (inverse + inverse.T)
