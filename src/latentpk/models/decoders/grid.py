"""The plain published form: z and the dosing to concentrations on a fixed time grid."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from latentpk.kinetics.doses import Doses, Paths
from latentpk.models.config import GridConfig
from latentpk.models.decoders.decoder import Decoder, bounded_exp, piece_at
from latentpk.networks.mlp import Mlp

CONTEXT = 5


class GridDecoder(Decoder):
    """A network from z and a summary of the dosing to a profile since the first dose.

    It knows no kinetics: a regimen unlike those of the training data is beyond it, and past the
    grid's end the last slope goes on. It is here as the form the literature compares with.
    """

    network: Mlp
    config: GridConfig = eqx.field(static=True)

    def __init__(self, config: GridConfig, *, key: PRNGKeyArray) -> None:
        self.config = config
        sizes = (config.latent + CONTEXT, config.hidden, config.hidden, config.nodes)
        self.network = Mlp(sizes, key=key, gain=0.3)

    @property
    def linear(self) -> bool:
        """No: the network reads a summary of all doses."""
        return False

    @property
    def causal(self) -> bool:
        """No: the profile is read from a summary of all doses, those to come among them."""
        return False

    @property
    def latent(self) -> int:
        """Number of latent dimensions."""
        return self.config.latent

    def concentration(
        self,
        z: Float[Array, "piece latent"],
        change: Float[Array, " piece"],
        doses: Doses,
        time: Float[Array, " time"],
        order: Float[Array, " time"],
        *,
        paths: Paths,
    ) -> Float[Array, " time"]:
        """Concentration [mg/L], shape (time,); arguments as in `Decoder`."""
        given = (doses.amount > 0) | (doses.rate > 0)
        first = _first(doses)
        size, context = self._dosing(doses, given, first)
        profiles = jax.vmap(lambda row: self.network(jnp.concatenate([row, context])))(z)
        since = time - first
        logs = jax.vmap(lambda profile: self._interpolate(profile, since))(profiles)
        log = logs[piece_at(time, change), jnp.arange(time.shape[0])]
        return jnp.where((since >= 0) & jnp.any(given), size * bounded_exp(log), 0.0)

    def corners(
        self, z: Float[Array, "piece latent"], change: Float[Array, " piece"], doses: Doses
    ) -> Float[Array, " corner"]:
        """Where the curve bends [h]: at the grid's nodes."""
        return _first(doses) + jnp.linspace(0.0, self.config.horizon, self.config.nodes)

    def _dosing(
        self, doses: Doses, given: Array, first: Float[Array, ""]
    ) -> tuple[Float[Array, ""], Float[Array, " context"]]:
        """Mean dose [mg], and a summary of the regimen that does not change with its size."""
        amount = jnp.where(doses.steady == 3, doses.rate, doses.amount)
        count = jnp.maximum(jnp.sum(given), 1)
        size = jnp.sum(jnp.where(given, amount, 0.0)) / count
        starts = jnp.sum(jnp.where(given & (doses.time == first), amount, 0.0))
        last = jnp.max(jnp.where(given, doses.time, first))
        gap = (last - first) / jnp.maximum(count - 1, 1) / self.config.horizon
        duration = jnp.sum(jnp.where(given, doses.duration, 0.0)) / count / self.config.horizon
        share = starts / jnp.maximum(size, 1e-12)
        steady = jnp.any(doses.steady > 0).astype(size.dtype)
        spread = jnp.log(count.astype(size.dtype))
        return size, jnp.stack([spread, 4.0 * gap, 10.0 * duration, jnp.log1p(share), steady])

    def _interpolate(
        self, profile: Float[Array, " node"], since: Float[Array, " time"]
    ) -> Float[Array, " time"]:
        """Log concentration between nodes; past the last node its slope, never upwards."""
        step = self.config.horizon / (self.config.nodes - 1)
        place = jnp.clip(since / step, 0.0, self.config.nodes - 1.0)
        left = jnp.clip(jnp.floor(place), 0, self.config.nodes - 2).astype(int)
        share = place - left
        inside = (1 - share) * profile[left] + share * profile[left + 1]
        slope = jnp.minimum(profile[-1] - profile[-2], 0.0) / step
        return inside + slope * jnp.maximum(since - self.config.horizon, 0.0)


def _first(doses: Doses) -> Float[Array, ""]:
    """Time of the first dose [h]; 0 where there is none."""
    given = (doses.amount > 0) | (doses.rate > 0)
    first = jnp.min(jnp.where(given, doses.time, jnp.inf))
    return jnp.where(jnp.isfinite(first), first, 0.0)
