r"""The marginal likelihood of one subject's levels, random effects integrated out.

.. math:: p(y) = \int p(y \mid \varepsilon)\, \phi(\varepsilon)\, d\varepsilon
          \approx |C| \sum_q w_q\, p(y \mid \varepsilon^* + C x_q)\,
          \phi(\varepsilon^* + C x_q)

with :math:`\varepsilon^*` the mode of the joint density and :math:`C C^\top` the inverse of its
curvature there. Every method is a choice of points x and weights w:

- one point at 0 is Laplace's approximation; with the expected curvature (interaction kept) it is
  FOCEI, whose objective is the same but for the constant :math:`N \log 2\pi`;
- the product of Gauss-Hermite rules is adaptive quadrature, exact as points grow;
- draws of a Student t are adaptive importance sampling: they are moved from the mode to the mean
  and the covariance that their own weights give, twice, since a skewed density has its mass
  elsewhere (mass that no draw reaches would be missing from the likelihood).

The points follow the mode and its curvature, and so the population: gradients take that in by the
implicit function theorem, and are exact. Where points are so many that it does not matter where
they lie (draws; quadrature of nine or more in each dimension) they are held: then value and
gradient are those of the same fixed points, and the optimum is that of the integral.

References:
    Pinheiro and Bates, J Comput Graph Stat 1995;4:12 (adaptive quadrature).
    Almquist, Leander and Jirstrand, J Pharmacokinet Pharmacodyn 2015;42:191 (exact gradients).
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import gammaln

from latentpk import precision  # noqa: F401  (float64 before any array)
from latentpk.inference.modes import descend, local
from latentpk.inference.sampling import DEGREES, base_draws
from latentpk.inference.small_matrix import cholesky, inverse_lower
from latentpk.models.latent import LatentModel
from latentpk.models.record import Record

Method = Literal["focei", "laplace", "quadrature", "sampling"]
NEWTON = 4  # exact steps after Gauss-Newton's
ENOUGH = 9  # nodes in each dimension, from which on their places do not matter
ROUNDS = 2  # of moving draws to where their weights say that the mass is
LEAST = 10  # effective draws for every effect, below which their moments are not believed
LOG_2PI = float(np.log(2 * np.pi))


class Rule(NamedTuple):
    """Points and weights of an approximation.

    Attributes:
        point: Around the mode, in units of C, shape (point, effect).
        log_weight: Shape (point,).
        exact: Whether C is of the exact curvature, else of the expected one.
        held: Whether gradients leave the points where they are.
        adapted: Whether points move to the moments of their own weights.
    """

    point: Float[np.ndarray | Array, "point effect"]
    log_weight: Float[np.ndarray | Array, " point"]
    exact: bool = False
    held: bool = False
    adapted: bool = False


def make_rule(method: Method, effects: int, *, nodes: int = 9, draws: int = 2000) -> Rule:
    """Points and weights of a method.

    Args:
        method: Which.
        effects: Number of random effects, occasions included.
        nodes: In each dimension, for quadrature.
        draws: For sampling.

    Returns:
        The rule.

    Example:
        >>> make_rule("quadrature", 2, nodes=3).point.shape
        (9, 2)
    """
    if method in ("focei", "laplace"):
        return Rule(
            np.zeros((1, effects)), np.array([0.5 * effects * LOG_2PI]), method == "laplace"
        )
    if method == "quadrature":
        x, w = np.polynomial.hermite_e.hermegauss(nodes)
        point = np.stack(np.meshgrid(*[x] * effects, indexing="ij"), axis=-1).reshape(-1, effects)
        each = np.stack(np.meshgrid(*[np.log(w) + 0.5 * x**2] * effects, indexing="ij"), axis=-1)
        # corners stay, however small their weight: a second mode may lie there
        return Rule(point, each.reshape(-1, effects).sum(axis=1), held=nodes >= ENOUGH)
    point = np.asarray(base_draws(draws, effects, 0).student)
    log_q = (
        gammaln((DEGREES + effects) / 2)
        - gammaln(DEGREES / 2)
        - 0.5 * effects * np.log(DEGREES * np.pi)
        - 0.5 * (DEGREES + effects) * np.log1p(np.sum(point**2, axis=1) / DEGREES)
    )
    return Rule(point, -log_q - np.log(draws), held=True, adapted=True)


class Mode(NamedTuple):
    """The mode of one subject's joint density, and the curvature of minus its logarithm there.

    Of points that moved: their weighted mean, and the inverse of their covariance.
    """

    eps: Float[Array, "*subject effect"]
    curvature: Float[Array, "*subject effect effect"]


def find_mode(
    model: LatentModel, record: Record, warm: Float[Array, " effect"], *, exact: bool = True
) -> Mode:
    """The mode of one subject's joint density: from the last one and from the prior's, the better.

    Gauss-Newton until it rests, then exact Newton steps.

    Args:
        model: The population.
        record: The subject.
        warm: Where to look first, shape (effect,).
        exact: Whether exact steps follow and the curvature is exact; else it is the expected one.

    Returns:
        The mode and the curvature there.
    """
    location = model.location(record)
    begins = jnp.stack([warm, jnp.zeros_like(warm)])
    ends, there = jax.lax.map(lambda start: descend(model, record, location, start), begins)
    height = jnp.where(jnp.isfinite(there.objective), there.objective, jnp.inf)
    best = jnp.argmin(height)
    start = ends[best]
    if not exact:
        return Mode(start, there.curvature[best])

    def objective(eps: Array) -> Array:
        return _objective(model, record, location, eps)

    def step(_: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        here, _, _ = state
        slope = jax.grad(objective)
        curve = jax.jacfwd(slope)(here)
        values, vectors = jnp.linalg.eigh(curve)
        move = vectors @ ((vectors.T @ slope(here)) / jnp.maximum(jnp.abs(values), 1e-6))
        length = jnp.sqrt(jnp.sum(move**2))
        # Gauss-Newton rested here: a long step is a saddle's or the edge of what can be computed
        good = jnp.all(jnp.isfinite(move)) & (length < 1.0)
        return jnp.where(good, here - move, here), curve, here

    unit = jnp.eye(warm.shape[0])
    eps, curve, _ = jax.lax.fori_loop(0, NEWTON, step, (start, unit, start))
    return Mode(eps, curve)


def moved(model: LatentModel, record: Record, mode: Mode, rule: Rule) -> Mode:
    """Where points lie best: at the mean and the covariance that their weights give.

    Args:
        model: The population.
        record: The subject.
        mode: From `find_mode`.
        rule: Whose points begin there.

    Returns:
        Their place after as many rounds as it takes; the last one whose weights are not of a few
        points alone.
    """
    location = model.location(record)
    fewest = LEAST * mode.eps.shape[0]

    def better(_: Array, here: Mode) -> Mode:
        eps, log_weight, _ = _weighed(model, record, location, here, rule)
        weight = jax.nn.softmax(log_weight)
        mean = weight @ eps
        around = eps - mean
        covariance = around.T @ (weight[:, None] * around)
        good = jnp.sum(weight**2) * fewest < 1
        safe = jnp.where(good, covariance, jnp.eye(mean.shape[0]))
        inner = inverse_lower(cholesky(safe))
        there = Mode(mean, inner.T @ inner)
        return jax.tree_util.tree_map(lambda a, b: jnp.where(good, a, b), there, here)

    return jax.lax.fori_loop(0, ROUNDS, better, mode)


def minus_two_log_likelihood(
    model: LatentModel, record: Record, mode: Mode, rule: Rule
) -> Float[Array, ""]:
    """-2 log marginal likelihood of one subject's levels, all constants included.

    Differentiable in the model; the mode is held and followed by one Newton step.

    Args:
        model: The population.
        record: The subject.
        mode: From `find_mode`, at this model; exact unless the rule's points are held, and
            `moved` where they do.
        rule: From `make_rule`, for as many effects.

    Returns:
        -2 log p(y).
    """
    location = model.location(record)
    mode = jax.lax.stop_gradient(mode)
    here, curvature = mode.eps, mode.curvature
    if not rule.held:
        here = _followed(model, record, location, mode)
        curvature = _curvature(model, record, location, here, exact=rule.exact)
    _, log_weight, log_size = _weighed(model, record, location, Mode(here, curvature), rule)
    prior = -0.5 * here.shape[0] * LOG_2PI
    return -2 * (jax.scipy.special.logsumexp(log_weight) + log_size + prior)


def _weighed(
    model: LatentModel,
    record: Record,
    location: Float[Array, "piece latent"],
    mode: Mode,
    rule: Rule,
) -> tuple[Float[Array, "point effect"], Float[Array, " point"], Float[Array, ""]]:
    """Points, the logarithm of what each adds to the integral, and that of their scale."""
    # the lower factor of the inverse: quadrature's points depend on which root is taken
    inverse = inverse_lower(cholesky(mode.curvature))
    root = cholesky(inverse.T @ inverse)
    eps = mode.eps + jnp.asarray(rule.point) @ root.T
    each = model.over_draws(lambda one: -_objective(model, record, location, one), eps)
    return eps, each + rule.log_weight, jnp.sum(jnp.log(jnp.diag(root)))


def expected_curvature(
    model: LatentModel, record: Record, eps: Float[Array, " effect"]
) -> Float[Array, "effect effect"]:
    """Expected curvature of minus the log joint density, the prior's unit matrix included."""
    return local(model, record, model.location(record), eps).curvature


def _objective(
    model: LatentModel, record: Record, location: Float[Array, "piece latent"], eps: Array
) -> Array:
    return 0.5 * jnp.sum(eps**2) - model.log_likelihood(eps, location, record)


def _followed(
    model: LatentModel, record: Record, location: Float[Array, "piece latent"], mode: Mode
) -> Float[Array, " effect"]:
    """The mode as a function of the model."""
    # a mode that was not found (a saddle) has no derivative worth following: stay there
    sound = jnp.linalg.eigvalsh(mode.curvature)[0] > 1e-8
    safe = jnp.where(sound, mode.curvature, jnp.eye(mode.eps.shape[0]))
    slope = jax.grad(lambda eps: _objective(model, record, location, eps))(mode.eps)
    return mode.eps - jnp.where(sound, jnp.linalg.solve(safe, slope), 0.0)


def _curvature(
    model: LatentModel,
    record: Record,
    location: Float[Array, "piece latent"],
    eps: Array,
    *,
    exact: bool,
) -> Float[Array, "effect effect"]:
    if exact:
        return jax.hessian(lambda e: _objective(model, record, location, e))(eps)
    return local(model, record, location, eps).curvature
