"""`latentpk data`: the public data sets, and one of them into a folder."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from latentpk.cli.console import Console, reported, start
from latentpk.cli.options import Quiet, Seed, Threads, UnitsText
from latentpk.cli.show import print_list
from latentpk.errors import InputError


class Action(StrEnum):
    """What is done with data sets."""

    LIST = "list"
    GET = "get"


@reported
def data(
    action: Annotated[
        Action,
        typer.Argument(
            metavar="list|get",
            help="List the data sets, or get one of them.",
            show_default=False,
        ),
    ] = Action.LIST,
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="The data set that `get` gets.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The folder to write into, made if absent. Without: one of the data set's name, "
            "here.",
            show_default=False,
        ),
    ] = None,
    seed: Seed = 0,
    threads: Threads = 1,
    units: UnitsText = None,
    quiet: Quiet = False,
) -> None:
    """List public data sets, or get one: no data set is part of the package.

    Where the variable LATENTPK_DATA names a folder with a copy, that is checked and copied; else
    the authors' files are downloaded and checked (with the extra `data` installed). Nothing is
    written that is not the published content. Nothing here draws at random and the data sets name
    their own units: --seed changes nothing, and --units is checked but converts nothing.
    """
    if action is Action.GET and name is None:
        raise InputError("data get: which data set? Write `latentpk data get nano-tumor`.")
    if action is Action.LIST and (name is not None or out is not None):
        raise InputError("data list takes no name and no --out: write `latentpk data get NAME`.")
    console = start(quiet=quiet, threads=threads, compiles=False)
    from latentpk.units import parse_units

    parse_units(units)
    if name is not None:
        _get(console, name, out or Path(name))
    elif not console.quiet:
        records = _datasets()
        print_list(f"latentpk data: {len(records)} data set{'s' * (len(records) != 1)}", records)


def _get(console: Console, name: str, folder: Path) -> None:
    from latentpk.library.fetch import data_folder, fetch_dataset

    with console.progress() as progress:
        done = fetch_dataset(name, folder, local=data_folder(), progress=progress)
    console.say(f"{done.dataset.name}: {done.origin}, SHA-256 as published")
    for path in done.files:
        console.say(f"  {path}")
    console.notices(done.notices)
    console.say(f"  Cite {done.dataset.citation}.")


def _datasets() -> list[dict[str, Any]]:
    from latentpk.library.datasets import list_datasets

    return [
        {
            "name": one.name,
            "what": one.title,
            "files": [f"{file.name} ({file.licence}): {file.what}" for file in one.files],
            "citation": one.citation,
        }
        for one in list_datasets()
    ]
