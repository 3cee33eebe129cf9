"""Joining the latent model's delivery to the ensemble's, on rows that neither has seen."""

import numpy as np
from jaxtyping import Float

from latentpk.inference.conformal import calibrate
from latentpk.inference.ensemble import Inner
from latentpk.models.ensemble import Ensemble
from latentpk.models.joint import DELIVERED, Joint
from latentpk.models.tumor import TumorModel


def fit_joint(
    ensemble: Ensemble,
    inner: Inner,
    latent: TumorModel,
    delivered: Float[np.ndarray, "row delivered"],
    noise: Float[np.ndarray, " delivered"],
) -> tuple[Joint, Float[np.ndarray, "row target"]]:
    """Choose the latent model's share and calibrate the joined intervals.

    One share serves the three deliveries, which are nearly one number. It is the least-squares
    slope of what the ensemble missed on what the latent model adds. A row of training is left to
    few members, a new particle is predicted by the mean of all, which errs less: that part of the
    addition's square is taken off, as for any regressor that is measured with error.

    Args:
        ensemble: The other side.
        inner: Its out-of-fold predictions.
        latent: The latent model.
        delivered: log10 of delivery by members of the latent model that did not see the row, for
            the rows of `inner`, shape (row, 3).
        noise: Variance of it that the mean of all members has not, shape (3,).

    Returns:
        The joined model, and its own standardized predictions of the rows of `inner`.
    """
    columns = [ensemble.targets.index(name) for name in DELIVERED]
    center, scale = ensemble.center[columns], ensemble.scale[columns]
    truth, alone = inner.truth[:, columns], inner.weighed[:, columns]
    standard = (delivered - center) / scale
    offset = np.mean(truth - standard, axis=0)
    change = standard + offset - alone
    size = np.sum(change**2) - len(change) * np.sum(noise / scale**2)
    gain = np.sum(change * (truth - alone))
    share = float(np.clip(gain / size, 0, 1)) if size > gain else float(gain > 0)
    joined = inner.weighed.copy()
    joined[:, columns] = alone + share * change
    uncertainty = calibrate(inner.truth - joined, inner.disagreement, inner.stretch)
    return Joint(latent, np.full(len(DELIVERED), share), offset * scale, uncertainty), joined
