"""`latentpk exposure`: areas, troughs, peaks and times above a MIC, with their uncertainty."""

import json
from typing import Annotated

import typer

from latentpk.cli.console import check_output, reported, start
from latentpk.cli.options import (
    CreatinineFloor,
    Data,
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
from latentpk.report.words import percent


@reported
def exposure(
    model: Models,
    data: Data,
    out: OutFile,
    metric: Annotated[
        str,
        typer.Option(
            help="auc24 (or another number of hours), auc_cum, trough, peak, average, ft_mic@2.",
            show_default=False,
        ),
    ],
    at: Annotated[
        str,
        typer.Option(
            metavar="H|ss",
            help="Start of the window in hours (of auc_cum its end), or steady state.",
        ),
    ] = "ss",
    range_: Annotated[
        str | None,
        typer.Option(
            "--range",
            metavar="LOW:HIGH",
            help="Also the probability of this range, in the answer's unit.",
            show_default=False,
        ),
    ] = None,
    unbound: Annotated[float, typer.Option(help="Unbound fraction, for ft_mic.")] = 1.0,
    draws: Annotated[
        int, typer.Option(min=100, help="Posterior draws of a subject, at least half effective.")
    ] = 8192,
    each_level: Annotated[
        bool,
        typer.Option(
            "--each-level", help="Also answer as it was before any level, and after each one."
        ),
    ] = False,
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
    """Compute each patient's exposure under the posterior, and write it as JSON.

    --at is the START of the window: `auc24 --at 24` is the area from 24 to 48 h. Only `auc_cum`
    begins at time 0, and --at is its end.
    """
    check_output(out, data)
    console = start(quiet=quiet, threads=threads)
    from latentpk.dosing.metric import parse_at, parse_metric, parse_range
    from latentpk.storage import write_file
    from latentpk.workflows.exposure import Question, exposures

    span = None if range_ is None else parse_range(range_)
    question = Question(
        parse_metric(metric, unbound=unbound), parse_at(at), span, each_level=each_level
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
    )
    with console.progress() as progress:
        found = exposures(pairs, question, draws=draws, seed=seed, progress=progress)
    write_file(out, json.dumps(found, indent=1, allow_nan=False) + "\n")
    console.say(f"{found['means']} [{found['unit']}]")
    for one in found["subjects"][:20]:
        chance = "" if one["p"] is None else f", in range {percent(one['p'])}"
        console.say(
            f"  {one['id']}: {one['median']:.4g} ({one['lo']:.4g} to {one['hi']:.4g}){chance}, "
            f"{one['verdict']}"
        )
        for name, value in one.get("repeated dose", {}).items():
            console.say(f"    the dose repeated has {name} {value:g} (--dose-covariates)")
        for reason in one["reasons"]:
            console.say(f"    {reason}")
        for model_ in one.get("models", ()):
            console.say(
                f"    {model_['name']} (weight {model_['weight']:.2f}): {model_['median']:.4g} "
                f"({model_['lo']:.4g} to {model_['hi']:.4g})"
            )
        for step in one.get("sequence", ()):
            console.say(
                f"    after {step['levels']} level{'s' * (step['levels'] != 1)}: "
                f"{step['median']:.4g} ({step['lo']:.4g} to {step['hi']:.4g})"
            )
    if len(found["subjects"]) > 20:
        console.say(f"  and {len(found['subjects']) - 20} more")
    console.say(str(out))
