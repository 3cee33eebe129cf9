"""A system whose equations a user wrote: a function of states, parameters and inputs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from latentpk.kinetics.decay import Scalar
from latentpk.kinetics.system import Differential, Inputs, Named, Site

PREFIX = "user:"  # before the name of a user's system, where a structure is named
Rates = Mapping[str, Any] | Sequence[Any] | Array  # by name, or in the order of the states
Slope = Callable[[Named, Named, Inputs], Rates]
Value = float | str | Callable[[Named], Any]  # a number, a parameter's name, or made of parameters


class DoseInto(NamedTuple):
    """Where a dose goes that is absorbed.

    Attributes:
        state: Name of the state it enters.
        bioavailability: Share of the dose that gets there: a number, a parameter's name, or a
            function of the parameters.
        lag: Time from the dose to its entry [h], likewise.
    """

    state: str
    bioavailability: Value = 1.0
    lag: Value = 0.0


@dataclass(frozen=True)
class UserSystem:
    """A user's ordinary differential equation, as a structure that can be fitted.

    The equations are tried when the object is made: on a grid of states and parameters, and along
    courses of doses; see `latentpk.kinetics.user_check`. Parameters are positive and vary
    log-normally. Amounts are in mg, times in h, the concentration in mg/L, so that a clearance is
    in L/h.

    Attributes:
        name: Letters, digits, dots, hyphens; "user:" and this is the structure's name.
        slope: Function of (states, parameters, inputs) written in jax.numpy: the derivatives of
            the amounts [mg/h], by the states' names or in their order. `inputs.since` is the time
            after the first dose [h]. Doses are added to the states, and are no part of it.
        parameters: Their names, in order, in the code's writing (v1, not V).
        states: Names of the states, in order.
        doses_into: Where an extravascular dose goes, and one whose route is not told: a state's
            name, one `DoseInto`, or several of them.
        concentration: Function of (states, parameters): the measured concentration [mg/L]; by
            default the amount in `central` over v1.
        central: The state that an intravenous dose enters; by default the one called central, else
            the one of `doses_into`.
        start: Function of (parameters): states before any dose, by name; the others are 0.
        typical: A typical value of each parameter: the equations are tried around it, and a fit
            begins there where it is given no other start.
        units: Units of the parameters, to print.

    Raises:
        InputError: Every problem of the names and of the equations.

    Example:
        >>> def slope(states, p, inputs):
        ...     absorbed = p["ka"] * states["depot"]
        ...     out = p["cl"] / p["v1"] * states["central"]
        ...     return {"depot": -absorbed, "central": absorbed - out}
        >>> mine = UserSystem("one", slope, ("cl", "v1", "ka"), ("depot", "central"), "depot")
        >>> mine.system.names
        ('cl', 'v1', 'ka')
    """

    name: str
    slope: Slope
    parameters: tuple[str, ...]
    states: tuple[str, ...]
    doses_into: str | DoseInto | tuple[DoseInto, ...]
    concentration: Callable[[Named, Named], Any] | None = None
    central: str | None = None
    start: Callable[[Named], Mapping[str, Any]] | None = None
    typical: Mapping[str, float] | None = field(default=None, compare=False)
    units: Mapping[str, str] = field(default_factory=dict, compare=False)
    digest: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        from latentpk.kinetics.user_check import checked  # it follows courses of this class

        object.__setattr__(self, "parameters", tuple(self.parameters))
        object.__setattr__(self, "states", tuple(self.states))
        if not isinstance(self.doses_into, str | DoseInto):
            object.__setattr__(self, "doses_into", tuple(self.doses_into))
        object.__setattr__(self, "digest", "")
        object.__setattr__(self, "digest", checked(self))

    def __str__(self) -> str:
        return f"{PREFIX}{self.name}@{self.digest}"

    @property
    def ways(self) -> tuple[DoseInto, ...]:
        """Where an absorbed dose goes."""
        into = self.doses_into
        if isinstance(into, str):
            return (DoseInto(into),)
        return (into,) if isinstance(into, DoseInto) else into

    @property
    def into_central(self) -> str:
        """The state that an intravenous dose enters."""
        if self.central is not None:
            return self.central
        return "central" if "central" in self.states else self.ways[0].state

    @property
    def system(self) -> "UserEquations":
        """The equations, as the solver needs them."""
        return UserEquations(self)


@dataclass(frozen=True)
class UserEquations(Differential):
    """A user's equations between rows of numbers.

    Attributes:
        model: What the user wrote.
    """

    model: UserSystem
    names: tuple[str, ...] = field(init=False)
    size: int = field(init=False)
    central: int = field(init=False)
    oral: bool = field(init=False)

    def __post_init__(self) -> None:
        model = self.model
        object.__setattr__(self, "names", model.parameters)
        object.__setattr__(self, "size", len(model.states))
        object.__setattr__(self, "central", model.states.index(model.into_central))
        object.__setattr__(self, "oral", model.ways[0].state != model.into_central)

    def __str__(self) -> str:
        return str(self.model)

    def slope(
        self, state: Float[Array, " state"], p: Named, inputs: Inputs
    ) -> Float[Array, " state"]:
        """Derivative of the amounts [mg/h]."""
        found = self.model.slope(self.by_name(state), p, inputs)
        return in_order(found, self.model.states).astype(state.dtype)

    def concentration(self, state: Float[Array, " state"], p: Named) -> Scalar:
        """The measured concentration [mg/L]."""
        if self.model.concentration is None:
            return state[self.central] / p["v1"]
        found = jnp.asarray(self.model.concentration(self.by_name(state), p))
        return found.astype(state.dtype)

    def sites(self, p: Named) -> tuple[Site, ...]:
        """Where an absorbed dose goes."""
        like = next(iter(p.values()))
        return tuple(
            Site(
                self.model.states.index(way.state),
                _value(way.bioavailability, p, like),
                _value(way.lag, p, like),
            )
            for way in self.model.ways
        )

    def start(self, p: Named) -> Float[Array, " state"]:
        """The state before any dose, and after a reset [mg]."""
        like = next(iter(p.values()))
        if self.model.start is None:
            return jnp.zeros(self.size, like.dtype)
        begun = self.model.start(p)
        rows = [jnp.asarray(begun.get(name, 0.0), like.dtype) for name in self.model.states]
        return jnp.stack(rows)

    def by_name(self, state: Float[Array, " state"]) -> dict[str, Scalar]:
        """The states by name."""
        return {name: state[k] for k, name in enumerate(self.model.states)}


def in_order(found: Rates, states: tuple[str, ...]) -> Array:
    """Derivatives in the order of the states, whichever way a function gave them."""
    if isinstance(found, Mapping):
        return jnp.stack([jnp.asarray(found[name]) for name in states])
    if isinstance(found, Sequence):
        return jnp.stack([jnp.asarray(one) for one in found])
    return jnp.asarray(found)


def _value(value: Value, p: Named, like: Array) -> Array:
    """A number, a parameter or a function of them, one for each dose where they are."""
    if isinstance(value, str):
        return p[value]
    found = value(p) if callable(value) else value
    return jnp.broadcast_to(jnp.asarray(found, like.dtype), like.shape)
