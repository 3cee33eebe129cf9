"""`latentpk complexity`: whether a compartment model would do, and what it misses."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latentpk.cli.console import Console, check_output, reported, start
from latentpk.cli.options import Data, OutFile, Quiet, Seed, Threads, UnitsText
from latentpk.errors import ArtifactError, InputError

if TYPE_CHECKING:
    from latentpk.workflows.profile import ProfileVAE

SAID = 5  # subjects of either kind that are printed; all are in the file


@reported
def complexity(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help="A folder made by `latentpk fit`, with any decoder that is no compartment model.",
            show_default=False,
        ),
    ],
    data: Data,
    out: OutFile,
    train: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA.csv",
            help="The population in which the compartment model and the kinds of people are found, "
            "usually what MODEL was fitted to. Without: DATA.csv itself.",
            show_default=False,
        ),
    ] = None,
    rival: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="A compartment model made by `latentpk fit --decoder compartment`. Without: the "
            "best one is fitted.",
            show_default=False,
        ),
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Also draw who is complex, what the trained model adds, and a few subjects.",
            show_default=False,
        ),
    ] = None,
    draws: Annotated[
        int, typer.Option(min=64, max=20_000, help="Posterior draws of a subject.")
    ] = 512,
    seed: Seed = 0,
    threads: Threads = 1,
    units: UnitsText = None,
    quiet: Quiet = False,
) -> None:
    """Tell simple subjects, whom a compartment model describes, from complex ones.

    Each subject gets a class (simple, complex, undecided) with its probability; the population the
    share of complex people, the errors of both models on held-out levels and the latent dimension;
    and what the trained model adds is followed over time, concentration and covariates, so that the
    missing mechanism shows.
    """
    check_output(out, data, *(path for path in (train,) if path is not None))
    if plots is not None and plots.exists() and not plots.is_dir():
        raise InputError(f"--plots {plots} is a file. Name a folder.")
    console = start(quiet=quiet, threads=threads)
    from latentpk.storage import write_file
    from latentpk.workflows.complexity.answer import told
    from latentpk.workflows.complexity.assess import ComplexitySettings, assess
    from latentpk.workflows.complexity.residual import residual_model

    trained = _open("MODEL", model)
    other = None if rival is None else _open("--rival", rival)
    cohort = _read(console, trained, data, units)
    population = None if train is None else _read(console, trained, train, units)
    settings = ComplexitySettings(draws=draws, seed=seed)
    with console.progress() as progress:
        found = assess(
            trained, cohort, train=population, rival=other, settings=settings, progress=progress
        )
        residual = residual_model(found, progress=progress)
    answer = told(found, residual)
    write_file(out, json.dumps(answer, indent=1, allow_nan=False) + "\n")
    _say(console, answer)
    if plots is not None:
        from latentpk.report.complexity import draw_complexity

        for path in draw_complexity(found, residual, plots):
            console.say(str(path))
    console.say(str(out))


def _open(where: str, folder: Path) -> "ProfileVAE":
    from latentpk.workflows.profile import ProfileVAE

    if not folder.is_dir():
        raise InputError(
            f"{where} {folder} is no folder. A model is a folder made by `latentpk fit`; published "
            "models are compartment models already."
        )
    try:
        return ProfileVAE.load(folder)
    except ArtifactError as error:
        raise InputError(f"{where}: {error}") from error


def _read(console: Console, model: "ProfileVAE", data: Path, units: str | None) -> Any:
    from latentpk.records.nonmem import read_nonmem

    reading: dict[str, Any] = model.reading() | ({} if units is None else {"units": units})
    with console.progress() as progress:
        cohort = read_nonmem(data, **reading, purpose="forecast", progress=progress)
    console.say(f"{data}: {len(cohort)} subject{'s' * (len(cohort) != 1)}")
    console.notices(cohort.notices)
    return cohort


def _say(console: Console, answer: dict[str, Any]) -> None:
    """The population, what is missing, and the subjects that stand out."""
    console.say(f"compartment model: {answer['meta']['compartment_model']}; "
                f"{answer['meta']['what_either_has_seen']}")  # fmt: skip
    console.say(answer["population"]["sentence"])
    counts = answer["population"]["counts"]
    console.say(", ".join(f"{number} {name}" for name, number in counts.items()))
    d = answer["dimension"]
    console.say(
        f"latent dimension: {d['by_held_out']} by held-out levels, {d['by_criterion']} by the "
        f"information criterion, {d['active_units']} of {d['latent']} units active"
    )
    console.say(answer["residual"]["sentence"])
    if answer["residual"]["advice"] is not None:
        console.say(answer["residual"]["advice"])
    known = [one for one in answer["subjects"] if one["class"] == "complex"]
    known.sort(key=lambda one: -one["probability"])
    for one in known[:SAID]:
        console.say(f"  {one['sentence']}")
    short = [one for one in answer["subjects"] if one["probability"] is None]
    if short:
        names = ", ".join(str(one["id"]) for one in short[:SAID])
        more = f" and {len(short) - SAID} more" if len(short) > SAID else ""
        console.warn(f"too few levels to be judged: subject {names}{more}")
