"""A particle's course through a mouse, from its properties and what was measured of it so far."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float
from scipy.stats import norm

from latentpk.errors import InputError, Problem
from latentpk.inference.tumor_posterior import tumor_posterior
from latentpk.kinetics.mouse import MOUSE_WEIGHT, WEIGHTS, Species
from latentpk.models.descriptors import properties
from latentpk.models.tumor import ORGANS, Assay, Decoded, Mouse, decode
from latentpk.records.courses import read_courses
from latentpk.records.particles import Particles, read_particles
from latentpk.workflows.nano.model import NanoModel
from latentpk.workflows.nano.table import physiology
from latentpk.workflows.nano.update import seen_of

Progress = Callable[[int, int, str], None]
DRAWS = 512
ERRORS = 15
LEVELS = (0.05, 0.5, 0.95)
LONGEST = 180.0  # h
MOST = 500  # times
WEIGHED = ("PLASMA", *(name.upper() for name in ORGANS))
EXTRAPOLATED = (
    "Organs, flows and clearances are a mouse's, scaled to the {species} by weight; "
    "nothing here was fitted to a {species}."
)
FITTED = "Only the tumor was fitted; the other organs are the published PBPK model's."


def course(  # noqa: PLR0913  (seed, threads and progress are every verb's)
    model: NanoModel,
    table: str | Path | Particles | Any,
    times: Float[np.ndarray, " time"],
    *,
    observed: str | Path | Any | None = None,
    species: Species = "mouse",
    seed: int = 0,
    threads: int = 1,
    progress: Progress | None = None,
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Follow every particle of a table.

    Args:
        model: Fitted with courses.
        table: CSV file, data frame, or particles.
        times: From 0 to 180 [h].
        observed: Table of ID, TIME and TUMOR: what was measured so far.
        species: Other than a mouse scales the model and says that it extrapolates.
        seed: Of the draws.
        threads: Particles at once.
        progress: Called with (done, total, label).

    Returns:
        ID, TIME; median, _LO and _HI (5 and 95 %) of TUMOR [%ID] and TUMOR_G [%ID/g] (of a
        measurement, its error included), PLASMA, LIVER, SPLEEN, KIDNEY, LUNG [%ID] (of the course);
        MEASUREMENTS that were used, VERDICT, REASON. And what is to be told.

    Raises:
        InputError: A problem of a table or of the times, or a model without courses.
    """
    if model.joint is None:
        raise InputError(
            "This model was fitted without measured courses and predicts none. Fit it with "
            "--timecourse COURSES.csv, or use the model that is part of the package."
        )
    _check_times(times)
    particles = table if isinstance(table, Particles) else read_particles(table)
    courses = None if observed is None else read_courses(observed, particles)
    mouse = physiology(particles)
    notices = [FITTED, *([] if courses is None else courses.notices)]
    if species != "mouse":
        grams = particles.number("BW") / (MOUSE_WEIGHT * 1000) * WEIGHTS[species]
        mouse = Mouse(mouse.flow, mouse.volume, mouse.blood, grams)
        notices.append(EXTRAPOLATED.format(species=species))
    latent = model.joint.latent
    location = latent.location(properties(particles))
    verdicts = model.ensemble.domain.judge(properties(particles))
    weight = np.where(
        np.isnan(particles.tumor_weight), mouse.volume * mouse.weight * 1000, particles.tumor_weight
    )
    if species != "mouse":
        weight = mouse.volume * mouse.weight * 1000
    tell = progress or (lambda done, total, label: None)
    done = 0
    tell(0, len(particles), "courses")

    def work(row: int) -> pl.DataFrame:
        nonlocal done
        seen = None if courses is None else seen_of(courses, row)
        body = mouse.body(row)
        posterior = tumor_posterior(latent, location[:, row], body, seen, seed=seed)
        found = decode(posterior.even(DRAWS, seed=seed), body, times, species=species)
        verdict, reason = verdicts[row]
        if not posterior.reliable:
            verdict = "refuse" if verdict == "refuse" else "caution"
            said = "the measurements are unlike all that the properties promise"
            reason = f"{reason}; {said}" if reason else said
        used = 0 if seen is None else len(seen.time)
        columns = _columns(found, latent.sigma, float(weight[row]), latent.config.assay)
        done += 1
        tell(done, len(particles), "courses")
        return pl.DataFrame(
            {
                "ID": [particles.ids[row]] * len(times),
                "TIME": times,
                **columns,
                "MEASUREMENTS": [used] * len(times),
                "VERDICT": [verdict] * len(times),
                "REASON": [reason] * len(times),
            }
        )

    with ThreadPoolExecutor(threads) as pool:
        return pl.concat(list(pool.map(work, range(len(particles))))), tuple(notices)


def _columns(
    found: Decoded, sigma: float, grams: float, assay: Assay
) -> dict[str, Float[np.ndarray, " time"]]:
    """Quantiles of each output; the tumor's are of a measurement, error included."""
    tumor = found.assayed(assay)
    # evenly spread errors for every draw: a band without the noise of drawing them
    errors = np.exp(sigma * norm.ppf((np.arange(ERRORS) + 0.5) / ERRORS))
    measured = np.minimum(tumor * errors[:, None, None], 100.0)
    low, _, high = np.quantile(measured, LEVELS, axis=(0, 1))
    middle = np.median(tumor, axis=0)
    columns = {}
    for name, scale in (("TUMOR", 1.0), ("TUMOR_G", 1 / grams)):
        columns |= {
            name: middle * scale,
            f"{name}_LO": np.minimum(low, middle) * scale,
            f"{name}_HI": np.maximum(high, middle) * scale,
        }
    for k, name in enumerate(WEIGHED):
        ends = np.quantile(found.organs[:, :, k], LEVELS, axis=0)
        columns |= {name: ends[1], f"{name}_LO": ends[0], f"{name}_HI": ends[2]}
    return columns


def _check_times(times: np.ndarray) -> None:
    problems = []
    if not times.size or times.size > MOST:
        rule = f"A course has from 1 to {MOST} times"
        problems.append(Problem("--times", f"{times.size} times", rule, "Write 0:168:1"))
    elif not (np.isfinite(times).all() and times.min() >= 0 and times.max() <= LONGEST):
        rule = f"Times lie from 0 to {LONGEST:g} h, where the PBPK model's courses end"
        found = f"{times.min():g} to {times.max():g}"
        problems.append(Problem("--times", found, rule, "Write 0:168:1"))
    if problems:
        raise InputError(problems, source="the times")
