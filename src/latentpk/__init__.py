"""LatentPK: how a drug moves through one body, from a few measurements.

Importing the package is cheap: every public name is imported when it is first used.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latentpk.dosing.judge import DoseOptions
    from latentpk.dosing.recommend import recommend
    from latentpk.dosing.regimen import Practice
    from latentpk.dosing.target import parse_target
    from latentpk.errors import (
        ArtifactError,
        ConvergenceError,
        DoseLimitWarning,
        ExtrapolationWarning,
        InputError,
        LatentPKError,
        NotFittedError,
        PosteriorWarning,
        Problem,
    )
    from latentpk.kinetics.registry import register_system
    from latentpk.kinetics.user import DoseInto, UserSystem
    from latentpk.records.nonmem import read_nonmem
    from latentpk.workflows.nano.model import NanoModel
    from latentpk.workflows.predictor import open_predictor
    from latentpk.workflows.profile import ProfileVAE

    __version__: str

__all__ = [
    "ArtifactError",
    "ConvergenceError",
    "DoseInto",
    "DoseLimitWarning",
    "DoseOptions",
    "ExtrapolationWarning",
    "InputError",
    "LatentPKError",
    "NanoModel",
    "NotFittedError",
    "PosteriorWarning",
    "Practice",
    "Problem",
    "ProfileVAE",
    "UserSystem",
    "__version__",
    "open_predictor",
    "parse_target",
    "read_nonmem",
    "recommend",
    "register_system",
]

_HOME = dict.fromkeys(__all__, "latentpk.errors") | {
    "DoseOptions": "latentpk.dosing.judge",
    "DoseInto": "latentpk.kinetics.user",
    "NanoModel": "latentpk.workflows.nano.model",
    "Practice": "latentpk.dosing.regimen",
    "ProfileVAE": "latentpk.workflows.profile",
    "UserSystem": "latentpk.kinetics.user",
    "open_predictor": "latentpk.workflows.predictor",
    "parse_target": "latentpk.dosing.target",
    "recommend": "latentpk.dosing.recommend",
    "read_nonmem": "latentpk.records.nonmem",
    "register_system": "latentpk.kinetics.registry",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        value: object = _version()
    elif name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module 'latentpk' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    try:
        return version("latentpk")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "0+unknown"
