"""Opening a model and reading the patients it is to answer, for every verb that answers."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from latentpk.cli.console import Console
from latentpk.errors import ArtifactError, InputError

if TYPE_CHECKING:
    from latentpk.records.subject import Cohort
    from latentpk.workflows.predictor import Predictor


def read_patients(
    console: Console,
    model: str,
    data: Path,
    *,
    units: str | None,
    derive: dict[str, Any] | None = None,
    purpose: Literal["forecast", "dose"] = "forecast",
    **options: Any,
) -> "tuple[Predictor, Cohort]":
    """Open the model and read the file as it asks; the choices made are printed.

    Args:
        console: Where to print.
        model: A folder or a library name.
        data: The file.
        units: As declared by the user; None takes the model's.
        derive: What may be computed, from `derivation`; None takes the model's.
        purpose: What the file must be good for.
        **options: More of `read_nonmem`.

    Raises:
        InputError: Either cannot be used.
    """
    from latentpk.records.nonmem import read_nonmem
    from latentpk.workflows.predictor import open_predictor

    try:
        predictor = open_predictor(model)
    except ArtifactError as error:  # the user named it: anything wrong with it is bad input
        raise InputError(str(error)) from error
    reading: dict[str, Any] = dict(predictor.reading) | ({} if units is None else {"units": units})
    if derive is not None:
        reading["derive"] = _merged(reading.get("derive") or {}, _as_the_card(predictor, derive))
    with console.progress() as progress:
        cohort = read_nonmem(data, **reading, purpose=purpose, progress=progress, **options)
    console.say(f"{data}: {len(cohort)} subject{'s' * (len(cohort) != 1)}")
    console.notices(cohort.notices)
    return predictor, cohort


def _as_the_card(predictor: "Predictor", derive: dict[str, Any]) -> dict[str, Any]:
    """Put the model's own definition where "card" was asked for."""
    from latentpk.records.definition import Derive

    if derive.get("renal") != "card":
        return derive
    known = predictor.domain.renal
    if known is None:
        raise InputError(
            f"--renal card: the card of {predictor.name} states no definition that can be "
            "computed. Name a formula."
        )
    return derive | Derive(known).to_dict()


def _merged(known: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The model's settings with the user's over them; another formula brings its own limits."""
    if "renal" in given:
        known = {key: value for key, value in known.items() if key == "female"}
    return known | given
