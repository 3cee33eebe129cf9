r"""What each input adds to a prediction, so that all additions sum to it.

Integrated gradients (Sundararajan 2017) follow a smooth function along the straight line from a
baseline :math:`b` to the input :math:`x`:

.. math:: \phi_j = (x_j - b_j) \int_0^1 \partial_j f\bigl(b + \alpha (x - b)\bigr)\, d\alpha,
          \qquad \sum_j \phi_j = f(x) - f(b)

Shapley values (Štrumbelj 2014) need nothing of the function: inputs of a background row are
exchanged for the explained row's, one after the other in a random order, and each is credited with
what its exchange changed. Both explain a function, not what it was fitted to.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from latentpk.models.descriptors import LEVELS, NUMBERS, Properties
from latentpk.models.multiview import Networks, unraveller

NODES = (16, 32, 128)  # points along the line; more where the sum does not come out
TOLERANCE = 1e-5  # of that sum, in units of the function
ROWS = 32  # of one compiled program
Views = tuple[Float[np.ndarray, "row _"], ...]


@dataclass(frozen=True, eq=False)
class Attribution:
    """What each column adds to the mean of some networks.

    Attributes:
        columns: Of each view, shape (row, target, column).
        base: The networks' mean at the baseline, shape (target,).
        gap: What the additions lack of prediction minus base, shape (row, target).
    """

    columns: tuple[Float[np.ndarray, "row target _"], ...]
    base: Float[np.ndarray, " target"]
    gap: Float[np.ndarray, "row target"]


def integrated_gradients(
    networks: Networks, views: Views, baseline: tuple[Float[np.ndarray, " _"], ...]
) -> Attribution:
    """Attribute the networks' mean to the columns of all views.

    The integral is a Gauss-Legendre sum, of more points until the additions sum to the
    prediction minus the base within `TOLERANCE`; what is still missing is told.

    Args:
        networks: The networks.
        views: Rows to explain, each view of shape (row, column).
        baseline: The row they are compared with, each view of shape (column,).

    Returns:
        Means over the networks.
    """
    base = networks.predict(tuple(view[None] for view in baseline))[0]
    rise = networks.predict(views) - base
    columns, gap = (), np.full_like(rise, np.inf)
    for nodes in NODES:
        columns = _slopes_along(networks, views, baseline, nodes)
        gap = rise - sum(view.sum(axis=-1) for view in columns)
        if np.abs(gap).max(initial=0.0) <= TOLERANCE:
            break
    return Attribution(columns, base, gap)


def _slopes_along(
    networks: Networks, views: Views, baseline: tuple[np.ndarray, ...], nodes: int
) -> tuple[np.ndarray, ...]:
    count = len(views[0])
    short = -count % ROWS
    padded = [np.concatenate([view, np.zeros((short, view.shape[1]))]) for view in views]
    run = _integrals(networks.config.key, nodes)
    found = [
        run(networks.weights, tuple(view[start : start + ROWS] for view in padded), baseline)
        for start in range(0, count + short, ROWS)
    ]
    return tuple(
        np.concatenate([np.asarray(block) for block in own])[:count]
        for own in zip(*found, strict=True)
    )


@cache
def _integrals(key: str, nodes: int) -> Any:
    place, share = np.polynomial.legendre.leggauss(nodes)
    place, share = jnp.asarray((place + 1) / 2), jnp.asarray(share / 2)

    def one(network: Any, row: tuple[Array, ...], base: tuple[Array, ...]) -> tuple[Array, ...]:
        away = tuple(x - b for x, b in zip(row, base, strict=True))

        def on_the_line(shift: tuple[Array, ...]) -> Array:
            points = tuple(
                b + place[:, None] * d + s for b, d, s in zip(base, away, shift, strict=True)
            )
            return share @ jax.vmap(network)(*points)

        slope = jax.jacrev(on_the_line)(tuple(jnp.zeros_like(d) for d in away))
        return tuple(d * s for d, s in zip(away, slope, strict=True))

    def mean(weights: Array, rows: tuple[Array, ...], base: tuple[Array, ...]) -> Any:
        def each(own: Array) -> tuple[Array, ...]:
            network = unraveller(key)(own)
            return jax.vmap(lambda *row: one(network, row, base))(*rows)

        # networks one after the other: all at once would hold every gradient of every point
        return tuple(jnp.mean(view, axis=0) for view in jax.lax.map(each, weights))

    return jax.jit(mean)


def by_owner(
    columns: Float[np.ndarray, "row target column"], owner: Sequence[int], owners: int
) -> Float[np.ndarray, "row target owner"]:
    """Sum columns into what they belong to.

    Example:
        >>> by_owner(np.array([[[1.0, 2.0, 4.0]]]), (0, 1, 0), 2)
        array([[[5., 2.]]])
    """
    return columns @ np.equal.outer(np.asarray(owner), np.arange(owners)).astype(float)


@dataclass(frozen=True)
class Player:
    """A property of a particle or mouse, with all columns that tell of it.

    They are exchanged together: a charge without its zeta potential is no particle.

    Attributes:
        features: Names of the columns.
        further: Places of columns that are no inputs, among those that follow the numbers.
    """

    features: tuple[str, ...]
    further: tuple[int, ...] = ()

    @property
    def numbers(self) -> list[int]:
        """Their places among the numbers and what follows them."""
        own = [k for k, name in enumerate(NUMBERS) if name in self.features]
        return own + [len(NUMBERS) + k for k in self.further]

    @property
    def codes(self) -> list[int]:
        """Their places among the categories."""
        return [k for k, name in enumerate(LEVELS) if name in self.features]


PLAYERS = {
    "size": Player(("HD",)),
    "charge": Player(("CHARGE", "ZETA", "ZP_SIGNED")),
    "shape": Player(("SHAPE",)),
    "targeting": Player(("TS",)),
    "type": Player(("TYPE",)),
    "material": Player(("MAT",)),
    "dose": Player(("DOSE",)),
    "tumor size": Player(("TSZ", "TW")),
    "tumor model": Player(("TM",)),
    "cancer": Player(("CT",)),
    "body weight": Player(("BW",)),
}


def shapley_values(
    predict: Callable[[Properties], Float[np.ndarray, "row target"]],
    known: Properties,
    background: Properties,
    players: Sequence[Player],
    *,
    seed: int,
) -> tuple[Float[np.ndarray, "row target player"], Float[np.ndarray, " target"]]:
    """Sample what each player adds, in one random order and its reverse for each background row.

    Exact in its sum, and for a function that adds its players up; else a mean of few orders.

    Args:
        predict: The function.
        known: Rows to explain.
        background: Rows they are compared with.
        players: What is exchanged together; all properties once.
        seed: Of the orders.

    Returns:
        The additions, shape (row, target, player), which sum to the prediction minus the base;
        and the base, the mean prediction of the background, shape (target,).
    """
    rng = np.random.default_rng(seed)
    base, end = predict(background), predict(known)
    total = np.zeros((*end.shape, len(players)))
    for row, start in enumerate(base):
        forward = rng.permutation(len(players))
        for order in (forward, forward[::-1]):
            met = _exchanged(known, background.take(np.array([row])), players, order)
            between = predict(met).reshape(len(players) - 1, *end.shape)
            steps = np.concatenate([np.broadcast_to(start, (1, *end.shape)), between, end[None]])
            total[:, :, order] += np.moveaxis(np.diff(steps, axis=0), 0, 2)
    return total / (2 * len(base)), base.mean(axis=0)


def _exchanged(
    known: Properties, other: Properties, players: Sequence[Player], order: Int[np.ndarray, " k"]
) -> Properties:
    """The other row with the first, the first two, ... players of each known row, all but all."""
    number, code = (np.repeat(one, len(known), axis=0) for one in other)
    stages = []
    for k in order[:-1]:
        number, code = number.copy(), code.copy()
        number[:, players[k].numbers] = known.number[:, players[k].numbers]
        code[:, players[k].codes] = known.code[:, players[k].codes]
        stages.append((number, code))
    numbers, codes = zip(*stages, strict=True)
    return Properties(np.concatenate(numbers), np.concatenate(codes))
