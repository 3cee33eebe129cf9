"""From tables of particles to what models are fitted to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from latentpk import precision  # noqa: F401  (sets x64 before any array)
from latentpk.errors import InputError, Problem
from latentpk.inference.ensemble import Rows
from latentpk.kinetics.mouse import Tumor, follow
from latentpk.models.descriptors import properties
from latentpk.models.tumor import HIGHEST, LOWEST, Mouse
from latentpk.records.courses import Courses, Studies, read_courses, read_studies, with_studies
from latentpk.records.particles import FEWEST, FITTED, NUMBERS, Particles, read_particles

TARGETS: dict[str, str] = {
    "KTRESmax": "1/h",
    "KTRES50": "h",
    "KTRESn": "1",
    "KTRESrelease": "1/h",
    "DE24": "%ID",
    "DE168": "%ID",
    "DEmax": "%ID",
}
DELIVERY = ("DE24", "DE168", "DEMAX")
USUAL = {"QTC": 0.02, "BVT": 0.02}  # of nine mice in ten of the published table
BLOCK = 256


@dataclass(frozen=True, eq=False)
class Library:
    """Particles with all that was measured of them.

    Attributes:
        particles: The table, with what its studies tell.
        studies: Where they come from; None where it is not known.
        courses: What was measured in the tumor; None where nothing was.
        notices: What was repaired, dropped or computed.
    """

    particles: Particles
    studies: Studies | None
    courses: Courses | None
    notices: tuple[str, ...]


def read_library(
    table: str | Path | Any,
    *,
    timecourse: str | Path | Any | None = None,
    studies: str | Path | Any | None = None,
    purpose: Literal["fit", "predict"] = "fit",
) -> Library:
    """Read a table of particles to fit to, and what goes with it.

    Args:
        table: CSV file or data frame; see `read_particles`.
        timecourse: ID, TIME, TUMOR; see `read_courses`.
        studies: ID, STUDY_ID and more; see `read_studies`.
        purpose: A fit needs the four KTRES parameters and at least 20 rows.

    Returns:
        The particles.

    Raises:
        InputError: Every problem of a table.
    """
    particles = read_particles(table, purpose=purpose)
    told = list(particles.notices)
    origin = None if studies is None else read_studies(studies, particles)
    if origin is not None:
        joined = with_studies(particles, origin)
        told += [*origin.notices, *joined.notices[len(particles.notices) :]]
        particles = joined
    courses = None if timecourse is None else read_courses(timecourse, particles)
    told += [] if courses is None else list(courses.notices)
    return Library(particles, origin, courses, tuple(told))


def check_units(text: str | None) -> None:
    """Refuse units of columns that a table of particles is not in; nothing is converted.

    Args:
        text: Such as "HD=nm,DOSE=mg/kg".

    Raises:
        InputError: Every column that has another unit, or none.
    """
    problems = []
    for part in filter(None, (one.strip() for one in (text or "").split(","))):
        column, _, unit = (one.strip() for one in part.partition("="))
        known = NUMBERS.get(column.upper())
        if known is None:
            rule = f"Columns with a unit are {', '.join(NUMBERS)}"
            problems.append(Problem(f"--units {part}", "no such column", rule, "Leave it out"))
        elif unit.lower() != known.unit.lower():
            rule = f"{column.upper()} is read in {known.unit}"
            found = f"the unit {unit!r}"
            problems.append(Problem(f"--units {part}", found, rule, "Convert the column"))
    if problems:
        raise InputError(problems, source="the units")


def physiology(particles: Particles) -> Mouse:
    """The mice; flow and blood are the usual ones where the table says nothing."""

    def stated(name: str, usual: np.ndarray | float) -> np.ndarray:
        known = name in particles.frame.columns
        value = particles.number(name) if known else np.full(len(particles), np.nan)
        return np.where(np.isnan(value), usual, value)

    weight = particles.number("BW")
    share = particles.tumor_weight / weight
    usual = float(np.nanmedian(share)) if np.isfinite(share).any() else 0.01
    volume = stated("VTC", np.where(np.isnan(share), usual, share))
    return Mouse(
        stated("QTC", USUAL["QTC"]),
        np.clip(volume, 1e-5, 0.4),
        stated("BVT", USUAL["BVT"]),
        weight / 1000,
    )


@jax.jit
def _delivered(
    tumor: Float[Array, "row parameter"], weight: Float[Array, " row"]
) -> Float[Array, "row delivery"]:
    def one(own: Array, kg: Array) -> Array:
        course = follow(Tumor(*own), kg, jnp.zeros(1))
        return jnp.stack([course.de24, course.de168, course.demax])

    return jax.vmap(one)(tumor, weight)


def delivery(
    mouse: Mouse, parameters: Float[np.ndarray, "row parameter"]
) -> Float[np.ndarray, "row delivery"]:
    """DE24, DE168 and DEmax [%ID] by the PBPK model.

    Args:
        mouse: The mice.
        parameters: KTRESmax, KTRES50, KTRESn, KTRESrelease, PT, PATC, natural scale.

    Returns:
        Delivery, shape (row, 3).
    """
    largest, half, power, release, partition, permeability = parameters.T
    tumor = np.stack(
        [mouse.flow, mouse.volume, mouse.blood, partition, permeability, release, largest, half,
         power],
        axis=1,
    )  # fmt: skip
    rows = len(tumor)
    found = []
    for start in range(0, rows, BLOCK):
        block, kg = tumor[start : start + BLOCK], mouse.weight[start : start + BLOCK]
        short = BLOCK - len(block)
        padded = np.concatenate([block, np.repeat(block[-1:], short, axis=0)])
        weights = np.concatenate([kg, np.repeat(kg[-1:], short)])
        found.append(np.asarray(_delivered(jnp.asarray(padded), jnp.asarray(weights))))
    return np.concatenate([np.zeros((0, 3)), *found])[:rows]


def delivery_at(
    location: Float[np.ndarray, "row latent"], mouse: Mouse
) -> Float[np.ndarray, "row delivery"]:
    """log10 of DE24, DE168 and DEmax [%ID] of tumors at points of the latent space."""
    parameters = np.exp(np.clip(location, LOWEST, HIGHEST))
    return np.log10(np.maximum(delivery(mouse, parameters), 1e-9))


def training_rows(
    library: Library, groups: Int[np.ndarray, " row"] | None = None
) -> tuple[Rows, Bool[np.ndarray, " row"], tuple[str, ...]]:
    """What the ensemble is fitted to.

    A delivery that a row lacks is computed by the PBPK model from the row's own parameters. Rows
    that lack a target still are left out.

    Args:
        library: The particles.
        groups: Of rows that stay together; by default their studies, or each on its own.

    Returns:
        The rows, which of the library's they are, and what was left out or computed.

    Raises:
        InputError: Too few rows are left.
    """
    particles = library.particles
    target, told = _targets(particles)
    whole = np.asarray(~np.isnan(target).any(axis=1))
    if not whole.all():
        told.append(f"Left out, since a target is missing: {np.sum(~whole)} particles.")
    if whole.sum() < FEWEST:
        found = f"{whole.sum()} particles with all of {', '.join(TARGETS)}"
        rule = f"A fit needs at least {FEWEST}"
        mend = "Add them, or PT and PATC, from which DE24, DE168 and DEmax are computed"
        raise InputError([Problem("the table", found, rule, mend)], source="the table")
    if groups is None:
        origin = library.studies
        groups = np.arange(len(particles)) if origin is None else origin.groups
    known = properties(particles)
    rows = Rows(
        known.take(whole), np.log10(target[whole]), tuple(TARGETS), groups[whole],
        particles.complete[whole],
    )  # fmt: skip
    if rows.scored.sum() < FEWEST:  # a table of its own kind is judged on all it has
        rows = Rows(rows.known, rows.target, rows.targets, rows.groups, np.ones(whole.sum(), bool))
    return rows, whole, tuple(told)


def measured_rows(library: Library) -> tuple[Rows, tuple[str, ...]]:
    """What a model is judged on: every row that has a target, NaN where it lacks another.

    Raises:
        InputError: No row has one.
    """
    particles = library.particles
    target, told = _targets(particles)
    some = np.asarray(~np.isnan(target).all(axis=1))
    if not some.any():
        rule, mend = f"A model is judged on {', '.join(TARGETS)}", "Add what was measured of them"
        raise InputError([Problem("the table", "no target", rule, mend)], source="the table")
    if not some.all():
        told.append(f"Left out, since every target is missing: {np.sum(~some)} particles.")
    rows = np.flatnonzero(some)
    known = properties(particles).take(rows)
    everything = np.ones(rows.size, bool)
    return Rows(known, np.log10(target[rows]), tuple(TARGETS), rows, everything), tuple(told)


def _targets(particles: Particles) -> tuple[Float[np.ndarray, "row target"], list[str]]:
    """Targets above 0 on the natural scale, NaN where missing, and what was computed."""
    target = np.stack([_column(particles, name.upper()) for name in TARGETS], axis=1)
    fitted = np.stack([_column(particles, name) for name in FITTED], axis=1)
    lacking = np.asarray(np.isnan(target[:, 4:]).any(axis=1) & ~np.isnan(fitted).any(axis=1))
    told = []
    if lacking.any():
        computed = delivery(physiology(particles), np.where(lacking[:, None], fitted, 1.0))
        target[:, 4:] = np.where(
            np.isnan(target[:, 4:]) & lacking[:, None], computed, target[:, 4:]
        )
        told.append(
            f"DE24, DE168 or DEmax computed by the PBPK model from their own parameters: "
            f"{lacking.sum()} particles."
        )
    return np.where(target > 0, target, np.nan), told


def _column(particles: Particles, name: str) -> Float[np.ndarray, " row"]:
    if name not in particles.frame.columns:
        return np.full(len(particles), np.nan)
    return particles.number(name)
