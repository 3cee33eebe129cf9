"""z as the logarithms of a nonlinear system's parameters."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.ode import Course, course
from latentpk.kinetics.piecewise import Pieces
from latentpk.kinetics.system import System
from latentpk.kinetics.terminal import slowest_half_life
from latentpk.models.decoders.decoder import Decoder, bounded_exp, piece_at


class MechanisticDecoder(Decoder):
    """theta = exp(z), then the system's equations; doses do not add up.

    A course that the solver could not resolve still gives finite concentrations; `error` tells.
    """

    structure: System = eqx.field(static=True)

    @property
    def linear(self) -> bool:
        """Never: saturation and targets make a double dose more or less than twice a dose."""
        return False

    @property
    def simulated(self) -> bool:
        """Always."""
        return True

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
        """Concentration [mg/L], shape (time,); arguments as in `Decoder`.

        Raises:
            InputError: Doses at steady state.
        """
        pieces = Pieces(change, bounded_exp(z))
        found = course(doses, time, order, system=self.structure, pieces=pieces, paths=paths)
        return jnp.maximum(found.concentration, 0.0)

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
        """Area under the concentration [mg h/L], integrated with the amounts."""
        found = self.followed(z, change, doses, jnp.stack([start, end]), paths=paths)
        return jnp.maximum(found.area[1] - found.area[0], 0.0)

    def error(
        self,
        z: Float[Array, "piece latent"],
        change: Float[Array, " piece"],
        doses: Doses,
        end: Float[Array, ""],
        *,
        paths: Paths,
    ) -> Float[Array, ""]:
        """Largest error estimated of one step until `end`, relative; above 1e-2 is unresolved."""
        return self.followed(z, change, doses, end[None], paths=paths).error

    def half_life(self, z: Float[Array, " latent"]) -> float:
        """Half-life of the slowest mode where there is little drug [h]; see `slowest_half_life`."""
        theta = bounded_exp(z)
        return slowest_half_life(
            self.structure, dict(zip(self.structure.names, theta, strict=True))
        )

    def corners(
        self, z: Float[Array, "piece latent"], change: Float[Array, " piece"], doses: Doses
    ) -> Float[Array, " corner"]:
        """Where the curve bends [h]: inputs begin or end, the system's switch turns."""
        rows = bounded_exp(z)[piece_at(doses.time, change)]
        named = dict(zip(self.structure.names, rows.T, strict=True))
        enter = [doses.time, *(doses.time + site.lag for site in self.structure.sites(named))]
        turns = [jnp.where(jnp.isfinite(x), x, 0.0) for x in self.structure.windows(doses, named)]
        return jnp.concatenate([*enter, *(x + doses.duration for x in enter), *turns])

    def followed(
        self,
        z: Float[Array, "piece latent"],
        change: Float[Array, " piece"],
        doses: Doses,
        time: Float[Array, " time"],
        order: Float[Array, " time"] | None = None,
        *,
        paths: Paths,
    ) -> Course:
        """Amounts, concentrations and areas since the first event; arguments as in `Decoder`."""
        pieces = Pieces(change, bounded_exp(z))
        system = self.structure
        return course(doses, time, order, system=system, pieces=pieces, paths=paths, area=True)
