"""The options that verbs share, as types."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Decoder(StrEnum):
    """What turns a latent patient into a concentration."""

    AUTO = "auto"
    COMPARTMENT = "compartment"
    KERNEL = "kernel"
    GRID = "grid"


class Route(StrEnum):
    """Where doses go whose route the file does not tell."""

    AUTO = "auto"
    IV = "iv"
    ORAL = "oral"


class Interpolation(StrEnum):
    """What a covariate is between two records."""

    LOCF = "locf"
    NOCB = "nocb"
    LINEAR = "linear"


class Impute(StrEnum):
    """What stands for a covariate that a whole subject lacks."""

    MEDIAN = "median"


class Ties(StrEnum):
    """Whether a level at a dose's time was drawn before or after it."""

    FILE = "file"
    PRE = "pre"
    POST = "post"


_EVERYWHERE = "Every verb"

Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print errors only.", rich_help_panel=_EVERYWHERE)
]
Seed = Annotated[
    int,
    typer.Option(
        min=0,
        max=2**32 - 1,
        help="Seed of every random draw: the same seed gives the same output.",
        rich_help_panel=_EVERYWHERE,
    ),
]
Threads = Annotated[
    int, typer.Option(min=1, max=1024, help="CPU threads.", rich_help_panel=_EVERYWHERE)
]
UnitsText = Annotated[
    str | None,
    typer.Option(
        "--units",
        metavar="TEXT",
        help="Units of the file's columns, such as TIME=min,DV=ng/mL. "
        "Without: h, mg, mg/L, or the file's own '# units:' line.",
        show_default=False,
        rich_help_panel=_EVERYWHERE,
    ),
]
Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A folder made by `latentpk fit`, or a published model (see `latentpk library`).",
        show_default=False,
    ),
]
Data = Annotated[
    Path, typer.Argument(metavar="DATA.csv", help="A NONMEM table.", show_default=False)
]
OutFile = Annotated[
    Path,
    typer.Option("--out", metavar="FILE", help="The file to write.", show_default=False),
]
