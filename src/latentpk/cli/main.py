"""The `latentpk` command: its verbs, and nothing that imports jax before a verb runs."""

from typing import Annotated

import typer

from latentpk.cli.complexity import complexity
from latentpk.cli.covariates import covariates
from latentpk.cli.data import data
from latentpk.cli.distill import distill
from latentpk.cli.dose import dose
from latentpk.cli.exposure import exposure
from latentpk.cli.fit import fit
from latentpk.cli.forecast import forecast
from latentpk.cli.library import library
from latentpk.cli.nano.main import nano
from latentpk.cli.popfit import popfit
from latentpk.cli.show import show
from latentpk.cli.simulate import simulate

app = typer.Typer(
    name="latentpk",
    help="How a drug moves through one body, from a few measurements.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

SIMULATE = "latentpk simulate vancomycin-goti-2018 --subjects 200 --seed 1 --out clinic.csv"
FIT = (
    "latentpk fit clinic.csv --out clinic.model --covariates WT,CRCL; "
    "latentpk fit ten.csv --start-from vancomycin-goti-2018 --out ours.model; "
    "latentpk fit eight.csv --start-from general --out study.model"
)
POPFIT = (
    'latentpk popfit clinic.csv --structure 2c-iv --effects "cl~CRCL,v~WT" --out fit.json; '
    "latentpk popfit oral.csv --structure 1c-oral --parameters ka,ke,v --error additive "
    "--out fit.json"
)
COVARIATES = (
    "latentpk covariates clinic.csv --structure 2c-iv --out found.json --plots plots; "
    "latentpk covariates oral.csv --structure 1c-oral --parameters ka,ke,v --covariates WT,AGE,SEX "
    "--out found.json"
)
COMPLEXITY = (
    "latentpk complexity clinic.model clinic.csv --out complexity.json --plots plots; "
    "latentpk complexity clinic.model new.csv --train clinic.csv --out complexity.json"
)
DISTILL = "latentpk distill vancomycin-goti-2018 --out goti.model"
FORECAST = (
    "latentpk forecast clinic.model ward.csv --condition-until 48 --out forecast.csv --plots plots"
)
EXPOSURE = (
    "latentpk exposure vancomycin-goti-2018 ward.csv --metric auc24 --at 24 --range 400:600 "
    "--out exposure.json"
)
DOSE = (
    "latentpk dose vancomycin-goti-2018 patient.csv --target auc24=400:600 --doses 500:2000:250 "
    "--intervals 8,12,24 --out dose.json"
)
SHOW = "latentpk show clinic.model"
LIBRARY = "latentpk library; latentpk library show vancomycin-goti-2018; latentpk library targets"
DATA = "latentpk data; latentpk data get nano-tumor --out nano"

app.command(epilog=f"Example: {SIMULATE}")(simulate)
app.command(epilog=f"Example: {FIT}")(fit)
app.command(epilog=f"Example: {POPFIT}")(popfit)
app.command(epilog=f"Example: {COVARIATES}")(covariates)
app.command(epilog=f"Example: {COMPLEXITY}")(complexity)
app.command(epilog=f"Example: {DISTILL}")(distill)
app.command(epilog=f"Example: {FORECAST}")(forecast)
app.command(epilog=f"Example: {EXPOSURE}")(exposure)
app.command(epilog=f"Example: {DOSE}")(dose)
app.command(epilog=f"Example: {SHOW}")(show)
app.command(epilog=f"Example: {LIBRARY}")(library)
app.command(epilog=f"Example: {DATA}")(data)
app.add_typer(nano, epilog="Every verb has examples: latentpk nano predict --help")


def _print_version(wanted: bool) -> bool:
    if wanted:
        import latentpk

        typer.echo(f"latentpk {latentpk.__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    """How a drug moves through one body, from a few measurements."""


def main() -> None:
    """Run the command line."""
    app()
