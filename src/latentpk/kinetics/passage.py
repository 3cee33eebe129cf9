"""Absorption through transit compartments or from two sites."""

from dataclasses import dataclass, field

import jax.numpy as jnp
from jaxtyping import Array, Float

from latentpk.kinetics.decay import Scalar
from latentpk.kinetics.exponential import WRITTEN_OUT
from latentpk.kinetics.response import Delay, Response
from latentpk.kinetics.structure import Structure
from latentpk.kinetics.system import Differential, Inputs, Named, Site, Superposed

State = Float[Array, " state"]


@dataclass(frozen=True)
class Transit(Superposed):
    r"""Any number n of transit compartments, whole or not, before one or two compartments.

    .. math:: g(s) = \frac{k^{n+1} s^n e^{-k s}}{\Gamma(n+1)}, \qquad k = \frac{n + 1}{MTT}

    is the input into the blood or, with `depot`, into a site that is left at ka (Savic et al. 2007,
    doi:10.1007/s10928-007-9066-0). Bioavailability is the odds F / (1 - F): F stays below 1.
    """

    compartments: int = 1
    depot: bool = False
    bioavailability: bool = False
    names: tuple[str, ...] = field(init=False)
    oral = True

    def __post_init__(self) -> None:
        arrival = ("mtt", "n") + ("ka",) * self.depot + ("fodds",) * self.bioavailability
        object.__setattr__(self, "names", self.body.names + arrival)

    def __str__(self) -> str:
        return f"{self.compartments}c-transit{'-ka' * self.depot}{'-f' * self.bioavailability}"

    @property
    def body(self) -> Structure:
        """What is behind the absorption."""
        return Structure(self.compartments)

    def response(self, p: Named) -> Response:
        """Of one site where there is a depot, else of none; the share is F."""
        plain = self.body.response(jnp.stack([p[name] for name in self.body.names]))
        odds = p.get("fodds")
        share = jnp.ones_like(p["n"]) if odds is None else odds / (1 + odds)
        if not self.depot:
            return plain._replace(share=share[None])
        ka = p["ka"][None]
        return plain._replace(share=share[None], ka=ka, alag=jnp.zeros_like(ka))

    def delay(self, p: Named) -> Delay:
        """The gamma density."""
        return Delay(p["mtt"], p["n"])

    def lags(self, p: Named) -> tuple[Scalar, ...]:
        """None: absorption begins at once, if slowly."""
        return (jnp.zeros_like(p["n"]),)


@dataclass(frozen=True)
class TransitChain(Differential):
    """One compartment behind a chain of equal transit compartments, all left at rate ktr."""

    count: int = 3
    size: int = field(init=False)
    steady_rates: bool = field(init=False)
    oral = True
    central = 0
    names = ("cl", "v1", "ktr")

    def __str__(self) -> str:
        return f"transit{self.count}"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", 2 + self.count)  # central, the head, the chain
        object.__setattr__(self, "steady_rates", self.size <= WRITTEN_OUT)

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
class DualAbsorption(Differential, Superposed):
    """One compartment; a share `fa` is absorbed at ka, the rest at ka2 after a lag alag2."""

    oral = True
    steady_rates = True
    size = 3  # central, first and second site
    central = 0
    names = ("cl", "v1", "fa", "ka", "ka2", "alag2")

    def __str__(self) -> str:
        return "dual-absorption"

    def response(self, p: Named) -> Response:
        """Of two sites."""
        first, second = self.sites(p)
        return Response(
            rate=(p["cl"] / p["v1"])[None],
            weight=(1 / p["v1"])[None],
            share=jnp.stack([first.share, second.share]),
            ka=jnp.stack([p["ka"], p["ka2"]]),
            alag=jnp.stack([first.lag, second.lag]),
        )

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
