"""`latentpk nano fit`: train a model on a table of particles."""

from pathlib import Path
from typing import Annotated

import typer

from latentpk.cli.console import Console, reported, start
from latentpk.cli.fit import check_folder
from latentpk.cli.nano.opening import decimals
from latentpk.cli.nano.options import NanoUnits, StudiesFile, Table, TimecourseFile
from latentpk.cli.options import Quiet, Seed, Threads
from latentpk.cli.show import print_card


@reported
def fit(
    table: Table,
    out: Annotated[
        Path,
        typer.Option(metavar="MODEL", help="The model folder to write.", show_default=False),
    ],
    timecourse: TimecourseFile = None,
    studies: StudiesFile = None,
    seed: Seed = 0,
    threads: Threads = 1,
    units: NanoUnits = None,
    quiet: Quiet = False,
) -> None:
    """Train an ensemble on a table of particles, and a latent model on their courses.

    It predicts the four KTRES parameters and the delivery efficiencies DE24, DE168, DEmax from
    the particle's properties. With --studies its intervals hold for particles of studies it never
    saw; without, for the table's own studies alone. R2 is of inner folds: no member had seen what
    it is judged on.
    """
    replaced = check_folder(out)
    console = start(quiet=quiet, threads=threads)
    if replaced:
        console.say(f"{out} holds a model; it stays until this fit is done, which replaces it")
    from latentpk.workflows.nano.model import NanoModel
    from latentpk.workflows.nano.table import check_units

    check_units(units)
    with console.progress() as progress:
        model = NanoModel.fit(
            table, timecourse=timecourse, studies=studies, seed=seed, threads=threads,
            progress=progress,
        )  # fmt: skip
    known, scored = model.card["rows"], model.card["judged"]
    console.say(f"{table}: {known} particles, weights and intervals judged on {scored}")
    console.notices(model.notices)
    _tell(console, model.card["r2"], model.card["targets"])
    if (latent := model.card.get("latent")) is not None:
        console.say(
            f"latent model: {latent['measurements']} measurements of {latent['courses']} courses; "
            f"they are of {latent['measured']}; share of delivery {latent['share_of_delivery']}"
        )
    for sign in model.warnings:
        console.warn(sign)
    model.save(out)
    console.say(str(out))


def _tell(
    console: Console, scores: dict[str, dict[str, float | None]], units: dict[str, str]
) -> None:
    """The ensemble's R2 beside its best member's."""
    members = [name for name in scores if not name.startswith("ensemble")]
    rows = []
    for target, own in scores["ensemble"].items():
        best = max(members, key=lambda name: scores[name][target] or -9.0)
        rows.append(
            {
                "target": f"{target} [{units[target]}]",
                "ensemble": decimals(own),
                "best member": f"{decimals(scores[best][target])} ({best})",
            }
        )
    if not console.quiet:
        print_card("R2 on inner folds", {"": rows})
