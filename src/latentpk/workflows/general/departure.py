r"""How a study's model departs from the general one, and how far it may without data insisting.

.. math:: \tfrac12 (m - m_0)^\top B^{-1} (m - m_0)
          + \tfrac12 \sum_k \frac{(\log \omega_k - \log \omega_{0k})^2}{\tau_\omega^2}
          + \tfrac12 \frac{|\Delta r|^2 + |\Delta W|^2}{\tau_r^2} + \dots

A few subjects hardly move the field, hundreds are free to.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from pydantic import Field

from latentpk import precision
from latentpk.inference.hierarchy import Floors
from latentpk.inference.polish import Moving
from latentpk.models.config import Frozen
from latentpk.models.decoders.neural_ode import RateNetwork
from latentpk.models.latent import LatentModel


class Drugs(Frozen):
    """How one drug's model differs from the general one, as standard deviations.

    Attributes:
        field: Of the usual log rates, and of every weight of the field's network.
        slope: Of a covariate's effect on z, by its own standard deviation.
        spread: Of the log SD of z between people.
        together: Of what z's dimensions have in common between people.
        error: Of the log of the residual error.
    """

    field: float = Field(default=0.1, gt=0)
    slope: float = Field(default=0.3, gt=0)
    spread: float = Field(default=0.5, gt=0)
    together: float = Field(default=0.2, gt=0)
    error: float = Field(default=1.0, gt=0)


class Study(eqx.Module):
    """What of a study's model moves.

    Attributes:
        typical: Where its typical person lies, shape (latent,).
        slope: Effects of covariates on z, shape (latent, raw).
        factor: Of people's covariance, as a learned prior holds it, shape (latent, latent).
        error: log a and log b of the residual error, shape (2,).
        usual: The field's usual log rates, shape (state, state).
        network: The field's network.
    """

    typical: Float[Array, " latent"]
    slope: Float[Array, "latent raw"]
    factor: Float[Array, "latent latent"]
    error: Float[Array, " 2"]
    usual: Float[Array, "state state"]
    network: RateNetwork


def study_of(model: LatentModel) -> Study:
    """The parts of a model that move."""
    prior: Any = model.prior
    decoder: Any = model.decoder
    error = jnp.stack([model.residual.log_a, model.residual.log_b])
    field = decoder.field
    return Study(prior.typical, prior.slope, prior.factor, error, field.usual, field.network)


def with_study(model: LatentModel, study: Study) -> LatentModel:
    """The model with these parts."""
    return eqx.tree_at(
        lambda m: (
            m.prior.typical,
            m.prior.slope,
            m.prior.factor,
            m.residual.log_a,
            m.residual.log_b,
            m.decoder.field.usual,
            m.decoder.field.network,
        ),
        model,
        (
            study.typical,
            study.slope,
            study.factor,
            study.error[0],
            study.error[1],
            study.usual,
            study.network,
        ),
    )


def cost(study: Study, begun: Study, floors: Floors, drugs: Drugs) -> Float[Array, ""]:
    """Minus the log density of a study's model among those of other drugs, up to a constant.

    Args:
        study: What moves.
        begun: Where it began; field and people's covariance are held near it.
        floors: How drugs differ; the typical person is held near their middle.
        drugs: How far one drug's model may be from the general one.
    """
    dtype = study.typical.dtype
    off = study.typical - jnp.asarray(floors.middle, dtype)
    total = off @ jnp.asarray(np.linalg.inv(floors.between), dtype) @ off
    moved = study.factor - begun.factor
    total += jnp.sum(jnp.diag(moved) ** 2) / drugs.spread**2
    total += jnp.sum(jnp.tril(moved, -1) ** 2) / drugs.together**2
    total += jnp.sum(study.slope**2) / drugs.slope**2
    total += jnp.sum((study.error - begun.error) ** 2) / drugs.error**2
    pairs = zip(_field(study), _field(begun), strict=True)
    field = jnp.sum(jnp.stack([jnp.sum((a - b) ** 2) for a, b in pairs]))
    return 0.5 * (total + field / drugs.field**2)


def tuning(model: LatentModel, floors: Floors, drugs: Drugs) -> Moving:
    """What `make_polisher` is to move: a study's model, held near the general one."""
    light, begun = precision.single(model), precision.single(study_of(model))
    return Moving(
        start=begun,
        inside=lambda study: with_study(light, study),
        outside=lambda study: with_study(model, study),
        penalty=lambda study: cost(study, begun, floors, drugs),
    )


def _field(study: Study) -> list[Array]:
    """All that the field has learned."""
    network = study.network
    parts = (network.state, network.latent, network.out)
    return [study.usual, *(array for part in parts for array in (part.weight, part.bias))]
