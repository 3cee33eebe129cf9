"""Points of every particle's latent space with their courses, simulated once.

The marginal likelihood of a particle's measurements under any prior is an average over fixed
points, weighted by prior over proposal: so a prior can be trained without the decoder, and every
fold shares one bank. Points are placed in rounds: over all that tumors do, then around those that
explain this particle's own measurements (population Monte Carlo, Cappé 2004).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from latentpk.models.tumor import FAINT, HIGHEST, LATENT, LOWEST, Decoded, Mouse, decode, gaussian
from latentpk.records.courses import Courses

Progress = Callable[[int, int, str], None]
# where tumors lie: medians of published tumors (Chou 2023), wide enough for all of them
TYPICAL = np.log([0.29, 12.0, 1.9, 0.097, 0.08, 0.003])
WIDTH = np.array([1.8, 1.8, 1.0, 2.2, 1.3, 2.2])
FIRST, SECOND = 512, 256
REACH = (0.9, 0.8, 0.7, 0.7, 0.7)  # of the kernels in later rounds, in SDs of the points that count
CENTRES = 256  # kernels
ENOUGH = 48.0  # points that must count
ROUGH = 0.35  # SD of log measurements while points are placed
OWN = 0.85  # share of points near earlier ones; the others go over all that tumors do


class Bank(NamedTuple):
    """Points and what they predict at the measured times; rows are particles.

    Attributes:
        z: Shape (row, draw, latent).
        log_proposal: Density they were drawn from, shape (row, draw).
        tissue: Log of the tumor's tissue [%ID], shape (row, draw, time).
        whole: The same with capillary blood.
        log_seen: Log of what was measured, shape (row, time).
        measured: 1 where something was, shape (row, time).
        censored: 1 where it was below a limit, which then stands in `log_seen`.
    """

    z: Float[np.ndarray, "row draw latent"]
    log_proposal: Float[np.ndarray, "row draw"]
    tissue: Float[np.ndarray, "row draw time"]
    whole: Float[np.ndarray, "row draw time"]
    log_seen: Float[np.ndarray, "row time"]
    measured: Float[np.ndarray, "row time"]
    censored: Float[np.ndarray, "row time"]

    def take(self, rows: np.ndarray) -> "Bank":
        """Some of the particles."""
        return Bank(*(own[rows] for own in self))


def fill_bank(
    courses: Courses,
    mouse: Mouse,
    *,
    seed: int,
    threads: int = 1,
    progress: Progress | None = None,
) -> Bank:
    """Place points for every particle and follow them.

    Args:
        courses: What was measured.
        mouse: Of whom.
        seed: Of the points.
        threads: Particles at once.
        progress: Called with (done, total, label).

    Returns:
        The bank; a particle without measurements has points too, which say nothing.
    """
    tell = progress or (lambda done, total, label: None)
    rows, done = len(courses), 0
    tell(0, rows, "courses simulated")

    def work(row: int) -> tuple[np.ndarray, ...]:
        nonlocal done
        found = _place(courses, mouse, row, seed)
        done += 1
        tell(done, rows, "courses simulated")
        return found

    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(work, range(rows)))
    z, density, tissue, whole = (np.stack(own) for own in zip(*parts, strict=True))
    measured = courses.measured.astype(float)
    log_seen = np.log(np.maximum(courses.tumor, FAINT))
    return Bank(
        z, density, tissue, whole, log_seen, measured, courses.censored.astype(float) * measured
    )


def _place(courses: Courses, mouse: Mouse, row: int, seed: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng([seed, row])
    body = mouse.body(row)
    times = courses.time[row]
    kept = courses.measured[row] & ~courses.censored[row]
    log_seen = np.log(np.maximum(courses.tumor[row], FAINT))

    def misfit(found: Decoded) -> np.ndarray:
        apart = (log_seen - np.log(np.maximum(found.tissue, FAINT)))[:, kept]
        return -0.5 * np.sum((apart / ROUGH) ** 2, axis=1)

    wide = np.diag(WIDTH)
    z = _inside(TYPICAL + rng.standard_normal((FIRST, len(LATENT))) @ wide)
    density = gaussian(z, TYPICAL, wide)
    found = decode(z, body, times)
    for reach in REACH:
        weight = tempered(misfit(found) + gaussian(z, TYPICAL, wide) - density)
        z, density = _sample(*cloud(z, weight, reach, rng), rng)
        found = decode(z, body, times)
    tissue = np.log(np.maximum(found.tissue, FAINT))
    return z, density, tissue, np.log(np.maximum(found.tissue + found.blood, FAINT))


def tempered(log_weight: np.ndarray) -> np.ndarray:
    """Weights flattened until enough points count: one lucky point is no place."""
    shifted = log_weight - log_weight.max()
    weight = np.exp(shifted)
    while weight.sum() ** 2 / np.sum(weight**2) < ENOUGH:
        shifted = 0.85 * shifted
        weight = np.exp(shifted)
    return weight / weight.sum()


def cloud(
    z: np.ndarray, weight: np.ndarray, reach: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Centres drawn by weight, and the factor of the kernel around each."""
    middle = weight @ z
    spread = (z - middle).T @ ((z - middle) * weight[:, None])
    factor = reach * np.linalg.cholesky(spread + 1e-4 * np.eye(len(LATENT)))
    return z[rng.choice(len(z), CENTRES, p=weight)], factor


def _sample(
    centres: np.ndarray, factor: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Points around the centres, some over all that tumors do, and their density."""
    wide = np.diag(WIDTH)
    own = rng.uniform(size=SECOND) < OWN
    noise = rng.standard_normal((SECOND, len(LATENT)))
    near = centres[rng.integers(len(centres), size=SECOND)] + noise @ factor.T
    z = _inside(np.where(own[:, None], near, TYPICAL + noise @ wide))
    inside = kernels(z, centres, factor)
    outside = gaussian(z, TYPICAL, wide)
    return z, np.logaddexp(np.log(OWN) + inside, np.log(1 - OWN) + outside)


def kernels(
    z: Float[np.ndarray, "draw latent"],
    centres: Float[np.ndarray, "centre latent"],
    factor: Float[np.ndarray, "latent latent"],
) -> Float[np.ndarray, " draw"]:
    """Log density of equal Gaussian kernels around the centres."""
    inverse = np.linalg.inv(factor)
    white, middles = z @ inverse.T, centres @ inverse.T
    squared = (white**2).sum(1)[:, None] + (middles**2).sum(1) - 2 * white @ middles.T
    level = np.log(np.diag(factor)).sum() + 0.5 * len(factor) * np.log(2 * np.pi)
    each = -0.5 * np.maximum(squared, 0)
    top = each.max(axis=1, keepdims=True)
    return (top + np.log(np.mean(np.exp(each - top), axis=1, keepdims=True)))[:, 0] - level


def _inside(z: np.ndarray) -> np.ndarray:
    """Points that the decoder tells apart; the few beyond are put at the edge."""
    return np.clip(z, LOWEST, HIGHEST)
