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
    purpose: Literal["forecast", "dose"] = "forecast",
    **options: Any,
) -> "tuple[Predictor, Cohort]":
    """Open the model and read the file as it asks; the choices made are printed.

    Args:
        console: Where to print.
        model: A folder or a library name.
        data: The file.
        units: As declared by the user; None takes the model's.
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
    reading = dict(predictor.reading) | ({} if units is None else {"units": units})
    with console.progress() as progress:
        cohort = read_nonmem(data, **reading, purpose=purpose, progress=progress, **options)
    console.say(f"{data}: {len(cohort)} subject{'s' * (len(cohort) != 1)}")
    console.notices(cohort.notices)
    return predictor, cohort
