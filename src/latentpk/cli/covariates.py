"""`latentpk covariates`: which covariates act on which parameter."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latentpk.cli.console import Console, check_output, reported, start
from latentpk.cli.options import (
    Data,
    OutFile,
    Quiet,
    Route,
    Seed,
    Threads,
    UnitsText,
    names_of,
)
from latentpk.cli.patients import misnamed
from latentpk.cli.popfit import Error, Method, say_fit
from latentpk.errors import ArtifactError, InputError

if TYPE_CHECKING:
    from latentpk.workflows.population.discovery import (
        Discovery,
        DiscoverySettings,
        SearchSettings,
    )
    from latentpk.workflows.population.fit import PopfitSettings


@reported
def covariates(
    data: Data,
    out: OutFile,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Look in the latent space of this model (a folder or a published one) instead of "
            "fitting a population model.",
            show_default=False,
        ),
    ] = None,
    structure: Annotated[
        str, typer.Option(metavar="auto|1c-iv|1c-oral|...", help="The model, as in popfit.")
    ] = "auto",
    parameters: Annotated[
        str | None,
        typer.Option(metavar="ka,ke,v", help="Names it is given by.", show_default=False),
    ] = None,
    error: Annotated[Error, typer.Option(help="The residual error, as in popfit.")] = (
        Error.COMBINED2
    ),
    method: Annotated[
        Method, typer.Option(help="How random effects are integrated out.")
    ] = Method.FOCEI,
    columns: Annotated[
        str | None,
        typer.Option(
            "--covariates",
            metavar="WT,AGE,...",
            help="Where to look; by default every numeric column that is no NONMEM item.",
            show_default=False,
        ),
    ] = None,
    false_inclusion: Annotated[
        float,
        typer.Option(
            min=0.001, max=0.5, help="How often something may be found where nothing acts."
        ),
    ] = 0.1,
    resamples: Annotated[
        int, typer.Option(min=0, help="Of the patients, for selection probabilities.")
    ] = 50,
    plots: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Also draw random effects against covariates, before and after.",
            show_default=False,
        ),
    ] = None,
    route: Annotated[
        Route, typer.Option(help="Where doses go that the file leaves open.")
    ] = Route.AUTO,
    seed: Seed = 0,
    threads: Threads = 1,
    units: UnitsText = None,
    quiet: Quiet = False,
) -> None:
    """Find which covariates act on which parameter, in which shape, and write it as JSON.

    Examples: latentpk covariates data.csv --structure 1c-oral --out found.json;
    latentpk covariates data.csv --model my.model --out found.json --plots pictures

    A model without effects is fitted; what each patient's levels say of the parameters is kept with
    its uncertainty; effects enter while they pass what permuted covariates reach by chance, and
    leave or change shape as long as that helps. A last fit holds them. With --model nothing is
    fitted: the posteriors of a trained model, without their prior, say where patients are in its
    latent space, whatever its decoder.
    """
    check_output(out, data)
    if model is not None:
        _check_fit_options(structure, parameters, error, method, route)
    console = start(quiet=quiet, threads=threads)
    from latentpk.storage import write_file
    from latentpk.workflows.population.discovery import DiscoverySettings, SearchSettings, told

    search = SearchSettings(
        covariates=names_of(columns),
        false_inclusion=false_inclusion,
        resamples=resamples,
        seed=seed,
    )
    if model is None:
        base = _base(structure, parameters, error, method, seed)
        asked = DiscoverySettings(base=base, **search.model_dump())
        found = _by_likelihood(console, data, asked, {"units": units, "route": route.value})
    else:
        found = _in_latent_space(console, model, data, search, units)
    answer = told(found)
    write_file(out, json.dumps(answer, indent=1, allow_nan=False) + "\n")
    console.notices(found.cohort.notices)
    _say(console, answer)
    if "fit" in answer:
        say_fit(console, answer["fit"])
    if plots is not None:
        from latentpk.report.population import draw_discovery

        for path in draw_discovery(found, plots):
            console.say(str(path))
    console.say(str(out))


def _check_fit_options(
    structure: str, parameters: str | None, error: Error, method: Method, route: Route
) -> None:
    """Refuse what only a population fit reads, before anything is read."""
    given = {
        "--structure": structure != "auto",
        "--parameters": parameters is not None,
        "--error": error is not Error.COMBINED2,
        "--method": method is not Method.FOCEI,
        "--route": route is not Route.AUTO,
    }
    clashing = [name for name, there in given.items() if there]
    if clashing:
        raise InputError(
            f"{', '.join(clashing)} beside --model: the model decides that. Leave out "
            f"{' and '.join(clashing)}, or leave out --model to fit a population model."
        )


def _base(
    structure: str, parameters: str | None, error: Error, method: Method, seed: int
) -> "PopfitSettings":
    from latentpk.inference.estimation import EstimationSettings
    from latentpk.workflows.population.fit import PopfitSettings

    return PopfitSettings(
        structure=structure,
        parameters=names_of(parameters),
        error=error.value,
        estimation=EstimationSettings(method=None if method is Method.AUTO else method.value),
        seed=seed,
    )


def _by_likelihood(
    console: Console, data: Path, settings: "DiscoverySettings", reading: dict[str, Any]
) -> "Discovery":
    from latentpk.workflows.population.discovery import discover

    with console.progress() as progress:
        return discover(data, settings, progress=progress, **reading)


def _in_latent_space(
    console: Console, model: str, data: Path, settings: "SearchSettings", units: str | None
) -> "Discovery":
    from latentpk.workflows.population.directions import discover_directions
    from latentpk.workflows.predictor import open_predictor

    try:
        predictor = open_predictor(model)
    except ArtifactError as error:
        raise misnamed(model, error) from error
    with console.progress() as progress:
        return discover_directions(predictor, data, settings, progress=progress, units=units)


def _say(console: Console, answer: dict[str, Any]) -> None:
    """The effects in sentences."""
    if not answer["effects"]:
        console.say("No effect passes what covariates permuted between patients reach by chance.")
    for one in answer["effects"]:
        share = one["probability"]
        often = "" if share is None else f"; found in {100 * share:.0f} % of resamples"
        console.say(
            f"{one['covariate']} acts on {one['parameter']} ({one['shape']}): without it "
            f"-2 log likelihood rises by {one['rise_without']:.1f}{often}"
        )
    near = [one for one in answer["others"] if one["probability"] >= 0.3]
    for one in near:
        console.say(
            f"  not chosen: {one['covariate']} on {one['parameter']}, found in "
            f"{100 * one['probability']:.0f} % of resamples"
        )
    for text in answer["warnings"]:
        console.warn(text)
