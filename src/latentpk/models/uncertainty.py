r"""How far a prediction may be off: intervals that were calibrated on rows no member had seen.

The error's size varies with how much the trees disagree, and grows far from all particles. Errors
are skewed on log10 too, so that each end has a factor of its own:

.. math:: s_t(x)^2 = (a_t + b_t u_t(x)^2) g(x)^2, \qquad
          [\hat y_t - q^-_t s_t(x),\; \hat y_t + q^+_t s_t(x)]
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from latentpk.errors import ArtifactError
from latentpk.models.smooth import check_arrays

LEVEL = 0.9  # of the intervals


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """How far intervals reach down and up.

    Attributes:
        floor: a, of each target.
        slope: b.
        down: Factor of the lower end, not negative.
        up: Of the upper one.
    """

    floor: Float[np.ndarray, " target"]
    slope: Float[np.ndarray, " target"]
    down: Float[np.ndarray, " target"]
    up: Float[np.ndarray, " target"]

    def size(
        self, disagreement: Float[np.ndarray, "row target"], stretch: Float[np.ndarray, " row"]
    ) -> Float[np.ndarray, "row target"]:
        """The error's size s."""
        return np.sqrt(self.floor + self.slope * disagreement**2) * stretch[:, None]

    def reach(
        self, disagreement: Float[np.ndarray, "row target"], stretch: Float[np.ndarray, " row"]
    ) -> Float[np.ndarray, "2 row target"]:
        """How far the interval reaches below the prediction, and above it."""
        size = self.size(disagreement, stretch)
        return np.stack([self.down * size, self.up * size])

    def to_arrays(self) -> dict[str, np.ndarray]:
        """By name."""
        return {"floor": self.floor, "slope": self.slope, "down": self.down, "up": self.up}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], *, targets: int) -> "Uncertainty":
        """Check and take stored arrays.

        Raises:
            ArtifactError: A wrong shape or type, not finite, or negative.
        """
        names = ("floor", "slope", "down", "up")
        check_arrays(arrays, dict.fromkeys(names, (targets,)), "intervals")
        if any((arrays[name] < 0).any() for name in names):
            raise ArtifactError("The intervals have a negative size: fit the model again.")
        return cls(*(arrays[name] for name in names))
