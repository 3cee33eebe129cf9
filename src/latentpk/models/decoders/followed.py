"""What decoders share whose doses are followed from event to event."""

import abc

import jax.numpy as jnp
from jaxtyping import Array, Float

from latentpk.errors import InputError
from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.ode import Course, course
from latentpk.kinetics.piecewise import Pieces
from latentpk.kinetics.system import Differential, System
from latentpk.models.decoders.decoder import Decoder, piece_at


class FollowedDecoder(Decoder):
    """z to the parameters of a system of amounts, which is solved; doses do not add up.

    A course that the solver could not resolve still gives finite concentrations; `error` tells.
    """

    @property
    def linear(self) -> bool:
        """Never: saturation makes a double dose more or less than twice a dose."""
        return False

    @property
    def simulated(self) -> bool:
        """Always."""
        return True

    @property
    @abc.abstractmethod
    def system(self) -> System:
        """The equations."""

    @property
    def stepped(self) -> Differential:
        """The same, where parameters change with time: they are followed step by step.

        Raises:
            InputError: They have closed forms alone, whose parameters do not change.
        """
        if isinstance(self.system, Differential):
            return self.system
        raise InputError(
            f"structure {self.system}: something changes with time (a covariate, or an occasion), "
            "and transit compartments without equations of their own are followed with parameters "
            "that do not. Take transit1 to transit9, or hold the covariate at its first value."
        )

    @abc.abstractmethod
    def parameters(self, z: Float[Array, "piece latent"]) -> Float[Array, "piece parameter"]:
        """What the equations need of each piece, in the order that `System.named` reads."""

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
        pieces = Pieces(change, self.parameters(z))
        found = course(doses, time, order, system=self.stepped, pieces=pieces, paths=paths)
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

    def corners(
        self, z: Float[Array, "piece latent"], change: Float[Array, " piece"], doses: Doses
    ) -> Float[Array, " corner"]:
        """Where the curve bends [h]: inputs begin or end, the system's switch turns."""
        named = self.system.named(self.parameters(z)[piece_at(doses.time, change)].T)
        enter = [doses.time, *(doses.time + lag for lag in self.system.lags(named))]
        turns = [jnp.where(jnp.isfinite(x), x, 0.0) for x in self.system.windows(doses, named)]
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
        pieces = Pieces(change, self.parameters(z))
        return course(
            doses, time, order, system=self.stepped, pieces=pieces, paths=paths, area=True
        )
