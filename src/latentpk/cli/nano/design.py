"""`latentpk nano design`: which size, charge, shape and targeting is predicted to deliver most."""

import json
from enum import StrEnum
from typing import Annotated, Any

import typer

from latentpk.cli.console import Console, check_output, reported, start
from latentpk.cli.nano.asking import (
    Places,
    PlotsFolder,
    check_plots,
    model_and_table,
    open_asked,
    tell_plots,
)
from latentpk.cli.nano.options import NanoUnits, StudiesFile
from latentpk.cli.options import OutFile, Quiet, Seed, Threads
from latentpk.report.words import percent

TOLD = 20  # particles that are printed


class Aim(StrEnum):
    """What a design is to raise."""

    DE24 = "DE24"
    DE168 = "DE168"
    DEMAX = "DEmax"


@reported
def design(
    places: Places,
    out: OutFile,
    studies: StudiesFile = None,
    target: Annotated[Aim, typer.Option(help="What is to be large, in %ID.")] = Aim.DE24,
    size: Annotated[
        str,
        typer.Option(metavar="LOW:HIGH:STEP", help="Diameters in nm, or a list: 20,50,100."),
    ] = "10:200:10",
    charge: Annotated[
        str, typer.Option(metavar="NAME,NAME", help="Of negative, neutral, positive.")
    ] = "negative,neutral,positive",
    shape: Annotated[
        str, typer.Option(metavar="NAME,NAME", help="Shapes; all, or own to keep the row's.")
    ] = "own",
    targeting: Annotated[
        str, typer.Option(metavar="NAME,NAME", help="Passive, Active; all, or own.")
    ] = "own",
    plots: PlotsFolder = None,
    seed: Seed = 0,
    threads: Threads = 1,
    units: NanoUnits = None,
    quiet: Quiet = False,
) -> None:
    """Rank designs of each particle of a table by predicted delivery, and write them as JSON.

    A row is a setting (tumor, dose, mouse, type, material) and the current design. Designs unlike
    all that the model was trained on are left out; if none is left, none is recommended, the
    reasons are told, and the exit is 0. A ranking is a hypothesis to test: it claims no cause.
    Nothing here draws at random: --seed changes nothing.
    """
    folder, table = model_and_table(places, "design")
    check_output(out, table, *([studies] if studies else []))
    check_plots(plots)
    console = start(quiet=quiet, threads=threads)
    from latentpk.storage import write_file
    from latentpk.workflows.nano.design import design as design_by
    from latentpk.workflows.nano.grid import make_grid
    from latentpk.workflows.nano.table import check_units

    check_units(units)
    grid = make_grid(size=size, charge=charge, shape=shape, targeting=targeting)
    with console.progress() as progress:
        found = design_by(
            open_asked(folder), table, grid, target=target.value, studies=studies,
            progress=progress,
        )  # fmt: skip
    write_file(out, json.dumps(found, indent=1, allow_nan=False) + "\n")
    _tell(console, found)
    console.say(str(out))
    if plots is not None:
        from latentpk.report.nano import PICTURES, draw_designs

        with console.progress() as progress:
            paths = draw_designs(found, plots, progress=progress)
        tell_plots(console, paths, len(found["particles"]), PICTURES)


def _tell(console: Console, found: dict[str, Any]) -> None:
    """The best design of each particle beside its current one, then what kind of answer it is."""
    meta, unit = found["meta"], found["units"]["median"]
    console.notices(tuple(meta["notices"]))
    for one in found["particles"][:TOLD]:
        now = one["current"]
        if one["recommended"] is None:
            console.say(f"{one['id']}: no design is recommended")
        else:
            best = one["alternatives"][one["recommended"]]
            console.say(
                f"{one['id']}: {_words(best)}: {meta['target']} {best['median']:.2g} "
                f"({best['lo']:.2g} to {best['hi']:.2g}) {unit}; now {now['median']:.2g}; above "
                f"it with a chance of {percent(best['p_better'])}"
            )
        for reason in one["reasons"]:
            console.say(f"  {reason}")
    if len(found["particles"]) > TOLD:
        console.say(f"... and {len(found['particles']) - TOLD} more particles in the file")
    console.say(meta["what"])
    for sign in meta["warnings"]:
        console.warn(sign)


def _words(one: dict[str, Any]) -> str:
    parts = [f"{one['HD']:g} nm", one["CHARGE"], one["SHAPE"], one["TS"]]
    return ", ".join(part.lower() for part in parts if part)
