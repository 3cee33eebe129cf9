"""The general model: one field and encoder of many drugs, and how drugs and people differ."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from latentpk.errors import ArtifactError
from latentpk.inference.hierarchy import Floors
from latentpk.inference.initial import Scales
from latentpk.library import GENERAL
from latentpk.models.bundle import from_arrays, to_arrays
from latentpk.models.config import CovariateConfig, ModelConfig
from latentpk.models.latent import LatentModel, build
from latentpk.networks.mlp import Linear
from latentpk.storage import read_bundle, write_bundle
from latentpk.workflows.general.scaling import config_at

KIND, SCHEMA = "general-model", 1
FOLDER = Path(str(files("latentpk.library").joinpath(GENERAL)))


@dataclass(frozen=True, eq=False)
class General:
    """A model of many drugs, in units of each study's own sizes.

    Attributes:
        model: Its prior is of anyone given any drug.
        config: What it was built from; every size is 1.
        floors: How drugs differ, and people given one drug.
        card: What it was trained on and how.
    """

    model: LatentModel
    config: ModelConfig
    floors: Floors
    card: dict[str, Any]

    def save(self, folder: str | Path) -> None:
        """Write it to a folder, whole or not at all."""
        floors = {f"floors.{name}": value for name, value in vars(self.floors).items()}
        card = {key: value for key, value in self.card.items() if key != "hashes"}
        write_bundle(
            folder,
            kind=KIND,
            schema=SCHEMA,
            manifest={"config": self.config.model_dump(mode="json"), "card": card},
            arrays=to_arrays(self.model) | floors,
        )

    @staticmethod
    def load(folder: str | Path) -> "General":
        """Read one.

        Raises:
            ArtifactError: The folder is damaged, foreign or of another version.
        """
        bundle = read_bundle(folder, kind=KIND, schema=SCHEMA)
        try:
            config = ModelConfig.model_validate(bundle.manifest["config"])
            card = dict(bundle.manifest["card"])
            arrays = dict(bundle.arrays)
            floors = Floors(
                *(arrays.pop(f"floors.{name}") for name in ("middle", "between", "within"))
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{folder}: this is no general model: {error}") from error
        card["hashes"] = {"model": bundle.seal}
        return General(from_arrays(config, arrays), config, floors, card)

    @property
    def sha256(self) -> str:
        """Of what was stored; empty before."""
        return str(self.card.get("hashes", {}).get("model", ""))

    def at(self, scales: Scales, covariates: tuple[CovariateConfig, ...] = ()) -> LatentModel:
        """The same model in a study's units: h, mg, mg/L.

        Its courses are the general ones, level by level, at times over the study's; covariates
        have no effect yet.

        Args:
            scales: The study's sizes.
            covariates: The study's.
        """
        known = config_at(self.config, scales).model_copy(update={"covariates": covariates})
        made, source = build(known), self.model
        volume = jnp.zeros(source.effects).at[0].set(np.log(scales.dose / scales.level))
        field = source.decoder.field  # pyright: ignore[reportAttributeAccessIssue]
        made = eqx.tree_at(
            lambda m: (
                m.prior.typical,
                m.prior.factor,
                m.decoder.field.usual,
                m.decoder.field.network,
                m.residual.log_a,
                m.residual.log_b,
            ),
            made,
            (
                source.prior.typical + volume,  # pyright: ignore[reportAttributeAccessIssue]
                source.prior.factor,  # pyright: ignore[reportAttributeAccessIssue]
                field.usual - np.log(scales.time),
                field.network,
                source.residual.log_a + np.log(scales.level),
                source.residual.log_b,
            ),
        )
        return _with_encoder(made, source)

    def floors_at(self, scales: Scales) -> Floors:
        """How drugs and people differ, in a study's units."""
        middle = self.floors.middle.copy()
        middle[0] += np.log(scales.dose / scales.level)
        return Floors(middle, self.floors.between, self.floors.within)


def _with_encoder(made: LatentModel, source: LatentModel) -> LatentModel:
    """The source's encoder; inputs for covariates are new, and begin without effect."""
    assert made.encoder is not None  # noqa: S101 - `build` makes one
    assert source.encoder is not None  # noqa: S101
    wide, known = made.encoder.network.output.layers[0], source.encoder.network.output.layers[0]
    short = wide.weight.shape[1] - known.weight.shape[1]
    first = eqx.tree_at(
        lambda linear: linear.weight, known, jnp.pad(known.weight, ((0, 0), (0, short)))
    )
    layers: tuple[Linear, ...] = (first, *source.encoder.network.output.layers[1:])
    return eqx.tree_at(
        lambda m: (m.encoder.network.token, m.encoder.network.output.layers),
        made,
        (source.encoder.network.token, layers),
    )


@cache
def shipped_general() -> General:
    """Read the general model that is part of the package.

    Raises:
        ArtifactError: It is absent or damaged.
    """
    if not FOLDER.is_dir():
        raise ArtifactError(
            f"This installation holds no general model ({FOLDER} is absent). Install LatentPK "
            "anew, or leave out --start-from to fit from nothing."
        )
    return General.load(FOLDER)
