"""What was measured of particles: their courses in the tumor, and the studies they come from.

Both tables name particles by ID and are put in the order of the particles' own table. A row of no
particle there is dropped, counted and named; a particle that a table does not name has no course,
or no study. Every problem of a table comes in one error.
"""

import hashlib
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from latentpk.errors import InputError, Problem
from latentpk.records.cells import (
    Number,
    read_cells,
    read_ids,
    read_numbers,
    require_columns,
    shortened,
    tell_unused,
    whole,
)
from latentpk.records.particles import NUMBERS, Particles
from latentpk.records.repairs import mend_courses

TIME = Number("h", 0, 180, above=False)  # the published PBPK model's courses end there
TUMOR = Number("%ID", 0, 100, above=False)
TUMOR_G = Number("%ID/g", 0, 1e6, above=False)
PADDING = {"time": 0.0, "tumor": 1.0, "limit": 1.0}  # whose logarithms are finite

MATERIALS = (
    "Polymeric", "Gold", "Other OM", "Liposomes", "Silica", "Hydrogels", "Dendrimers", "Other IM",
    "Iron Oxide",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Courses:
    """Measurements in the tumor, one row for each particle, times sorted.

    A measured zero says that less was there than the assay sees. What it sees is not known: the
    smallest positive value of the course stands for it, so a zero among the first measurements may
    be judged by a later one.

    Attributes:
        time: Time after the dose [h]; padding is 0.
        tumor: In the tumor [%ID], the limit where censored; padding is 1.
        measured: Which entries are measurements; they come first in a row.
        censored: Which measurements are below `limit`.
        limit: Smallest positive value of the course, or of the table where it has none [%ID];
            padding is 1.
        notices: What was dropped, computed, or read otherwise than written.
        digest: SHA-256 of the source.
    """

    time: Float[np.ndarray, "row measurement"]
    tumor: Float[np.ndarray, "row measurement"]
    measured: Bool[np.ndarray, "row measurement"]
    censored: Bool[np.ndarray, "row measurement"]
    limit: Float[np.ndarray, "row measurement"]
    notices: tuple[str, ...]
    digest: str

    def __len__(self) -> int:
        return len(self.time)

    @property
    def count(self) -> Int[np.ndarray, " row"]:
        """Measurements of each particle."""
        return self.measured.sum(axis=1)

    def take(self, rows: Int[np.ndarray, " kept"]) -> "Courses":
        """The courses of some particles."""
        return replace(
            self,
            time=self.time[rows],
            tumor=self.tumor[rows],
            measured=self.measured[rows],
            censored=self.censored[rows],
            limit=self.limit[rows],
        )

    def first(self, n: int) -> "Courses":
        """The courses with only their first `n` measurements."""
        return self._cut(slice(None, _count(n)))

    def after(self, n: int) -> "Courses":
        """The courses without their first `n` measurements."""
        return self._cut(slice(_count(n), None))

    def _cut(self, kept: slice) -> "Courses":
        return replace(
            self,
            time=self.time[:, kept],
            tumor=self.tumor[:, kept],
            measured=self.measured[:, kept],
            censored=self.censored[:, kept],
            limit=self.limit[:, kept],
        )


@dataclass(frozen=True, eq=False)
class Studies:
    """Where particles come from, and what only their studies tell; in the order of the particles.

    Attributes:
        study: Study of each particle, None where it is not known.
        material: Core material, one of `MATERIALS`, None where it is not known.
        zp_signed: Zeta potential with its sign [mV], NaN where it is not known.
        notices: What was dropped or is not used.
        digest: SHA-256 of the source.
    """

    study: tuple[str | None, ...]
    material: tuple[str | None, ...]
    zp_signed: Float[np.ndarray, " row"]
    notices: tuple[str, ...]
    digest: str

    def __len__(self) -> int:
        return len(self.study)

    @property
    def groups(self) -> Int[np.ndarray, " row"]:
        """Number of each particle's study; a particle without one is a group of its own."""
        names: dict[object, int] = {}
        keys = [(row,) if one is None else one for row, one in enumerate(self.study)]
        return np.array([names.setdefault(key, len(names)) for key in keys], dtype=int)


def read_courses(source: str | Path | Any, particles: Particles, *, repair: bool = True) -> Courses:
    """Read and validate courses in the tumor.

    The table has ID, TIME [h] and TUMOR [%ID], names in any case. With TUMOR_G [%ID/g] alone, that
    times the tumor's weight is taken, and nothing is mended.

    Args:
        source: Path of a CSV file, or a data frame.
        particles: The particles that the courses belong to.
        repair: Whether known errors of the published table are mended.

    Returns:
        The courses, in the order of the particles.

    Raises:
        InputError: Every problem of the table, each with row, column, rule and mend.
    """
    notices: list[str] = []
    problems: list[Problem] = []
    cells, digest, name = read_cells(source)
    problems += require_columns(cells, ["ID", "TIME", "TUMOR or TUMOR_G"], "courses")
    if problems:
        raise InputError(problems, source=name)
    ids = read_ids(cells, problems, once=False)
    time = read_numbers(cells, "TIME", TIME, problems, required=True).to_numpy()
    place = _places(ids, particles)
    tumor = _amounts(cells, place, particles, problems, notices)
    if repair and _column(cells) == "TUMOR":
        ids, tumor, done = mend_courses(ids, time, tumor)
        notices += done
        place = _places(ids, particles)
    kept = place >= 0
    if (tumor[kept] == 0).any() and not (tumor[kept] > 0).any():
        found, rule = "every value is 0", "Courses have at least one value above 0"
        mend = "Drop the courses, or fill in the assay's limit"
        problems.append(Problem(f"column {_column(cells)}", found, rule, mend))
    if problems:
        raise InputError(problems, source=name)
    notices += _dropped(ids, kept)
    tell_unused(cells, {"ID", "TIME", _column(cells)}, notices)
    arrays = _arranged(place[kept], time[kept], tumor[kept], len(particles))
    courses = Courses(**arrays, notices=(), digest=digest)
    notices += _told(courses, particles)
    return replace(courses, notices=tuple(notices))


def read_studies(source: str | Path | Any, particles: Particles) -> Studies:
    """Read and validate the studies that particles come from.

    The table has ID and STUDY_ID (or STUDY), and may have MAT and ZP_SIGNED [mV], names in any
    case; any of these may be empty.

    Args:
        source: Path of a CSV file, or a data frame.
        particles: The particles that come from the studies.

    Returns:
        The studies, in the order of the particles.

    Raises:
        InputError: Every problem of the table, each with row, column, rule and mend.
    """
    cells, digest, name = read_cells(source)
    problems = require_columns(cells, ["ID", "STUDY_ID or STUDY"], "studies")
    if problems:
        raise InputError(problems, source=name)
    column = "STUDY_ID" if "STUDY_ID" in cells.columns else "STUDY"
    ids = read_ids(cells, problems, once=True)
    materials = _materials(cells, problems)
    zeta = read_numbers(cells, "ZP_SIGNED", NUMBERS["ZP_SIGNED"], problems)
    if problems:
        raise InputError(problems, source=name)
    rows = {one: row for row, one in enumerate(ids)}
    order = [rows.get(one, -1) for one in particles.ids]
    notices = _dropped(ids, _places(ids, particles) >= 0)
    tell_unused(cells, {"ID", column, "MAT", "ZP_SIGNED"}, notices)
    names = [*whole(cells[column]), None]  # the last one stands for a particle without a row
    return Studies(
        study=tuple(names[row] for row in order),
        material=tuple([*materials, None][row] for row in order),
        zp_signed=np.array([*zeta, None], dtype=float)[order],
        notices=tuple(notices),
        digest=digest,
    )


def with_studies(particles: Particles, studies: Studies) -> Particles:
    """Join core material and signed zeta potential to the particles.

    A value that the particles' own table has stays, and a notice tells where the studies disagree.

    Args:
        particles: The particles.
        studies: Their studies, as `read_studies` gave them for these particles.

    Returns:
        The particles, with the columns MAT and ZP_SIGNED.

    Raises:
        InputError: The studies are of another number of particles.
    """
    if len(studies) != len(particles):
        found = f"studies of {len(studies)} particles beside {len(particles)}"
        rule, mend = "Studies are of the particles they join", "Read them with these particles"
        raise InputError([Problem("the studies", found, rule, mend)])
    own = {name: _own(particles, name) for name in ("MAT", "ZP_SIGNED")}
    own["MAT"] = [None if one is None else _material(one) or one for one in own["MAT"]]
    zeta = [None if np.isnan(value) else float(value) for value in studies.zp_signed]
    notices: list[str] = []
    material = _joined(own["MAT"], studies.material, "MAT", particles, notices)
    signed = _joined(own["ZP_SIGNED"], zeta, "ZP_SIGNED", particles, notices)
    frame = particles.frame.with_columns(
        pl.Series("MAT", material, pl.String), pl.Series("ZP_SIGNED", signed, pl.Float64)
    )
    digest = hashlib.sha256(f"{particles.digest}{studies.digest}".encode()).hexdigest()
    return Particles(frame, particles.notices + tuple(notices), digest)


def _count(n: int) -> int:
    if n < 0:
        rule, mend = "A number of measurements is 0 or more", "Give 0 or more"
        raise InputError([Problem("n", f"{n}", rule, mend)], source="the request")
    return n


def _places(ids: pl.Series, particles: Particles) -> Int[np.ndarray, " cell"]:
    """Which particle each row is of, -1 where none."""
    places = {one: place for place, one in enumerate(particles.ids)}
    return np.array([places.get(one, -1) for one in ids], dtype=int)


def _dropped(ids: pl.Series, kept: Bool[np.ndarray, " cell"]) -> list[str]:
    strangers = ids.filter(~pl.Series(kept)).to_list()
    if not strangers:
        return []
    rows = "1 row is" if len(strangers) == 1 else f"{len(strangers)} rows are"
    named = f"{'ID' if len({*strangers}) == 1 else 'IDs'} {shortened(strangers)}"
    none = " No row is left." if not kept.any() else ""
    return [f"{rows} dropped, since no particle has that ID: {named}.{none}"]


def _column(cells: pl.DataFrame) -> str:
    return "TUMOR" if "TUMOR" in cells.columns else "TUMOR_G"


def _amounts(
    cells: pl.DataFrame,
    place: Int[np.ndarray, " cell"],
    particles: Particles,
    problems: list[Problem],
    notices: list[str],
) -> Float[np.ndarray, " cell"]:
    """What is in the tumor [%ID], NaN where the row is of no particle and only TUMOR_G is there."""
    if _column(cells) == "TUMOR":
        return read_numbers(cells, "TUMOR", TUMOR, problems, required=True).to_numpy()
    density = read_numbers(cells, "TUMOR_G", TUMOR_G, problems, required=True).to_numpy()
    weight = np.append(particles.tumor_weight, np.nan)[place]
    amount = density * weight
    for row in np.flatnonzero((place >= 0) & np.isnan(weight)):
        found = f"the tumor's weight of particle {particles.ids[place[row]]} is not known"
        rule, mend = "TUMOR_G is read with TW or TSZ", "Fill in TW, or give TUMOR in %ID"
        problems.append(Problem(f"row {row + 1}, column TUMOR_G", found, rule, mend))
    for row in np.flatnonzero(amount > TUMOR.high):
        found = f"{density[row]:g} %ID/g of {weight[row]:g} g is {amount[row]:g} %ID"
        rule, mend = "No tumor holds more than the dose", "Check the unit (%ID/g) and TW"
        problems.append(Problem(f"row {row + 1}, column TUMOR_G", found, rule, mend))
    notices.append("TUMOR is TUMOR_G times the tumor's weight, TW or 1.2 TSz.")
    return amount


def _arranged(
    place: Int[np.ndarray, " cell"],
    time: Float[np.ndarray, " cell"],
    tumor: Float[np.ndarray, " cell"],
    rows: int,
) -> dict[str, Any]:
    """The arrays of `Courses`: sorted by time, in the table's order where times are equal."""
    order = np.lexsort((time, place))
    place, time, tumor = place[order], time[order], tumor[order]
    limit = _limits(place, tumor, rows)[place]
    counts = np.bincount(place, minlength=rows)
    entry = (place, np.arange(len(place)) - (np.cumsum(counts) - counts)[place])
    shape = (rows, int(counts.max(initial=0)))
    values = {"time": time, "tumor": np.where(tumor > 0, tumor, limit), "limit": limit}
    arrays: dict[str, Any] = {name: np.full(shape, PADDING[name]) for name in values}
    for name, value in values.items():
        arrays[name][entry] = value
    for name, value in {"measured": True, "censored": tumor == 0}.items():
        arrays[name] = np.zeros(shape, bool)
        arrays[name][entry] = value
    return arrays


def _limits(
    place: Int[np.ndarray, " cell"], tumor: Float[np.ndarray, " cell"], rows: int
) -> Float[np.ndarray, " row"]:
    """Smallest positive value of each course, of all where a course has none."""
    seen = tumor > 0
    smallest = np.full(rows, np.inf)
    np.minimum.at(smallest, place[seen], tumor[seen])
    return np.where(np.isinf(smallest), tumor[seen].min(initial=np.inf), smallest)


def _told(courses: Courses, particles: Particles) -> list[str]:
    """Notices of zeros and of measurements at one time."""
    notices = []
    zeros = courses.censored.sum(axis=1)
    if zeros.any():
        named = shortened([particles.ids[row] for row in np.flatnonzero(zeros)])
        count = "1 zero is" if zeros.sum() == 1 else f"{zeros.sum()} zeros are"
        notices.append(f"{count} read as below the smallest value measured: ID {named}.")
    both = courses.measured[:, 1:] & (np.diff(courses.time, axis=1) == 0)
    if both.any():
        named = shortened([particles.ids[row] for row in np.flatnonzero(both.any(axis=1))])
        notices.append(f"Measurements at the same time are all kept: ID {named}.")
    return notices


def _material(cell: str) -> str | None:
    known = {one.lower(): one for one in MATERIALS}
    return known.get(" ".join(cell.lower().split()))


def _materials(cells: pl.DataFrame, problems: list[Problem]) -> list[str | None]:
    written = cells["MAT"].to_list() if "MAT" in cells.columns else [None] * cells.height
    values = [None if cell is None else _material(cell) for cell in written]
    lower = {one.lower(): one for one in MATERIALS}
    for row, (cell, value) in enumerate(zip(written, values, strict=True), start=1):
        if cell is not None and value is None:
            near = get_close_matches(cell.lower(), lower, n=1, cutoff=0.5)
            rule = f"MAT is one of {', '.join(MATERIALS)}"
            meant = f"Did you mean {lower[near[0]]}? " if near else ""
            mend = f"{meant}Correct it, or leave it empty where it is not known"
            problems.append(Problem(f"row {row}, column MAT", f"{cell!r}", rule, mend))
    return values


def _own(particles: Particles, column: str) -> list[Any]:
    if column not in particles.frame.columns:
        return [None] * len(particles)
    return particles.frame[column].to_list()


def _joined(
    own: list[Any],
    given: tuple[Any, ...] | list[Any],
    column: str,
    particles: Particles,
    notices: list[str],
) -> list[Any]:
    """The table's own values, the studies' where it has none; a notice where they disagree."""
    for one, mine, theirs in zip(particles.ids, own, given, strict=True):
        if mine is not None and theirs is not None and mine != theirs:
            notices.append(f"{column} of ID {one} stays {mine}; its study says {theirs}.")
    return [theirs if mine is None else mine for mine, theirs in zip(own, given, strict=True)]
