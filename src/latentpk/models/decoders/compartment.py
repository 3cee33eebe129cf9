"""z as the logarithms of a compartment model's parameters."""

import equinox as eqx
from jaxtyping import Array, Float

from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.piecewise import piecewise_concentration
from latentpk.kinetics.structure import Structure
from latentpk.kinetics.superposition import concentration
from latentpk.models.decoders.decoder import Decoder, bounded_exp


class CompartmentDecoder(Decoder):
    """theta = exp(z), then the closed form; exact also where covariates change with time."""

    structure: Structure = eqx.field(static=True)

    @property
    def latent(self) -> int:
        """Number of latent dimensions."""
        return len(self.structure.names)

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
        theta = bounded_exp(z)
        if z.shape[0] == 1:
            response = self.structure.response(theta[0])
            return concentration(doses, time, order, response=response, paths=paths)
        return piecewise_concentration(
            doses,
            time,
            order,
            structure=self.structure,
            change=change,
            parameters=theta,
            paths=paths,
        )
