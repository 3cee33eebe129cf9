"""`latentpk popfit`: a population model by maximum likelihood."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from latentpk.cli.console import Console, check_output, reported, start
from latentpk.cli.fit import check_folder
from latentpk.cli.options import (
    Data,
    Interpolation,
    OutFile,
    Quiet,
    Route,
    Seed,
    Threads,
    UnitsText,
    names_of,
)


class Error(StrEnum):
    """Formula of the residual error."""

    ADDITIVE = "additive"
    PROPORTIONAL = "proportional"
    COMBINED1 = "combined1"
    COMBINED2 = "combined2"
    LOGNORMAL = "lognormal"


class Omega(StrEnum):
    """Whether random effects are correlated."""

    DIAGONAL = "diagonal"
    FULL = "full"


class Method(StrEnum):
    """How random effects are integrated out."""

    AUTO = "auto"
    FOCEI = "focei"
    LAPLACE = "laplace"
    QUADRATURE = "quadrature"
    SAMPLING = "sampling"


@reported
def popfit(
    data: Data,
    out: OutFile,
    structure: Annotated[
        str,
        typer.Option(
            metavar="auto|1c-iv|2c-oral-lag|1c-transit|1c-mm-iv|...",
            help="What is fitted; auto adds compartments, a lag, transit or "
            "a second site as long as BICc falls.",
        ),
    ] = "auto",
    parameters: Annotated[
        str | None,
        typer.Option(
            metavar="ka,ke,v",
            help="Names it is given by, which vary log-normally: clearances and volumes, or ke, "
            "k12, k21 for cl, q, v2.",
            show_default=False,
        ),
    ] = None,
    effects: Annotated[
        str | None,
        typer.Option(
            metavar="PAR~COV[:SHAPE][/REF],...",
            help="Effects of covariates; the shape is power, exponential, linear or category, and "
            "what suits the covariate where it is left out.",
            show_default=False,
        ),
    ] = None,
    error: Annotated[
        Error,
        typer.Option(
            help="a; b f; a + b f (combined1); sqrt(a^2 + b^2 f^2) (combined2); b on the log."
        ),
    ] = Error.COMBINED2,
    omega: Annotated[
        Omega, typer.Option(help="Random effects independent or correlated.")
    ] = Omega.DIAGONAL,
    varying: Annotated[
        str | None,
        typer.Option(
            metavar="ka,v", help="What varies between patients; without: all.", show_default=False
        ),
    ] = None,
    iov: Annotated[
        str | None,
        typer.Option(
            metavar="ka,cl",
            help="What varies between occasions (column OCC) too.",
            show_default=False,
        ),
    ] = None,
    initial: Annotated[
        str | None,
        typer.Option(
            metavar="ka=1.5,cl=3,...",
            help="Where to begin; also om_ka, sigma_add, sigma_prop, v~WT. Without: a search.",
            show_default=False,
        ),
    ] = None,
    dose_covariates: Annotated[
        str | None,
        typer.Option(
            metavar="FED,...",
            help="Of the effects' covariates, what is said of a dose on its record: it changes ka, "
            "alag or f of that dose.",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        Method,
        typer.Option(
            help="How random effects are integrated out; auto is quadrature for up to three "
            "(four by named equations), sampling beyond."
        ),
    ] = Method.AUTO,
    nodes: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Of quadrature, in each dimension.", show_default=False),
    ] = None,
    evaluations: Annotated[
        int,
        typer.Option(min=0, help="Of the likelihood, at most; 0 evaluates it at --initial."),
    ] = 500,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            help="Also write a model folder, for forecast, exposure, dose and show.",
            show_default=False,
        ),
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also draw how well it fits.", show_default=False),
    ] = None,
    route: Annotated[
        Route, typer.Option(help="Where doses go that the file leaves open.")
    ] = Route.AUTO,
    interpolation: Annotated[
        Interpolation, typer.Option(help="A covariate between two of its records.")
    ] = Interpolation.LOCF,
    seed: Seed = 0,
    threads: Threads = 1,
    units: UnitsText = None,
    quiet: Quiet = False,
) -> None:
    """Fit a population model by maximum marginal likelihood, and write it as JSON.

    Estimates with standard errors, -2 log likelihood (all constants included), criteria,
    shrinkage, and a warning for everything that the data could not tell.
    """
    check_output(out, data)
    if model is not None:
        check_folder(model)
    console = start(quiet=quiet, threads=threads)
    from latentpk.inference.estimation import EstimationSettings
    from latentpk.storage import write_file
    from latentpk.workflows.population.fit import PopfitSettings, fit_population
    from latentpk.workflows.population.outcome import describe

    estimation = EstimationSettings(
        method=None if method is Method.AUTO else method.value,
        nodes=nodes,
        evaluations=evaluations,
    )
    settings = PopfitSettings(
        structure=structure,
        parameters=names_of(parameters),
        effects=effects,
        dose_covariates=names_of(dose_covariates) or (),
        error=error.value,
        omega=omega.value,
        varying=names_of(varying),
        iov=names_of(iov) or (),
        initial=initial,
        estimation=estimation,
        seed=seed,
    )
    with console.progress() as progress:
        fit = fit_population(
            data,
            settings,
            progress=progress,
            units=units,
            route=route.value,
            interpolation=interpolation.value,
        )
    found = describe(fit)
    write_file(out, json.dumps(found, indent=1, allow_nan=False) + "\n")
    console.notices(tuple(found["meta"]["notices"]))
    say_fit(console, found)
    if model is not None:
        from latentpk.workflows.population.fitted import FittedPopulation

        FittedPopulation.of(fit, found, route=route.value).save(model)
        console.say(str(model))
    if plots is not None:
        from latentpk.report.population import draw_population

        for path in draw_population(fit, plots):
            console.say(str(path))
    console.say(str(out))


def say_fit(console: Console, found: dict[str, Any]) -> None:
    """The estimates as a table."""
    for one in found["structures"]:
        score = one["bicc_of_focei"]
        told = "no likelihood" if score is None else f"BICc {score:.1f}"
        chosen = ", chosen" if one["chosen"] else ""
        console.say(f"  {one['structure']}: {told} (FOCEI){chosen}")
    meta, likelihood = found["meta"], found["likelihood"]
    console.say(
        f"{meta['structure']}, {meta['subjects']} subjects, {meta['levels']} levels, "
        f"{meta['method']}, error {meta['error']}"
    )
    for name, one in {**found["parameters"], **found["effects"]}.items():
        console.say(_line(name, one))
    for title, part in (
        ("SD of random effects (log scale)", found["random_effects"]),
        ("Correlations", found["correlations"]),
        ("SD between occasions (log scale)", found["between_occasions"]),
        ("Residual error", found["residual"]),
    ):
        if part:
            console.say(title)
            for name, one in part.items():
                console.say(_line(name, one))
    value = likelihood["minus2_log_likelihood"]
    if value is None:
        console.warn("There is no likelihood at these values.")
        return
    console.say(
        f"-2 log likelihood {value:.3f} (all constants), AIC {likelihood['aic']:.1f}, "
        f"BICc {likelihood['bicc']:.1f}"
    )
    for text in found["warnings"]:
        console.warn(text)


def _line(name: str, one: dict[str, Any]) -> str:
    unit = f" {one['unit']}" if one.get("unit") not in (None, "1") else ""
    error = "" if one["se"] is None else f"  ({one['lo']:.4g} to {one['hi']:.4g})"
    relative = one["rse_percent"]
    rse = "" if relative is None else f"  RSE {relative:.0f} %"
    return f"  {name:<12} {one['value']:.4g}{unit}{error}{rse}"
