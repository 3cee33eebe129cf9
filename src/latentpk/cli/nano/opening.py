"""Opening a model of nanoparticles, and its card as tables for print."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentpk.errors import ArtifactError, InputError

if TYPE_CHECKING:
    from latentpk.workflows.nano.model import NanoModel


def open_named(folder: Path) -> "NanoModel":
    """The model that the user named.

    Raises:
        InputError: Anything wrong with it.
    """
    from latentpk.storage import read_kind
    from latentpk.workflows.nano.model import KIND, NanoModel

    kind = read_kind(folder)
    hint = ""
    if kind is not None and kind != KIND:
        hint = " It is a model of patients: see `latentpk show` and `latentpk forecast`."
    try:
        return NanoModel.load(folder)
    except ArtifactError as error:
        raise InputError(f"{error}{hint}") from error


def nano_card(card: Mapping[str, Any]) -> dict[str, Any]:
    """Arrange a model's card for print."""
    about = {"what": card.get("what"), "particles": card.get("rows")}
    about["judged on"] = card.get("judged")
    about |= {name: card.get(name) for name in ("studies", "seed")}
    about["intervals"] = f"calibrated on {card.get('calibrated')}"
    about["data"] = card["hashes"].get("data")
    about["model"] = card["hashes"].get("model")
    about["versions"] = ", ".join(f"{k} {v}" for k, v in card.get("versions", {}).items())
    return {
        "model": {name: value for name, value in about.items() if value is not None},
        "targets": card.get("targets", {}),
        "R2 on inner folds": by_target(card.get("r2", {})),
        "weights of the members": by_target(card.get("weights", {})),
        "warnings": card["warnings"],
        "notices": card["notices"],
    }


def by_target(values: Mapping[str, Mapping[str, float | None]]) -> list[dict[str, str]]:
    """A row for each member, a column for each target."""
    return [
        {"": name.replace("_", " "), **{target: decimals(one) for target, one in own.items()}}
        for name, own in values.items()
    ]


def decimals(value: float | None) -> str:
    """Two decimals, a dash where there is no number."""
    return "-" if value is None else f"{value:.2f}"
