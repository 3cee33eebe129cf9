r"""A regression of patients' log parameters on covariates that weighs how sure each patient is.

What a patient's levels say of log parameters :math:`\varphi_i` is kept as a quadratic, never as a
point: sparse levels have a small :math:`\Lambda_i`.

.. math:: \log p(y_i \mid \varphi) \approx b_i^\top\varphi
          - \tfrac12 \varphi^\top\Lambda_i\varphi, \qquad
          \varphi_i \sim N(\mu + X_i\beta,\ \Omega), \quad \Omega \text{ diagonal}

The likelihood of any set of effects has a closed form, so that hundreds of sets are compared in a
second.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from latentpk.models.population import LEAST as LOWEST
from latentpk.models.population import Shape

ROUNDS = 200  # of expectation and maximization, at most
STILL = 1e-7  # relative change of -2 log L at which they rest
LEAST = 1e-4  # variance of a random effect


@dataclass(frozen=True, eq=False)
class Summaries:
    """What patients' levels say of their log parameters.

    Attributes:
        pull: b, shape (subject, parameter).
        information: Lambda, positive semidefinite, shape (subject, parameter, parameter).
    """

    pull: Float[np.ndarray, "subject parameter"]
    information: Float[np.ndarray, "subject parameter parameter"]

    def take(self, rows: Int[np.ndarray, " chosen"]) -> "Summaries":
        """Some of the patients, or some of them twice."""
        return Summaries(self.pull[rows], self.information[rows])


@dataclass(frozen=True)
class Candidate:
    """One effect that may act.

    Attributes:
        parameter: Its place among the parameters.
        covariate: Its name.
        shape: Which of the shapes.
        columns: Of the design: what is added to the log parameter for a coefficient of 1; of a
            linear effect x - reference.
    """

    parameter: int
    covariate: str
    shape: Shape
    columns: tuple[int, ...]

    @property
    def place(self) -> tuple[int, str]:
        """What it acts on and by what, whatever the shape."""
        return self.parameter, self.covariate


@dataclass(frozen=True, eq=False)
class Regression:
    """A fitted set of effects.

    Attributes:
        chosen: The effects.
        mean: mu, shape (parameter,).
        coefficients: Of each effect's columns.
        variance: Of random effects, shape (parameter,).
        minus2: -2 log likelihood up to a constant of the patients.
        slope: Derivative of the log likelihood by each patient's location.
        weight: Minus its second derivative.
    """

    chosen: tuple[Candidate, ...]
    mean: Float[np.ndarray, " parameter"]
    coefficients: tuple[np.ndarray, ...]
    variance: Float[np.ndarray, " parameter"]
    minus2: float
    slope: Float[np.ndarray, "subject parameter"]
    weight: Float[np.ndarray, "subject parameter"]

    @property
    def departures(self) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
        """How far patients are likely to be from their location, and how sure: means and SDs."""
        left = np.maximum(1 - self.weight * self.variance, 0.0)
        return self.slope * self.variance, np.sqrt(left * self.variance)


@dataclass(frozen=True, eq=False)
class Problem:
    """Patients and the effects that may act on them.

    Attributes:
        summaries: Of the patients.
        design: Columns of all candidates, centered at the references, shape (subject, column).
        candidates: Effects.
    """

    summaries: Summaries
    design: Float[np.ndarray, "subject column"]
    candidates: tuple[Candidate, ...]

    @cached_property
    def empty(self) -> Regression:
        """No effect at all."""
        return self.fit(())

    def take(self, rows: Int[np.ndarray, " chosen"]) -> "Problem":
        """Some of the patients, or some of them twice."""
        return Problem(self.summaries.take(rows), self.design[rows], self.candidates)

    def fit(self, chosen: tuple[Candidate, ...], start: Regression | None = None) -> Regression:
        """Maximum likelihood of a set of effects, by expectation and maximization.

        Args:
            chosen: The effects.
            start: A fit nearby.

        Returns:
            The fit.
        """
        pull, information = self.summaries.pull, self.summaries.information
        parameters = pull.shape[1]
        own = [[one for one in chosen if one.parameter == k] for k in range(parameters)]
        values = [self._begin(effects, start, k) for k, effects in enumerate(own)]
        variance = np.full(parameters, 0.1) if start is None else start.variance
        location = self._locations(own, values)
        minus2, mean, spread = _expect(pull, information, location, variance)
        for _ in range(ROUNDS):
            values = [
                self._solve(effects, at, mean[:, k])
                for k, (effects, at) in enumerate(zip(own, values, strict=True))
            ]
            location, last = self._locations(own, values), minus2
            moved = np.mean(spread + (mean - location) ** 2, axis=0)
            variance = np.maximum(moved, LEAST)
            minus2, mean, spread = _expect(pull, information, location, variance)
            if last - minus2 < STILL * max(1.0, abs(minus2)):
                break
        return Regression(
            chosen,
            np.array([at[0] for at in values]),
            self._split(chosen, values),
            variance,
            minus2,
            (mean - location) / variance,
            1 / variance - spread / variance**2,
        )

    def _begin(
        self, effects: list[Candidate], start: Regression | None, parameter: int
    ) -> Float[np.ndarray, " value"]:
        """Intercept and coefficients to begin at."""
        if start is None:
            own = self.summaries.information[:, parameter, parameter]
            # each patient's own estimate, weighed by what his levels know of it
            force = self.summaries.pull + 0.0
            ridge = self.summaries.information + 1e-2 * np.eye(force.shape[1])
            guess = np.linalg.solve(ridge, force[..., None])[:, parameter, 0]
            return np.array([np.average(guess, weights=own + 1e-12)] + [0.0] * _width(effects))
        known = dict(zip(start.chosen, start.coefficients, strict=True))
        parts = [np.array([start.mean[parameter]])]
        parts += [known.get(one, np.zeros(len(one.columns))) for one in effects]
        return np.concatenate(parts)

    def _locations(
        self, own: list[list[Candidate]], values: list[np.ndarray]
    ) -> Float[np.ndarray, "subject parameter"]:
        each = [self._location(effects, at) for effects, at in zip(own, values, strict=True)]
        return np.stack(each, axis=1)

    def _location(
        self, effects: list[Candidate], values: Float[np.ndarray, " value"]
    ) -> Float[np.ndarray, " subject"]:
        found, place = np.full(len(self.design), values[0]), 1
        for one in effects:
            coefficient = values[place : place + len(one.columns)]
            place += len(one.columns)
            x = self.design[:, one.columns]
            if one.shape == "linear":
                found += np.log(np.maximum(1 + x[:, 0] * coefficient[0], LOWEST))
            else:
                found += x @ coefficient
        return found

    def _solve(
        self,
        effects: list[Candidate],
        values: Float[np.ndarray, " value"],
        wanted: Float[np.ndarray, " subject"],
    ) -> Float[np.ndarray, " value"]:
        """Least squares; a linear effect by its tangent, no further than it stays positive."""
        columns, place = [np.ones(len(self.design))], 1
        for one in effects:
            for x in self.design[:, one.columns].T:
                factor = 1 + x * values[place] if one.shape == "linear" else 1.0
                columns.append(x / np.maximum(factor, LOWEST) if one.shape == "linear" else x)
                place += 1
        design = np.stack(columns, axis=1)
        apart = wanted - self._location(effects, values)
        moved = values + np.linalg.lstsq(design, apart, rcond=None)[0]
        place = 1
        for one in effects:
            if one.shape == "linear":
                x = self.design[:, one.columns[0]]
                low, high = _slopes(x)
                moved[place] = np.clip(moved[place], low, high)
            place += len(one.columns)
        return moved

    def scores(self, at: Regression, design: np.ndarray | None = None) -> Float[np.ndarray, " one"]:
        """Score statistic of adding each candidate, by its degrees of freedom's normal deviate.

        Args:
            at: The fit they are added to.
            design: Columns instead of the problem's own.

        Returns:
            About how much -2 log L would fall; 0 for what is there already.
        """
        columns = self.design if design is None else design
        there = {one.place for one in at.chosen}
        found = np.zeros(len(self.candidates))
        for number, one in enumerate(self.candidates):
            if one.place in there:
                continue
            base = self._own(at, one.parameter)
            weight = at.weight[:, one.parameter]
            own = columns[:, one.columns]
            weighted = base * weight[:, None]
            apart = own - base @ np.linalg.lstsq(weighted.T @ base, weighted.T @ own, rcond=None)[0]
            force = apart.T @ at.slope[:, one.parameter]
            size = (apart * weight[:, None]).T @ apart
            size = size + 1e-10 * np.trace(size) * np.eye(len(size)) + 1e-12 * np.eye(len(size))
            found[number] = float(force @ np.linalg.solve(size, force)) / len(one.columns)
        return found

    def _own(self, fit: Regression, parameter: int) -> np.ndarray:
        """Columns that a further effect on this parameter competes with, at the fit."""
        columns = [np.ones(len(self.design))]
        for one, values in zip(fit.chosen, fit.coefficients, strict=True):
            if one.parameter != parameter:
                continue
            for x, value in zip(self.design[:, one.columns].T, values, strict=True):
                bend = np.maximum(1 + x * value, LOWEST) if one.shape == "linear" else 1.0
                columns.append(x / bend)
        return np.stack(columns, axis=1)

    def _split(
        self, chosen: tuple[Candidate, ...], solved: list[np.ndarray]
    ) -> tuple[np.ndarray, ...]:
        places = [1] * len(solved)
        found = []
        for one in chosen:
            start = places[one.parameter]
            places[one.parameter] += len(one.columns)
            found.append(solved[one.parameter][start : places[one.parameter]])
        return tuple(found)


def _width(effects: list[Candidate]) -> int:
    return sum(len(one.columns) for one in effects)


def _slopes(x: Float[np.ndarray, " subject"]) -> tuple[float, float]:
    """Slopes of a linear effect at which no patient's factor falls below a tenth."""
    low = -0.9 / x.max() if x.max() > 0 else -np.inf
    high = -0.9 / x.min() if x.min() < 0 else np.inf
    return low, high


def _expect(
    pull: np.ndarray, information: np.ndarray, location: np.ndarray, variance: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """-2 log L, and each patient's posterior mean and variances."""
    precise = information + np.diag(1 / variance)
    factor = np.linalg.cholesky(precise)
    inverse = np.linalg.inv(factor)
    covariance = np.swapaxes(inverse, 1, 2) @ inverse
    force = pull + location / variance
    mean = np.einsum("nij,nj->ni", covariance, force)
    size = 2 * np.log(np.einsum("nii->ni", factor)).sum(axis=1) + np.log(variance).sum()
    fit = np.einsum("ni,ni->n", force, mean) - (location**2 / variance).sum(axis=1)
    return float(np.sum(size - fit)), mean, np.einsum("nii->ni", covariance)
