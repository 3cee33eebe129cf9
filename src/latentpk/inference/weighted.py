"""Weighted draws of patients' posteriors, and what is known of how good they are."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

Method = Literal["is", "adaptive", "nuts"]


@dataclass(frozen=True, eq=False)
class Posteriors:
    """Posteriors of a block of patients over eps, the latent patient relative to the prior.

    Attributes:
        eps: Draws, shape (subject, draw, effect).
        weight: Their normalised weights, shape (subject, draw).
        mode: The highest mode (MAP), shape (subject, effect).
        objective: -log joint density at the mode, shape (subject,).
        residual: Standardized residuals at the mode, 0 where no level is, shape (subject, level).
        k: Pareto k-hat, shape (subject,).
        ess: Effective sample size, shape (subject,).
        log_evidence: Marginal log likelihood of the levels, shape (subject,).
        log_evidence_wide: The same for patients who differ WIDER times as much, nan where it was
            not asked for, shape (subject,).
        log_evidence_slow: The same for patients who clear the drug SLOWER times more slowly, nan
            where no parameter is a clearance, shape (subject,).
        method: The rung that answered, one per subject.
        rhat: Split R-hat where NUTS answered, else nan, shape (subject,).
        group: Probability of each group of people, shape (subject, group); None in a population
            of one.
        likeliest: Each subject's posterior in the likeliest group, relative to that group's prior;
            None in a population of one. The mode, its objective and residuals are of this group.
    """

    eps: Float[np.ndarray, "subject draw effect"]
    weight: Float[np.ndarray, "subject draw"]
    mode: Float[np.ndarray, "subject effect"]
    objective: Float[np.ndarray, " subject"]
    residual: Float[np.ndarray, "subject level"]
    k: Float[np.ndarray, " subject"]
    ess: Float[np.ndarray, " subject"]
    log_evidence: Float[np.ndarray, " subject"]
    log_evidence_wide: Float[np.ndarray, " subject"]
    log_evidence_slow: Float[np.ndarray, " subject"]
    method: tuple[Method, ...]
    rhat: Float[np.ndarray, " subject"]
    group: Float[np.ndarray, "subject group"] | None = None
    likeliest: "Posteriors | None" = None


def evenly(eps: np.ndarray, weight: np.ndarray, size: int) -> np.ndarray:
    """Systematic resampling: evenly weighted draws without further noise."""
    edges = np.cumsum(weight) / np.sum(weight)
    index = np.searchsorted(edges, (np.arange(size) + 0.5) / size)
    return eps[np.minimum(index, eps.shape[0] - 1)]


ARRAYS = (
    "eps",
    "weight",
    "mode",
    "objective",
    "residual",
    "k",
    "ess",
    "log_evidence",
    "log_evidence_wide",
    "log_evidence_slow",
    "rhat",
)


def rows(posterior: Posteriors, index: Sequence[int] | np.ndarray) -> Posteriors:
    """The posteriors of some subjects, in the order of `index`."""
    arrays: dict[str, Any] = {name: getattr(posterior, name)[np.asarray(index)] for name in ARRAYS}
    found = Posteriors(**arrays, method=tuple(posterior.method[i] for i in index))
    if posterior.group is None or posterior.likeliest is None:
        return found
    own = rows(posterior.likeliest, index)
    return replace(found, group=posterior.group[np.asarray(index)], likeliest=own)


def replace_rows(into: Posteriors, index: np.ndarray, rows: Posteriors) -> Posteriors:
    """The same posteriors with those of some subjects replaced; in a population of one group."""

    def put(name: str) -> np.ndarray:
        whole = getattr(into, name).copy()
        whole[index] = getattr(rows, name)
        return whole

    method = list(into.method)
    for place, name in zip(index, rows.method, strict=True):
        method[place] = name
    arrays: dict[str, Any] = {name: put(name) for name in ARRAYS}
    return Posteriors(**arrays, method=tuple(method))
