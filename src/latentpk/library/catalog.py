"""The one resolver of models: a library name gives a published one, a folder a trained one."""

from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from latentpk.errors import ArtifactError, InputError, Problem
from latentpk.library import GENERAL
from latentpk.library.card import LibraryModel

_FOLDER = files("latentpk.library").joinpath("models")


@cache
def list_models() -> tuple[str, ...]:
    """List the names of the published models, in alphabetical order.

    Example:
        >>> "vancomycin-goti-2018" in list_models()
        True
    """
    names = (entry.name for entry in _FOLDER.iterdir())
    return tuple(sorted(name.removesuffix(".json") for name in names if name.endswith(".json")))


@cache
def read_model(name: str) -> LibraryModel:
    """Read a published model.

    Args:
        name: A name of `list_models()`.

    Returns:
        Its card, covariates and population model.

    Raises:
        InputError: No published model has this name.
        ArtifactError: Its file is damaged.

    Example:
        >>> print(read_model("warfarin-savic-2011").population.parameters[0].formula())
        cl = 0.132 [L/h]
    """
    if name not in list_models():
        raise InputError([_unknown(name)], source="the model's name")
    try:
        model = LibraryModel.model_validate_json(_FOLDER.joinpath(f"{name}.json").read_bytes())
    except ValidationError as error:
        raise ArtifactError(f"The library file of {name} is damaged: {error}") from error
    if model.name != name:
        raise ArtifactError(f"The library file {name}.json holds the model {model.name}.")
    return model


def open_model(
    source: str | Path,
    *,
    load: Callable[[Path], Any] | None = None,
    general: Callable[[], Any] | None = None,
) -> Any:
    """Open a model by library name or folder: the only place that resolves either.

    A folder on disk wins only where the text is a path ("./theophylline") or no published model
    has that name, so that a library name means the same in every working directory.

    Args:
        source: A library name such as "theophylline", or a folder made by `latentpk fit`.
        load: How a folder becomes a trained model; without it folders are refused.
        general: How the general model is read; without it that name is refused.

    Returns:
        A `LibraryModel`, or what `load` gives for a folder, or `general` for the general model.

    Raises:
        InputError: Neither a library name nor a folder, or the general model where a drug's is
            needed.
    """
    if source == GENERAL:
        if general is None:
            raise InputError([_UNTUNED], source="the model")
        return general()
    if isinstance(source, str) and source in list_models():
        return read_model(source)
    folder = Path(source)
    if not folder.is_dir():
        raise InputError([_unknown(str(source))], source="the model")
    if load is None:
        raise InputError(
            [
                Problem(
                    f"model {source}",
                    "a folder",
                    "A published model is needed here",
                    f"Name one of {', '.join(list_models())}",
                )
            ],
            source="the model",
        )
    return load(folder)


_UNTUNED = Problem(
    f"model {GENERAL}",
    "a model of many drugs, and of none",
    "It answers for a drug once it was fine-tuned on some of its patients",
    f"Write `latentpk fit DATA.csv --start-from {GENERAL} --out MODEL`, and use that model",
)


def _unknown(name: str) -> Problem:
    near = get_close_matches(name.lower(), list_models(), n=3, cutoff=0.5)
    near += [known for known in list_models() if known.startswith(name.lower()) and name]
    named = ", ".join(dict.fromkeys(near))
    return Problem(
        f"model {name!r}",
        "neither a model folder nor a library name",
        "A model is a folder made by `latentpk fit` or a published model",
        f"Did you mean {named}? `latentpk library` lists them all"
        if near
        else f"Check the path, or name one of {', '.join(list_models())}",
    )
