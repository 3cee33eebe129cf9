"""From a record of any length to a Gaussian over the latent patient."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from latentpk.models.config import EncoderConfig
from latentpk.models.record import Record
from latentpk.networks.pooling import SetEncoder

FEATURES = 11


class Gaussian(NamedTuple):
    """A Gaussian over eps, relative to the prior's N(0, I)."""

    mean: Float[Array, " effect"]
    chol: Float[Array, "effect effect"]


class Encoder(eqx.Module):
    """A set encoder over levels; without levels it returns the prior exactly.

    A level's token holds its time, time after dose, logarithm, log ratio to the population
    prediction, and the dosing around it; of the last dose also what is said of it.
    """

    network: SetEncoder
    config: EncoderConfig = eqx.field(static=True)
    effects: int = eqx.field(static=True)

    def __init__(
        self,
        config: EncoderConfig,
        effects: int,
        context: int,
        said: int = 0,
        *,
        key: PRNGKeyArray,
    ) -> None:
        outputs = effects + effects * (effects + 1) // 2
        features = FEATURES + said
        self.network = SetEncoder(features, config.hidden, outputs, context=context, key=key)
        self.config, self.effects = config, effects

    def __call__(
        self,
        tokens: Float[Array, "level feature"],
        mask: Bool[Array, " level"],
        context: Float[Array, " context"],
    ) -> Gaussian:
        """Encode one set of levels.

        Args:
            tokens: From `tokens`, shape (level, feature).
            mask: Which levels to read, shape (level,).
            context: The raw view of the covariates, shape (context,).
        """
        code = self.network(tokens, mask, context)
        code = jnp.where(jnp.any(mask), code, 0.0)
        mean, factor = code[: self.effects], code[self.effects :]
        rows, columns = np.tril_indices(self.effects)
        lower = jnp.zeros((self.effects, self.effects), code.dtype).at[rows, columns].set(factor)
        diagonal = jnp.exp(jnp.clip(jnp.diag(lower), -6.0, 1.0))
        return Gaussian(4.0 * jnp.tanh(mean / 4.0), jnp.tril(lower, -1) + jnp.diag(diagonal))

    def tokens(
        self,
        record: Record,
        population: Float[Array, " level"],
        said: Float[Array, "dose raw"] | None = None,
    ) -> Float[Array, "level feature"]:
        """The features of each level, all of order one, shape (level, feature).

        Args:
            record: One subject's record.
            population: Levels of the typical patient [mg/L], shape (level,).
            said: Standardized covariates of each dose, shape (dose, raw); None where there is none.
        """
        scales, doses = self.config, record.doses
        real = (doses.amount > 0) | (doses.rate > 0)
        since = record.time[:, None] - doses.time[None, :]
        given = real & ((since > 0) | ((since == 0) & (doses.order < record.order[:, None])))
        after = jnp.min(jnp.where(given, since, 1e4), axis=1)
        last = jnp.argmin(jnp.where(given, since, 1e4), axis=1)
        first = jnp.min(jnp.where(real, doses.time, 1e6))
        time = record.time - jnp.where(first < 1e6, first, 0.0)
        least = 1e-3 * scales.level_scale
        level = jnp.log(jnp.maximum(record.value, least))
        expected = jnp.log(jnp.maximum(population, least))
        amount = jnp.maximum(doses.amount[last], 1e-3 * scales.dose_scale)
        features = [
            time / scales.time_scale,
            jnp.log1p(jnp.maximum(time, 0.0) / (0.1 * scales.time_scale)),
            jnp.minimum(after / scales.time_scale, 5.0),
            jnp.log1p(after / (0.05 * scales.time_scale)),
            level - jnp.log(scales.level_scale),
            jnp.clip(level - expected, -5.0, 5.0),
            expected - jnp.log(scales.level_scale),
            jnp.log(amount / scales.dose_scale),
            doses.duration[last] / scales.time_scale,
            jnp.log1p(jnp.sum(given, axis=1).astype(time.dtype)),
            record.censored.astype(time.dtype),
        ]
        stacked = jnp.stack(features, axis=1)
        if said is not None:
            stacked = jnp.concatenate([stacked, said[last]], axis=1)
        return jnp.clip(stacked, -20.0, 20.0)


def log_density(q: Gaussian, eps: Float[Array, " effect"]) -> Float[Array, ""]:
    """Log density of a Gaussian over eps."""
    white = jax.scipy.linalg.solve_triangular(q.chol, eps - q.mean, lower=True)
    size = eps.shape[0]
    return (
        -0.5 * jnp.sum(white**2)
        - jnp.sum(jnp.log(jnp.diag(q.chol)))
        - 0.5 * size * jnp.log(2 * jnp.pi)
    )


def kl_from_prior(q: Gaussian) -> Float[Array, ""]:
    """KL(q || N(0, I)) in closed form."""
    size = q.mean.shape[0]
    log_det = jnp.sum(jnp.log(jnp.diag(q.chol)))
    return 0.5 * (jnp.sum(q.chol**2) + jnp.sum(q.mean**2) - size) - log_det
