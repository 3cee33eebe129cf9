"""One entry of what is known beforehand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array

from latentpk import precision  # noqa: F401  (sets x64 before any array)

Values = Mapping[str, Array]


@dataclass(frozen=True)
class Feature:
    """One entry of a knowledge view.

    Attributes:
        name: Its name.
        needs: The covariates it is computed from.
        formula: As written in the docs.
        source: Where it comes from.
        compute: Covariates by name to the value, dimensionless.
        reason: Why it should matter; empty where the formula says so.
    """

    name: str
    needs: tuple[str, ...]
    formula: str
    source: str
    compute: Callable[[Values], Array]
    reason: str = ""


def positive(x: Array) -> Array:
    """What a logarithm may be taken of."""
    return jnp.maximum(x, 1e-6)
