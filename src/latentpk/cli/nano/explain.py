"""`latentpk nano explain`: what a model's predictions of particles rest on."""

import json
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
from latentpk.cli.show import print_card


@reported
def explain(
    places: Places,
    out: OutFile,
    studies: StudiesFile = None,
    plots: PlotsFolder = None,
    permutations: Annotated[
        int,
        typer.Option(
            min=0,
            max=10_000,
            help="Times that size, charge and tumor size are each mixed up, to see what importance "
            "chance gives; 0 leaves that out. It needs the targets in the table.",
        ),
    ] = 49,
    seed: Seed = 0,
    threads: Threads = 1,
    units: NanoUnits = None,
    quiet: Quiet = False,
) -> None:
    """Explain each prediction of a table, and what all of them rest on, as JSON.

    For every particle and target: what each property adds to the prediction, to that of XGBoost
    and to that of the network, and what the network attends to. For the whole table: mean
    importance, and whether that of size and charge is more than chance gives; with --studies,
    values are exchanged between whole studies, since a property that tells studies apart looks
    important otherwise. Attributions explain the model, not biology.
    """
    folder, table = model_and_table(places, "explain")
    check_output(out, table, *([studies] if studies else []))
    check_plots(plots)
    console = start(quiet=quiet, threads=threads)
    from latentpk.storage import write_file
    from latentpk.workflows.nano.explain import ExplainSettings
    from latentpk.workflows.nano.explain import explain as explain_by
    from latentpk.workflows.nano.table import check_units

    check_units(units)
    settings = ExplainSettings(permutations=permutations, seed=seed)
    with console.progress() as progress:
        found = explain_by(
            open_asked(folder), table, studies=studies, settings=settings, threads=threads,
            progress=progress,
        )  # fmt: skip
    write_file(out, json.dumps(found, allow_nan=False) + "\n")
    _tell(console, found)
    console.say(str(out))
    if plots is not None:
        from latentpk.report.nano import PICTURES, draw_explained

        with console.progress() as progress:
            paths = draw_explained(found, plots, progress=progress)
        tell_plots(console, paths, len(found["particles"]), PICTURES)


def _tell(console: Console, found: dict[str, Any]) -> None:
    """The rank of size and charge, then what there is to say."""
    if console.quiet:
        return
    whole = found["global"]
    console.notices(tuple(found["meta"]["notices"]))
    rows = []
    for target, judged in whole["ranks"].items():
        row = {"target": target}
        for name, one in judged.items():
            chance = "" if one["p"] is None else f" (p {one['p']:.2g})"
            row[name] = f"{one['rank']['prediction']} of {one['of']}{chance}"
        rows.append(row)
    print_card("Rank in the prediction; p of XGBoost's importance", {"": rows})
    for sentence in [*whole["sentences"], whole["null"]["reason"]]:
        if sentence:
            console.say(sentence)
    console.say(found["meta"]["what"])
    for sign in found["warnings"]:
        console.warn(sign)
