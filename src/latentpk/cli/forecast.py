"""`latentpk forecast`: patients' curves from a few levels, with their uncertainty."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latentpk.cli.console import Console, check_output, reported, start
from latentpk.cli.options import (
    CreatinineFloor,
    Data,
    DeriveSizes,
    Female,
    Models,
    OutFile,
    PriorWeight,
    Quiet,
    RenalCap,
    RenalName,
    Seed,
    Threads,
    Ties,
    UnitsText,
    derivation,
)
from latentpk.cli.patients import read_panel
from latentpk.errors import InputError

if TYPE_CHECKING:
    from latentpk.records.subject import Cohort
    from latentpk.workflows.predictor import Predictor

PLOTTED = 50  # one picture a subject: more would be a slide show nobody watches


@reported
def forecast(
    model: Models,
    data: Data,
    out: OutFile,
    plots: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help=f"Also draw a picture of each subject (the first {PLOTTED}) in this folder.",
            show_default=False,
        ),
    ] = None,
    condition_until: Annotated[
        float | None,
        typer.Option(
            metavar="H",
            help="Use only levels and covariates up to this time, in hours. Without: all.",
            show_default=False,
        ),
    ] = None,
    ties: Annotated[
        Ties, typer.Option(help="A level at a dose's time: as the file has it, before, or after.")
    ] = Ties.FILE,
    draws: Annotated[
        int | None,
        typer.Option(
            min=100, help="Posterior draws of a subject. Without: the model's.", show_default=False
        ),
    ] = None,
    prior_weight: PriorWeight = 1.0,
    renal: RenalName = None,
    creatinine_floor: CreatinineFloor = None,
    renal_cap: RenalCap = None,
    female: Female = None,
    derive: DeriveSizes = False,
    seed: Seed = 0,
    threads: Threads = 1,
    units: UnitsText = None,
    quiet: Quiet = False,
) -> None:
    """Forecast each patient's concentrations from the levels measured so far.

    One row for each level and prediction time (EVID 2, or EVID 0 with MDV 1) of the file.
    """
    check_output(out, data)
    console = start(quiet=quiet, threads=threads)
    if plots is not None and plots.exists() and not plots.is_dir():
        raise InputError(f"--plots {plots} is a file. Name a folder.")
    from latentpk.report.table import csv_text
    from latentpk.storage import write_file
    from latentpk.workflows.averaging import forecast as forecast_by

    options: dict[str, Any] = {"seed": seed} | ({"draws": draws} if draws else {})
    computed = derivation(
        renal=renal, floor=creatinine_floor, cap=renal_cap, female=female, sizes=derive
    )
    pairs = read_panel(
        console,
        model,
        data,
        prior_weight=prior_weight,
        units=units,
        derive=computed,
        ties=ties.value,
        condition_until=condition_until,
    )
    with console.progress() as progress:
        table = forecast_by(pairs, progress=progress, **options)
    write_file(out, csv_text(table))
    if plots is not None:
        _draw(console, pairs, plots, options)
    console.say(str(out))
    if plots is not None:
        console.say(str(plots))


def _draw(
    console: Console,
    pairs: "list[tuple[Predictor, Cohort]]",
    folder: Path,
    options: dict[str, Any],
) -> None:
    from latentpk.report.curves import draw_subjects
    from latentpk.workflows.averaging import asked_alike
    from latentpk.workflows.averaging import forecast as forecast_by

    cohort = pairs[0][1]
    first = cohort.subset(range(min(PLOTTED, len(cohort))))
    with console.progress() as progress:
        draw_subjects(
            lambda subjects: forecast_by(asked_alike(pairs, subjects), **options),
            first,
            folder,
            progress=progress,
        )
    if len(cohort) > PLOTTED:
        console.say(f"  pictures of the first {PLOTTED} of {len(cohort)} subjects")
