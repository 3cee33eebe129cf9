"""What was given: the doses of one subject, and which branches of the kinetics they need."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

import latentpk.precision  # noqa: F401  (x64 before any array)
from latentpk.errors import InputError

Values = ArrayLike | Sequence[float]


class Own(NamedTuple):
    """What a dose's absorption differs by from what it would be, as after a meal.

    A dose that does not go through an absorption site has none of it.

    Attributes:
        ka: Its absorption rates are multiplied by this.
        alag: So are its lags.
        f: And what of it arrives.
    """

    ka: Float[Array, " dose"]
    alag: Float[Array, " dose"]
    f: Float[Array, " dose"]


class Doses(NamedTuple):
    """Single doses of one subject; ADDL is expanded, padding rows have amount, rate and time 0.

    Attributes:
        time: Time of the record [h]; the lag of depot doses is added by the kinetics.
        order: Position of the record in its subject; it resolves equal times.
        amount: Amount [mg].
        rate: Rate of a constant infusion [mg/h]; only read where `steady` is 3.
        duration: Duration of the zero-order input [h]; 0 is instantaneous.
        depot: 1 into the absorption sites, 0 into the central compartment.
        interval: Dosing interval II [h]; only read where `steady` is 1 or 2.
        steady: 0 a plain dose; 1 or 2 the dose at its steady state (that SS=1 cancels earlier
            doses is in their `until`); 3 a constant infusion at steady state, stopped at `time`.
        until: From here on the dose contributes nothing [h]; inf is never.
        until_order: Order of the record that cancels it.
        state: What else is said of each dose (fed or not), which no kinetics read, shape
            (dose, covariate); None where nothing is.
        own: What its absorption differs by; None where all doses are absorbed alike.
    """

    time: Float[Array, " dose"]
    order: Float[Array, " dose"]
    amount: Float[Array, " dose"]
    rate: Float[Array, " dose"]
    duration: Float[Array, " dose"]
    depot: Float[Array, " dose"]
    interval: Float[Array, " dose"]
    steady: Float[Array, " dose"]
    until: Float[Array, " dose"]
    until_order: Float[Array, " dose"]
    state: Float[Array | np.ndarray, "dose covariate"] | None = None
    own: Own | None = None

    @staticmethod
    def of(time: Values, amount: Values, **fields: Values) -> "Doses":
        """Doses from the fields that matter; the others get their neutral value.

        Args:
            time: Time of each dose [h], shape (dose,).
            amount: Amount of each dose [mg], shape (dose,) or one for all.
            **fields: Any other field that is a number, shape (dose,) or one for all.

        Returns:
            Doses in the order given, in the precision of `time`.

        Raises:
            TypeError: A field that is none.

        Example:
            >>> Doses.of([0.0, 12.0], 500.0, duration=1.0).duration
            Array([1., 1.], dtype=float64)
        """
        if unknown := sorted(set(fields) - set(NUMBERS)):
            raise TypeError(f"doses have no number {', '.join(unknown)}; they have {NUMBERS}")
        start = jnp.atleast_1d(jnp.asarray(time))
        start = start if jnp.issubdtype(start.dtype, jnp.floating) else start.astype(float)
        neutral = {"order": jnp.arange(start.size), "until": jnp.inf}
        values = {"time": start, "amount": amount, **neutral, **fields}
        numbers = (jnp.asarray(values.get(name, 0.0), start.dtype) for name in NUMBERS)
        return Doses._make([*(jnp.broadcast_to(x, start.shape) for x in numbers), None, None])


ABSORPTION = Own._fields  # parameters that a dose may have of its own
NUMBERS = Doses._fields[:10]  # of a dose, each one number


@dataclass(frozen=True)
class Paths:
    """The branches to compile: a cohort of plain oral doses pays for nothing else.

    A flag may be False only where no dose needs that branch; `Paths.of` reads them off.

    Attributes:
        central: Some dose goes into the central compartment.
        depot: Some dose goes into the absorption sites.
        infusion: Some central dose has a duration.
        steady: Some dose is at steady state.
        release: Some depot dose has a duration (zero-order release into the sites).
        overlap: Some dose at steady state lasts longer than its interval.
        reset: Some dose is cancelled, as by a reset.
    """

    central: bool = True
    depot: bool = True
    infusion: bool = True
    steady: bool = True
    release: bool = True
    overlap: bool = True
    reset: bool = True

    def without_depot(self) -> "Paths":
        """The same for the doses into the central compartment alone."""
        return replace(self, depot=False, release=False)

    @staticmethod
    def none() -> "Paths":
        """Central boluses alone.

        Example:
            >>> Paths.none().depot
            False
        """
        return Paths(True, False, False, False, False, False, False)

    @staticmethod
    def of(doses: Doses) -> "Paths":
        """The branches these doses need.

        Args:
            doses: Concrete doses of one subject or of many (any leading axes); not traced.

        Returns:
            The static flags, to be passed to the functions of this room.

        Example:
            >>> Paths.of(Doses.of([0.0], 100.0, depot=1.0))
            Paths(central=False, depot=True, infusion=False, steady=False, release=False, ...)
        """
        given = (np.asarray(doses.amount) != 0) | (np.asarray(doses.rate) != 0)
        depot = np.asarray(doses.depot) != 0
        slow = np.asarray(doses.duration) > 0
        repeated = np.isin(np.asarray(doses.steady), (1, 2))
        longer = np.asarray(doses.duration) > np.asarray(doses.interval)
        return Paths(
            central=bool((given & ~depot).any()),
            depot=bool((given & depot).any()),
            infusion=bool((given & ~depot & slow).any()),
            steady=bool((given & (np.asarray(doses.steady) != 0)).any()),
            release=bool((given & depot & slow).any()),
            overlap=bool((given & repeated & longer).any()),
            reset=bool((given & np.isfinite(np.asarray(doses.until))).any()),
        )


def refuse_steady(paths: Paths) -> None:
    """Refuse doses at steady state, where courses begin with an empty body.

    Raises:
        InputError: There are some.
    """
    if paths.steady:
        raise InputError(
            "doses at steady state (SS): this structure has no closed form for them. Write the "
            "doses that led there, for instance with ADDL and II, and leave SS at 0."
        )


def refuse_own(doses: Doses) -> None:
    """Refuse doses with an absorption of their own, where all go the same way.

    Raises:
        InputError: There are some.
    """
    if doses.own is not None:
        raise InputError(
            "doses that are absorbed each in its own way: here all lie in one depot alike. Take "
            "a compartment structure, a kernel or a hybrid."
        )
