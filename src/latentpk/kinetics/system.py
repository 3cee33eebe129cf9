"""What a system of amounts that is named by its equations must say of itself."""

import abc
from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from latentpk.kinetics.decay import Scalar
from latentpk.kinetics.doses import Doses
from latentpk.kinetics.response import Delay, Response

Named = Mapping[str, Scalar]  # parameters of one patient by name


class Site(NamedTuple):
    """An absorption site that a dose into the depot reaches.

    Attributes:
        state: Which state it is.
        share: Share of the dose that gets there, times bioavailability.
        lag: Time from the dose to its entry [h].
    """

    state: int
    share: Scalar
    lag: Scalar


class Windows(NamedTuple):
    """When something is switched on.

    Attributes:
        start: From when [h].
        stop: Until when [h].
    """

    start: Float[Array, " window"]
    stop: Float[Array, " window"]


class Inputs(NamedTuple):
    """What drives a system between two events; constant there.

    Attributes:
        since: Time after the first dose [h].
        on: 1 within a window, else 0.
    """

    since: Scalar
    on: Scalar


class System(abc.ABC):
    """What doses do in a body, by its parameters; immutable and hashable, a static choice.

    It is followed step by step (`Differential`), or what doses do is added up (`Superposed`), or
    both, which give the same.

    Attributes:
        names: Names of the parameters, in order.
        oral: Whether a dose of undecided route goes into the depot.
    """

    names: tuple[str, ...]
    oral: bool

    def named(self, held: Float[Array, "parameter *dose"]) -> Named:
        """Parameters by name, from their row; each may hold one value per dose."""
        return dict(zip(self.names, held, strict=True))

    @abc.abstractmethod
    def lags(self, p: Named) -> tuple[Scalar, ...]:
        """Times from a dose into the depot to its entries [h]; p may hold one value per dose."""

    def windows(self, doses: Doses, p: Named) -> Windows:
        """When the system's switch is on; p may hold one value per dose."""
        none = jnp.zeros(0, doses.time.dtype)
        return Windows(none, none)


class Differential(System):
    """Amounts that move by dy/dt = slope(y).

    Attributes:
        size: Number of states.
        central: State that a dose into the central compartment reaches.
        steady_rates: Whether between events the slope and the concentration are linear in the
            amounts and do not depend on time, and every flow leaves a state by its amount: then
            one exact step leads from event to event.
    """

    size: int
    central: int
    steady_rates: bool = False

    @abc.abstractmethod
    def slope(
        self, state: Float[Array, " state"], p: Named, inputs: Inputs
    ) -> Float[Array, " state"]:
        """Derivative of the amounts [mg/h], without the zero-order input."""

    @abc.abstractmethod
    def concentration(self, state: Float[Array, " state"], p: Named) -> Scalar:
        """The measured concentration [mg/L]."""

    @abc.abstractmethod
    def sites(self, p: Named) -> tuple[Site, ...]:
        """Where a dose into the depot goes."""

    def start(self, p: Named) -> Float[Array, " state"]:
        """The state before any dose, and after a reset [mg]."""
        return jnp.zeros(self.size, next(iter(p.values())).dtype)

    def lags(self, p: Named) -> tuple[Scalar, ...]:
        """Those of the sites."""
        return tuple(site.lag for site in self.sites(p))


class Superposed(System):
    """A linear body: each dose does what a unit dose does, however many there are."""

    @abc.abstractmethod
    def response(self, p: Named) -> Response:
        """What a unit dose does once it is there."""

    def delay(self, p: Named) -> Delay | None:
        """How long a dose into the depot takes to get there; None where it is there at once."""
        return None
