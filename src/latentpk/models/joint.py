r"""Delivery from two sides: the ensemble's regression, and the latent model's PBPK course.

.. math:: \hat y_t = (1 - s_t)\, e_t + s_t (\ell_t + o_t)

:math:`\ell` is log10 of the delivery of a particle whose tumor lies at its prior's location, so
that tumor size and the mouse enter by physiology; share and offset come from rows that neither
side saw.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from latentpk.models.descriptors import Properties
from latentpk.models.ensemble import Ensemble, Prediction
from latentpk.models.smooth import check_arrays
from latentpk.models.tumor import TumorModel
from latentpk.models.uncertainty import Uncertainty

DELIVERED = ("DE24", "DE168", "DEmax")


@dataclass(frozen=True, eq=False)
class Joint:
    """How the latent model joins the ensemble.

    Attributes:
        latent: The latent model.
        share: Of its delivery in each of `DELIVERED`.
        offset: What is added to it on log10.
        uncertainty: Of the joined predictions of all targets.
    """

    latent: TumorModel
    share: Float[np.ndarray, " delivered"]
    offset: Float[np.ndarray, " delivered"]
    uncertainty: Uncertainty

    def predict(
        self,
        ensemble: Ensemble,
        known: Properties,
        delivered: Float[np.ndarray, "row delivered"],
    ) -> Prediction:
        """Predict particles.

        Args:
            ensemble: The other side.
            known: The particles.
            delivered: log10 of their delivery at the prior's location, shape (row, 3).

        Returns:
            Medians and intervals of all targets; members tell both sides.
        """
        alone = ensemble.predict(known)
        median = alone.median.copy()
        columns = [ensemble.targets.index(name) for name in DELIVERED]
        latent = np.full_like(median, np.nan)
        latent[:, columns] = delivered + self.offset
        median[:, columns] = (1 - self.share) * median[:, columns] + self.share * latent[:, columns]
        reach = self.uncertainty.reach(ensemble.disagreement(known), alone.stretch)
        members = {**alone.members, "ensemble": alone.median, "latent": latent}
        return Prediction(median, reach * ensemble.scale, members, alone.stretch)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """By name, the latent model's own apart."""
        own = {"share": self.share, "offset": self.offset}
        return own | {
            f"reach.{name}": found for name, found in self.uncertainty.to_arrays().items()
        }

    @classmethod
    def from_arrays(
        cls, latent: TumorModel, arrays: dict[str, np.ndarray], *, targets: int
    ) -> "Joint":
        """Check and take stored arrays.

        Raises:
            ArtifactError: A wrong shape or type, or not finite.
        """
        reach = {k.removeprefix("reach."): v for k, v in arrays.items() if k.startswith("reach.")}
        own = {k: v for k, v in arrays.items() if not k.startswith("reach.")}
        check_arrays(own, dict.fromkeys(("share", "offset"), (len(DELIVERED),)), "joined model")
        uncertainty = Uncertainty.from_arrays(reach, targets=targets)
        return cls(latent, own["share"], own["offset"], uncertainty)
