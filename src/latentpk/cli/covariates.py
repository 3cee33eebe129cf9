"""`latentpk covariates`: which covariates act on which parameter."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from latentpk.cli.console import Console, check_output, reported, start
from latentpk.cli.options import Data, OutFile, Quiet, Route, Seed, Threads, UnitsText
from latentpk.cli.popfit import Error, Method, names_of, say_fit


@reported
def covariates(
    data: Data,
    out: OutFile,
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

    A model without effects is fitted; what each patient's levels say of the parameters is kept with
    its uncertainty; effects enter while they pass what permuted covariates reach by chance, and
    leave or change shape as long as that helps. A last fit holds them.
    """
    check_output(out, data)
    console = start(quiet=quiet, threads=threads)
    from latentpk.inference.estimation import EstimationSettings
    from latentpk.storage import write_file
    from latentpk.workflows.population.discovery import DiscoverySettings, discover, told
    from latentpk.workflows.population.fit import PopfitSettings

    base = PopfitSettings(
        structure=structure,
        parameters=names_of(parameters),
        error=error.value,
        estimation=EstimationSettings(method=None if method is Method.AUTO else method.value),
        seed=seed,
    )
    settings = DiscoverySettings(
        base=base,
        covariates=names_of(columns),
        false_inclusion=false_inclusion,
        resamples=resamples,
        seed=seed,
    )
    with console.progress() as progress:
        found = discover(data, settings, progress=progress, units=units, route=route.value)
    answer = told(found)
    write_file(out, json.dumps(answer, indent=1, allow_nan=False) + "\n")
    console.notices(found.base.cohort.notices)
    _say(console, answer)
    say_fit(console, answer["fit"])
    if plots is not None:
        from latentpk.report.population import draw_discovery

        for path in draw_discovery(found, plots):
            console.say(str(path))
    console.say(str(out))


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
