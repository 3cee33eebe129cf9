"""Draws of patients' posteriors with what they cost to draw, kept for many questions at once.

A draw's concentrations at the levels do not depend on the population it is weighed by. So the
evidence of any population of the same decoder, any residual error and any part of the levels is a
sum over draws that are there already.
"""

from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from jaxtyping import Array, Float

from latentpk.inference.modes import find_modes, starts
from latentpk.inference.posterior import block_size, in_blocks
from latentpk.inference.sampling import (
    DEGREES,
    WIDEN,
    BaseDraws,
    Host,
    base_draws,
    many_base_draws,
    matched_mixture,
    mode_mixture,
    propose,
    sample_mixture,
    with_empty_components,
)
from latentpk.models.latent import LatentModel
from latentpk.models.record import Record
from latentpk.models.residual import Residual

Progress = Callable[[int, int, str], None]
FIRST = 256  # draws by which the proposal is adapted
ENOUGH, TURNS, AGAIN = 40.0, 3, 512  # effective draws; turns and draws where they are short
KIND_SHARE = 0.2  # of new draws, from the population itself


@dataclass(frozen=True, eq=False)
class Bank:
    """Draws of every subject of stacked records from a proposal around its posterior.

    Attributes:
        eps: Draws, shape (subject, draw, effect).
        log_q: Log density of the proposal there, shape (subject, draw).
        level: Concentration at each level [mg/L], shape (subject, draw, level).
        records: What the draws are of, leading axis (subject,).
    """

    eps: Float[np.ndarray, "subject draw effect"]
    log_q: Float[np.ndarray, "subject draw"]
    level: Float[np.ndarray, "subject draw level"]
    records: Record

    def __len__(self) -> int:
        return len(self.eps)

    def rows(self, index: np.ndarray, draws: int | None = None) -> "Bank":
        """Some subjects, and of an evenly spread sequence the first draws alone."""
        part = jax.tree_util.tree_map(lambda x: x[index], self.records)
        kept = slice(draws)
        return Bank(self.eps[index, kept], self.log_q[index, kept], self.level[index, kept], part)


def make_bank(
    model: LatentModel,
    records: Record,
    *,
    draws: int = 1024,
    seed: int = 0,
    progress: Progress | None = None,
    label: str = "posteriors",
) -> Bank:
    """Draw around every subject's posterior.

    The proposal is gate A's: a Student t at each mode and a tenth from the prior, adapted once.

    Args:
        model: The model.
        records: Stacked records, leading axis (subject,).
        draws: Of each subject.
        seed: Of the standard draws.
        progress: Called with (done, total, label).
        label: What it is told.
    """
    size = model.dimension(records)
    first, base = base_draws(FIRST, size, seed + 1), base_draws(draws, size, seed)
    eps, log_q, level = in_blocks(
        lambda block: _draw(model, block, first, base),
        records,
        progress,
        label,
        size=block_size(model),
    )
    return Bank(eps, log_q, level, records)


@eqx.filter_jit
def _draw(
    model: LatentModel, records: Record, first: BaseDraws, base: BaseDraws
) -> tuple[Array, Array, Array]:
    def one(record: Record) -> tuple[Array, Array, Array]:
        location = model.location(record)
        begin = starts(model.encode(record).mean, model.effects)
        found = with_empty_components(mode_mixture(find_modes(model, record, location, begin)))
        sample = sample_mixture(model, record, location, found, first)
        eps, _, log_q = propose(matched_mixture(found, sample), base)

        def course(e: Array) -> Array:
            return model.concentration(e, location, record, record.time, record.order)

        return eps, log_q, model.over_draws(course, eps)

    return jax.lax.map(one, records)


@eqx.filter_jit
def _densities(residual: Residual, value: Array, level: Array, censored: Array) -> Array:
    def one(y: Array, draws: Array, below: Array) -> Array:
        return jax.vmap(lambda f: residual.log_density(y, f, below))(draws)

    return jax.vmap(one)(value, level, censored)


@eqx.filter_jit
def _redraw(
    model: LatentModel,
    records: Record,
    place: tuple[Host, Host],
    kind: tuple[Host, Host],
    base: BaseDraws,
) -> tuple[Array, Array, Array]:
    size = base.normal.shape[-1]
    constant = gammaln((DEGREES + size) / 2) - gammaln(DEGREES / 2)
    constant = constant - 0.5 * size * np.log(DEGREES * np.pi)

    def one(item: tuple[Record, Array, Array, BaseDraws]) -> tuple[Array, Array, Array]:
        record, mean, scale, own = item
        location = model.location(record)
        near = mean + own.student @ scale.T
        eps = jnp.where((own.rank < KIND_SHARE)[:, None], kind[0] + own.normal @ kind[1].T, near)
        away = jax.scipy.linalg.solve_triangular(scale, (eps - mean).T, lower=True)
        log_near = constant - 0.5 * (DEGREES + size) * jnp.log1p(jnp.sum(away**2, axis=0) / DEGREES)
        log_near = log_near - jnp.sum(jnp.log(jnp.diag(scale)))
        white = jax.scipy.linalg.solve_triangular(kind[1], (eps - kind[0]).T, lower=True)
        log_kind = -0.5 * jnp.sum(white**2, axis=0) - 0.5 * size * np.log(2 * np.pi)
        log_kind = log_kind - jnp.sum(jnp.log(jnp.diag(kind[1])))
        log_q = jnp.logaddexp(np.log1p(-KIND_SHARE) + log_near, np.log(KIND_SHARE) + log_kind)

        def course(e: Array) -> Array:
            return model.concentration(e, location, record, record.time, record.order)

        return eps, log_q, model.over_draws(course, eps)

    return jax.lax.map(one, (records, *place, base))


def redraw(
    model: LatentModel,
    bank: Bank,
    weight: Float[np.ndarray, "subject draw"],
    kind: tuple[Float[np.ndarray, " effect"], Float[np.ndarray, "effect effect"]],
    *,
    draws: int,
    seed: int,
) -> Bank:
    """Draw anew around where a weighted bank lies, and a fifth from the population.

    Each subject has draws of its own: errors of shared ones would not average out in a population.

    Args:
        model: The model.
        bank: The draws there are.
        weight: Their weights, which sum to 1.
        kind: Mean and covariance of the population over eps.
        draws: Of each subject.
        seed: Of them.
    """
    size = bank.eps.shape[2]
    mean = np.einsum("nsd,ns->nd", bank.eps, weight)
    away = bank.eps - mean[:, None]
    covariance = np.einsum("nsd,ns,nse->nde", away, weight, away, optimize=True)
    scale = WIDEN * np.linalg.cholesky(covariance + 1e-3 * np.eye(size))
    base = many_base_draws(len(bank), draws, size, seed)
    whole = (kind[0], np.linalg.cholesky(kind[1]))
    eps, log_q, level = in_blocks(
        lambda block: _redraw(model, block[0], block[1:3], whole, block[3]),
        (bank.records, mean, scale, base),
        None,
        "",
        size=block_size(model),
    )
    return Bank(eps, log_q, level, bank.records)


def densities(bank: Bank, residual: Residual) -> Float[np.ndarray, "subject draw level"]:
    """Log density of each level at each draw [nats]; 0 where no level is."""
    r = bank.records
    value = jnp.asarray(r.value)
    found = _densities(residual, value, jnp.asarray(bank.level), jnp.asarray(r.censored))
    each = np.nan_to_num(np.asarray(found), nan=-1e10, posinf=-1e10, neginf=-1e10)
    return np.where(np.asarray(r.mask)[:, None], each, 0.0)


def standard_ratio(bank: Bank) -> Float[np.ndarray, "subject draw"]:
    """Log of the standard normal prior over the proposal."""
    size = bank.eps.shape[2]
    prior = -0.5 * np.sum(bank.eps**2, axis=2) - 0.5 * size * np.log(2 * np.pi)
    return prior - bank.log_q


def log_mean(x: Float[np.ndarray, "*rows draw"], axis: int = 1) -> Float[np.ndarray, "*rows"]:
    """Log of the mean of exponentials over draws."""
    top = np.max(x, axis=axis, keepdims=True)
    return np.squeeze(top, axis) + np.log(np.mean(np.exp(x - top), axis=axis))


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Each level predicted from the subject's other ones; nan where no level is.

    Attributes:
        median: Median of the concentration [mg/L], shape (subject, level).
        log_density: Log predictive density of the measurement [nats], shape (subject, level).
        ess: Effective draws behind it, shape (subject, level).
    """

    median: Float[np.ndarray, "subject level"]
    log_density: Float[np.ndarray, "subject level"]
    ess: Float[np.ndarray, "subject level"]


def leave_one_out(model: LatentModel, bank: Bank, *, seed: int = 0) -> LeftOut:
    r"""Predict each level from all others of its subject.

    .. math:: p(y_j | y_{-j}) = \sum_s w_s\, p(y_j | \epsilon_s), \qquad
              w_s \propto \frac{p(\epsilon_s)}{q(\epsilon_s)}
              \prod_{i \ne j} p(y_i | \epsilon_s)

    The draws that are there are weighed anew. Where that leaves few effective ones (a level alone
    told what the others do not) draws are made anew around what the others say.

    Args:
        model: What the draws are of.
        bank: The draws.
        seed: Of new draws.
    """
    mask = np.asarray(bank.records.mask)
    median, density, ess = (np.full(mask.shape, np.nan) for _ in range(3))
    each, ratio = densities(bank, model.residual), standard_ratio(bank)
    for j in range(mask.shape[1]):
        own = np.flatnonzero(mask[:, j])
        if own.size == 0:
            continue
        found = _without(bank.rows(own), each[own], ratio[own], j)
        few = np.flatnonzero(found[2] < ENOUGH)
        if few.size:
            again = _drawn_without(model, bank.rows(own[few]), j, seed + 7 * j)
            for old, new in zip(found, again, strict=True):
                old[few] = new
        median[own, j], density[own, j], ess[own, j] = found
    return LeftOut(median, density, ess)


def _drawn_without(
    model: LatentModel, bank: Bank, j: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same with draws around the posterior of the other levels, found in a few turns."""
    size = bank.eps.shape[2]
    whole = (np.zeros(size), np.eye(size))
    for turn in range(TURNS):
        left = densities(bank, model.residual)
        left[:, :, j] = 0.0
        joint = left.sum(axis=2) + standard_ratio(bank)
        # a few large weights would make a proposal too narrow: flattened, they widen it
        flat = 0.5 if turn + 1 < TURNS else 0.8
        weight = _weights(flat * joint)
        bank = redraw(model, bank, weight, whole, draws=AGAIN, seed=seed + turn)
    return _without(bank, densities(bank, model.residual), standard_ratio(bank), j)


def _without(
    bank: Bank, each: np.ndarray, ratio: np.ndarray, j: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Median, log predictive density and effective draws of level j by the others."""
    left = each.sum(axis=2) - each[:, :, j] + ratio
    weight = _weights(left)
    with np.errstate(divide="ignore"):
        logs = np.log(weight) + each[:, :, j]
    top = logs.max(axis=1)
    density = top + np.log(np.sum(np.exp(logs - top[:, None]), axis=1))
    return weighted_median(bank.level[:, :, j], weight), density, 1 / np.sum(weight**2, axis=1)


def _weights(joint: np.ndarray) -> np.ndarray:
    weight = np.exp(joint - joint.max(axis=1, keepdims=True))
    return weight / weight.sum(axis=1, keepdims=True)


def later_given_earlier(
    bank: Bank,
    each: Float[np.ndarray, "subject draw level"],
    ratio: Float[np.ndarray, "subject draw"],
) -> Float[np.ndarray, " subject"]:
    """Log density of the later half of each subject's levels given the earlier half [nats]."""
    mask, time = np.asarray(bank.records.mask), np.asarray(bank.records.time)
    rank = np.argsort(np.argsort(np.where(mask, time, np.inf), axis=1, kind="stable"), axis=1)
    count = mask.sum(axis=1, keepdims=True)
    first = mask & (rank < np.where(count > 1, (count + 1) // 2, 0))
    part = np.where(first[:, None], each, 0.0).sum(axis=2) + ratio
    return log_mean(each.sum(axis=2) + ratio) - log_mean(part)


def weighted_median(
    values: Float[np.ndarray, "subject draw"], weight: Float[np.ndarray, "subject draw"]
) -> Float[np.ndarray, " subject"]:
    """Median over draws whose weights sum to 1."""
    order = np.argsort(values, axis=1)
    share = np.cumsum(np.take_along_axis(weight, order, axis=1), axis=1)
    place = np.minimum(np.sum(share < 0.5, axis=1), values.shape[1] - 1)
    return np.take_along_axis(values, order, axis=1)[np.arange(len(values)), place]


def normal_weights(
    each: Float[np.ndarray, "subject draw level"], ratio: Float[np.ndarray, "subject draw"]
) -> Float[np.ndarray, "subject draw"]:
    """Posterior weights of the draws, which sum to 1."""
    return _weights(each.sum(axis=2) + ratio)
