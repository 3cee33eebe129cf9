"""A published population with an encoder of its own: what distillation trains."""

from dataclasses import replace

import jax
from jaxtyping import PRNGKeyArray

from latentpk.models.config import CovariateConfig, EncoderConfig, Frozen
from latentpk.models.encoder import Encoder
from latentpk.models.latent import LatentModel
from latentpk.models.published import PopulationModel, PublishedPrior, build_published


class DistilledConfig(Frozen):
    """Everything `build_distilled` needs; the population is data, so a folder can hold it.

    Attributes:
        population: The published values.
        covariates: How the encoder reads the covariates, in the order of the population's.
        encoder: The encoder's sizes and scales.
    """

    population: PopulationModel
    covariates: tuple[CovariateConfig, ...] = ()
    encoder: EncoderConfig = EncoderConfig()


def build_distilled(config: DistilledConfig, key: PRNGKeyArray | None = None) -> LatentModel:
    """Make a published model with an untrained encoder.

    Without levels the encoder gives the prior exactly, as any encoder here does.

    Args:
        config: Every static choice.
        key: Seed of the encoder's initial weights; defaults to 0.

    Returns:
        A LatentModel in float64.
    """
    return with_encoder(build_published(config.population), config, key)


def with_encoder(
    model: LatentModel, config: DistilledConfig, key: PRNGKeyArray | None = None
) -> LatentModel:
    """Give a published model, or one adapted from it, an untrained encoder.

    Args:
        model: Its prior is a published one.
        config: How the encoder is made.
        key: Seed of its initial weights; defaults to 0.
    """
    prior = model.prior
    assert isinstance(prior, PublishedPrior)  # noqa: S101 - a learned model has an encoder
    encoder = Encoder(
        config.encoder,
        model.effects,
        sum(known.width for known in config.covariates),
        key=jax.random.key(0) if key is None else key,
    )
    return replace(model, prior=replace(prior, covariates=config.covariates), encoder=encoder)
