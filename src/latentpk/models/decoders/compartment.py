"""z as the logarithms of a compartment model's parameters."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.piecewise import piecewise_concentration
from latentpk.kinetics.structure import Structure
from latentpk.kinetics.superposition import auc, concentration
from latentpk.models.decoders.decoder import Decoder, bounded_exp, piece_at


class CompartmentDecoder(Decoder):
    r"""theta = exp(z), then the closed form; exact also where covariates change with time.

    Lag and bioavailability of a dose are those at its TIME. Where doses differ in their absorption
    (`Doses.own`) so is its absorption rate, until all of it is absorbed: a meal acts on the tablet
    taken with it, and not on what is left of an earlier one. Doses superpose, so that each has a
    unit response of its own,

    .. math:: C(t) = \sum_d C_d(t; ka_d, F_d, t_{lag,d})
    """

    structure: Structure = eqx.field(static=True)

    @property
    def latent(self) -> int:
        """Number of latent dimensions."""
        return len(self.structure.names)

    @property
    def directions(self) -> tuple[str, ...]:
        """The structure's parameters."""
        return self.structure.names

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
        model = {"structure": self.structure, "change": change, "paths": paths}
        return piecewise_concentration(doses, time, order, parameters=theta, **model)

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
        """Area under the concentration [mg h/L]; closed form where the parameters stay."""
        if z.shape[0] == 1:
            response = self.structure.response(bounded_exp(z[0]))
            return auc(doses, start, end, response=response, paths=paths)
        return super().auc(z, change, doses, start, end, paths=paths)

    def corners(
        self, z: Float[Array, "piece latent"], change: Float[Array, " piece"], doses: Doses
    ) -> Float[Array, " corner"]:
        """Where the curve bends [h]: a depot dose begins to enter after its lag."""
        if not self.structure.lag:
            return super().corners(z, change, doses)
        lag = bounded_exp(z[:, self.structure.names.index("alag")])[piece_at(doses.time, change)]
        lag = lag if doses.own is None else lag * doses.own.alag
        entry = doses.time + jnp.where(doses.depot != 0, lag, 0.0)
        return jnp.concatenate([entry, entry + doses.duration])
