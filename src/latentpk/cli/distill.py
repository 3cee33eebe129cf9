"""`latentpk distill`: a trained model from a published one."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from latentpk.cli.console import reported, start
from latentpk.cli.fit import check_folder
from latentpk.cli.options import Quiet, Seed, Threads, UnitsText


class Form(StrEnum):
    """What is trained."""

    COMPARTMENT = "compartment"
    KERNEL = "kernel"


@reported
def distill(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A published model, such as vancomycin-goti-2018 (see `latentpk library`).",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="MODEL",
            help="The model folder to write. Training that was cut off in MODEL.partial resumes.",
            show_default=False,
        ),
    ],
    subjects: Annotated[int, typer.Option(min=2, help="Patients to simulate.")] = 1000,
    decoder: Annotated[
        Form,
        typer.Option(
            help="compartment keeps the published population and trains the encoder; kernel "
            "trains a whole model with a free response."
        ),
    ] = Form.COMPARTMENT,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Most passes over the patients. Without: until the bound gains no more.",
            show_default=False,
        ),
    ] = None,
    seed: Seed = 0,
    threads: Threads = 1,
    units: UnitsText = None,
    quiet: Quiet = False,
) -> None:
    """Train a model on patients simulated from a published one.

    Half of them follow its routine design, half have one to eight levels at any time, so that the
    encoder sees any number of levels. Covariate ranges, salt factor, definition of renal function
    and usual dosing come over from the card. --units are kept: files the model is to answer are
    read in them.
    """
    check_folder(out)
    console = start(quiet=quiet, threads=threads)
    from latentpk.workflows.distill import DistillSettings
    from latentpk.workflows.distill import distill as run

    settings = DistillSettings(
        subjects=subjects, decoder=decoder.value, epochs=epochs, seed=seed, units=units
    )
    partial = out.with_name(f"{out.name}.partial")
    with console.progress() as progress:
        model = run(name, settings, progress=progress, checkpoint=partial)
    console.say(f"{name}: {subjects} patients simulated, seed {seed}")
    console.notices(model.notices)
    model.save(out)
    console.say(str(out))
