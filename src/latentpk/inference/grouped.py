r"""The posterior in a population of several groups of people: that in each, joined.

Within a group a patient's prior is one Gaussian, so each group's posterior is computed as any
other, and Bayes' rule joins them by how well each explains the levels:

.. math:: p(k \mid y) \propto \pi_k\, p(y \mid k), \qquad
          p(\varepsilon \mid y) = \sum_k p(k \mid y)\, p(\varepsilon \mid y, k)

So no mode is missed because it lies in another group, and weights are as good as within one.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from latentpk.inference.weighted import ARRAYS, Method, Posteriors, evenly
from latentpk.models.latent import LatentModel
from latentpk.models.record import Record

RUNGS = {"is": 0, "adaptive": 1, "nuts": 2}
COUNTS = 1e-2  # probability from which a group's diagnostics are the posterior's
WORTH = 1e-4  # probability below which a group is not computed better than by the first rung


def group_probabilities(
    model: LatentModel, records: Record, evidence: Float[np.ndarray, "subject group"]
) -> tuple[Float[np.ndarray, "subject group"], Float[np.ndarray, " subject"]]:
    """Each group's probability, and the log evidence of all together.

    Args:
        model: The model, for the groups' shares.
        records: Stacked records; a patient without levels has exactly the shares.
        evidence: Log evidence within each group.
    """
    told = np.any(np.asarray(records.mask), axis=1, keepdims=True)
    joint = np.asarray(model.prior.log_shares()) + np.where(told, evidence, 0.0)
    total = np.logaddexp.reduce(joint, axis=1)
    return np.exp(joint - total[:, None]), total


def join(model: LatentModel, records: Record, parts: Sequence[Posteriors]) -> Posteriors:
    """Join the posteriors within each group.

    Args:
        model: The model of all groups.
        records: Stacked records.
        parts: The same subjects' posteriors by `model.of_group` each group.

    Returns:
        As many evenly weighted draws as each part has, from the groups in proportion of their
        probabilities. Diagnostics are of the group whose computation was hardest among those
        that count.
    """
    evidence = np.stack([part.log_evidence for part in parts], axis=1)
    group, total = group_probabilities(model, records, evidence)
    first, hardest = group.argmax(axis=1), _hardest(parts, group)
    likeliest = _of_each(parts, first)
    draws = parts[0].eps.shape[1]
    ess = 1 / np.sum(group**2 / np.stack([part.ess for part in parts], axis=1), axis=1)
    frames = [tuple(np.asarray(x) for x in model.prior.frame(k)) for k in range(len(parts))]
    origin, spread = (np.stack(each)[first] for each in zip(*frames, strict=True))
    return replace(
        likeliest,
        eps=_drawn(parts, group, frames),
        weight=np.full((len(group), draws), 1 / draws),
        mode=origin + np.einsum("sij,sj->si", spread, likeliest.mode),
        k=_picked(parts, "k", hardest),
        rhat=_picked(parts, "rhat", hardest),
        method=_methods(parts, hardest),
        ess=np.minimum(ess, draws),
        log_evidence=total,
        group=group,
        likeliest=likeliest,
    )


def _drawn(
    parts: Sequence[Posteriors],
    group: Float[np.ndarray, "subject group"],
    frames: Sequence[tuple[np.ndarray, ...]],
) -> Float[np.ndarray, "subject draw effect"]:
    draws = parts[0].eps.shape[1]
    ranks = (np.arange(draws) + 0.5) / draws
    found = np.empty_like(parts[0].eps)
    for i, shares in enumerate(group):
        whose = np.searchsorted(np.cumsum(shares)[:-1], ranks, side="right")
        for k, (origin, spread) in enumerate(frames):
            mine = whose == k
            chosen = evenly(parts[k].eps[i], parts[k].weight[i], int(mine.sum()))
            found[i, mine] = origin + chosen @ spread.T
    return found


def _hardest(parts: Sequence[Posteriors], group: Float[np.ndarray, "subject group"]) -> np.ndarray:
    """Which group's computation climbed highest, and of those the heaviest tail."""
    rung = np.stack([[RUNGS[name] for name in part.method] for part in parts], axis=1)
    k = np.nan_to_num(np.stack([part.k for part in parts], axis=1), nan=np.inf, posinf=1e9)
    hard = np.where(group >= COUNTS, rung + np.arctan(k) / np.pi, -np.inf)  # k-hat decides ties
    return hard.argmax(axis=1)


def _of_each(parts: Sequence[Posteriors], index: np.ndarray) -> Posteriors:
    """Each subject's posterior in a group of its own."""
    arrays: dict[str, Any] = {name: _picked(parts, name, index) for name in ARRAYS}
    return Posteriors(**arrays, method=_methods(parts, index))


def _picked(parts: Sequence[Posteriors], name: str, index: np.ndarray) -> np.ndarray:
    return np.stack([getattr(part, name) for part in parts])[index, np.arange(index.size)]


def _methods(parts: Sequence[Posteriors], index: np.ndarray) -> tuple[Method, ...]:
    return tuple(parts[k].method[i] for i, k in enumerate(index))


def group_columns(found: Posteriors) -> dict[str, Float[np.ndarray, " subject"]]:
    """Probability of each group, P_GROUP_1 (the largest) first; nothing where all are one."""
    if found.group is None:
        return {}
    return {f"P_GROUP_{k + 1}": column for k, column in enumerate(found.group.T)}
