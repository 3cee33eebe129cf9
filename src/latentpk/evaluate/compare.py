"""Whether two models differ over the folds of a repeated cross-validation."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from scipy.stats import t as student


def corrected_t(difference: Float[np.ndarray, " fold"], *, test_share: float) -> float:
    r"""Two-sided p of a mean difference over folds that share training rows.

    .. math:: t = \bar d / \sqrt{(1/J + n_{test}/n_{train}) s_d^2}, \quad J - 1 \text{ degrees}

    Args:
        difference: Of the two models' mean squared errors in each fold and repeat.
        test_share: Rows tested over rows trained on, such as 1/4 for five folds.

    Returns:
        p; 1 where the models never differ, or there is one fold alone.

    Reference: Nadeau C, Bengio Y. Mach Learn 2003;52:239-281.
    """
    folds = len(difference)
    if folds < 2:
        return 1.0
    spread = float(np.var(difference, ddof=1))
    if spread == 0:
        return 1.0 if not np.any(difference) else 0.0
    value = float(np.mean(difference)) / np.sqrt((1 / folds + test_share) * spread)
    return float(2 * student.sf(abs(value), folds - 1))


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Adjust p values for having looked at all of them (Holm 1979).

    Example:
        >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
        {'a': 0.03, 'b': 0.06, 'c': 0.06}
    """
    order = sorted(p, key=lambda name: p[name])
    adjusted, least = {}, 0.0
    for rank, name in enumerate(order):
        least = max(least, min((len(p) - rank) * p[name], 1.0))
        adjusted[name] = least
    return {name: adjusted[name] for name in p}
