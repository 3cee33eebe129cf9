"""`latentpk simulate`: a routine-monitoring cohort from a published model."""

from typing import Annotated

import typer

from latentpk.cli.console import check_output, reported, start
from latentpk.cli.options import OutFile, Quiet, Seed, Threads, UnitsText


@reported
def simulate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A published model, such as vancomycin-goti-2018.",
            show_default=False,
        ),
    ],
    out: OutFile,
    subjects: Annotated[int, typer.Option(min=1, help="Number of subjects.")] = 100,
    seed: Seed = 0,
    threads: Threads = 1,
    units: UnitsText = None,
    quiet: Quiet = False,
) -> None:
    """Simulate a routine-monitoring cohort from a published model.

    Plausible covariates, practical doses, one to four levels in the first days and some later,
    with measurement error, as a NONMEM table.
    """
    check_output(out)
    console = start(quiet=quiet, threads=threads)
    from latentpk.library.catalog import open_model
    from latentpk.storage import write_file
    from latentpk.workflows.simulate import simulate as run
    from latentpk.workflows.simulate import to_csv

    published = open_model(model)
    with console.progress() as progress:
        records = run(published, subjects, seed, progress=progress)
    write_file(out, to_csv(records, published, units))
    levels = int((records["EVID"] == 0).sum())
    console.say(f"{subjects} subjects, {levels} levels from {published.name}, seed {seed}")
    console.say(f"  {published.source.citation}")
    console.say(str(out))
