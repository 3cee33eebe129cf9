"""LatentPK: how a drug moves through one body, from a few measurements.

Importing the package is cheap: every public name is imported when it is first used.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    from latentpk.records.nonmem import read_nonmem
    from latentpk.workflows.profile import ProfileVAE

    __version__: str

__all__ = [
    "ArtifactError",
    "ConvergenceError",
    "DoseLimitWarning",
    "ExtrapolationWarning",
    "InputError",
    "LatentPKError",
    "NotFittedError",
    "PosteriorWarning",
    "Problem",
    "ProfileVAE",
    "__version__",
    "read_nonmem",
]

_HOME = dict.fromkeys(__all__, "latentpk.errors") | {
    "ProfileVAE": "latentpk.workflows.profile",
    "read_nonmem": "latentpk.records.nonmem",
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
