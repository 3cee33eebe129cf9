"""The one object: prior, decoder, residual error and, where learned, an encoder."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from latentpk.errors import NotFittedError
from latentpk.kinetics.doses import Doses, Own
from latentpk.kinetics.structure import Structure
from latentpk.kinetics.systems import parse_system
from latentpk.models.beyond import Beyond
from latentpk.models.config import (
    CompartmentConfig,
    DecoderConfig,
    HybridConfig,
    KernelConfig,
    MechanisticConfig,
    ModelConfig,
    NeuralOdeConfig,
)
from latentpk.models.decoders.compartment import CompartmentDecoder
from latentpk.models.decoders.decoder import Decoder, bounded_exp
from latentpk.models.decoders.grid import GridDecoder
from latentpk.models.decoders.hybrid import HybridDecoder
from latentpk.models.decoders.kernel import KernelDecoder
from latentpk.models.decoders.mechanistic import MechanisticDecoder
from latentpk.models.decoders.neural_ode import NeuralOdeDecoder
from latentpk.models.encoder import Encoder, Gaussian
from latentpk.models.groups import AnyIndex
from latentpk.models.prior import LearnedPrior, Prior
from latentpk.models.record import Record
from latentpk.models.residual import Residual

TOGETHER = 256  # draws of a simulated course


class LatentModel(eqx.Module):
    r"""A population of patients, each a point in a latent space.

    .. math:: z = m(x) + L \varepsilon,\quad \varepsilon \sim N(0, I),\quad
              y_j \sim p(y \mid f(z, d, t_j))

    A published population model is the same object with fixed parameters and no encoder. A
    population of several groups of people is as many such models that share all but where their
    patients lie: `of_group` gives each.
    Inference works in eps, where the prior is standard normal whatever the covariates. Where the
    patients vary between occasions too, eps goes on with as many standard normals for each:

    .. math:: z_o = m(x) + L\,\eta + L_{occ}\,\kappa_o,\quad
              \varepsilon = (\eta, \kappa_1, \kappa_2, \dots)

    `beyond` says which regimens a learned decoder was trained on, and how much wider predictions of
    others are; None where nothing is known of them, or where a mechanism answers for all. Courses
    here are the decoder's own: whoever makes intervals of them asks `beyond`.
    """

    prior: Prior
    decoder: Decoder
    residual: Residual
    encoder: Encoder | None
    beyond: Beyond | None = eqx.field(static=True, default=None)

    @property
    def effects(self) -> int:
        """Number of random effects between patients: where they begin, eps holds these."""
        return jax.eval_shape(self.prior.chol).shape[1]

    @property
    def kappas(self) -> int:
        """Number of random effects of each occasion; 0 where a patient stays the same."""
        within = jax.eval_shape(self.prior.occasion_chol)
        return 0 if within is None else within.shape[1]

    @property
    def groups(self) -> int:
        """Number of groups of people that the population consists of."""
        return self.prior.group_count

    def of_group(self, group: AnyIndex) -> "LatentModel":
        """The model of the people of one group; where there is one, this model."""
        if self.groups == 1:
            return self
        return self.with_prior(self.prior.of_group(group))

    def with_prior(self, prior: Prior) -> "LatentModel":
        """The same model of patients who lie elsewhere."""
        return eqx.tree_at(lambda model: model.prior, self, prior)

    def prior_draws(
        self, normal: Float[Array, "draw effect"], rank: Float[Array, " draw"]
    ) -> Float[Array, "draw effect"]:
        """Draws of the prior over eps.

        Args:
            normal: Standard normal, shape (draw, effect).
            rank: Uniform in (0, 1), shape (draw,); chooses the group of each.
        """
        if self.groups == 1:
            return normal
        edges = jnp.cumsum(jnp.exp(self.prior.log_shares()))[:-1]
        whose = jnp.sum(rank[:, None] >= edges, axis=1)
        frames = jax.vmap(self.prior.frame)(jnp.arange(self.groups))
        return frames.origin[whose] + jnp.einsum("dij,dj->di", frames.spread[whose], normal)

    def dimension(self, record: Record) -> int:
        """Dimension of eps for the occasions of a record."""
        return self.effects + record.occasions * self.kappas

    def widened(self, times: float) -> "LatentModel":
        """The same model for patients who differ `times` as much from the typical one."""
        return eqx.tree_at(lambda model: model.prior, self, self.prior.widened(times))

    def slowed(self, times: float) -> "LatentModel | None":
        """The same model for patients who clear the drug `times` more slowly.

        None where no latent dimension is a clearance.
        """
        if not isinstance(self.decoder, CompartmentDecoder):
            return None
        place = self.decoder.structure.names.index("cl")
        by = jnp.zeros(self.decoder.latent).at[place].set(-jnp.log(times))
        return eqx.tree_at(lambda model: model.prior, self, self.prior.shifted(by))

    def over_draws(self, one: Callable[[Array], PyTree], draws: Array) -> PyTree:
        """A function of each draw, shape (draw, effect), side by side.

        A simulated course keeps many numbers of every step: then a few hundred draws at once stay
        in the processor's cache, and the last of them is repeated to fill up.
        """
        count = draws.shape[0]
        if not self.decoder.simulated or count <= TOGETHER:
            return jax.vmap(one)(draws)
        short = -count % TOGETHER
        full = jnp.concatenate([draws, jnp.repeat(draws[-1:], short, axis=0)])
        parts = jax.lax.map(jax.vmap(one), full.reshape(-1, TOGETHER, draws.shape[1]))
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:count], parts)

    def location(self, record: Record) -> Float[Array, "piece latent"]:
        """The prior's location for each piece, then the covariates that the decoder reads."""
        place = jax.vmap(self.prior.location)(record.covariates)
        prior, names = self.prior, self.decoder.reads
        if not names or not isinstance(prior, LearnedPrior):
            return place
        known = jax.vmap(lambda row: prior.known(names, row))(record.covariates)
        return jnp.concatenate([place, known], axis=1)

    def latent(
        self,
        eps: Float[Array, " effect"],
        location: Float[Array, "piece latent"],
        occasion: Int[Array, " piece"],
    ) -> Float[Array, "piece latent"]:
        """The latent patient z for each piece, which belongs to one of the occasions."""
        within = self.prior.occasion_chol()
        if self.decoder.reads:  # which are known: no effect moves them
            moved = location[:, : self.decoder.latent] + self.prior.chol() @ eps
            return jnp.concatenate([moved, location[:, self.decoder.latent :]], axis=1)
        if within is None:
            return location + self.prior.chol() @ eps
        kappa = eps[self.effects :].reshape(-1, within.shape[1])
        return location + self.prior.chol() @ eps[: self.effects] + (kappa @ within.T)[occasion]

    def given(self, record: Record) -> Doses:
        """The doses of one patient as decoders take them: each with an absorption of its own.

        Raises:
            ValueError: Something is said of doses and this model knows nothing of it, or the model
                needs what nobody says.
        """
        doses, prior = record.doses, self.prior
        if doses.state is None:
            if isinstance(prior, LearnedPrior) and prior.dose_covariates:
                names = ", ".join(known.name for known in prior.dose_covariates)
                raise ValueError(f"these doses say nothing of {names}, which the model needs")
            return doses
        own = Own(*bounded_exp(prior.own(jnp.asarray(doses.state))).T)
        return doses._replace(state=None, own=own)

    def concentration(
        self,
        eps: Float[Array, " effect"],
        location: Float[Array, "piece latent"],
        record: Record,
        time: Float[Array, " time"],
        order: Float[Array, " time"],
    ) -> Float[Array, " time"]:
        """Concentration of one patient [mg/L] at given times [h], shape (time,)."""
        z = self.latent(eps, location, record.occasion)
        doses = self.given(record)
        return self.decoder.concentration(z, record.change, doses, time, order, paths=record.paths)

    def auc(
        self,
        eps: Float[Array, " effect"],
        location: Float[Array, "piece latent"],
        record: Record,
        start: Float[Array, ""],
        end: Float[Array, ""],
    ) -> Float[Array, ""]:
        """Area under one patient's concentration over a window [h], in mg h/L."""
        z = self.latent(eps, location, record.occasion)
        doses = self.given(record)
        return self.decoder.auc(z, record.change, doses, start, end, paths=record.paths)

    def level_densities(
        self,
        eps: Float[Array, " effect"],
        location: Float[Array, "piece latent"],
        record: Record,
    ) -> Float[Array, " level"]:
        """Log density of each level given eps, constants included; padding is not masked."""
        f = self.concentration(eps, location, record, record.time, record.order)
        return self.residual.log_density(record.value, f, record.censored)

    def log_likelihood(
        self,
        eps: Float[Array, " effect"],
        location: Float[Array, "piece latent"],
        record: Record,
    ) -> Float[Array, ""]:
        """Log density of a record's levels given eps, all constants included."""
        each = self.level_densities(eps, location, record)
        return jnp.sum(jnp.where(record.mask, each, 0.0))

    def encode(self, record: Record) -> Gaussian:
        """The encoder's Gaussian over eps; without an encoder or levels, the prior.

        Of several groups of people it is that of the first, as `of_group` is of any.
        """
        if self.encoder is None:
            size = self.dimension(record)
            return Gaussian(jnp.zeros(size), jnp.eye(size))
        return jax.tree_util.tree_map(lambda x: x[0], self.encode_masked(record, record.mask[None]))

    def encode_masked(self, record: Record, masks: Bool[Array, "mask level"]) -> Gaussian:
        """Encode one record under several masks of its levels; fields have a leading axis."""
        encoder, prior = self.encoder, self.prior
        if encoder is None:
            raise NotFittedError("This model has no encoder: use `encode`, which gives its prior.")
        location = self.location(record)
        origin = jnp.zeros(self.effects, location.dtype)
        population = self.concentration(origin, location, record, record.time, record.order)
        context = prior.raw_view(record.covariates[0])
        # the encoder learns to read the population prediction, it does not train it
        state = record.doses.state
        said = None if state is None else prior.read_doses(jnp.asarray(state))
        tokens = encoder.tokens(record, jax.lax.stop_gradient(population), said)
        return jax.vmap(lambda mask: encoder(tokens, mask, context))(masks)


def build(config: ModelConfig, key: PRNGKeyArray | None = None) -> LatentModel:
    """Make the skeleton of a learned model.

    Args:
        config: Every static choice.
        key: Seed of the initial weights; defaults to 0.

    Returns:
        A LatentModel in float64 with untrained weights.
    """
    keys = jax.random.split(jax.random.key(0) if key is None else key, 3)
    decoder = build_decoder(config.decoder, keys[0])
    width = config.prior_width if config.prior == "multiview" else None
    prior = LearnedPrior(
        decoder.latent,
        config.covariates,
        config.knowledge,
        width=width,
        components=config.components,
        dose_covariates=config.dose_covariates,
        key=keys[1],
    )
    context = sum(c.width for c in config.covariates)
    said = sum(c.width for c in config.dose_covariates)
    encoder = Encoder(config.encoder, decoder.latent, context, said, key=keys[2])
    residual = Residual(
        log_a=jnp.log(jnp.asarray(0.1 * config.encoder.level_scale)),
        log_b=jnp.log(jnp.asarray(0.2)),
        kind=config.residual,
        floor=config.floor,
    )
    return LatentModel(prior, decoder, residual, encoder)


def build_decoder(config: DecoderConfig, key: PRNGKeyArray) -> Decoder:
    """Make the decoder that a config names."""
    match config:
        case CompartmentConfig():
            return CompartmentDecoder(Structure.parse(config.structure))
        case MechanisticConfig():
            return MechanisticDecoder(parse_system(config.structure))
        case KernelConfig():
            return KernelDecoder(config, key=key)
        case HybridConfig():
            return HybridDecoder(config, key=key)
        case NeuralOdeConfig():
            return NeuralOdeDecoder(config, key=key)
        case _:
            return GridDecoder(config, key=key)
