"""`latentpk library`: the published models, one model's card, and the named targets."""

from enum import StrEnum
from typing import Annotated

import typer

from latentpk.cli.console import reported, start
from latentpk.cli.options import Quiet, Seed, Threads, UnitsText
from latentpk.cli.show import print_list, show
from latentpk.errors import InputError


class Part(StrEnum):
    """What of the library is printed."""

    MODELS = "models"
    SHOW = "show"
    TARGETS = "targets"


@reported
def library(
    part: Annotated[
        Part,
        typer.Argument(
            metavar="models|show|targets",
            help="The list of models, one model's card, or the named targets.",
            show_default=False,
        ),
    ] = Part.MODELS,
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="The model that `show` prints.", show_default=False),
    ] = None,
    seed: Seed = 0,
    threads: Threads = 1,
    units: UnitsText = None,
    quiet: Quiet = False,
) -> None:
    """List the published models, or show one, or list the named targets.

    Of a model: name, drug, structure, the covariates it needs and what it is for. Nothing here
    draws at random and everything names its own units: --seed changes nothing, and --units is
    checked but converts nothing.
    """
    if (name is not None) != (part is Part.SHOW):
        raise InputError(_misread(part, name))
    if name is not None:
        show(name, seed=seed, threads=threads, units=units, quiet=quiet)
        return
    console = start(quiet=quiet, threads=threads, compiles=False)
    from latentpk.units import parse_units

    parse_units(units)
    records = _targets() if part is Part.TARGETS else _models()
    if not console.quiet:
        print_list(f"latentpk library: {len(records)} {part.value}", records)


def _models() -> list[dict[str, str]]:
    from latentpk.library import GENERAL
    from latentpk.library.catalog import list_models, read_model

    published = [
        {
            "name": model.name,
            "what": f"{model.drug}, {model.population.structure}; needs "
            + (", ".join(f"{c.name} [{c.unit}]" for c in model.required) or "no covariate"),
            "summary": model.summary,
        }
        for model in map(read_model, list_models())
    ]
    general = {
        "name": GENERAL,
        "what": "no drug's: learned from simulated studies of many drugs",
        "summary": "Fine-tuned on a study of yours by `latentpk fit DATA.csv --start-from "
        f"{GENERAL} --out MODEL`; that model answers.",
    }
    return [*published, general]


def _targets() -> list[dict[str, str]]:
    from latentpk.dosing.target import list_targets

    return [
        {"name": t.name, "what": f"{t.drug}: {t.describe()}", "citation": t.citation}
        for t in list_targets()
    ]


def _misread(part: Part, name: str | None) -> str:
    if name is None:
        return "library show: which model? Write `latentpk library show NAME`."
    return f"library {part}: the name {name!r} goes with `show`: `latentpk library show {name}`."
