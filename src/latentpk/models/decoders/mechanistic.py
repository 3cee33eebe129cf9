"""z as the logarithms of the parameters of equations that are named."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.superposed import (
    superposed_area,
    superposed_concentration,
    superposed_half_life,
)
from latentpk.kinetics.system import Superposed, System
from latentpk.kinetics.terminal import slowest_half_life
from latentpk.models.decoders.decoder import bounded_exp
from latentpk.models.decoders.followed import FollowedDecoder


class MechanisticDecoder(FollowedDecoder):
    """theta = exp(z), then the system's equations: closed forms where what doses do adds up.

    Where parameters change with time (more than one piece) courses are followed step by step.
    """

    structure: System = eqx.field(static=True)

    @property
    def linear(self) -> bool:
        """Whether what doses do adds up."""
        return isinstance(self.structure, Superposed)

    @property
    def system(self) -> System:
        """The equations."""
        return self.structure

    @property
    def latent(self) -> int:
        """Number of latent dimensions."""
        return len(self.structure.names)

    @property
    def directions(self) -> tuple[str, ...]:
        """The system's parameters."""
        return self.structure.names

    def parameters(self, z: Float[Array, "piece latent"]) -> Float[Array, "piece parameter"]:
        """The system's parameters in the order of its names."""
        return bounded_exp(z)

    def half_life(self, z: Float[Array, " latent"]) -> float:
        """Half-life of the slowest mode where there is little drug [h]; see `slowest_half_life`."""
        system = self.structure
        named = system.named(bounded_exp(z))
        if isinstance(system, Superposed):
            return superposed_half_life(system, named)
        return slowest_half_life(self.stepped, named)

    def closed(self, change: Float[Array, " piece"]) -> Superposed | None:
        """The system where courses are closed forms: it has some, and parameters do not change."""
        system = self.structure
        return system if isinstance(system, Superposed) and change.shape[0] == 1 else None

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
        """Concentration [mg/L], shape (time,); arguments as in `Decoder`.

        Raises:
            InputError: Doses at steady state that are followed step by step.
        """
        system = self.closed(change)
        if system is None:
            return super().concentration(z, change, doses, time, order, paths=paths)
        p = system.named(self.parameters(z)[0])
        return superposed_concentration(doses, time, order, system=system, p=p, paths=paths)

    def auc(
        self,
        z: Float[Array, "piece latent"],
        change: Float[Array, " piece"],
        doses: Doses,
        start: Float[Array, ""],
        end: Float[Array, ""],
        *,
        paths: Paths,
    ) -> Float[Array, ""]:
        """Area under the concentration [mg h/L]."""
        system = self.closed(change)
        if system is None:
            return super().auc(z, change, doses, start, end, paths=paths)
        p = system.named(self.parameters(z)[0])
        return superposed_area(doses, (start, end), system=system, p=p, paths=paths)

    def error(
        self,
        z: Float[Array, "piece latent"],
        change: Float[Array, " piece"],
        doses: Doses,
        end: Float[Array, ""],
        *,
        paths: Paths,
    ) -> Float[Array, ""]:
        """Largest error estimated of one step until `end`, relative; closed forms have none."""
        if self.closed(change) is not None:
            return jnp.zeros_like(end)
        return super().error(z, change, doses, end, paths=paths)
