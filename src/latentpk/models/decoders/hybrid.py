r"""A compartment model times a learned, bounded factor.

.. math:: C(t) = \sum_d C_d(t)\, \exp\{b\, w(\tau_d) \tanh g(z_r, \tau_d, \log C_{skel}(t))\},
          \qquad C_{skel} = \sum_d C_d, \quad \tau_d = t - t_d

with C_d what the mechanism makes of dose d alone. After one dose this is the mechanism's level
times one factor; after several, each dose brings a factor that counts time from its own entry, so
that the level does not jump where a further dose has hardly been absorbed. The factor stays within
exp(+-b) and fades as w falls: far outside the trained times the mechanism alone extrapolates.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.structure import Structure
from latentpk.models.config import HybridConfig
from latentpk.models.decoders.compartment import CompartmentDecoder
from latentpk.models.decoders.decoder import Decoder, piece_at
from latentpk.networks.mlp import Mlp

FAINT = 0.02  # of the typical level: below it, the factor no longer sees how little there is
SEEN = 4  # what the network sees of time and level


class HybridDecoder(Decoder):
    """z: the logarithms of the mechanism's parameters, then what the factor reads.

    Doses do not add up, since the factor sees the level; any regimen is answered for by its whole
    course, so it counts as simulated. Areas are quadratures of the product. A steady state is the
    mechanism's with the factor of the time since its record.
    """

    network: Mlp
    config: HybridConfig = eqx.field(static=True)

    def __init__(self, config: HybridConfig, *, key: PRNGKeyArray) -> None:
        self.config = config
        self.network = Mlp((SEEN + config.residual, config.width, 1), key=key, gain=0.0)

    @property
    def linear(self) -> bool:
        """No: the factor reads the level."""
        return False

    @property
    def simulated(self) -> bool:
        """Each regimen's course is computed whole."""
        return True

    @property
    def structure(self) -> Structure:
        """The mechanism."""
        return Structure.parse(self.config.structure)

    @property
    def skeleton(self) -> CompartmentDecoder:
        """The mechanism alone; it reads the first dimensions of z."""
        return CompartmentDecoder(self.structure)

    @property
    def latent(self) -> int:
        """Number of latent dimensions."""
        return len(self.structure.names) + self.config.residual

    @property
    def directions(self) -> tuple[str, ...]:
        """The mechanism's parameters, then what the factor reads."""
        more = (f"factor {k}" for k in range(1, self.config.residual + 1))
        return (*self.structure.names, *more)

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
        skeleton, known = self.skeleton, len(self.structure.names)

        def one_dose(dose: Doses) -> Array:
            single = jax.tree_util.tree_map(lambda x: x[None], dose)
            return skeleton.concentration(z[:, :known], change, single, time, order, paths=paths)

        each = jax.vmap(one_dose)(doses)
        extra = z[piece_at(time, change), known:]
        factor = self.factor(extra, time - doses.time[:, None], jnp.sum(each, axis=0))
        return jnp.sum(each * factor, axis=0)

    def factor(
        self,
        extra: Float[Array, "time residual"],
        since: Float[Array, "dose time"],
        level: Float[Array, " time"],
    ) -> Float[Array, "dose time"]:
        """What each dose's share of the mechanism's level is multiplied by.

        Args:
            extra: The last dimensions of z, shape (time, residual).
            since: Time after each dose [h], shape (dose, time); before it, as at the dose.
            level: The mechanism's level [mg/L], shape (time,).

        Returns:
            The factor, within exp(+-bound), shape (dose, time).
        """
        config = self.config
        since = jnp.maximum(since, 0.0)
        seen = jnp.log(level / config.level_scale + FAINT)

        def exponent(extra: Array, since: Array, seen: Array) -> Array:
            quick, slow = jnp.log1p(since / config.early), since / (since + config.horizon)
            clock = jnp.stack([quick / (1 + quick), 0.5 * quick, slow, 0.5 * seen])
            return self.network(jnp.concatenate([clock, extra]))[0]

        each_time = jax.vmap(exponent, in_axes=(0, 0, 0))
        raw = jax.vmap(each_time, in_axes=(None, 0, None))(extra, since, seen)
        late = jnp.maximum(since / config.horizon - 1.0, 0.0)
        return jnp.exp(config.bound * jnp.exp(-(late**2)) * jnp.tanh(raw))

    def corners(
        self, z: Float[Array, "piece latent"], change: Float[Array, " piece"], doses: Doses
    ) -> Float[Array, " corner"]:
        """Where the curve bends [h]: where the mechanism's does, and where the factor fades."""
        bends = self.skeleton.corners(z[:, : len(self.structure.names)], change, doses)
        return jnp.concatenate([bends, doses.time, doses.time + self.config.horizon])

    def penalty(self) -> Float[Array, ""]:
        """Squared weights of the last layer: with none the mechanism is left alone."""
        last = self.network.layers[-1]
        return (jnp.sum(last.weight**2) + jnp.sum(last.bias**2)) / self.config.spread**2
