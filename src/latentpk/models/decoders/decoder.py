"""What every decoder does."""

import abc

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentpk.kinetics.doses import Doses, Paths

NODES = 12  # of the quadrature between two events
LOG_BOUND = 18.0  # parameters stay within exp(+-18): finite, and beyond any physiology


class Decoder(eqx.Module):
    """z and what was given to a concentration, never negative, never NaN."""

    @property
    def linear(self) -> bool:
        """Whether concentrations of doses add up, and each is proportional to its amount."""
        return True

    @property
    def causal(self) -> bool:
        """Whether a dose changes nothing before it; else posteriors must know the doses to come."""
        return True

    @property
    def simulated(self) -> bool:
        """Whether doses must be followed step by step, which answers for any others too."""
        return False

    @property
    @abc.abstractmethod
    def latent(self) -> int:
        """Number of latent dimensions."""

    @property
    def directions(self) -> tuple[str, ...]:
        """A name of each latent dimension, for a person; numbered where it stands for nothing."""
        return tuple(f"latent {k}" for k in range(1, self.latent + 1))

    @property
    def reads(self) -> tuple[str, ...]:
        """Covariates that z goes on with, standardized, beyond its latent dimensions."""
        return ()

    def penalty(self) -> Float[Array, ""] | float:
        """Squared size of what is to stay small in training."""
        return 0.0

    @abc.abstractmethod
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
        """Predict the concentration of one patient.

        Args:
            z: The latent patient; a row holds from its `change` on, shape (piece, latent).
            change: When each row of z begins to hold [h], shape (piece,).
            doses: What was given; each field (dose,).
            time: When to predict [h], shape (time,).
            order: Record order at equal times, shape (time,).
            paths: Which branches of the kinetics the doses need.

        Returns:
            Concentration [mg/L], shape (time,).
        """

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
        """Area under the concentration over a window, by Gauss-Legendre between two events.

        Args:
            z: The latent patient; a row holds from its `change` on, shape (piece, latent).
            change: When each row of z begins to hold [h], shape (piece,).
            doses: What was given; each field (dose,).
            start: Start of the window [h].
            end: Its end, finite [h].
            paths: Which branches of the kinetics the doses need.

        Returns:
            The area [mg h/L].
        """
        points = (start[None], self.corners(z, change, doses), doses.until, change, end[None])
        edges = jnp.sort(jnp.clip(jnp.concatenate(points), start, end))
        node, weight = np.polynomial.legendre.leggauss(NODES)
        middle, half = (edges[1:] + edges[:-1]) / 2, (edges[1:] - edges[:-1]) / 2
        time = (middle[:, None] + half[:, None] * node).reshape(-1)
        order = jnp.full_like(time, jnp.inf)
        height = self.concentration(z, change, doses, time, order, paths=paths)
        return jnp.sum(half * (height.reshape(-1, NODES) @ weight))

    def corners(
        self, z: Float[Array, "piece latent"], change: Float[Array, " piece"], doses: Doses
    ) -> Float[Array, " corner"]:
        """Where the curve bends between resets and changes [h]: a dose begins or ends to enter."""
        return jnp.concatenate([doses.time, doses.time + doses.duration])


def bounded_exp(x: Array) -> Array:
    """Exp with its argument held within +-18."""
    return jnp.exp(jnp.clip(x, -LOG_BOUND, LOG_BOUND))


def piece_at(time: Float[Array, " time"], change: Float[Array, " piece"]) -> Array:
    """Index of the piece that holds at each time; the first one also holds before it begins."""
    return jnp.maximum(jnp.sum(change[None, :] <= time[:, None], axis=1) - 1, 0)
