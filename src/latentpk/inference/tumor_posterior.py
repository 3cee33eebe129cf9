"""A particle's tumor after what was measured of it: prior draws, weighted, then placed anew.

Rung one weights draws of the prior by the likelihood of the measurements. Where few of them count
(an early measurement that the properties did not promise), further draws are placed around those
that do, and weighted by prior times likelihood over their own density.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from latentpk.inference.psis import k_threshold, pareto_smooth
from latentpk.inference.tumor_bank import cloud, kernels, tempered
from latentpk.models.tumor import FAINT, LATENT, Draws, TumorModel, decode, log_likelihood

DRAWS, MORE, ROUNDS = 1024, 512, 3
ENOUGH = 100.0  # effective draws below which the next rung is climbed
REACH = 0.7  # of kernels, in SDs of the points that count
BROAD = 0.1  # share of later rungs' draws from the prior


@dataclass(frozen=True, eq=False)
class Seen:
    """Measurements of one particle.

    Attributes:
        time: [h].
        tumor: [%ID], the limit where censored.
        censored: Below the limit.
    """

    time: Float[np.ndarray, " time"]
    tumor: Float[np.ndarray, " time"]
    censored: Float[np.ndarray, " time"]


@dataclass(frozen=True, eq=False)
class TumorPosterior:
    """Weighted points of one particle.

    Attributes:
        z: Shape (draw, latent).
        weight: Summing to 1.
        effective: Kish's number of draws.
        k: Pareto's k-hat; minus infinity where no measurement weighs anything.
        rung: 1 for the prior's draws, 2 where others were placed.
    """

    z: Float[np.ndarray, "draw latent"]
    weight: Float[np.ndarray, " draw"]
    effective: float
    k: float
    rung: int

    @property
    def reliable(self) -> bool:
        """Whether the weights can be trusted."""
        return self.effective >= ENOUGH / 2 and self.k <= max(k_threshold(len(self.z)), 0.7)

    def even(self, count: int, *, seed: int) -> Float[np.ndarray, "draw latent"]:
        """Points of equal weight, systematically resampled."""
        start = np.random.default_rng(seed).uniform()
        places = (np.arange(count) + start) / count
        chosen = np.searchsorted(np.cumsum(self.weight), places)
        return self.z[np.minimum(chosen, len(self.z) - 1)]


def tumor_posterior(
    model: TumorModel,
    location: Float[np.ndarray, "member latent"],
    body: tuple[float, float, float, float],
    seen: Seen | None,
    *,
    draws: int = DRAWS,
    seed: int,
) -> TumorPosterior:
    """Where one particle's tumor lies.

    Args:
        model: The latent model.
        location: Of the particle, for each member.
        body: QTC, VTC, BVT and weight [kg] of the mouse.
        seen: Its measurements; None for none.
        draws: Of the prior.
        seed: Of the draws.

    Returns:
        Weighted points.
    """
    found = model.draw(location, draws, seed=seed)
    if seen is None or not seen.time.size:
        return TumorPosterior(found.z, np.full(draws, 1 / draws), float(draws), -np.inf, 1)
    first = _weighted(model, found, body, seen, 1)
    if first.effective >= ENOUGH:
        return first
    rng = np.random.default_rng([seed, 1])
    last = first
    for _ in range(ROUNDS):
        log_weight = np.log(np.maximum(last.weight, 1e-300))
        centres, factor = cloud(last.z, tempered(log_weight), REACH, rng)
        own = rng.uniform(size=MORE) < 1 - BROAD
        near = centres[rng.integers(len(centres), size=MORE)]
        near = near + rng.standard_normal((MORE, len(LATENT))) @ factor.T
        z = np.where(
            own[:, None], near, model.draw(location, MORE, seed=int(rng.integers(2**31))).z
        )
        prior = model.log_prior(z, location)
        density = np.logaddexp(
            np.log(1 - BROAD) + kernels(z, centres, factor), np.log(BROAD) + prior
        )
        last = _weighted(model, Draws(z, density, prior), body, seen, 2)
    return last


def _weighted(
    model: TumorModel,
    draws: Draws,
    body: tuple[float, float, float, float],
    seen: Seen,
    rung: int,
) -> TumorPosterior:
    found = decode(draws.z, body, seen.time).assayed(model.config.assay)
    explained = log_likelihood(
        jnp.log(jnp.maximum(found, FAINT)),
        jnp.log(jnp.maximum(seen.tumor, FAINT)),
        jnp.ones(len(seen.time)),
        jnp.asarray(seen.censored),
        jnp.log(model.sigma),
    )
    smoothed = pareto_smooth(explained + draws.log_prior - draws.log_density)
    weight = np.exp(np.asarray(smoothed.log_weight))
    total = float(weight.sum())
    return TumorPosterior(draws.z, weight / total, float(smoothed.ess), float(smoothed.k), rung)
