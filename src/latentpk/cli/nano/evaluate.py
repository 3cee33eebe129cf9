"""`latentpk nano evaluate`: how well particles are predicted that were not trained on."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from latentpk.cli.console import Console, check_output, reported, start
from latentpk.cli.nano.opening import decimals, open_named
from latentpk.cli.nano.options import NanoUnits, StudiesFile, TimecourseFile
from latentpk.cli.options import OutFile, Quiet, Seed, Threads
from latentpk.cli.show import print_card
from latentpk.errors import InputError

REPEATS = 5


class Folds(StrEnum):
    """What stays together in folds."""

    RANDOM = "random"
    STUDY = "study"
    MATERIAL = "material"
    TUMOR_MODEL = "tumor_model"


@reported
def evaluate(
    out: OutFile,
    table: Annotated[
        Path | None,
        typer.Argument(
            metavar="TABLE.csv",
            help="Particles to cross-validate on; see `latentpk nano fit`.",
            show_default=False,
        ),
    ] = None,
    timecourse: TimecourseFile = None,
    studies: StudiesFile = None,
    folds: Annotated[
        Folds | None,
        typer.Option(
            help="What is never on both sides of a split. random tells how well a study's own "
            "particles are looked up; study, how well those of a new study are predicted. "
            "Without: study.",
            show_default=False,
        ),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=f"Times that the particles are dealt into 5 folds anew. Without: {REPEATS}.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            help="Judge this model, made by `latentpk nano fit`, instead: on --test.",
            show_default=False,
        ),
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(
            metavar="OTHER.csv",
            help="Particles that --model never saw, with any of the targets.",
            show_default=False,
        ),
    ] = None,
    seed: Seed = 0,
    threads: Threads = 1,
    units: NanoUnits = None,
    quiet: Quiet = False,
) -> None:
    """Score every model on particles it was not trained on, and write the scores as JSON.

    With a table: repeated 5-fold cross-validation, nested, so that nothing is chosen on a fold
    that is scored. With --model and --test: a fitted model on an independent set. Scores are on
    log10; R2 is 1 - SSE / SST about the mean of the scored particles.
    """
    _check(table, model, test, cross=folds is not None or repeats is not None)
    check_output(out, *(one for one in (table, timecourse, studies, test) if one is not None))
    console = start(quiet=quiet, threads=threads)
    from latentpk.storage import write_file
    from latentpk.workflows.nano.evaluate import EvaluateSettings
    from latentpk.workflows.nano.evaluate import evaluate as cross_validate
    from latentpk.workflows.nano.independent import evaluate_model
    from latentpk.workflows.nano.table import check_units, read_library

    check_units(units)
    if model is not None:
        judged = open_named(model)
        found = evaluate_model(judged, read_library(test, studies=studies, purpose="predict"))
    else:
        settings = EvaluateSettings(
            scheme=(folds or Folds.STUDY).value, repeats=repeats or REPEATS, seed=seed
        )
        library = read_library(table, timecourse=timecourse, studies=studies)
        with console.progress() as progress:
            found = cross_validate(library, settings, threads=threads, progress=progress)
    write_file(out, json.dumps(found, indent=1, allow_nan=False) + "\n")
    _tell(console, found)
    console.say(str(out))


def _check(table: Path | None, model: Path | None, test: Path | None, *, cross: bool) -> None:
    """Refuse what makes no sense together, before anything is read."""
    whole = "latentpk nano evaluate TABLE.csv --studies S.csv --folds study --out FILE"
    other = "latentpk nano evaluate --model MODEL --test OTHER.csv --out FILE"
    if table is not None and (model is not None or test is not None):
        raise InputError(
            f"A table is cross-validated on, a model is judged on --test. Write `{whole}` or "
            f"`{other}`."
        )
    if table is None and (model is None) != (test is None):
        lacking = "--test OTHER.csv" if test is None else "--model MODEL"
        raise InputError(f"{lacking} is missing. Write `{other}`.")
    if table is None and model is None:
        raise InputError(f"Nothing to evaluate. Write `{whole}` or `{other}`.")
    if model is not None and cross:
        raise InputError(
            f"--folds and --repeats are of a cross-validation. Leave them out: `{other}`."
        )


def _tell(console: Console, found: dict[str, Any]) -> None:
    """The ensemble beside the best single model, then what there is to say."""
    if console.quiet:
        return
    meta, rows = found["meta"], []
    for target, models in found["targets"].items():
        own = models["ensemble"]
        others = [name for name in models if name != "ensemble" and models[name]["r2"] is not None]
        best = max(others, key=lambda name: models[name]["r2"], default="ensemble")
        spread = "" if own["r2_sd"] is None else f" (SD {decimals(own['r2_sd'])})"
        rows.append(
            {
                "target": target,
                "R2 of the ensemble": f"{decimals(own['r2'])}{spread}",
                "of the best other": f"{decimals(models[best]['r2'])} ({best})",
                "in its 90 % interval": decimals(own["coverage90"]),
            }
        )
    console.notices(tuple(meta["notices"]))
    print_card(f"{meta['scheme']}, {meta['rows']} particles", {"": rows})
    for sign in meta["warnings"]:
        console.warn(sign)
