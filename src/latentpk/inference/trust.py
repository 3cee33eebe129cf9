"""Gate A: whether the computation of a posterior can be believed."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from latentpk.inference.posterior import Posteriors, PosteriorSettings
from latentpk.inference.psis import k_threshold

Verdict = Literal["ok", "caution", "refuse"]
RHAT = 1.05


@dataclass(frozen=True)
class Trust:
    """A verdict and its reason in one sentence, empty where there is nothing to say."""

    verdict: Verdict
    reason: str


def gate_a(posterior: Posteriors, subject: int, settings: PosteriorSettings) -> Trust:
    """Judge one subject's computation.

    Args:
        posterior: The posteriors.
        subject: Which.
        settings: How they were computed.

    Returns:
        `ok` when the last rung climbed passed its own test, else `caution`; `refuse` where no
        finite posterior was found.
    """
    method, k, ess = posterior.method[subject], posterior.k[subject], posterior.ess[subject]
    if (
        not np.isfinite(posterior.objective[subject])
        or not np.isfinite(posterior.eps[subject]).all()
    ):
        return Trust("refuse", "No finite posterior was found: check this subject's records.")
    if method == "nuts":
        rhat = posterior.rhat[subject]
        if rhat <= RHAT:
            return Trust("ok", "")
        return Trust("caution", f"NUTS has not converged (R-hat {rhat:.2f}, limit {RHAT}).")
    draws = settings.draws if method == "is" else settings.adaptive_draws
    limit, least = k_threshold(draws), settings.least_ess * settings.draws
    if not k <= limit:  # nan is not below
        return Trust(
            "caution", f"Importance weights are heavy-tailed (k-hat {k:.2f}, limit {limit:.2f})."
        )
    if not ess >= least:
        return Trust("caution", f"Few effective draws ({ess:.0f}, least {least:.0f}).")
    return Trust("ok", "")
