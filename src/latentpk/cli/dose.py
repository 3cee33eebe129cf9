"""`latentpk dose`: a dose and an interval for one patient, its alternatives, and a verdict."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from latentpk.cli.console import Console, check_output, reported, start
from latentpk.cli.options import (
    CreatinineFloor,
    DeriveSizes,
    DosesToCome,
    Female,
    Models,
    OutFile,
    PriorWeight,
    Quiet,
    RenalCap,
    RenalName,
    Seed,
    Threads,
    UnitsText,
    derivation,
)
from latentpk.cli.patients import read_panel
from latentpk.errors import InputError
from latentpk.report.words import percent

SHOWN = 5


@reported
def dose(
    model: Models,
    data: Annotated[
        Path,
        typer.Argument(
            metavar="PATIENT.csv", help="A NONMEM table of one patient.", show_default=False
        ),
    ],
    target: Annotated[
        str,
        typer.Option(
            help="A name such as vancomycin-auc24, or a range: auc24=400:600, trough=10:15, "
            "ft_mic=100@2.",
            show_default=False,
        ),
    ],
    out: OutFile,
    at: Annotated[
        str,
        typer.Option(
            metavar="H|ss", help="Start of the window that is judged, in hours; of auc_cum its end."
        ),
    ] = "ss",
    begin: Annotated[
        float | None,
        typer.Option(
            "--start",
            metavar="H",
            help="Time of the first new dose. Without: when the next one is due.",
            show_default=False,
        ),
    ] = None,
    doses: Annotated[
        str | None,
        typer.Option(
            metavar="LOW:HIGH:STEP",
            help="Amounts to choose from, or a list: 500,750,1000.",
            show_default=False,
        ),
    ] = None,
    intervals: Annotated[
        str | None,
        typer.Option(metavar="H,H", help="Intervals to choose from.", show_default=False),
    ] = None,
    infusion: Annotated[
        str | None,
        typer.Option(
            metavar="H,H",
            help="Lengths of the infusion; at the interval's length it is continuous.",
            show_default=False,
        ),
    ] = None,
    loading: Annotated[bool, typer.Option(help="Allow a larger first dose.")] = False,
    max_daily: Annotated[
        float | None, typer.Option(metavar="AMT", help="Largest amount a day.", show_default=False)
    ] = None,
    max_single: Annotated[
        float | None, typer.Option(metavar="AMT", help="Largest single dose.", show_default=False)
    ] = None,
    vial: Annotated[
        float | None,
        typer.Option(metavar="AMT", help="Round amounts to whole vials.", show_default=False),
    ] = None,
    mic: Annotated[
        float | None, typer.Option(help="MIC in mg/L, for ft_mic.", show_default=False)
    ] = None,
    unbound: Annotated[float, typer.Option(help="Unbound fraction, for ft_mic.")] = 1.0,
    draws: Annotated[
        int, typer.Option(min=100, help="Posterior draws, at least half effective.")
    ] = 8192,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html",
            help="Also write one page with the curves, the alternatives and the reasons.",
            show_default=False,
        ),
    ] = None,
    dose_covariates: DosesToCome = None,
    prior_weight: PriorWeight = 1.0,
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
    """Recommend a dose and an interval for one patient, and write all it rests on as JSON.

    Exit 0 also where the answer is refused: the reasons are in the file, and no dose.
    """
    check_output(out, data)
    if report is not None:
        _check_report(report, data, out)
    console = start(quiet=quiet, threads=threads)
    from latentpk.dosing.metric import parse_at
    from latentpk.dosing.regimen import parse_amounts
    from latentpk.dosing.target import parse_target
    from latentpk.storage import write_file
    from latentpk.workflows.dose_options import Wish
    from latentpk.workflows.dosing import advise

    aim = parse_target(target, mic=mic, unbound=unbound)
    wish = Wish(
        amounts=None if doses is None else parse_amounts(doses),
        intervals=None if intervals is None else parse_amounts(intervals),
        infusions=None if infusion is None else parse_amounts(infusion),
        at=parse_at(at),
        start=begin,
        loading=loading,
        most_daily=max_daily,
        most_single=max_single,
        vial=vial,
    )
    computed = derivation(
        renal=renal, floor=creatinine_floor, cap=renal_cap, female=female, sizes=derive
    )
    pairs = read_panel(
        console,
        model,
        data,
        prior_weight=prior_weight,
        coming=dose_covariates,
        units=units,
        derive=computed,
        purpose="dose",
    )
    with console.progress() as progress:
        found, answer, average = advise(pairs, aim, wish, draws=draws, seed=seed, progress=progress)
    files = [(out, json.dumps(found, indent=1, allow_nan=False) + "\n")]
    if report is not None:
        from latentpk.report.dose_page import dose_page
        from latentpk.workflows.dose_curves import curves_of

        files.append((report, dose_page(found, curves_of(pairs, answer, average))))
    for path, text in files:
        write_file(path, text)
    _tell(console, found)
    for path, _ in files:
        console.say(str(path))


def _check_report(report: Path, data: Path, out: Path) -> None:
    """Refuse a page that could not be written, or would replace the answer.

    Raises:
        InputError: As `check_output`, or it is the file of --out.
    """
    check_output(report, data, option="--report")
    if report.resolve() == out.resolve():
        raise InputError(f"--report {report} is the file of --out. Name another file.")


def _tell(console: Console, found: dict[str, Any]) -> None:
    """The answer in a few lines."""
    console.say(f"verdict: {found['verdict']}")
    for reason in found["reasons"]:
        console.say(f"  {reason}")
    replaced = found["inputs"]["doses replaced"]
    if replaced:
        start = found["inputs"]["start [h]"]
        console.say(
            f"  {replaced} dose{'s' * (replaced != 1)} of the file from {start:g} h on "
            f"{'are' if replaced != 1 else 'is'} replaced by what is judged"
        )
    for default in found["inputs"]["defaults"]:
        console.say(f"  taken as default: {default}")
    for one in found["posterior"].get("models", ()):
        console.say(f"  {one['name']}: weight {one['weight']:.2f}, {one['verdict']}")
    if found["recommended"] is None:
        console.say("No dose is recommended.")
        return
    unit = found["units"]
    console.say(
        f"{found['inputs']['target']['says']}, first new dose at "
        f"{found['inputs']['start [h]']:g} h:"
    )
    several = len(found["inputs"]["infusions [h]"]) > 1
    for one in found["alternatives"][:SHOWN]:
        first = "" if one["loading"] is None else f" after {one['loading']:g} {unit['amount']}"
        spread = one["exposure"]
        console.say(
            f"  {one['amount']:g} {unit['amount']}"
            + (f" over {one['infusion']:g} h" if several else "")
            + f" every {one['interval']:g} h{first}: "
            f"in range {percent(one['probability'])}{_above(one)}, "
            f"exposure {spread['median']:.4g} "
            f"({spread['lo']:.4g} to {spread['hi']:.4g}) {unit['exposure']}"
            + "".join(
                f"; {said['name']} {percent(said['probability'])}" for said in one.get("models", ())
            )
        )
    if found["hold_until"] is not None:
        console.say(f"  Hold until {found['hold_until']:g} h: the level is above the limit.")
    if found["next_sample"] is not None:
        console.say(f"  The next level tells most at {found['next_sample']['time']:g} h.")


def _above(one: dict[str, Any]) -> str:
    """The chance of too much, where the target names a limit."""
    toxic = one["probability_toxic"]
    return "" if toxic is None else f", above the limit {percent(toxic)}"
