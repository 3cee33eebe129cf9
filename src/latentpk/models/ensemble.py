"""An ensemble that predicts a particle's tumor pharmacokinetics from its properties."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float
from pydantic import ValidationError

from latentpk.errors import ArtifactError
from latentpk.models.boosting import Boosters
from latentpk.models.config import Frozen
from latentpk.models.descriptors import LEVELS, NUMBERS, Descriptors, Encoded, Properties
from latentpk.models.domain import Domain
from latentpk.models.forest import Forest
from latentpk.models.multiview import NetworkConfig, Networks
from latentpk.models.smooth import GaussianProcess, Linear, check_arrays
from latentpk.models.uncertainty import Uncertainty

Name = Literal[
    "mean", "ridge", "gaussian_process", "random_forest", "extra_trees", "xgboost", "network"
]
MEMBERS: tuple[Name, ...] = get_args(Name)


@dataclass(frozen=True, eq=False)
class Learner:
    """A way of reading particles and the networks that were trained on it: one fold's, say.

    Attributes:
        descriptors: How particles are read.
        networks: One set for all targets, or one for each.
    """

    descriptors: Descriptors
    networks: tuple[Networks, ...]

    def predict(self, known: Properties) -> Float[np.ndarray, "row target"]:
        """Standardized predictions."""
        views = self.descriptors.encode(known).views[: len(self.networks[0].config.views)]
        return np.concatenate([one.predict(views) for one in self.networks], axis=1)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What an ensemble says of particles.

    Attributes:
        median: Of log10 of each target, shape (row, target).
        reach: How far the calibrated interval reaches below and above it, shape (2, row, target).
        members: Each member's own prediction, shape (row, target).
        stretch: How much wider intervals are for being far from all particles, shape (row,).
    """

    median: Float[np.ndarray, "row target"]
    reach: Float[np.ndarray, "2 row target"]
    members: Mapping[str, Float[np.ndarray, "row target"]]
    stretch: Float[np.ndarray, " row"]


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Members, their weights, and how far off they are.

    Attributes:
        targets: Names, in order.
        center: Mean of log10 of each target in training.
        scale: Its SD.
        descriptors: How all training rows are read, by every member but the networks.
        fitted: The members but the networks, by name.
        learners: The networks of each fold.
        weights: Of each of `MEMBERS` for each target, shape (member, target).
        uncertainty: Reach of intervals on the standardized scale.
        domain: The particles seen.
    """

    targets: tuple[str, ...]
    center: Float[np.ndarray, " target"]
    scale: Float[np.ndarray, " target"]
    descriptors: Descriptors
    fitted: Mapping[str, Any]
    learners: tuple[Learner, ...]
    weights: Float[np.ndarray, "member target"]
    uncertainty: Uncertainty
    domain: Domain

    def members(self, known: Properties) -> dict[str, Float[np.ndarray, "row target"]]:
        """Each member's standardized predictions."""
        encoded = self.descriptors.encode(known)
        found = {
            name: self.fitted[name].predict(read(name, encoded))
            for name in MEMBERS
            if name != "network"
        }
        found["network"] = np.mean([one.predict(known) for one in self.learners], axis=0)
        return found

    def disagreement(self, known: Properties) -> Float[np.ndarray, "row target"]:
        """SD between the trees of both forests, on the standardized scale."""
        table = self.descriptors.encode(known).table
        forests = [self.fitted[name].spread(table) for name in ("random_forest", "extra_trees")]
        return np.mean(forests, axis=0)

    def predict(self, known: Properties) -> Prediction:
        """Predict particles, with calibrated intervals."""
        found = self.members(known)
        stacked = np.stack([found[name] for name in MEMBERS])
        median = np.einsum("mrt,mt->rt", stacked, self.weights)
        stretch = self.domain.stretch(self.domain.distance(known))
        reach = self.uncertainty.reach(self.disagreement(known), stretch)
        return Prediction(
            median * self.scale + self.center,
            reach * self.scale,
            {name: own * self.scale + self.center for name, own in found.items()},
            stretch,
        )


def read(name: str, encoded: Encoded) -> Float[np.ndarray, "row column"]:
    """What a member's `predict` takes of encoded rows."""
    return {
        "ridge": lambda: encoded.wide,
        "gaussian_process": lambda: encoded.near,
        "xgboost": lambda: encoded.gaps,
    }.get(name, lambda: encoded.table)()


class EnsembleManifest(Frozen):
    """What a stored ensemble says in JSON.

    Attributes:
        targets: Names.
        descriptors: Of all rows.
        learners: Of each fold.
        network: The networks' shape.
        tasks: Sets of networks a fold.
        usual: Distance that 95 % of the particles keep.
    """

    targets: tuple[str, ...]
    descriptors: Descriptors
    learners: tuple[Descriptors, ...]
    network: NetworkConfig
    tasks: int
    usual: float


def to_parts(
    ensemble: Ensemble,
) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, bytes]]:
    """Take an ensemble apart: a JSON dict, named arrays, named binary parts."""
    first = ensemble.learners[0].networks
    manifest = EnsembleManifest(
        targets=ensemble.targets,
        descriptors=ensemble.descriptors,
        learners=tuple(one.descriptors for one in ensemble.learners),
        network=first[0].config,
        tasks=len(first),
        usual=ensemble.domain.usual,
    )
    arrays = {
        "center": ensemble.center,
        "scale": ensemble.scale,
        "weights": ensemble.weights,
        "domain.number": ensemble.domain.known.number,
        "domain.code": ensemble.domain.known.code,
        "networks": np.stack(
            [np.stack([own.weights for own in one.networks]) for one in ensemble.learners]
        ),
    }
    owners: dict[str, Any] = {
        name: ensemble.fitted[name] for name in MEMBERS if name not in ("network", "xgboost")
    }
    for name, owner in {**owners, "uncertainty": ensemble.uncertainty}.items():
        arrays |= {f"{name}.{key}": value for key, value in owner.to_arrays().items()}
    return manifest.model_dump(mode="json"), arrays, ensemble.fitted["xgboost"].parts()


def from_parts(
    manifest: Mapping[str, Any], arrays: Mapping[str, np.ndarray], parts: Mapping[str, bytes]
) -> Ensemble:
    """Put an ensemble together again, trusting nothing.

    Raises:
        ArtifactError: Anything missing, misshapen, out of bounds or not finite.
    """
    try:
        said = EnsembleManifest.model_validate(manifest)
    except ValidationError as error:
        raise ArtifactError(f"The manifest does not describe an ensemble: {error}") from error
    targets = len(said.targets)
    table = len(said.descriptors.table_columns)
    wide = table + len(said.descriptors.knowledge)
    of = _by_owner(arrays)
    check_arrays(
        {name: of[""].get(name, np.zeros(0)) for name in ("center", "scale", "weights")},
        {"center": (targets,), "scale": (targets,), "weights": (len(MEMBERS), targets)},
        "ensemble",
    )
    scale, weights = of[""]["scale"], of[""]["weights"]
    if (scale <= 0).any() or (weights < 0).any() or (abs(weights.sum(axis=0) - 1) > 1e-9).any():
        raise ArtifactError(
            "The members' weights do not sum to 1, or a scale is not positive: fit the model again."
        )
    learners = _learners(said, of[""].get("networks", np.zeros(0)))
    domain = _domain(of["domain"], said.usual)
    uncertainty = Uncertainty.from_arrays(of["uncertainty"], targets=targets)
    fitted: dict[str, Any] = {
        "mean": Linear.from_arrays(of["mean"], columns=table, targets=targets),
        "ridge": Linear.from_arrays(of["ridge"], columns=wide, targets=targets),
        "gaussian_process": GaussianProcess.from_arrays(
            of["gaussian_process"], columns=table, targets=targets
        ),
    }
    for name in ("random_forest", "extra_trees"):
        fitted[name] = Forest.from_arrays(of[name], features=table, targets=targets)
    fitted["xgboost"] = Boosters.from_parts(dict(parts), targets=said.targets, features=table)
    return Ensemble(
        said.targets,
        of[""]["center"],
        of[""]["scale"],
        said.descriptors,
        fitted,
        learners,
        of[""]["weights"],
        uncertainty,
        domain,
    )


def _by_owner(arrays: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    owners = ("", "domain", "uncertainty", *MEMBERS)
    found: dict[str, dict[str, np.ndarray]] = {owner: {} for owner in owners}
    for path, value in arrays.items():
        owner, _, name = path.rpartition(".")
        if owner not in found:
            raise ArtifactError(f"The model's array {path} is unknown: fit the model again.")
        found[owner][name] = value
    return found


def _learners(said: EnsembleManifest, weights: np.ndarray) -> tuple[Learner, ...]:
    expected = (len(said.learners), said.tasks)
    if not said.learners or said.tasks * said.network.targets != len(said.targets):
        raise ArtifactError("The networks are of other targets or folds: fit the model again.")
    for one in said.learners:
        whole = (one.columns, tuple(range(len(one.knowledge))))
        if said.network.views not in (whole, whole[:1]):
            raise ArtifactError("The networks read other columns: fit the model again.")
    if weights.ndim != 4 or weights.shape[:2] != expected:
        raise ArtifactError(
            f"The networks' weights are of shape {weights.shape}, not one set of {said.tasks} for "
            f"each of {len(said.learners)} folds: fit the model again."
        )
    return tuple(
        Learner(
            descriptors,
            tuple(Networks.from_weights(said.network, one) for one in own),
        )
        for descriptors, own in zip(said.learners, weights, strict=True)
    )


def _domain(arrays: Mapping[str, np.ndarray], usual: float) -> Domain:
    number, code = arrays.get("number", np.zeros(0)), arrays.get("code", np.zeros(0))
    rows = len(number)
    shaped = number.shape == (rows, len(NUMBERS)) and code.shape == (rows, len(LEVELS))
    typed = number.dtype == np.float64 and code.dtype == np.int64
    if not (rows and shaped and typed and usual > 0) or np.isinf(number).any():
        raise ArtifactError("The particles of the model's domain are damaged: fit it again.")
    most = np.array([len(levels) for levels in LEVELS.values()])
    if (code < -1).any() or (code >= most).any():
        raise ArtifactError("A category of the model's domain is unknown: fit it again.")
    return Domain(Properties(number, code), usual)
