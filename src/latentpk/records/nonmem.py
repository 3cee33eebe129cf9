"""A NONMEM table to a cohort of validated subjects."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from latentpk.errors import InputError
from latentpk.records.checks import check_purpose
from latentpk.records.clock import Clock, read_clock
from latentpk.records.columns import numbers
from latentpk.records.covariates import read_covariates
from latentpk.records.definition import Derive, parse_derive
from latentpk.records.derive import Plan, add_inputs, compute, final_columns, make_plan, report
from latentpk.records.doses import expand_doses, note_repeated, read_doses
from latentpk.records.elapsed import ELAPSED, add_elapsed, first_doses
from latentpk.records.events import Events, read_events
from latentpk.records.findings import Findings
from latentpk.records.interpolation import Pieces, Rule, interpolate
from latentpk.records.levels import read_levels, tables
from latentpk.records.occasions import cut, read_occasions
from latentpk.records.of_doses import propose_of_doses, read_of_doses
from latentpk.records.options import Options
from latentpk.records.renal import read_renal
from latentpk.records.route import read_route
from latentpk.records.subject import Cohort, Kind, split
from latentpk.records.table import read_table
from latentpk.records.text import MAX_BYTES
from latentpk.units import Units, parse_units, undeclarable

Progress = Callable[[int, int, str], None]
_STEPS = ("reading", "checking", "expanding doses", "building subjects", "read")


def read_nonmem(  # noqa: PLR0913 - one door, with an option for every choice that it prints
    source: Any,
    *,
    units: str | Units | None = None,
    covariates: Sequence[str] | None = None,
    interpolation: Literal["locf", "nocb", "linear"] = "locf",
    ties: Literal["file", "pre", "post"] = "file",
    impute: Literal["median"] | None = None,
    medians: Mapping[str, float] | None = None,
    dvid: float | None = None,
    route: Literal["auto", "iv", "oral"] = "auto",
    blq: Literal["M1", "M3"] = "M3",
    negative: Literal["refuse", "drop", "keep"] = "refuse",
    condition_until: float | None = None,
    purpose: Literal["fit", "adapt", "forecast", "dose"] = "fit",
    derive: Mapping[str, Any] | Derive | None = None,
    occasions: Sequence[float] | None = None,
    elapsed: Sequence[float] | None = None,
    dose_covariates: Sequence[str] = (),
    max_bytes: int = MAX_BYTES,
    progress: Progress | None = None,
) -> Cohort:
    """Read a table in NONMEM's form, check all of it, and bring it to internal units.

    Args:
        source: Path of a CSV file, or a data frame (polars, pandas, Arrow).
        units: Units such as "TIME=h,AMT=mg,DV=ug/L,WT=kg,DATE=M/D/Y"; None takes the file's
            "# units:" line, else h, mg, mg/L, kg, cm, y, mg/dL, mL/min.
        covariates: Columns to use; None takes every numeric column that is not reserved.
        interpolation: Between two records of a covariate, the last or the next value or a line.
        ties: "file" lets record order decide between a level and a dose of equal time; "pre" and
            "post" put every level and prediction before or after them.
        impute: "median" for a covariate that a subject lacks altogether, None to refuse it.
        medians: What to impute, internal units; without one, the other subjects' median.
        dvid: Which DVID to read; None takes the smallest.
        route: Route of doses that the file leaves undecided; "auto" keeps them undecided.
        blq: Levels below their limit dropped ("M1") or kept as censored ("M3").
        negative: Negative levels refused, answered but not conditioned on ("drop"), or taken as
            they are ("keep"): assays with an additive error print them around 0.
        condition_until: Levels and covariates later than this [h] are not looked at.
        purpose: What the table must be good for; "adapt" is a fit of a model that knows its
            covariates already, which therefore need not vary.
        derive: Lets covariates that the file lacks be computed, printed with their formulas: {}
            sizes and ages (IBW, ABW, LBM, LBW, FFM, BSA, BMI, PMA); "renal" names the formula of
            CRCL, "creatinine_floor" [mg/dL] (with "creatinine_floor_age": above this age [y]
            only) and "renal_cap" [mL/min] its limits, "female" the code of SEX that is a woman
            (without: 1 is a man, 0 or 2 a woman).
        occasions: For a model whose parameters vary between occasions, which OCC numbers: hours
            after the first dose at which one begins where the file has no OCC, () for one occasion
            in all; None does not look at OCC.
        elapsed: Adds the covariate TAFD, hours since the first dose, which steps at these hours.
        dose_covariates: Columns that say something of a dose, such as FED, and are no covariates
            of the patient: read on the records of doses alone, each of which must have them.
        max_bytes: Size of a file above which nothing is read.
        progress: Called with (done, total, label).

    Returns:
        The cohort; its `notices` tell every choice that was made.

    Raises:
        InputError: Anything wrong; it carries every problem with its place, rule and mend.
    """
    options = Options(
        covariates, interpolation, ties, impute, medians, dvid, route, blq, negative,
        condition_until, purpose, derive, occasions, elapsed,
        tuple(name.strip().upper() for name in dose_covariates),
    )  # fmt: skip
    options.check()
    tell = progress or (lambda done, total, label: None)
    tell(0, len(_STEPS) - 1, _STEPS[0])
    findings = Findings(read_table(source, max_bytes=max_bytes))
    return _cohort(findings, _units(findings, units), options, tell)


def _cohort(findings: Findings, units: Units, options: Options, tell: Progress) -> Cohort:
    steps = len(_STEPS) - 1
    tell(1, steps, _STEPS[1])
    _notice_ties(findings, options.ties)
    events = read_events(findings, numbers(findings, "AMT"))
    clock = read_clock(findings, units, reset=events.reset)
    records = read_doses(findings, units, events=events)
    clock, occasions = read_occasions(
        findings, clock, events=events, records=records, starts=options.occasions
    )
    levels = read_levels(findings, units, events=events, clock=clock, options=options)
    measured = levels.level if levels.level.any() else levels.output
    depot = read_route(findings, records, events=events, measured=measured, route=options.route)
    note_repeated(findings, events, clock, records)
    plan = make_plan(findings, options.covariates, parse_derive(options.derive))
    of_doses = read_of_doses(
        findings,
        units,
        options.dose_covariates,
        events,
        covariates=options.covariates,
        purpose=options.purpose,
    )
    covariates, pieces = _covariates(findings, units, (clock, events), options, plan)
    pieces = cut(pieces, occasions)
    if options.elapsed is not None:
        first = first_doses(findings, clock, events)
        pieces = add_elapsed(findings, pieces, first, options.elapsed)
        kinds: tuple[Kind, ...] = (*covariates[1], "continuous")
        covariates = (*covariates[0], ELAPSED), kinds
    check_purpose(findings, purpose=options.purpose, events=events, records=records, levels=levels)
    findings.settle()
    tell(2, steps, _STEPS[2])
    doses = expand_doses(findings, records, depot, of_doses.values, clock=clock, events=events)
    read, answered = tables(
        findings,
        levels,
        clock=clock,
        ties=options.ties,
        blq=options.blq,
        until=options.condition_until,
    )
    tell(3, steps, _STEPS[3])
    subjects = split(
        findings.table.ids,
        doses=doses,
        levels=read,
        outputs=answered,
        pieces=((pieces.time, pieces.values, pieces.occasion), pieces.start),
        renal=read_renal(
            findings,
            units,
            clock,
            until=options.condition_until,
            definition=plan.definition,
        ),
    )
    tell(4, steps, _STEPS[4])
    return Cohort(
        subjects=subjects,
        covariate_names=covariates[0],
        covariate_kinds=covariates[1],
        units=units,
        interpolation=options.interpolation,
        ties=options.ties,
        notices=tuple(findings.notices),
        source_hash=findings.table.digest,
        dvid=levels.dvid,
        derive=plan.used,
        computed=plan.sentences(),
        occasional=options.occasions is not None,
        dose_covariates=of_doses.names,
        dose_kinds=of_doses.kinds,
    )


def _covariates(
    findings: Findings, units: Units, when: tuple[Clock, Events], options: Options, plan: Plan
) -> tuple[tuple[tuple[str, ...], tuple[Kind, ...]], Pieces]:
    """Names, kinds and pieces of the covariates, read or computed."""
    given, until = options.dose_covariates, options.condition_until
    columns = read_covariates(findings, units, asked=plan.plain, purpose=options.purpose, but=given)
    if options.purpose == "fit":
        propose_of_doses(findings, columns, when[1])
    names, kinds = final_columns(columns, plan)
    inputs = add_inputs(findings, units, columns, plan)
    rule = Rule(options.interpolation, options.impute, options.medians, until)

    def computed(values: np.ndarray) -> np.ndarray:
        return compute(inputs.names, names, plan, values)

    pieces = interpolate(findings, inputs, when[0], rule, computed)
    report(findings, units, plan, names, pieces.values, purpose=options.purpose)
    return (names, kinds), pieces


def _units(findings: Findings, units: str | Units | None) -> Units:
    stated = findings.table.units
    try:
        known = parse_units(stated if units is None else units)
    except InputError as error:
        findings.problems += error.problems
        return Units()
    if units is not None and stated:
        findings.notice(f"The file's own units ({stated}) are overridden.")
    covariates = tuple(findings.table.frame.columns)
    if not isinstance(units, Units):  # a model's own may name what it computed something from
        findings.problems += undeclarable(known, covariates)
    findings.notice(f"Units: {known.describe(covariates)}.")
    return known


def _notice_ties(findings: Findings, ties: str) -> None:
    words = {
        "file": "the file's order decides; a dose made by ADDL has the order of its record",
        "pre": "a level is before the doses of its time",
        "post": "a level is after the doses of its time",
    }
    findings.notice(f"Equal times: {words[ties]}.")
