"""z as the logarithms of a nonlinear system's parameters."""

import equinox as eqx
from jaxtyping import Array, Float

from latentpk.kinetics.system import System
from latentpk.kinetics.terminal import slowest_half_life
from latentpk.models.decoders.decoder import bounded_exp
from latentpk.models.decoders.followed import FollowedDecoder


class MechanisticDecoder(FollowedDecoder):
    """theta = exp(z), then the system's equations."""

    structure: System = eqx.field(static=True)

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
        return slowest_half_life(self.structure, self.structure.named(bounded_exp(z)))
