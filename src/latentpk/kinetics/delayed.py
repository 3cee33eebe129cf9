r"""Linear bodies that a dose enters by a gamma density: absorption through transit compartments.

.. math:: g(s) = \frac{k^{n+1} s^n e^{-k s}}{\Gamma(n+1)}, \qquad k = \frac{n + 1}{MTT}, \qquad
          C(t) = \sum_d \int_0^{t-t_d} g(s)\, R_d(t - t_d - s)\, ds

with R what the dose does in the body that it enters without delay. n need not be whole; n = 0 is
first-order absorption. The integral is taken by Gauss and Legendre's rule where g has its mass and
R has not faded: within 1e-5 of the exact value for n up to 100 (Savic et al. 2007,
doi:10.1007/s10928-007-9066-0, state the model).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from jaxtyping import Array, Float

import latentpk.precision  # noqa: F401  (x64 before any array)
from latentpk.kinetics.central import central_amount, central_area
from latentpk.kinetics.decay import Scalar
from latentpk.kinetics.depot import Site, absorbed_amount, absorbed_area
from latentpk.kinetics.doses import Doses, Paths, refuse_own, refuse_steady
from latentpk.kinetics.modal import counts
from latentpk.kinetics.response import Delay, Response
from latentpk.kinetics.superposition import auc, concentration

NODES = 24
TOGETHER = 8  # doses
TAIL = 7.5  # normal deviations of the delay, its cube root taken, beyond which nothing arrives
FADED = 40.0  # e-folds after which what entered is not looked for
_NODE, _WEIGHT = ((x + shift) / 2 for x, shift in zip(
    np.polynomial.legendre.leggauss(NODES), (1.0, 0.0), strict=True))  # fmt: skip


class _Inner(NamedTuple):
    """What a dose does without the delay: per unit of its own time, and how slowly it fades."""

    amount: Callable[[Scalar], Scalar]
    area: Callable[[Scalar], Scalar]
    slowest: Scalar


def delayed_concentration(
    doses: Doses,
    time: Float[Array, " time"],
    order: Float[Array, " time"],
    *,
    response: Response,
    delay: Delay,
    paths: Paths,
) -> Float[Array, " time"]:
    """Concentration at each time; what does not go through an absorption site is not delayed.

    Args:
        doses: What was given, amounts [mg], times [h]; none at steady state.
        time: Times of the queries [h], shape (time,), in any order.
        order: Position of each query among its subject's records, shape (time,).
        response: The body's unit response. Its one share is what arrives; it has one ka where
            that arrives at an absorption site, none where it arrives in the blood, and no lag.
        delay: Before that.
        paths: Branches to compile; must cover the doses.

    Returns:
        Concentration [mg/L], shape (time,), never negative.

    Raises:
        InputError: Doses at steady state, or with an absorption of their own.

    Example:
        >>> response = Response(*map(jnp.array, ([0.1], [0.02], [1.0], [], [])))
        >>> oral, one = Doses.of([0.0], 100.0, depot=1.0), jnp.ones(1)
        >>> delay = Delay(jnp.array(2.0), jnp.array(5.7))
        >>> model = dict(response=response, delay=delay, paths=Paths.of(oral))
        >>> delayed_concentration(oral, 4 * one, one, **model).round(4)
        Array([1.6093], dtype=float64)
    """
    refuse_steady(paths)
    refuse_own(doses)
    total = jnp.zeros_like(time)
    if paths.central:
        direct = paths.without_depot()
        total = total + concentration(doses, time, order, response=response, paths=direct)
    if paths.depot:
        total = total + _over_doses(doses, time, order, (response, delay, paths), area=False)
    return total


def delayed_area(
    doses: Doses,
    end: Float[Array, " time"],
    *,
    response: Response,
    delay: Delay,
    paths: Paths,
) -> Float[Array, " time"]:
    """Area under the concentration from before the first dose; arguments as above.

    Args:
        doses: What was given; none at steady state.
        end: Ends of the windows [h], shape (time,).
        response: The body's unit response.
        delay: Before doses reach it.
        paths: Branches to compile; must cover the doses.

    Returns:
        The areas [mg h/L], shape (time,), never negative.
    """
    refuse_steady(paths)
    total = jnp.zeros_like(end)
    if paths.central:
        begin, direct = jnp.min(doses.time), paths.without_depot()
        total = total + jax.vmap(
            lambda stop: auc(
                doses, begin, jnp.maximum(stop, begin), response=response, paths=direct
            )
        )(end)
    if paths.depot:
        late = jnp.full_like(end, jnp.inf)
        total = total + _over_doses(doses, end, late, (response, delay, paths), area=True)
    return total


def _over_doses(
    doses: Doses,
    time: Float[Array, " time"],
    order: Float[Array, " time"],
    model: tuple[Response, Delay, Paths],
    *,
    area: bool,
) -> Float[Array, " time"]:
    """What the delayed doses give at each query, a few doses at once."""
    response, delay, paths = model

    def one(dose: Doses, now: Scalar, place: Scalar) -> Scalar:
        if area:  # a cancelled dose keeps the area it had
            since = jnp.maximum(jnp.minimum(now, dose.until) - dose.time, 0.0)
            here = dose.depot != 0
        else:
            since = jnp.maximum(now - dose.time, 0.0)
            here = counts(dose, now, place) & (dose.depot != 0)
        total = jnp.zeros_like(now)
        for rate, weight in zip(response.rate, response.weight, strict=True):
            inner, scale = _inner(dose, response, rate, paths)
            total = total + scale * weight * _convolved(inner, delay, dose, since, paths, area=area)
        return jnp.where(here, total, 0.0)

    across = jax.vmap(one, in_axes=(None, 0, 0))
    count = doses.time.shape[0]
    size = count if count <= TOGETHER else math.gcd(count, TOGETHER)
    blocks = jax.tree.map(lambda x: x.reshape(count // size, size, *x.shape[1:]), doses)

    @partial(jax.checkpoint, prevent_cse=False)  # a year of doses keeps no node of any of them
    def step(total: Array, block: Doses) -> tuple[Array, None]:
        each = jax.vmap(across, in_axes=(0, None, None))(block, time, order)
        return total + jnp.sum(each, axis=0), None

    return jax.lax.scan(step, jnp.zeros_like(time), blocks)[0]


def _inner(dose: Doses, response: Response, rate: Scalar, paths: Paths) -> tuple[_Inner, Scalar]:
    """One mode without delay, and what its amount is multiplied by."""
    zero = jnp.zeros_like(rate)
    share = response.share[0]
    if response.ka.shape[0] == 0:
        plain = Paths(True, False, paths.release, False, False, False, False)
        area = central_area(dose, rate, plain)
        return _Inner(central_amount(dose, rate, plain), lambda t: area(zero, t), rate), share
    ka = response.ka[0]
    plain = Paths(False, True, False, False, paths.release, False, False)
    area = absorbed_area(dose, Site(ka, rate), plain)
    slowest = jnp.minimum(ka, rate)
    amount = absorbed_amount(dose, Site(ka, rate), plain)
    return _Inner(amount, lambda t: area(zero, t), slowest), share * ka


def _convolved(
    inner: _Inner, delay: Delay, dose: Doses, since: Scalar, paths: Paths, *, area: bool
) -> Scalar:
    """The integral of g(s) R(since - s), or of g(s) times the area of R until then."""
    shape = delay.transits + 1.0
    pace = shape / delay.mean
    # the cube root of a gamma variable is nearly normal (Wilson and Hilferty)
    middle, width = 1 - 1 / (9 * shape), TAIL / (3 * jnp.sqrt(shape))
    # the bounds lie where nothing is, so that their derivatives are nothing
    still, held = jax.lax.stop_gradient, jax.lax.stop_gradient(inner.slowest)
    last = jnp.minimum(since, still(delay.mean * (middle + width) ** 3))
    first = still(delay.mean * jnp.maximum(middle - width, 0.0) ** 3)
    if not area:
        faded = FADED / jnp.maximum(held, jnp.finfo(since.dtype).tiny * 1e3)
        first = jnp.maximum(first, since - faded - (dose.duration if paths.release else 0.0))
    first = jnp.minimum(first, last)
    value = inner.area if area else inner.amount
    scale = shape * jnp.log(pace) - gammaln(shape)

    def panel(low: Scalar, high: Scalar) -> Scalar:
        wide = high - low
        # squares of the nodes: the root of a density that begins at 0 is smooth there
        s = low + wide * jnp.asarray(_NODE**2, wide.dtype)
        weight = wide * jnp.asarray(2 * _NODE * _WEIGHT, wide.dtype)
        some = s > 0
        exponent = delay.transits * jnp.log(jnp.where(some, s, 1.0)) - pace * s + scale
        density = jnp.exp(jnp.where(some, exponent, 0.0))  # before time 0 it would overflow
        return jnp.sum(jnp.where(some, density * weight * value(jnp.maximum(since - s, 0.0)), 0.0))

    if not paths.release:
        return panel(first, last)
    ends = jnp.clip(since - dose.duration, first, last)  # where the release ended the curve bends
    return panel(first, ends) + panel(ends, last)
