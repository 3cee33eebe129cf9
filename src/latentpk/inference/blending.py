r"""Weights of an ensemble's members, from predictions of rows that no member had seen.

For each target the weights are not negative and sum to one. A few hundred rows cannot tell members
apart finely, so that each target's weights are drawn to those that serve all targets together:

.. math:: w_t = \arg\min_w \lVert y_t - P_t w \rVert^2 + \lambda n s_t^2 \lVert w - \bar w \rVert^2
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import nnls

PULL = 0.3  # lambda, towards the weights of all targets
EVEN = 0.1  # the same, of those towards equal ones
SURE = 1e4  # how much the sum counts beside the data


def blend(
    found: Float[np.ndarray, "member row target"], truth: Float[np.ndarray, "row target"]
) -> Float[np.ndarray, "member target"]:
    """Choose the members' weights.

    Args:
        found: Out-of-fold predictions of each member.
        truth: What was predicted, on a scale on which targets vary alike.

    Returns:
        Weights, each target's summing to 1, shape (member, target).
    """
    members, _, targets = found.shape
    stacked = np.moveaxis(found, 0, -1)  # row target member
    together = _simplex(
        stacked.reshape(-1, members), truth.reshape(-1), np.full(members, 1 / members), EVEN
    )
    each = [_simplex(stacked[:, t], truth[:, t], together, PULL) for t in range(targets)]
    return np.stack(each, axis=1)


def cross_blend(
    found: Float[np.ndarray, "member row target"],
    truth: Float[np.ndarray, "row target"],
    fold: Int[np.ndarray, " row"],
) -> Float[np.ndarray, "row target"]:
    """Each fold blended by weights of the other folds."""
    return _crossed(lambda own, wanted, _: blend(own, wanted), found, truth, fold)


def weigh(
    found: Float[np.ndarray, "member row target"],
    truth: Float[np.ndarray, "row target"],
    fold: Int[np.ndarray, " row"],
) -> Float[np.ndarray, "member target"]:
    """Choose weights, then shrink each target to the mean as far as other folds ask for.

    Where nothing predicts a target of rows not seen, least squares still finds small weights that
    cost more than they bring; how far blended predictions hold is judged on rows they did not see.

    Args:
        found: Out-of-fold predictions; the first member is the mean.
        truth: What was predicted.
        fold: The fold of each row.

    Returns:
        Weights, each target's summing to 1, shape (member, target).
    """
    weights = blend(found, truth)
    if len(np.unique(fold)) < 2:
        return weights
    apart = cross_blend(found, truth, fold) - found[0]
    held = np.sum(apart * (truth - found[0]), axis=0) / np.maximum(np.sum(apart**2, axis=0), 1e-12)
    kept = np.clip(held, 0, 1)
    mean = np.zeros_like(weights)
    mean[0] = 1
    return kept * weights + (1 - kept) * mean


def cross_weigh(
    found: Float[np.ndarray, "member row target"],
    truth: Float[np.ndarray, "row target"],
    fold: Int[np.ndarray, " row"],
) -> Float[np.ndarray, "row target"]:
    """The ensemble's own out-of-fold predictions: each fold by weights of the other folds."""
    return _crossed(weigh, found, truth, fold)


def _crossed(
    choose: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    found: np.ndarray,
    truth: np.ndarray,
    fold: np.ndarray,
) -> Float[np.ndarray, "row target"]:
    joined = np.empty_like(truth)
    for one in np.unique(fold):
        own = fold == one
        weights = choose(found[:, ~own], truth[~own], fold[~own])
        joined[own] = np.einsum("mrt,mt->rt", found[:, own], weights)
    return joined


def _simplex(
    predictions: np.ndarray, truth: np.ndarray, centre: np.ndarray, pull: float
) -> Float[np.ndarray, " member"]:
    """Least squares over weights that are not negative and sum to one."""
    members = centre.size
    root = np.sqrt(pull * len(truth) * np.mean((truth - truth.mean()) ** 2) + 1e-12)
    sure = SURE * max(root, 1.0)
    system = np.concatenate([predictions, root * np.eye(members), np.full((1, members), sure)])
    wanted = np.concatenate([truth, root * centre, [sure]])
    weights = nnls(system, wanted)[0]
    return weights / weights.sum()
