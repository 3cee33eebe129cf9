"""Damped Gauss-Newton from several starts to the modes of one patient's posterior."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from latentpk.inference.small_matrix import cholesky, inverse_lower, solve_positive
from latentpk.models.latent import LatentModel
from latentpk.models.record import Record
from latentpk.models.residual import hazard_below

State = tuple[Array, "Local", Array, Array]  # place, objective there, damping, next trial
ITERATIONS = 12
KEPT = 3  # distinct modes that proposals are built on
APART = 1.0  # modes closer than this many posterior SDs are one


class Modes(NamedTuple):
    """The distinct modes found, best first; `weight` is 0 for those that are not there.

    Attributes:
        eps: Their places, shape (mode, effect).
        scale: Factor of each Laplace covariance, shape (mode, effect, effect).
        precision: Inverse of that factor, shape (mode, effect, effect).
        objective: -log joint density there, shape (mode,).
        weight: Share of the Laplace evidence, shape (mode,).
        residual: Standardized residual of each level there, 0 where none, shape (mode, level).
    """

    eps: Float[Array, "mode effect"]
    scale: Float[Array, "mode effect effect"]
    precision: Float[Array, "mode effect effect"]
    objective: Float[Array, " mode"]
    weight: Float[Array, " mode"]
    residual: Float[Array, "mode level"]


class Local(NamedTuple):
    """The objective around one point: value, gradient, Gauss-Newton curvature and residuals."""

    objective: Float[Array, ""]
    gradient: Float[Array, " effect"]
    curvature: Float[Array, "effect effect"]
    residual: Float[Array, " level"]


def local(
    model: LatentModel,
    record: Record,
    location: Float[Array, "piece latent"],
    eps: Float[Array, " effect"],
) -> Local:
    r"""-log p(y, eps) up to a constant, its gradient and its expected curvature.

    .. math:: H = \sum_j \frac{J_j J_j^\top}{s_j^2} + 2 \sum_j \nabla\log s_j \nabla\log s_j^\top
              + I

    with J the gradient of the concentration and s the residual SD (the interaction term of
    FOCEI). A censored level curves as its normal probability does.
    """

    def parts(eps: Array) -> tuple[Array, Array]:
        f = model.concentration(eps, location, record, record.time, record.order)
        z = model.residual.standardized(record.value, f)
        return jnp.stack([z, jnp.log(model.residual.sd(f))]), f

    tangents = jnp.eye(eps.shape[0], dtype=eps.dtype)
    if model.decoder.simulated:  # value and slopes in one course: one program to compile, not three
        (value, f), (slopes, _) = jax.vmap(
            lambda t: jax.jvp(parts, (eps,), (t,)), out_axes=(None, 0)
        )(tangents)
    else:
        (value, f), push = jax.linearize(parts, eps)
        slopes, _ = jax.vmap(push)(tangents)  # (effect, 2, level)
    z = value[0]
    dz, ds = slopes[:, 0], slopes[:, 1]
    seen = record.mask & ~record.censored
    below = record.mask & record.censored
    hazard = hazard_below(z)
    pull = jnp.where(seen, z, 0.0) - jnp.where(below, hazard, 0.0)
    bend = jnp.where(seen, 1.0, 0.0) + jnp.where(below, hazard * (hazard + z), 0.0)
    # J/s alone: the part of dz that comes from the SD is counted by the interaction term
    mean_slope = dz + z * ds * jnp.where(seen, 1.0, 0.0)
    spread = ds * jnp.where(seen, 1.0, 0.0)
    gradient = dz @ pull + jnp.sum(spread, axis=1) + eps
    curvature = (mean_slope * bend) @ mean_slope.T + 2 * spread @ spread.T + tangents
    density = model.residual.log_density(record.value, f, record.censored)
    objective = 0.5 * jnp.sum(eps**2) - jnp.sum(jnp.where(record.mask, density, 0.0))
    # a censored level contradicts nothing unless the concentration lies above its limit
    residual = jnp.where(seen, z, jnp.where(below, jnp.minimum(z, 0.0), 0.0))
    return Local(objective, gradient, curvature, residual)


def descend(
    model: LatentModel,
    record: Record,
    location: Float[Array, "piece latent"],
    start: Float[Array, " effect"],
) -> tuple[Float[Array, " effect"], Local]:
    """Levenberg-Marquardt from one start: a fixed number of steps, each kept only if downhill."""

    def step(_: Array, state: State) -> State:
        eps, here, damping, trial = state
        there = local(model, record, location, trial)
        better = there.objective < here.objective  # False for NaN: a bad trial is never kept
        here = jax.tree_util.tree_map(lambda a, b: jnp.where(better, a, b), there, here)
        eps = jnp.where(better, trial, eps)
        damping = jnp.clip(jnp.where(better, 0.2 * damping, 8.0 * damping + 1e-3), 1e-8, 1e8)
        damped = here.curvature + damping * jnp.diag(jnp.diag(here.curvature))
        move = solve_positive(damped, here.gradient)
        length = jnp.sqrt(jnp.sum(move**2))
        return eps, here, damping, eps - move * jnp.minimum(1.0, 3.0 / jnp.maximum(length, 1e-12))

    size = start.shape[0]
    nowhere = jnp.zeros(record.time.shape[0])
    unknown = Local(jnp.full((), jnp.inf), jnp.zeros(size), jnp.eye(size), nowhere)
    # the first pass evaluates the start itself: one copy of the model in the program
    state = (start, unknown, jnp.asarray(0.05), start)
    eps, here, _, _ = jax.lax.fori_loop(0, ITERATIONS + 1, step, state)
    return eps, here


@eqx.filter_jit
def newton_mode(
    model: LatentModel, record: Record, eps: Float[Array, " effect"], steps: int = 8
) -> Float[Array, " effect"]:
    """Exact Newton steps from a mode found by `find_modes`, where a MAP estimate is printed.

    Gauss-Newton converges linearly where residuals are large; the exact Hessian, made positive
    definite by its eigenvalues, converges to rounding. A step that is not downhill is not taken.
    """
    location = model.location(record)

    def objective(e: Array) -> Array:
        return 0.5 * jnp.sum(e**2) - model.log_likelihood(e, location, record)

    def step(_: Array, here: Array) -> Array:
        values, vectors = jnp.linalg.eigh(jax.hessian(objective)(here))
        slope = vectors.T @ jax.grad(objective)(here)
        trial = here - vectors @ (slope / jnp.maximum(jnp.abs(values), 1e-6))
        return jnp.where(objective(trial) <= objective(here), trial, here)

    return jax.lax.fori_loop(0, steps, step, eps)


def starts(encoded: Float[Array, " effect"], axes: int) -> Float[Array, "start effect"]:
    """The prior's mean, the encoder's, and 1.5 SD to either side on each of the first axes."""
    size = encoded.shape[0]
    step = 1.5 * jnp.eye(axes, size, dtype=encoded.dtype)
    return jnp.concatenate([jnp.zeros((1, size), encoded.dtype), encoded[None], step, -step])


def find_modes(
    model: LatentModel,
    record: Record,
    location: Float[Array, "piece latent"],
    begin: Float[Array, "start effect"],
) -> Modes:
    """Descend from every start and keep the distinct ends, best first."""
    ends, there = jax.vmap(lambda s: descend(model, record, location, s))(begin)
    objective = jnp.where(jnp.isfinite(there.objective), there.objective, jnp.inf)
    root = jax.vmap(lambda h: inverse_lower(cholesky(h)))(there.curvature)
    # H = C C^T, so H^-1 = (C^-1)^T C^-1; as a lower factor through a second Cholesky
    scale = jax.vmap(lambda r: cholesky(r.T @ r))(root)
    precision = jax.vmap(inverse_lower)(scale)
    evidence = -objective + jnp.sum(jnp.log(jnp.diagonal(scale, axis1=1, axis2=2)), axis=1)

    left, chosen, real = objective, [], []
    for _ in range(KEPT):
        best = jnp.argmin(left)
        chosen.append(best)
        real.append(jnp.isfinite(left[best]))
        gap = jnp.einsum("ij,sj->si", precision[best], ends - ends[best])
        left = jnp.where(jnp.sum(gap**2, axis=1) < APART**2, jnp.inf, left)
    index, there_is = jnp.stack(chosen), jnp.stack(real)
    weight = jax.nn.softmax(jnp.where(there_is, evidence[index], -jnp.inf))
    # a mode's Laplace evidence is a guess: a near-equal one keeps a share worth drawing from
    weight = jnp.where(there_is & (weight > 1e-4), jnp.maximum(weight, 0.1), weight)
    weight = weight / jnp.sum(weight)
    return Modes(
        ends[index],
        scale[index],
        precision[index],
        objective[index],
        weight,
        there.residual[index],
    )
