r"""A learned field: amounts that flow between compartments at rates a network reads from them.

.. math:: \log r_{ij}(A) = b_{ij} + s_{k(ij)} + \big(W \tanh(U \log(A / (V c) + 0.02) + Q z + a)
          \big)_{ij}, \qquad \dot A = K(r) A + \text{doses}

bounded around the data's own time scale. Whatever the network says, flows are positive and
proportional to what they leave: amounts stay positive and none is made.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from latentpk.kinetics.compartmental import Compartmental
from latentpk.kinetics.decay import Scalar
from latentpk.kinetics.system import Named, Site
from latentpk.models.config import NeuralOdeConfig
from latentpk.models.decoders.decoder import bounded_exp
from latentpk.models.decoders.followed import FollowedDecoder
from latentpk.networks.mlp import Linear

LOG_RATE = 7.0  # rates stay within exp(+-7) per typical time
FAINT = 0.02  # of the typical level: below it, the field no longer sees how little there is


class RateNetwork(eqx.Module):
    """Levels of all states and z to what is added to each log rate; starts as zero."""

    state: Linear
    latent: Linear
    out: Linear

    def __init__(self, states: int, latent: int, width: int, *, key: PRNGKeyArray) -> None:
        keys = jax.random.split(key, 3)
        self.state = Linear(states, width, key=keys[0], gain=0.7)
        self.latent = Linear(latent, width, key=keys[1])
        self.out = Linear(width, states * states, key=keys[2], gain=0.0)

    def __call__(
        self, level: Float[Array, " state"], drive: Float[Array, " width"]
    ) -> Float[Array, "..."]:
        """What is added, shape (state * state,); `drive` is what z gives to the hidden layer."""
        seen = self.state.weight @ jnp.log(level + FAINT) + self.state.bias
        return self.out(jnp.tanh(seen + drive))


class LearnedField(Compartmental, eqx.Module):
    """Central compartment first, then hidden ones, last the depot where there is one.

    A patient's parameters are V [L], the share of a depot dose that arrives, the log rates
    [log 1/h] that do not depend on amounts, and the drive of the network's hidden layer.
    """

    usual: Float[Array, "state state"]
    network: RateNetwork
    config: NeuralOdeConfig = eqx.field(static=True)

    central = 0

    @property
    def names(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Of the kinds of parameters; `named` tells how long each is."""
        return ("v", "share", "rate", "drive")

    @property
    def size(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Number of states."""
        return self.config.states

    @property
    def oral(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether a dose of undecided route goes into the depot."""
        return self.config.depot

    @property
    def shortest(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Length of the first steps after an event [h]."""
        return self.config.shortest

    def named(self, held: Float[Array, "parameter *dose"]) -> Named:
        """V [L], share, log rates of shape (state * state, ...), drive of shape (width, ...)."""
        rates = 2 + self.config.states**2
        return {"v": held[0], "share": held[1], "rate": held[2:rates], "drive": held[rates:]}

    def rates(self, state: Float[Array, " state"], p: Named) -> Float[Array, "state state"]:
        """Rate from each state to each other [1/h]; of elimination on the diagonal."""
        level = state / (p["v"] * self.config.level_scale)
        around = -math.log(self.config.time_scale)
        log = p["rate"] + self.network(level, p["drive"]) - around
        rate = jnp.exp(around + LOG_RATE * jnp.tanh(log / LOG_RATE))
        return rate.reshape(self.size, self.size) * jnp.asarray(_open(self.config), rate.dtype)

    def concentration(self, state: Float[Array, " state"], p: Named) -> Scalar:
        """The central compartment's [mg/L]."""
        return state[0] / p["v"]

    def sites(self, p: Named) -> tuple[Site, ...]:
        """The depot."""
        if not self.config.depot:
            return ()
        return (Site(self.size - 1, p["share"], jnp.zeros_like(p["share"])),)


class NeuralOdeDecoder(FollowedDecoder):
    """z shifts the field: volume, elimination, exchange, absorption, and what the network reads.

    Its dimensions, in this order: log V, and logarithms of factors of all eliminations, of all
    exchanges, and of absorption where there is a depot; the logit of F where both routes were seen;
    free ones. A target level, where the configuration names its covariate, follows them.
    """

    field: LearnedField
    config: NeuralOdeConfig = eqx.field(static=True)

    def __init__(self, config: NeuralOdeConfig, *, key: PRNGKeyArray) -> None:
        self.config = config
        inputs = config.latent - 1 + (config.target is not None)
        network = RateNetwork(config.states, inputs, config.width, key=key)
        start = jnp.full((config.states, config.states), -math.log(config.time_scale))
        self.field = LearnedField(start, network, config)

    @property
    def latent(self) -> int:
        """Number of latent dimensions."""
        return self.config.latent

    @property
    def directions(self) -> tuple[str, ...]:
        """The volume, the factors of rates, and what the network alone reads."""
        config = self.config
        known = ["v", "elimination", "exchange"]
        known += ["absorption"] if config.depot else []
        known += ["f"] if config.bioavailability else []
        more = config.latent - len(known)
        return (*known, *(f"field {k}" for k in range(1, more + 1)))

    @property
    def reads(self) -> tuple[str, ...]:
        """The target level's covariate, where the field reads one."""
        return () if self.config.target is None else (self.config.target,)

    @property
    def system(self) -> LearnedField:
        """The field."""
        return self.field

    def parameters(self, z: Float[Array, "piece latent"]) -> Float[Array, "piece parameter"]:
        """V, share, log rates and drive of each piece; see `LearnedField`."""
        return jax.vmap(self._parameters)(z)

    def _parameters(self, z: Float[Array, " latent"]) -> Float[Array, " parameter"]:
        config = self.config
        size = config.states
        kind = np.zeros((size, size), int) + 2  # exchange
        np.fill_diagonal(kind, 1)
        if config.depot:
            kind[-1] = 3
        share = jax.nn.sigmoid(z[4]) if config.bioavailability else jnp.ones_like(z[0])
        rate = self.field.usual + z[kind]
        drive = self.field.network.latent(z[1:])
        return jnp.concatenate([bounded_exp(z[:1]), share[None], rate.reshape(-1), drive])

    def penalty(self) -> Float[Array, ""]:
        """Squared weights of the last layer: with none the field is a compartment model."""
        return jnp.sum(self.field.network.out.weight**2)


def _open(config: NeuralOdeConfig) -> np.ndarray:
    """1 where something flows: not into the depot, nor out of the body from there."""
    flows = np.ones((config.states, config.states))
    if config.depot:
        flows[:, -1] = 0.0
    return flows
