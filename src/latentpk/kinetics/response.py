"""A linear system's unit response in modal form."""

from typing import NamedTuple

from jaxtyping import Array, Float

import latentpk.precision  # noqa: F401  (x64 before any array)
from latentpk.kinetics.decay import Scalar


class Delay(NamedTuple):
    """How long drug takes to arrive at a site: a gamma density, see `delayed`.

    Attributes:
        mean: Mean transit time MTT, positive [h].
        transits: Number of transit compartments n, not negative, whole or not.
    """

    mean: Scalar
    transits: Scalar


class Response(NamedTuple):
    r"""What one unit of drug does in a linear body.

    A unit bolus into the central compartment gives

    .. math:: C(t) = \sum_m w_m e^{-\lambda_m t}

    and a unit extravascular dose enters it through every absorption site s at the rate
    :math:`share_s\, ka_s e^{-ka_s (t - alag_s)}`. One site is the textbook's oral dose; several
    are a mixture that can take any absorption shape, second peaks included.

    Attributes:
        rate: Rates of the modes, not negative [1/h].
        weight: Weights of the modes, not negative [1/L].
        share: Fraction of an extravascular dose that enters through each site, times F.
        ka: First-order absorption rate of each site, positive [1/h].
        alag: Lag of each site [h].
    """

    rate: Float[Array, " mode"]
    weight: Float[Array, " mode"]
    share: Float[Array, " site"]
    ka: Float[Array, " site"]
    alag: Float[Array, " site"]
