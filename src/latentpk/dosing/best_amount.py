"""The amount of least expected loss, where the exposure under each draw grows with the amount."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize_scalar

Values = Callable[[float], Float[np.ndarray, " draw"]]  # the exposures at an amount
DOUBLINGS = 60  # of the largest amount offered
ENOUGH = 0.95  # probability of exceeding the aim beyond which no larger amount is tried


def best_amount(
    values: Values, aim: float, weight: Float[np.ndarray, " draw"], top: float
) -> float:
    """The amount of least expected |aim - exposure|, by a line search.

    Args:
        values: The exposures at an amount.
        aim: The best value of the exposure.
        weight: Of the draws.
        top: The largest amount that is offered; larger ones are tried where it is too little.

    Returns:
        The amount.

    Example:
        >>> unit, weight = np.array([1.0, 2.0, 4.0]), np.array([0.1, 0.8, 0.1])
        >>> round(best_amount(lambda amount: amount * unit, 100.0, weight, 30.0), 2)
        50.0
    """
    most = amounts_tried(values, aim, weight, top, DOUBLINGS)[-1]
    return least_loss(values, aim, weight, most)


def amounts_tried(
    values: Values,
    aim: float,
    weight: Float[np.ndarray, " draw"],
    top: float,
    doublings: int,
) -> list[float]:
    """Amounts from `top` on, doubled until every more would be too much."""
    tried = [top]
    for _ in range(doublings):
        if weight @ (values(tried[-1]) >= aim) > ENOUGH:
            break
        tried.append(2 * tried[-1])
    return tried


def least_loss(values: Values, aim: float, weight: Float[np.ndarray, " draw"], top: float) -> float:
    """The amount up to `top` of least expected |aim - exposure|."""
    found = minimize_scalar(
        lambda amount: float(weight @ np.abs(aim - values(amount))),
        bounds=(0.0, top),
        method="bounded",
        options={"xatol": 1e-4 * top},
    )
    return float(found.x)


def weighted_median(
    values: Float[np.ndarray, " draw"], weight: Float[np.ndarray, " draw"]
) -> float:
    """The value at which half of the weight is reached.

    Example:
        >>> weighted_median(np.array([3.0, 1.0, 2.0]), np.array([0.2, 0.2, 0.6]))
        2.0
    """
    ranked = np.argsort(values)
    share = np.cumsum(weight[ranked])
    return float(values[ranked][np.searchsorted(share, share[-1] / 2)])
