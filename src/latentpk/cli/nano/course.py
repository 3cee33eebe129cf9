"""`latentpk nano course`: a particle's course through a mouse, before and after measurements."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latentpk.cli.console import check_output, reported, start
from latentpk.cli.nano.asking import (
    Places,
    PlotsFolder,
    check_plots,
    model_and_table,
    open_asked,
    tell_notices,
    tell_plots,
)
from latentpk.cli.nano.options import NanoUnits
from latentpk.cli.options import OutFile, Quiet, Seed, Threads
from latentpk.errors import InputError

if TYPE_CHECKING:
    import numpy as np


class Body(StrEnum):
    """Whose body the particle goes through."""

    MOUSE = "mouse"
    RAT = "rat"
    HUMAN = "human"


@reported
def course(
    places: Places,
    out: OutFile,
    observed: Annotated[
        Path | None,
        typer.Option(
            metavar="TC.csv",
            help="What was measured in the tumor so far: ID, TIME (h), TUMOR (%ID). One early "
            "measurement is worth more than all properties.",
            show_default=False,
        ),
    ] = None,
    times: Annotated[
        str,
        typer.Option(metavar="FROM:TO:STEP|T,T,..", help="When, in hours, up to 180."),
    ] = "0:168:1",
    species: Annotated[
        Body,
        typer.Option(help="Other than a mouse scales the model by weight: extrapolation."),
    ] = Body.MOUSE,
    plots: PlotsFolder = None,
    seed: Seed = 0,
    threads: Threads = 1,
    units: NanoUnits = None,
    quiet: Quiet = False,
) -> None:
    """Follow every particle of a table for up to 180 h, and write the courses as CSV.

    One row for each particle and time: median and 90 % interval (_LO, _HI) of TUMOR (%ID) and
    TUMOR_G (%ID/g), as a measurement would find them, and of PLASMA, LIVER, SPLEEN, KIDNEY, LUNG
    (%ID). Only the tumor was fitted; the other organs are the published PBPK model's.
    """
    folder, table = model_and_table(places, "course")
    check_output(out, table, *([observed] if observed else []))
    check_plots(plots)
    when = _times(times)
    console = start(quiet=quiet, threads=threads)
    from latentpk.records.particles import read_particles
    from latentpk.report.table import csv_text
    from latentpk.storage import write_file
    from latentpk.workflows.nano.course import course as follow
    from latentpk.workflows.nano.table import check_units

    check_units(units)
    particles = read_particles(table)
    model = open_asked(folder)
    with console.progress() as progress:
        found, notices = follow(
            model, particles, when, observed=observed, species=species.value, seed=seed,
            threads=threads, progress=progress,
        )  # fmt: skip
    write_file(out, csv_text(found))
    console.say(f"{table}: {len(particles)} particle{'s' * (len(particles) != 1)}")
    tell_notices(console, (*particles.notices, *notices))
    console.say(str(out))
    if plots is not None:
        from latentpk.report.nano_course import PICTURES, draw_courses

        with console.progress() as progress:
            paths = draw_courses(found, particles, plots, observed=observed, progress=progress)
        tell_plots(console, paths, len(particles), PICTURES)


def _times(text: str) -> "np.ndarray":
    """Times of `FROM:TO:STEP`, or a list.

    Raises:
        InputError: It is neither.
    """
    import numpy as np

    rule = "Write --times 0:168:1 (from, to, step in hours) or a list such as 1,24,168"
    try:
        if ":" not in text:
            return np.array(sorted({float(one) for one in text.split(",")}))
        first, last, step = (float(one) for one in text.split(":"))
    except ValueError as error:
        raise InputError(f"--times {text!r} is no list of times. {rule}.") from error
    if not (np.isfinite([first, last, step]).all() and step > 0 and first <= last):
        raise InputError(f"--times {text!r} runs nowhere. {rule}.")
    if (last - first) / step > 1e6:
        raise InputError(f"--times {text!r} is over a million times. {rule}.")
    return first + step * np.arange(int(np.floor((last - first) / step + 1e-9)) + 1)
