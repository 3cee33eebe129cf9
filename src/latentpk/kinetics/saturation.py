"""Elimination that saturates, as a system of amounts."""

from dataclasses import dataclass, field

import jax.numpy as jnp
from jaxtyping import Array, Float

from latentpk.kinetics.decay import Scalar
from latentpk.kinetics.doses import Doses
from latentpk.kinetics.system import Differential, Inputs, Named, Site, Windows

State = Float[Array, " state"]


@dataclass(frozen=True)
class MichaelisMenten(Differential):
    r"""Saturable elimination, perhaps beside a linear one, behind a depot and a periphery.

    .. math:: \dot A_1 = k_a A_d - \frac{V_{max} C}{K_m + C} - CL\,C - Q_2 C + Q_2 A_2 / V_2,
              \qquad C = A_1 / V_1

    With `inhibited`, Vmax falls from 1 h after the first dose on, by vinh x / (x + t50 - 1) of
    itself, x hours later. Bioavailability is the odds F / (1 - F), so that F stays below 1.
    """

    compartments: int = 1
    parallel: bool = False
    inhibited: bool = False
    oral: bool = False
    lag: bool = False
    bioavailability: bool = False

    def __str__(self) -> str:
        middle = "-cl" * self.parallel + "-inh" * self.inhibited
        route = "oral" + "-lag" * self.lag + "-f" * self.bioavailability if self.oral else "iv"
        return f"{self.compartments}c-mm{middle}-{route}"

    names: tuple[str, ...] = field(init=False)
    size: int = field(init=False)
    central = 0

    def __post_init__(self) -> None:
        names = (
            "vmax",
            "km",
            *("cl",) * self.parallel,
            "v1",
            *("q2", "v2") * (self.compartments - 1),
            *("vinh", "t50") * self.inhibited,
            *("ka",) * self.oral,
            *("alag",) * self.lag,
            *("fodds",) * self.bioavailability,
        )
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "size", self.compartments + self.oral)

    def slope(self, state: State, p: Named, inputs: Inputs) -> State:
        """Derivative of the amounts [mg/h]."""
        level = jnp.maximum(state[0], 0.0) / p["v1"]
        vmax = p["vmax"]
        if self.inhibited:
            since = inputs.on * jnp.maximum(inputs.since - 1.0, 0.0)
            half = jnp.maximum(p["t50"] - 1.0, 1e-3)
            vmax = vmax * (1 - jnp.minimum(p["vinh"], 1.0) * since / (since + half))
        central = -vmax * level / (p["km"] + level)
        if self.parallel:
            central = central - p["cl"] * state[0] / p["v1"]
        moving = []
        if self.compartments == 2:
            out = p["q2"] * (state[0] / p["v1"] - state[1] / p["v2"])
            central, moving = central - out, [out]
        if self.oral:
            absorbed = p["ka"] * state[-1]
            central, moving = central + absorbed, [*moving, -absorbed]
        return jnp.stack([central, *moving])

    def concentration(self, state: State, p: Named) -> Scalar:
        """In the central compartment [mg/L]."""
        return state[0] / p["v1"]

    def sites(self, p: Named) -> tuple[Site, ...]:
        """The depot; without one, the central compartment."""
        one, zero = jnp.ones_like(p["v1"]), jnp.zeros_like(p["v1"])
        share = p["fodds"] / (1 + p["fodds"]) if self.bioavailability else one
        return (Site(self.size - 1 if self.oral else 0, share, p.get("alag", zero)),)

    def windows(self, doses: Doses, p: Named) -> Windows:
        """Inhibition begins 1 h after the first dose."""
        if not self.inhibited:
            none = jnp.zeros(0, doses.time.dtype)
            return Windows(none, none)
        first = jnp.min(jnp.where(doses.amount > 0, doses.time, jnp.inf))
        return Windows(first[None] + 1, jnp.full_like(first, jnp.inf)[None])
