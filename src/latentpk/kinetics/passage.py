"""Absorption through transit compartments or from two sites, as systems of amounts."""

from dataclasses import dataclass, field

import jax.numpy as jnp
from jaxtyping import Array, Float

from latentpk.kinetics.decay import Scalar
from latentpk.kinetics.system import Inputs, Named, Site, System

State = Float[Array, " state"]


@dataclass(frozen=True)
class Transit(System):
    """One compartment behind a chain of equal transit compartments, all left at rate ktr."""

    count: int = 3
    size: int = field(init=False)
    oral = True
    central = 0
    names = ("cl", "v1", "ktr")

    def __str__(self) -> str:
        return f"transit{self.count}"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", 2 + self.count)  # central, the head, the chain

    def slope(self, state: State, p: Named, inputs: Inputs) -> State:
        """Derivative of the amounts [mg/h]."""
        passing = p["ktr"] * state[1:]
        entering = jnp.concatenate([jnp.zeros_like(passing[:1]), passing[:-1]])
        central = passing[-1] - p["cl"] * state[0] / p["v1"]
        return jnp.concatenate([central[None], entering - passing])

    def concentration(self, state: State, p: Named) -> Scalar:
        """In the central compartment [mg/L]."""
        return state[0] / p["v1"]

    def sites(self, p: Named) -> tuple[Site, ...]:
        """The head of the chain."""
        return (Site(1, jnp.ones_like(p["ktr"]), jnp.zeros_like(p["ktr"])),)


@dataclass(frozen=True)
class DualAbsorption(System):
    """One compartment; a share `fa` is absorbed at ka, the rest at ka2 after a lag alag2."""

    oral = True
    size = 3  # central, first and second site
    central = 0
    names = ("cl", "v1", "fa", "ka", "ka2", "alag2")

    def __str__(self) -> str:
        return "dual-absorption"

    def slope(self, state: State, p: Named, inputs: Inputs) -> State:
        """Derivative of the amounts [mg/h]."""
        central, first, second = state
        fast, slow = p["ka"] * first, p["ka2"] * second
        return jnp.stack([fast + slow - p["cl"] * central / p["v1"], -fast, -slow])

    def concentration(self, state: State, p: Named) -> Scalar:
        """In the central compartment [mg/L]."""
        return state[0] / p["v1"]

    def sites(self, p: Named) -> tuple[Site, ...]:
        """Both sites."""
        share = jnp.minimum(p["fa"], 1.0)
        return (
            Site(1, share, jnp.zeros_like(share)),
            Site(2, 1 - share, p["alag2"]),
        )
