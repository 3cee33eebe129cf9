"""The options that verbs share, as types."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from latentpk.errors import InputError, Problem


class Decoder(StrEnum):
    """What turns a latent patient into a concentration."""

    AUTO = "auto"
    COMPARTMENT = "compartment"
    MECHANISTIC = "mechanistic"
    KERNEL = "kernel"
    NEURAL_ODE = "neural-ode"
    HYBRID = "hybrid"
    GRID = "grid"


class Route(StrEnum):
    """Where doses go whose route the file does not tell."""

    AUTO = "auto"
    IV = "iv"
    ORAL = "oral"


class Interpolation(StrEnum):
    """What a covariate is between two records."""

    LOCF = "locf"
    NOCB = "nocb"
    LINEAR = "linear"


class Impute(StrEnum):
    """What stands for a covariate that a whole subject lacks."""

    MEDIAN = "median"


class Ties(StrEnum):
    """Whether a level at a dose's time was drawn before or after it."""

    FILE = "file"
    PRE = "pre"
    POST = "post"


class Renal(StrEnum):
    """Formula of renal function where a file holds creatinine only."""

    GAULT_TOTAL = "cockcroft-gault-total"
    GAULT_IDEAL = "cockcroft-gault-ideal"
    GAULT_ADJUSTED = "cockcroft-gault-adjusted"
    SCHWARTZ = "schwartz"
    CKD_EPI = "ckd-epi-2021"
    CKD_EPI_DEINDEXED = "ckd-epi-2021-deindexed"
    CARD = "card"


_COMPUTED = "Covariates the file lacks"
_EVERYWHERE = "Every verb"

Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print errors only.", rich_help_panel=_EVERYWHERE)
]
Seed = Annotated[
    int,
    typer.Option(
        min=0,
        max=2**32 - 1,
        help="Seed of every random draw: the same seed gives the same output.",
        rich_help_panel=_EVERYWHERE,
    ),
]
Threads = Annotated[
    int, typer.Option(min=1, max=1024, help="CPU threads.", rich_help_panel=_EVERYWHERE)
]
UnitsText = Annotated[
    str | None,
    typer.Option(
        "--units",
        metavar="TEXT",
        help="Units of the file's columns, such as TIME=min,DV=ng/mL. "
        "Without: h, mg, mg/L, or the file's own '# units:' line.",
        show_default=False,
        rich_help_panel=_EVERYWHERE,
    ),
]
StartFrom = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="Adapt this published model, or this folder made by `distill` or `fit`, to the data: "
        "its structure and covariates stay. `general` is one of many simulated drugs, from "
        "which a small study of any drug is fitted.",
        show_default=False,
    ),
]
Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A folder made by `latentpk fit` or `distill`, or a published model "
        "(see `latentpk library`).",
        show_default=False,
    ),
]
Models = Annotated[
    str,
    typer.Argument(
        metavar="MODEL[+MODEL]",
        help="A folder made by `latentpk fit`, or a published model (see `latentpk library`). "
        "Several joined by + are averaged, each weighed by how well it explains the levels.",
        show_default=False,
    ),
]
PriorWeight = Annotated[
    float,
    typer.Option(
        "--prior-weight",
        metavar="W",
        help="Share of the population's prior that counts, above 0 and at most 1: less for a "
        "patient unlike those the model was built on.",
    ),
]
DosesToCome = Annotated[
    str | None,
    typer.Option(
        "--dose-covariates",
        metavar="FED=1,...",
        help="What holds of doses to come, for a model that knows covariates of doses. Without: "
        "as of the patient's last dose.",
        show_default=False,
    ),
]
Data = Annotated[
    Path, typer.Argument(metavar="DATA.csv", help="A NONMEM table.", show_default=False)
]
OutFile = Annotated[
    Path,
    typer.Option("--out", metavar="FILE", help="The file to write.", show_default=False),
]
RenalName = Annotated[
    Renal | None,
    typer.Option(
        "--renal",
        metavar="NAME",
        help=f"Compute CRCL from AGE, SEX, SCR, WT, HT by {', '.join(list(Renal)[:-1])}, or card: "
        "the definition with floor and cap that the model was built on.",
        show_default=False,
        rich_help_panel=_COMPUTED,
    ),
]
CreatinineFloor = Annotated[
    str | None,
    typer.Option(
        "--creatinine-floor",
        metavar="MG/DL[@AGE]",
        help="With --renal, take lower creatinine as this, in mg/dL; 1@65 does so above 65 years.",
        show_default=False,
        rich_help_panel=_COMPUTED,
    ),
]
RenalCap = Annotated[
    float | None,
    typer.Option(
        "--renal-cap",
        metavar="ML/MIN",
        help="With --renal, take a higher clearance as this, in the formula's unit.",
        show_default=False,
        rich_help_panel=_COMPUTED,
    ),
]
Female = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=2,
        help="Code of SEX that is a woman. Without: 1 is a man, 0 or 2 a woman.",
        show_default=False,
        rich_help_panel=_COMPUTED,
    ),
]
DeriveSizes = Annotated[
    bool,
    typer.Option(
        "--derive",
        help="Compute IBW, ABW, LBM, LBW, FFM, BSA, BMI, PMA where they are asked for "
        "(--renal does so too).",
        rich_help_panel=_COMPUTED,
    ),
]


def derivation(
    *,
    renal: Renal | None,
    floor: str | None,
    cap: float | None,
    female: int | None,
    sizes: bool,
) -> dict[str, Any] | None:
    """The option `derive` of `read_nonmem`, None where nothing may be computed.

    Args:
        renal: Formula; "card" stays as it is, for `read_panel` to replace.
        floor: Creatinine floor [mg/dL], after "@" the age [y] above which it holds.
        cap: Cap of the clearance [mL/min].
        female: Code of SEX that is a woman.
        sizes: Whether sizes and ages may be computed.

    Raises:
        InputError: A floor that is no number, or limits beside the card's.
    """
    amount, _, age = (floor or "").partition("@")
    limits = {
        "creatinine_floor": _number(amount, floor),
        "creatinine_floor_age": _number(age, floor),
        "renal_cap": cap,
    }
    given: dict[str, Any] = {key: value for key, value in limits.items() if value is not None}
    if renal is Renal.CARD and given:
        raise InputError(
            "--renal card brings the card's own floor and cap. Leave out --creatinine-floor and "
            "--renal-cap, or name the formula."
        )
    if renal is not None:
        given["renal"] = renal.value
    if female is not None:
        given["female"] = female
    return given if given or sizes else None


def _number(text: str, whole: str | None) -> float | None:
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise InputError(
            f"--creatinine-floor {whole} is no number. Write 0.8, or 1@65 for 1 above 65 years."
        ) from None


def names_of(text: str | None) -> tuple[str, ...] | None:
    """Names between commas."""
    if text is None:
        return None
    return tuple(name.strip() for name in text.split(",") if name.strip())


def values_of(text: str) -> dict[str, float]:
    """Numbers by name between commas, such as "FED=1".

    Raises:
        InputError: Every part that is none.
    """
    found: dict[str, float] = {}
    problems = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = (piece.strip() for piece in part.partition("="))
        rule, mend = "A value is NAME=NUMBER, each once", "Write for instance FED=1"
        try:
            number = float(value)
        except ValueError:
            number = None
        if number is None or not name or name.upper() in found:
            problems.append(Problem("--dose-covariates", part, rule, mend))
        else:
            found[name.upper()] = number
    if problems or not found:
        empty = Problem("--dose-covariates", "empty", "It names values", "Write it as FED=1")
        raise InputError(problems or [empty], source="the options")
    return found
