"""Mammillary compartment models: their names, their parameters and their unit response."""

import re
from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float

from latentpk.errors import InputError
from latentpk.kinetics.modes import three_modes, two_modes
from latentpk.kinetics.response import Response

_NAME = re.compile(r"([123])c-(iv|oral|oral-lag)(-f)?")


@dataclass(frozen=True)
class Structure:
    """A linear compartment model, named as "2c-iv", "1c-oral-lag" or "1c-oral-f".

    Attributes:
        compartments: 1, 2 or 3; the first is central.
        oral: Whether there is a depot with first-order absorption.
        lag: Whether absorption starts after a lag.
        bioavailability: Whether F is a parameter; else it is 1.
    """

    compartments: int
    oral: bool = False
    lag: bool = False
    bioavailability: bool = False

    @staticmethod
    def parse(text: str) -> "Structure":
        """The structure of that name.

        Args:
            text: "1c", "2c" or "3c", then "-iv", "-oral" or "-oral-lag", then perhaps "-f".

        Returns:
            The structure; `str` gives the name back.

        Raises:
            InputError: An unknown name.

        Example:
            >>> Structure.parse("2c-oral-lag").names
            ('cl', 'v1', 'q2', 'v2', 'ka', 'alag')
        """
        match = _NAME.fullmatch(text)
        if match is None or (match[2] == "iv" and match[3]):
            raise InputError(
                f"structure: {text!r}. Known are 1c, 2c and 3c with -iv, -oral or -oral-lag, "
                "oral ones also with -f, and names of equations such as 1c-transit, 1c-mm-oral or "
                "tmdd-qss-iv. Write for instance 2c-iv."
            )
        oral, lag = match[2] != "iv", match[2].endswith("lag")
        return Structure(int(match[1]), oral, lag, match[3] is not None)

    def __str__(self) -> str:
        route = "oral" if self.oral else "iv"
        lag, estimated = "-lag" * self.lag, "-f" * self.bioavailability
        return f"{self.compartments}c-{route}{lag}{estimated}"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters, in the order `response` takes them."""
        disposition = ("cl", "v1", "q2", "v2", "q3", "v3")[: 2 * self.compartments]
        absorption = ("ka",) * self.oral + ("alag",) * self.lag + ("f",) * self.bioavailability
        return disposition + absorption

    def response(self, parameters: Float[Array, " parameter"]) -> Response:
        """The unit response at these parameters.

        Q = 0 is a model without that compartment; parameters are not checked.

        Args:
            parameters: Natural scale, in the order of `names` (cl q2 q3 [L/h], v1 v2 v3 [L],
                ka [1/h], alag [h], f in [0, 1]), shape (parameter,).

        Returns:
            The modal form: 1 to 3 modes, 1 site if oral, else none.

        Example:
            >>> Structure.parse("1c-iv").response(jnp.array([5.0, 50.0])).rate
            Array([0.1], dtype=float64)
        """
        named = dict(zip(self.names, parameters, strict=True))
        rate, share = self.modes(parameters)
        none = jnp.zeros(0, parameters.dtype)
        if not self.oral:
            return Response(rate, share / named["v1"], none, none, none)
        one, zero = jnp.ones_like(named["ka"]), jnp.zeros_like(named["ka"])
        return Response(
            rate=rate,
            weight=share / named["v1"],
            share=named.get("f", one)[None],
            ka=named["ka"][None],
            alag=named.get("alag", zero)[None],
        )

    def modes(
        self, parameters: Float[Array, " parameter"]
    ) -> tuple[Float[Array, " mode"], Float[Array, " mode"]]:
        """Rates of the modes [1/h] and their shares in a central bolus (which sum to 1).

        Args:
            parameters: As for `response`.

        Returns:
            Rates, the fastest first, and shares, each of shape (mode,).

        Example:
            >>> Structure.parse("1c-iv").modes(jnp.array([5.0, 50.0]))[1]
            Array([1.], dtype=float64)
        """
        named = dict(zip(self.names, parameters, strict=True))
        elimination = named["cl"] / named["v1"]
        if self.compartments == 1:
            return elimination[None], jnp.ones_like(elimination)[None]
        out2, back2 = named["q2"] / named["v1"], named["q2"] / named["v2"]
        if self.compartments == 2:
            return two_modes(elimination, out2, back2)
        out3, back3 = named["q3"] / named["v1"], named["q3"] / named["v3"]
        return three_modes(elimination, (out2, out3), (back2, back3))
