"""What `explain` and `design` share: a model or the shipped one, a table, and a folder of plots."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latentpk.cli.console import Console
from latentpk.cli.nano.opening import open_named
from latentpk.errors import InputError

if TYPE_CHECKING:
    from latentpk.workflows.nano.model import NanoModel

FEW = 3  # repairs that are told one by one
Places = Annotated[
    list[Path],
    typer.Argument(
        metavar="TABLE.csv|MODEL TABLE.csv",
        help="A folder made by `latentpk nano fit` and a table of particles; with the table "
        "alone, the model that is part of the package.",
        show_default=False,
    ),
]
PlotsFolder = Annotated[
    Path | None,
    typer.Option("--plots", metavar="DIR", help="Also write pictures here.", show_default=False),
]


def model_and_table(places: list[Path], verb: str) -> tuple[Path | None, Path]:
    """Tell a model's folder from the table.

    Raises:
        InputError: More than one of each, or a folder where the table should be.
    """
    if len(places) > 2:
        raise InputError(
            f"{len(places)} files and folders. Write `latentpk nano {verb} [MODEL] TABLE.csv`: "
            "one table, and before it at most one model."
        )
    *model, table = places
    if table.is_dir():
        raise InputError(
            f"{table} is a folder, where a table of particles is needed. Write "
            f"`latentpk nano {verb} {table} TABLE.csv --out FILE`."
        )
    return (model[0] if model else None), table


def open_asked(folder: Path | None) -> "NanoModel":
    """The model that the user named, or the shipped one."""
    from latentpk.workflows.nano.shipped import shipped_model

    return shipped_model() if folder is None else open_named(folder)


def check_plots(plots: Path | None) -> None:
    """Refuse a file where a folder of pictures should be.

    Raises:
        InputError: It is one.
    """
    if plots is not None and plots.exists() and not plots.is_dir():
        raise InputError(f"--plots {plots} is a file. Name a folder.")


def tell_plots(console: Console, paths: list[Path], particles: int, drawn: int) -> None:
    """Say where the pictures are, and of how many particles."""
    if particles > drawn:
        console.say(f"  pictures of the first {drawn} of {particles} particles")
    console.say(str(paths[0].parent))


def tell_notices(console: Console, notices: tuple[str, ...]) -> None:
    """Print notices; many repairs of the published table, which are always the same, as one."""
    repairs = [one for one in notices if one.startswith("Repaired")]
    if len(repairs) <= FEW:
        console.notices(notices)
        return
    console.notices(tuple(one for one in notices if one not in repairs))
    console.say(
        f"  {len(repairs)} known errors of the published table are mended; `latentpk nano fit` "
        "names each, docs/nano_tumor.md says why"
    )
