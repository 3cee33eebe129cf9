"""`latentpk fit`: train a model on a population."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from latentpk.cli.console import Console, reported, start
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
    StartFrom,
    Threads,
    UnitsText,
    derivation,
    names_of,
)
from latentpk.cli.patients import misnamed, read_for
from latentpk.errors import ArtifactError, InputError
from latentpk.library import GENERAL

if TYPE_CHECKING:
    from latentpk.records.subject import Cohort


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
    dose_covariates: Annotated[
        str | None,
        typer.Option(
            metavar="FED,...",
            help="Columns that say something of a dose on its record, and are no covariates: they "
            "change ka, alag and f of that dose.",
            show_default=False,
        ),
    ] = None,
    decoder: Annotated[
        Decoder, typer.Option(help="How a latent patient becomes a curve.")
    ] = Decoder.AUTO,
    structure: Annotated[
        str,
        typer.Option(
            metavar="auto|1c-iv|1c-oral|2c-iv|1c-mm-oral|...",
            help="Compartment model of that decoder, or a nonlinear one.",
        ),
    ] = "auto",
    initial: Annotated[
        str | None,
        typer.Option(
            metavar="vmax=20,km=5,v=40,...",
            help="Where a nonlinear structure begins. Without: a search, for most ready-made ones.",
            show_default=False,
        ),
    ] = None,
    route: Annotated[
        Route, typer.Option(help="Where doses go that the file leaves open.")
    ] = Route.AUTO,
    interpolation: Annotated[
        Interpolation | None,
        typer.Option(
            help="A covariate between two of its records; locf, or with --start-from the source's.",
            show_default=False,
        ),
    ] = None,
    impute: Annotated[
        Impute | None,
        typer.Option(
            help="Fill a covariate that a whole subject lacks; without, that is an error.",
            show_default=False,
        ),
    ] = None,
    components: Annotated[
        str,
        typer.Option(
            metavar="1|2|...|auto",
            help="Groups of people, where nothing says who is who: poor metabolizers, say.",
        ),
    ] = "1",
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Most passes over the data. Without: until held-out subjects gain no more.",
            show_default=False,
        ),
    ] = None,
    start_from: StartFrom = None,
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
    """Train a model on a population of patients, or adapt one that there is.

    With --start-from the source's structure and covariate effects stay; typical values, spread
    and residual error move as far as the local levels insist, and an encoder learns the result.
    --start-from general begins from what simulated studies of many drugs have in common, for a
    study of a few patients of a drug that no model is published of; covariates are the study's.
    """
    replaced = check_folder(out)
    tuned = start_from == GENERAL
    if start_from is not None:
        decided = (dose_covariates, decoder, structure, initial, components)
        _check_options(decided, None if tuned else (covariates, route))
    if renal is Renal.CARD and (tuned or start_from is None):
        raise InputError("--renal card: a fit has no card yet. Name a formula.")
    computed = derivation(
        renal=renal, floor=creatinine_floor, cap=renal_cap, female=female, sizes=derive
    )
    console = start(quiet=quiet, threads=threads)
    groups = parse_components(components)
    if replaced:
        console.say(f"{out} holds a model; it stays until this fit is done, which replaces it")
    partial = out.with_name(f"{out.name}.partial")
    rule: dict[str, Any] = {} if interpolation is None else {"interpolation": interpolation.value}
    if start_from is not None and not tuned:
        options = {"impute": impute.value} if impute else {}
        cohort_of = {"units": units, "derive": computed, **rule, **options}
        _adapt(console, (start_from, data, out), cohort_of, (epochs, seed), partial)
        return
    from latentpk.records.nonmem import read_nonmem
    from latentpk.workflows.population.asked import parse_initial
    from latentpk.workflows.profile import ProfileVAE

    with console.progress() as progress:
        cohort = read_nonmem(
            data,
            units=units,
            covariates=names_of(covariates),
            dose_covariates=names_of(dose_covariates) or (),
            **rule,
            impute=impute.value if impute else None,
            route=route.value,
            purpose="fit",
            derive=computed,
            progress=progress,
        )
    console.say(f"{data}: {len(cohort)} subjects")
    console.notices(cohort.notices)
    if tuned:
        _tune(console, cohort, out, (route, epochs, seed), partial)
        return
    settings: dict[str, Any] = {"decoder": decoder.value.replace("-", "_"), "structure": structure}
    settings["route"] = route.value
    if groups != 1:
        settings["components"] = groups
    if epochs is not None:
        settings["epochs"] = epochs
    if initial is not None:
        settings["initial"] = parse_initial(initial)
    model = ProfileVAE(**settings, seed=seed)
    with console.progress() as progress:
        model.fit(cohort, progress=progress, checkpoint=partial)
    console.notices(tuple(model.notices))
    model.save(out)
    console.say(str(out))


def parse_components(text: str) -> int | Literal["auto"]:
    """Read --components.

    Raises:
        InputError: Neither "auto" nor a number of groups that can be fitted.
    """
    from latentpk.models.config import MOST_GROUPS

    if text == "auto":
        return "auto"
    if text.isdecimal() and 1 <= int(text) <= MOST_GROUPS:
        return int(text)
    raise InputError(
        f"--components {text}: a population consists of 1 to {MOST_GROUPS} groups of people, or "
        "auto tries two against one. 1 is a population of one kind."
    )


def _adapt(
    console: Console,
    places: tuple[str, Path, Path],
    reading: dict[str, Any],
    numbers: tuple[int | None, int],
    partial: Path,
) -> None:
    """Adapt the source to the data, and save it."""
    from latentpk.workflows.adapt import AdaptSettings, Source, adapt

    (name, data, out), (epochs, seed) = places, numbers
    try:
        source = Source.open(name)
    except ArtifactError as error:
        raise misnamed(name, error) from error
    cohort = read_for(console, source.predictor, data, purpose="adapt", **reading)
    settings = AdaptSettings(seed=seed)
    if epochs is not None:
        settings = settings.model_copy(update={"epochs": epochs})
    with console.progress() as progress:
        model = adapt(source, cohort, settings, progress=progress, checkpoint=partial)
    console.notices(model.notices)
    model.save(out)
    console.say(str(out))


def _tune(
    console: Console,
    cohort: "Cohort",
    out: Path,
    options: tuple[Route, int | None, int],
    partial: Path,
) -> None:
    """Fine-tune the general model on a study, and save it."""
    from latentpk.workflows.general.tune import TuneSettings, tune

    route, epochs, seed = options
    settings = TuneSettings(route=route.value, seed=seed)
    if epochs is not None:
        settings = settings.model_copy(update={"epochs": epochs})
    with console.progress() as progress:
        model = tune(cohort, settings, progress=progress, checkpoint=partial)
    console.notices(model.notices)
    model.save(out)
    console.say(str(out))


def _check_options(
    decided: tuple[str | None, Decoder, str, str | None, str], read: tuple[str | None, Route] | None
) -> None:
    """Refuse what the source has decided already, before anything is read.

    Args:
        decided: Covariates of doses, decoder, structure, initial values and groups that were asked
            for.
        read: Covariates and route that were asked for; None where the source leaves them open.
    """
    dose_covariates, decoder, structure, initial, components = decided
    covariates, route = read or (None, Route.AUTO)
    given = {
        "--covariates": covariates is not None,
        "--dose-covariates": dose_covariates is not None,
        "--decoder": decoder is not Decoder.AUTO,
        "--structure": structure != "auto",
        "--route": route is not Route.AUTO,
        "--initial": initial is not None,
        "--components": components != "1",
    }
    clashing = [name for name, there in given.items() if there]
    if clashing:
        raise InputError(
            f"{', '.join(clashing)} beside --start-from: the source decides that. "
            f"Leave out {' and '.join(clashing)}, or leave out --start-from to fit from nothing."
        )


def check_folder(out: Path) -> bool:
    """Refuse a folder that could not become a model, before hours of training.

    Returns:
        Whether there is a model that will be replaced.
    """
    if out.is_file():
        raise InputError(f"--out {out} is a file. A model is a folder: name another path.")
    if out.is_dir() and any(out.iterdir()) and not (out / "manifest.json").is_file():
        raise InputError(f"--out {out} holds something that is no model. Name another folder.")
    if not out.absolute().parent.is_dir():
        raise InputError(f"--out {out}: {out.parent} does not exist. Make that folder first.")
    return out.is_dir() and any(out.iterdir())
