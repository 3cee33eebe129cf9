"""z to an arbitrary non-negative unit response, superposed over doses."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.response import Response
from latentpk.kinetics.superposition import auc, concentration
from latentpk.models.config import KernelConfig
from latentpk.models.decoders.decoder import Decoder, bounded_exp, piece_at
from latentpk.networks.mlp import Linear, Mlp


class LatentMap(eqx.Module):
    """A linear map plus a network that starts at zero."""

    linear: Linear
    network: Mlp

    def __init__(self, inputs: int, hidden: int, outputs: int, *, key: PRNGKeyArray) -> None:
        first, second = jax.random.split(key)
        self.linear = Linear(inputs, outputs, key=first, gain=0.3)
        self.network = Mlp((inputs, hidden, outputs), key=second, gain=0.0)

    def __call__(self, z: Float[Array, " in"]) -> Float[Array, " out"]:
        """The map's value at z, shape (out,)."""
        return self.linear(z) + self.network(z)


class KernelDecoder(Decoder):
    r"""A linear drug with a free unit response.

    Disposition is a sum of exponentials with positive weights, absorption a mixture of lagged
    first-order inputs (narrow ones approximate any input rate, several give several peaks):

    .. math:: k(t) = \sum_j s_j(z_a) \int_0^{t - l_j} k_{a,j} e^{-k_{a,j} u}
              \sum_i w_i(z_d) e^{-\lambda_i(z_d) (t - l_j - u)} du

    The convolution is closed form, so infusions and steady states are exact. `z` begins with the
    disposition's dimensions; the absorption reads the rest.
    """

    disposition: LatentMap
    absorption: LatentMap | None
    config: KernelConfig = eqx.field(static=True)

    def __init__(self, config: KernelConfig, *, key: PRNGKeyArray) -> None:
        first, second = jax.random.split(key)
        self.config = config
        self.disposition = LatentMap(config.disposition, config.hidden, 2 * config.modes, key=first)
        self.absorption = (
            LatentMap(config.absorption, config.hidden, 3 * config.sites + 1, key=second)
            if config.sites
            else None
        )

    @property
    def latent(self) -> int:
        """Number of latent dimensions."""
        return self.config.disposition + self.config.absorption

    def response(self, z: Float[Array, " latent"]) -> Response:
        """The unit response of one latent patient: rates [1/h], weights [1/L], sites."""
        rate, weight = jnp.split(bounded_exp(self.disposition(z[: self.config.disposition])), 2)
        share, ka, alag = self.decoder_abs(z[self.config.disposition :])
        return Response(rate=rate, weight=weight, share=share, ka=ka, alag=alag)

    def decoder_abs(
        self, z_abs: Float[Array, " absorption"]
    ) -> tuple[Float[Array, " site"], Float[Array, " site"], Float[Array, " site"]]:
        """The absorption part: shares, first-order rates [1/h] and lags [h], each (site,).

        Lags increase from site to site; shares sum to 1, or to F where both routes were seen.
        """
        if self.absorption is None:
            one = jnp.ones((1,), z_abs.dtype)
            return one, one, 0.0 * one
        sites = self.config.sites
        raw = self.absorption(z_abs)
        share = jax.nn.softmax(raw[:sites])
        if self.config.bioavailability:
            share = share * jax.nn.sigmoid(raw[-1])
        lag = jnp.cumsum(bounded_exp(raw[2 * sites : 3 * sites]))
        return share, bounded_exp(raw[sites : 2 * sites]), lag

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
        if z.shape[0] == 1:
            return concentration(doses, time, order, response=self.response(z[0]), paths=paths)
        # a dose's whole response has the covariates of its own time: a free kernel has no state
        # that a later change could act on

        def one_dose(dose: Doses, piece: Array) -> Array:
            single = jax.tree_util.tree_map(lambda x: x[None], dose)
            response = self.response(z[piece])
            return concentration(single, time, order, response=response, paths=paths)

        return jnp.sum(jax.vmap(one_dose)(doses, piece_at(doses.time, change)), axis=0)

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
        """Area under the concentration [mg h/L], in closed form."""
        if z.shape[0] == 1:
            return auc(doses, start, end, response=self.response(z[0]), paths=paths)

        def one_dose(dose: Doses, piece: Array) -> Array:
            single = jax.tree_util.tree_map(lambda x: x[None], dose)
            return auc(single, start, end, response=self.response(z[piece]), paths=paths)

        return jnp.sum(jax.vmap(one_dose)(doses, piece_at(doses.time, change)))


def absorption_rate(
    decoder: KernelDecoder, z_abs: Float[Array, " absorption"], time: Float[Array, " time"]
) -> Float[Array, " time"]:
    r"""Decoder_abs(z_abs, t): the rate at which a unit dose arrives in the body [1/h].

    .. math:: I(t) = \sum_j s_j k_{a,j} e^{-k_{a,j} (t - l_j)} [t \ge l_j]
    """
    share, ka, alag = decoder.decoder_abs(z_abs)
    since = time[:, None] - alag
    inside = share * ka * jnp.exp(-ka * jnp.maximum(since, 0.0))
    return jnp.sum(jnp.where(since >= 0, inside, 0.0), axis=1)
