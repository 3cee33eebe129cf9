r"""How a local population departs from a source's, and how far it may without data insisting.

The structure and the covariate model stay. What moves is

.. math:: \log\theta' = \log\theta + \delta, \qquad
          \omega_k' = \omega_k e^{s_k}, \qquad a' = a e^{r_a},\; b' = b e^{r_b}

under a Gaussian penalty around 0: the MAP estimate under a between-site prior.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from pydantic import Field

from latentpk import precision
from latentpk.errors import InputError
from latentpk.inference.polish import Moving
from latentpk.models.config import Frozen
from latentpk.models.decoders.grid import GridDecoder
from latentpk.models.decoders.kernel import KernelDecoder, LatentMap
from latentpk.models.latent import LatentModel


class BetweenSites(Frozen):
    """How much sites differ, as standard deviations of logarithms: the penalty's widths.

    Attributes:
        typical: Of typical values (for a kernel, of the rates and weights of its response).
        spread: Of the standard deviations between patients.
        error: Of the residual error's standard deviations.
    """

    typical: float = Field(default=0.3, gt=0)
    spread: float = Field(default=0.3, gt=0)
    error: float = Field(default=0.3, gt=0)


class Departure(eqx.Module):
    """What moved; all zeros is the source.

    Attributes:
        typical: Added to log typical values, or to the outputs of a kernel's maps, shape (place,).
        spread: Added to the log SD of each latent dimension, shape (latent,).
        error: Added to log a and log b of the residual error, shape (2,).
    """

    typical: Float[Array, " place"]
    spread: Float[Array, " latent"]
    error: Float[Array, " 2"]


def nowhere(source: LatentModel) -> Departure:
    """No departure from this source.

    Raises:
        InputError: The source's decoder knows no kinetics that could be shifted.
    """
    if isinstance(source.decoder, GridDecoder):
        raise InputError(
            "A model with the grid decoder cannot be adapted: it has no parameters that a site "
            "could shift. Start from a compartment or kernel model."
        )
    latent = jax.eval_shape(source.prior.chol).shape[0]
    places = sum(part.linear.bias.shape[0] for part in _maps(source)) or latent
    return Departure(jnp.zeros(places), jnp.zeros(latent), jnp.zeros(2))


def depart(source: LatentModel, by: Departure) -> LatentModel:
    """The source moved by a departure; correlations, covariate effects and encoder stay.

    Args:
        source: Where it starts from.
        by: How far, in the source's dtype.
    """
    moved = eqx.tree_at(lambda m: m.prior, source, source.prior.stretched(by.spread))
    moved = eqx.tree_at(
        lambda m: (m.residual.log_a, m.residual.log_b),
        moved,
        (moved.residual.log_a + by.error[0], moved.residual.log_b + by.error[1]),
    )
    parts = _maps(moved)
    if not parts:
        return eqx.tree_at(lambda m: m.prior, moved, moved.prior.shifted(by.typical))
    # a kernel's latent patient has no named parameters: its typical response is in these outputs
    first = parts[0].linear.bias.shape[0]
    pieces = (by.typical[:first], by.typical[first:])
    biases = [part.linear.bias + piece for part, piece in zip(parts, pieces, strict=False)]
    return eqx.tree_at(lambda m: [part.linear.bias for part in _maps(m)], moved, biases)


def log_prior(by: Departure, sites: BetweenSites) -> Float[Array, ""]:
    """Log density of a departure under the between-site prior, up to a constant."""
    return -0.5 * (
        jnp.sum(by.typical**2) / sites.typical**2
        + jnp.sum(by.spread**2) / sites.spread**2
        + jnp.sum(by.error**2) / sites.error**2
    )


def departing(source: LatentModel, sites: BetweenSites) -> Moving:
    """What `make_polisher` is to move: a departure, penalized.

    Raises:
        InputError: As `nowhere`.
    """
    light = precision.single(source)
    return Moving(
        start=precision.single(nowhere(source)),
        inside=lambda by: depart(light, by),
        outside=lambda by: depart(source, by),
        penalty=lambda by: -log_prior(by, sites),
    )


def _maps(model: LatentModel) -> list[LatentMap]:
    decoder = model.decoder
    if not isinstance(decoder, KernelDecoder):
        return []
    return [part for part in (decoder.disposition, decoder.absorption) if part is not None]
