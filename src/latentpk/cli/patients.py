"""Opening a model and reading the patients it is to answer, for every verb that answers."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from latentpk.cli.console import Console
from latentpk.cli.options import values_of
from latentpk.errors import ArtifactError, InputError

if TYPE_CHECKING:
    from latentpk.records.subject import Cohort
    from latentpk.workflows.predictor import Predictor


def read_panel(
    console: Console,
    model: str,
    data: Path,
    *,
    units: str | None,
    derive: dict[str, Any] | None = None,
    purpose: Literal["forecast", "dose"] = "forecast",
    prior_weight: float = 1.0,
    coming: str | None = None,
    **options: Any,
) -> "list[tuple[Predictor, Cohort]]":
    """Open one model or several joined by +, and read the file as each asks.

    The choices made are printed.

    Args:
        console: Where to print.
        model: A folder, a library name, or several of either joined by +.
        data: The file.
        units: As declared by the user; None takes each model's.
        derive: What may be computed, from `derivation`; None takes each model's.
        purpose: What the file must be good for.
        prior_weight: Share of each model's prior that counts.
        coming: What holds of doses to come, as "FED=1"; None where it is as of the last dose.
        **options: More of `read_nonmem`.

    Raises:
        InputError: One of them cannot be used.
    """
    # a folder's name may hold a +
    names = [model] if Path(model).is_dir() else [name.strip() for name in model.split("+")]
    if not all(names):
        raise InputError(f"model {model!r}: a name is missing beside a +.")
    options |= {"units": units, "derive": derive, "purpose": purpose}
    found: list[tuple[Predictor, Cohort]] = []
    failed: list[str] = []
    for name in names:
        try:
            predictor = _open(name)
            if coming is not None:
                predictor = predictor.saying(values_of(coming))
            cohort = _read(console, predictor, data, **options)
        except InputError as error:
            if len(names) == 1:
                raise
            failed.append(f"{name}: {error}")
            continue
        if not found:
            _tell(console, data, cohort)
        else:
            said = {notice for _, other in found for notice in other.notices}
            console.notices(tuple(f"{name}: {n}" for n in cohort.notices if n not in said))
        found.append((predictor.flattened(prior_weight), cohort))
    if failed:
        raise InputError("\n".join(failed))
    return found


def read_for(
    console: Console,
    predictor: "Predictor",
    data: Path,
    *,
    units: str | None,
    derive: dict[str, Any] | None,
    **options: Any,
) -> "Cohort":
    """Read a file as a model asks; the choices made are printed.

    Args:
        console: Where to print.
        predictor: The model.
        data: The file.
        units: As declared by the user; None takes the model's.
        derive: What may be computed, from `derivation`; None takes the model's.
        **options: More of `read_nonmem`; they override the model's.

    Raises:
        InputError: The file cannot be used.
    """
    cohort = _read(console, predictor, data, units=units, derive=derive, **options)
    _tell(console, data, cohort)
    return cohort


def _open(name: str) -> "Predictor":
    from latentpk.workflows.predictor import open_predictor

    try:
        return open_predictor(name)
    except ArtifactError as error:
        raise misnamed(name, error) from error


def misnamed(name: str, error: ArtifactError) -> InputError:
    """What is wrong with a model that the user named: bad input, whatever it is."""
    from latentpk.storage import read_kind

    hint = " It is a model of nanoparticles: use `latentpk nano predict`."
    return InputError(f"{error}{hint if read_kind(name) == 'nano-model' else ''}")


def _read(
    console: Console,
    predictor: "Predictor",
    data: Path,
    *,
    units: str | None,
    derive: dict[str, Any] | None,
    **options: Any,
) -> "Cohort":
    from latentpk.records.nonmem import read_nonmem

    reading: dict[str, Any] = dict(predictor.reading) | ({} if units is None else {"units": units})
    if derive is not None:
        reading["derive"] = _merged(reading.get("derive") or {}, _as_the_card(predictor, derive))
    with console.progress() as progress:
        return read_nonmem(data, **(reading | options), progress=progress)


def _tell(console: Console, data: Path, cohort: "Cohort") -> None:
    console.say(f"{data}: {len(cohort)} subject{'s' * (len(cohort) != 1)}")
    console.notices(cohort.notices)


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
