"""Synthetic minority over-sampling for regression: rare particles get company inside the fold.

SMOTE for regression (Torgo 2013): rows whose targets are rare are joined to near neighbours, and
new rows are placed between them, targets too. Rare is a row whose targets together lie far from
their means (Mahalanobis distance). Numbers are interpolated on the scale on which they are read;
a category is taken from the nearer end; what either end lacks is missing.

Reference: Torgo L et al. SMOTE for regression. EPIA 2013, LNCS 8154:378-389.
"""

import numpy as np
from jaxtyping import Float
from pydantic import Field

from latentpk.models.config import Frozen
from latentpk.models.descriptors import NUMBERS, Properties
from latentpk.models.domain import apart, spread


class SmoteSettings(Frozen):
    """How much is added.

    Attributes:
        added: New rows as a share of the rows.
        rare: Share of the rows that get company.
        neighbours: Of which one is drawn.
    """

    added: float = Field(default=0.5, ge=0, le=5)
    rare: float = Field(default=0.5, gt=0, le=1)
    neighbours: int = Field(default=5, ge=1)


def oversample(
    known: Properties,
    target: Float[np.ndarray, "row target"],
    settings: SmoteSettings,
    *,
    seed: int,
) -> tuple[Properties, Float[np.ndarray, "new target"]]:
    """Place new particles between rare ones and their neighbours.

    Args:
        known: Training rows.
        target: Their targets, finite, shape (row, target).
        settings: How many and of which.
        seed: Of the draws.

    Returns:
        The new rows alone and their targets.
    """
    count, rows = round(settings.added * len(known)), len(known)
    if count == 0 or rows < 3:
        return known.take(np.zeros(0, int)), target[:0]
    rng = np.random.default_rng(seed)
    rarity = _rarity(target)
    rare = np.argsort(-rarity, kind="stable")[: max(round(settings.rare * rows), 1)]
    near = apart(known, known, spread(known))
    np.fill_diagonal(near, np.inf)
    neighbours = np.argsort(near[rare], axis=1, kind="stable")
    neighbours = neighbours[:, : min(settings.neighbours, rows - 1)]
    # as many of each as the count allows, the rest drawn
    whole = np.tile(np.arange(rare.size), count // rare.size)
    rest = rng.choice(rare.size, count - whole.size, replace=False)
    own = np.concatenate([whole, rest])
    other = neighbours[own, rng.integers(neighbours.shape[1], size=count)]
    start, share = rare[own], rng.uniform(size=count)[:, None]
    nearer = share[:, 0] < 0.5
    number = known.number[start] + share * (known.number[other] - known.number[start])
    code = np.where(nearer[:, None], known.code[start], known.code[other])
    # a charge is -1, 0 or 1: of the nearer end, as a category
    charge = NUMBERS.index("CHARGE")
    ends = known.number[start, charge], known.number[other, charge]
    number[:, charge] = np.where(nearer, *ends)
    return Properties(number, code), target[start] + share * (target[other] - target[start])


def _rarity(target: np.ndarray) -> Float[np.ndarray, " row"]:
    """Squared Mahalanobis distance from the mean; targets that go together count once."""
    centred = target - target.mean(axis=0)
    scale = np.maximum(centred.std(axis=0), 1e-9)
    standard = centred / scale
    spread = standard.T @ standard / len(standard) + 0.05 * np.eye(standard.shape[1])
    return np.einsum("rt,tu,ru->r", standard, np.linalg.inv(spread), standard)
