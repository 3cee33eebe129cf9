"""`latentpk fit`: train a model on a population."""

from pathlib import Path
from typing import Annotated, Any

import typer

from latentpk.cli.console import reported, start
from latentpk.cli.options import (
    CreatinineFloor,
    Data,
    Decoder,
    DeriveSizes,
    Female,
    Impute,
    Interpolation,
    Quiet,
    Renal,
    RenalCap,
    RenalName,
    Route,
    Seed,
    Threads,
    UnitsText,
    derivation,
)
from latentpk.errors import InputError


@reported
def fit(
    data: Data,
    out: Annotated[
        Path,
        typer.Option(
            metavar="MODEL",
            help="The model folder to write. Training that was cut off in MODEL.partial resumes.",
            show_default=False,
        ),
    ],
    covariates: Annotated[
        str | None,
        typer.Option(
            metavar="WT,CRCL,...",
            help="Covariates to use; by default every numeric column that is no NONMEM item.",
            show_default=False,
        ),
    ] = None,
    decoder: Annotated[
        Decoder, typer.Option(help="How a latent patient becomes a curve.")
    ] = Decoder.AUTO,
    structure: Annotated[
        str,
        typer.Option(
            metavar="auto|1c-iv|1c-oral|2c-iv|...", help="Compartment model of that decoder."
        ),
    ] = "auto",
    route: Annotated[
        Route, typer.Option(help="Where doses go that the file leaves open.")
    ] = Route.AUTO,
    interpolation: Annotated[
        Interpolation, typer.Option(help="A covariate between two of its records.")
    ] = Interpolation.LOCF,
    impute: Annotated[
        Impute | None,
        typer.Option(
            help="Fill a covariate that a whole subject lacks; without, that is an error.",
            show_default=False,
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Most passes over the data. Without: until held-out subjects gain no more.",
            show_default=False,
        ),
    ] = None,
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
    """Train a model on a population of patients."""
    _check_folder(out)
    if renal is Renal.CARD:
        raise InputError("--renal card: a fit has no card yet. Name a formula.")
    computed = derivation(
        renal=renal, floor=creatinine_floor, cap=renal_cap, female=female, sizes=derive
    )
    console = start(quiet=quiet, threads=threads)
    from latentpk.records.nonmem import read_nonmem
    from latentpk.workflows.profile import ProfileVAE

    with console.progress() as progress:
        cohort = read_nonmem(
            data,
            units=units,
            covariates=_names(covariates),
            interpolation=interpolation.value,
            impute=impute.value if impute else None,
            route=route.value,
            purpose="fit",
            derive=computed,
            progress=progress,
        )
    console.say(f"{data}: {len(cohort)} subjects")
    console.notices(cohort.notices)
    settings: dict[str, Any] = {"decoder": decoder.value, "structure": structure}
    settings["route"] = route.value
    if epochs is not None:
        settings["epochs"] = epochs
    model = ProfileVAE(**settings, seed=seed)
    with console.progress() as progress:
        model.fit(cohort, progress=progress, checkpoint=out.with_name(f"{out.name}.partial"))
    console.notices(tuple(model.notices))
    model.save(out)
    console.say(str(out))


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _check_folder(out: Path) -> None:
    """Refuse a folder that could not become a model, before hours of training."""
    if out.is_file():
        raise InputError(f"--out {out} is a file. A model is a folder: name another path.")
    if out.is_dir() and any(out.iterdir()) and not (out / "manifest.json").is_file():
        raise InputError(f"--out {out} holds something that is no model. Name another folder.")
    if not out.absolute().parent.is_dir():
        raise InputError(f"--out {out}: {out.parent} does not exist. Make that folder first.")
