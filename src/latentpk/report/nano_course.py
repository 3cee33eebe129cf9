"""Pictures of particles' courses through a mouse: the tumor, then the other organs."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from latentpk.records.courses import Courses, read_courses
from latentpk.records.particles import Particles
from latentpk.report.plots import BAND, BLUE, GREY, INK, LEVEL, VERDICTS, literal, save_figure, tidy

Progress = Callable[[int, int, str], None]
PICTURES = 50
ORGANS = {
    "PLASMA": "#1b5e9b",
    "LIVER": "#8c5a2b",
    "SPLEEN": "#7b3f8c",
    "KIDNEY": "#2e7d4f",
    "LUNG": "#c8501e",
}


def draw_courses(
    table: pl.DataFrame,
    particles: Particles,
    folder: Path,
    *,
    observed: str | Path | Any | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Draw the first particles of a table of courses.

    Args:
        table: From `workflows.nano.course.course`.
        particles: Whose they are.
        folder: Where the pictures go; made if absent.
        observed: What was measured, to be drawn beside.
        progress: Called with (done, total, label).

    Returns:
        The pictures' paths.
    """
    courses = None if observed is None else read_courses(observed, particles)
    chosen = particles.ids[:PICTURES]
    paths = []
    for row, name in enumerate(chosen):
        safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:80] or "particle"
        path = folder / f"{row + 1:03d}-{safe}.png"
        own = table.filter(pl.col("ID") == name)
        save_figure(course_figure(own, _measured(courses, row)), path)
        paths.append(path)
        if progress is not None:
            progress(row + 1, len(chosen), "pictures drawn")
    return paths


def _measured(courses: Courses | None, row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if courses is None:
        return np.zeros(0), np.zeros(0), np.zeros(0, bool)
    kept = courses.measured[row]
    return courses.time[row, kept], courses.tumor[row, kept], courses.censored[row, kept]


def course_figure(
    table: pl.DataFrame, measured: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> Figure:
    """One particle: the tumor with what was measured, beside the other organs.

    Args:
        table: Its rows.
        measured: Times [h], amounts [%ID], and whether each is only an upper limit.

    Returns:
        A figure; `save_figure` writes it.
    """
    figure = Figure(figsize=(11.0, 4.8), layout="constrained", facecolor="white")
    tumor, organs = figure.subplots(1, 2)
    time = table["TIME"].to_numpy()
    tumor.fill_between(
        time, table["TUMOR_LO"], table["TUMOR_HI"], color=BAND, alpha=0.5, linewidth=0,
        label="90 % of measurements",
    )  # fmt: skip
    marker = "o" if time.size == 1 else ""
    tumor.plot(time, table["TUMOR"], color=BLUE, linewidth=2, marker=marker, label="median")
    when, amount, below = measured
    if when.size:
        tumor.plot(when[~below], amount[~below], "o", color=LEVEL, label="measured, used")
    if below.any():
        tumor.plot(when[below], amount[below], "v", color=LEVEL, label="measured: below this")
    tumor.set_ylabel("tumor [% of the injected dose]", color=INK)
    for name, color in ORGANS.items():
        organs.plot(
            time, table[name], color=color, linewidth=1.8, marker=marker, label=name.lower()
        )
    organs.set_ylabel("organ [% of the injected dose]", color=INK)
    organs.set_title(
        "the published PBPK model: not fitted to these organs", fontsize=9.5, color=GREY, loc="left"
    )
    for axes in (tumor, organs):
        axes.set_xlabel("time after the dose [h]", color=INK)
        axes.set_ylim(bottom=0)
        tidy(axes)
        axes.legend(frameon=False, fontsize=9)
    used, verdict = int(table["MEASUREMENTS"][0]), str(table["VERDICT"][0])
    basis = (
        "from its properties alone" if not used
        else f"from its properties and {used} measurement{'s' * (used != 1)}"
    )  # fmt: skip
    figure.suptitle(
        literal(f"Particle {table['ID'][0]}: {basis}"), x=0.01, ha="left", fontsize=14,
        fontweight="bold", color=INK,
    )  # fmt: skip
    figure.text(0.99, 0.985, verdict, ha="right", va="top", color=VERDICTS[verdict], fontsize=11)
    return figure
