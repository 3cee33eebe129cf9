"""What every decoder does."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from latentpk.kinetics.doses import Doses, Paths

LOG_BOUND = 18.0  # parameters stay within exp(+-18): finite, and beyond any physiology


class Decoder(eqx.Module):
    """z and what was given to a concentration, never negative, never NaN."""

    @property
    @abc.abstractmethod
    def latent(self) -> int:
        """Number of latent dimensions."""

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


def bounded_exp(x: Array) -> Array:
    """Exp with its argument held within +-18."""
    return jnp.exp(jnp.clip(x, -LOG_BOUND, LOG_BOUND))


def piece_at(time: Float[Array, " time"], change: Float[Array, " piece"]) -> Array:
    """Index of the piece that holds at each time; the first one also holds before it begins."""
    return jnp.maximum(jnp.sum(change[None, :] <= time[:, None], axis=1) - 1, 0)
