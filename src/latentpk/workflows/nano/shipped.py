"""The model of nanoparticles that is part of the package."""

from functools import cache
from importlib.resources import files
from pathlib import Path

from latentpk.errors import ArtifactError
from latentpk.workflows.nano.model import NanoModel

FOLDER = Path(str(files("latentpk.library").joinpath("nano_tumor")))


@cache
def shipped_model() -> NanoModel:
    """Read the model that was trained on the published table of particles in tumor-bearing mice.

    Raises:
        ArtifactError: It is absent or damaged.
    """
    if not FOLDER.is_dir():
        raise ArtifactError(
            f"This installation holds no shipped model of nanoparticles ({FOLDER} is absent). "
            "Install LatentPK anew, or fit a model and name it: `latentpk nano fit TABLE.csv "
            "--out MODEL`, then `latentpk nano predict MODEL TABLE.csv --out FILE`."
        )
    return NanoModel.load(FOLDER)
