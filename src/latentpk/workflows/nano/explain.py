"""What drives a particle model's predictions: contributions, attention, and what chance would give.

Attributions explain the model, not biology: what a model uses may only stand for what nobody wrote
down, such as the laboratory.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from pydantic import Field

from latentpk.errors import InputError, Problem
from latentpk.inference.ensemble import Rows
from latentpk.models.attribution import PLAYERS
from latentpk.models.config import Frozen
from latentpk.models.descriptors import LEVELS, NUMBERS, Properties, properties
from latentpk.models.ensemble import MEMBERS, Ensemble
from latentpk.models.joint import DELIVERED
from latentpk.records.particles import Particles
from latentpk.views.particle import BY_NAME
from latentpk.workflows.nano.attribute import Method, attention_map, attribute
from latentpk.workflows.nano.importance import permuted_nulls
from latentpk.workflows.nano.model import EVEN, NanoModel
from latentpk.workflows.nano.ranks import (
    JUDGED,
    compare_with_knowledge,
    rank_properties,
    rounded,
    told_null,
)
from latentpk.workflows.nano.table import (
    TARGETS,
    Library,
    physiology,
    read_library,
    training_rows,
)

Progress = Callable[[int, int, str], None]
MOST = 2000  # particles in one answer
FEWEST = 20  # permutations, below which no p could be below 0.05
MESSAGE = (
    "Contributions say what this model does with the properties, not what happens in a tumor: a "
    "property may stand for another that goes with it in the published studies. None of them is a "
    "causal effect."
)
METHODS = {
    "prediction": "sampled Shapley values of the prediction itself, from the mean prediction of "
    "some training particles",
    "xgboost": "exact Shapley values of the boosted trees, one member of the ensemble",
    "network": "integrated gradients, the mean over networks, from the mean of the training "
    "particles; knowledge features split evenly among the properties they are computed from",
}


class ExplainSettings(Frozen):
    """How a model is explained.

    Attributes:
        permutations: Times that a property is mixed up for the null; 0 leaves the null out.
        background: Training particles that predictions are compared with.
        seed: Of permutations and orders.
    """

    permutations: int = Field(default=49, ge=0)
    background: int = Field(default=8, ge=1)
    seed: int = Field(default=0, ge=0)


def explain(
    model: NanoModel,
    table: str | Path | Library | Any,
    *,
    studies: str | Path | Any | None = None,
    settings: ExplainSettings | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Explain what a model says of every particle, and of all of them.

    Where the table holds the targets themselves, the importance of size and charge is compared
    with what it is after their values were exchanged between particles, or between studies where
    these are given.

    Args:
        model: The model.
        table: CSV file, data frame, or particles with their studies.
        studies: Table of ID, STUDY_ID and, as inputs, MAT and ZP_SIGNED.
        settings: How.
        threads: CPU threads of the trees.
        progress: Called with (done, total, label).

    Returns:
        JSON values: `meta`, `warnings`, `units`, `global` and `particles`.

    Raises:
        InputError: Every problem of the tables, more particles than one answer holds, or too few
            permutations to tell anything.
    """
    settings = settings or ExplainSettings()
    if 0 < settings.permutations < FEWEST:
        found, rule = f"{settings.permutations}", f"Fewer than {FEWEST} cannot show p below 0.05"
        mend = f"Ask for {FEWEST} or more, or for 0 to leave the comparison out"
        raise InputError([Problem("permutations", found, rule, mend)], source="the request")
    library = as_library(table, studies)
    particles, ensemble = library.particles, model.ensemble
    if len(particles) > MOST:
        found, rule = f"{len(particles)} particles", f"One answer explains at most {MOST}"
        raise InputError([Problem("the table", found, rule, "Split it")], source="the table")
    known = properties(particles)
    methods = attribute(
        model, known, physiology(particles), background=settings.background, seed=settings.seed,
        progress=progress,
    )  # fmt: skip
    maps = attention_map(ensemble, known)
    rows, why = _judged_rows(library, settings)
    nulls = {}
    if rows is not None:
        nulls = permuted_nulls(
            rows, JUDGED, permutations=settings.permutations, seed=int(model.card.get("seed", 0)),
            threads=threads, progress=progress,
        )  # fmt: skip
    return {
        "meta": _meta(model, library, settings),
        "warnings": _warnings(model, maps, known),
        "units": {name: TARGETS[name] for name in ensemble.targets},
        "global": {
            "particles": len(particles),
            "importance": _importance(methods, ensemble),
            "ranks": rank_properties(methods, nulls, ensemble.targets),
            "null": told_null(library, rows, nulls, why),
            "sentences": compare_with_knowledge(nulls, ensemble.targets),
            "attention": _attention(maps, ensemble.targets),
        },
        "particles": _particles(model, particles, methods, maps),
    }


def attention_entropy_of(maps: Float[np.ndarray, "row target raw knowledge"]) -> float:
    """Mean entropy of the shares of knowledge features within each raw one, of its largest."""
    within = maps / np.maximum(maps.sum(axis=-1, keepdims=True), 1e-30)
    entropy = -np.sum(within * np.log(np.maximum(within, 1e-30)), axis=-1)
    return float(np.mean(entropy) / np.log(within.shape[-1]))


def as_library(table: str | Path | Library | Any, studies: str | Path | Any | None) -> Library:
    """Read particles to ask about, where they are not read yet."""
    if isinstance(table, Library):
        return table
    return read_library(table, studies=studies, purpose="predict")


def told_of(model: NanoModel, library: Library) -> list[str]:
    """What was repaired or read otherwise, and what is not known that was in training."""
    lacking = model.unknown(library.particles)
    count = len(library.particles)
    return [
        *library.notices,
        *(f"{name} is not known of {k} of {count} particles." for name, k in lacking.items()),
    ]


def _judged_rows(library: Library, settings: ExplainSettings) -> tuple[Rows | None, str]:
    """Rows that hold what was predicted; or why there is no null."""
    if not settings.permutations:
        return None, "no permutations were asked for"
    if "KTRESMAX" not in library.particles.frame.columns:
        return None, "the table does not hold the targets that boosters are fitted to"
    try:
        return training_rows(library)[0], ""
    except InputError as error:
        return None, f"the table does not do for a fit: {error}"


def _meta(model: NanoModel, library: Library, settings: ExplainSettings) -> dict[str, Any]:
    targets = model.ensemble.targets
    return {
        "what": MESSAGE,
        "model": model.card.get("hashes", {}),
        "scale": "log10 of the target: a contribution of 0.3 is a factor of 2, of -0.3 a half",
        "methods": METHODS,
        "share_of_prediction": {
            name: _by(targets, share) for name, share in _carried(model).items()
        },
        "properties": {name: list(player.features) for name, player in PLAYERS.items()},
        "notices": told_of(model, library),
        "settings": settings.model_dump(mode="json"),
    }


def _carried(model: NanoModel) -> dict[str, Float[np.ndarray, " target"]]:
    """How much of the prediction each explained member and the latent model carry."""
    latent = np.zeros(len(model.ensemble.targets))
    if model.joint is not None:
        latent[[model.ensemble.targets.index(name) for name in DELIVERED]] = model.joint.share
    weights = dict(zip(MEMBERS, model.ensemble.weights, strict=True))
    own = {name: weights[name] * (1 - latent) for name in ("xgboost", "network")}
    return own | {"latent model": latent}


def _warnings(model: NanoModel, maps: np.ndarray | None, known: Properties) -> list[str]:
    found = list(model.warnings)
    entropy = None if maps is None else attention_entropy_of(maps)
    if entropy is not None and entropy > EVEN and not any("Attention" in one for one in found):
        found.append(
            f"Attention over these particles is nearly uniform (entropy {entropy:.3f} of the "
            "largest): the maps tell nothing of single features."
        )
    shares = _carried(model)
    carried = shares["xgboost"] + shares["network"]
    if carried.max() < 0.5:
        found.append(
            f"XGBoost and the network carry {100 * carried.min():.0f} to "
            f"{100 * carried.max():.0f} % of the predictions: their contributions say little of "
            "them. Read those of the prediction itself."
        )
    judged = [verdict for verdict, _ in model.ensemble.domain.judge(known)]
    outside = len(judged) - judged.count("ok")
    if outside:
        found.append(
            f"{outside} of {len(judged)} particles are not well inside the data's domain: what is "
            "said of them is extrapolation."
        )
    return found


# The whole table


def _importance(methods: Mapping[str, Method], ensemble: Ensemble) -> dict[str, Any]:
    """Mean absolute contributions, by method and target."""

    def mean(values: np.ndarray | None, names: Sequence[str]) -> dict[str, Any]:
        if values is None:
            return {}
        size = np.mean(np.abs(values), axis=0)
        return {t: _by(names, size[k]) for k, t in enumerate(ensemble.targets)}

    return {
        name: {
            "properties": mean(method.properties, list(PLAYERS)),
            "features": mean(method.features, ensemble.descriptors.features),
            "knowledge": mean(method.knowledge, list(BY_NAME)),
        }
        for name, method in methods.items()
    }


def _attention(maps: np.ndarray | None, targets: Sequence[str]) -> dict[str, Any] | None:
    if maps is None:
        return None
    mean = maps.mean(axis=0)
    return {
        "entropy": rounded(attention_entropy_of(maps)),
        "raw": [*NUMBERS, *LEVELS],
        "knowledge": list(BY_NAME),
        "map": {target: _matrix(mean[k]) for k, target in enumerate(targets)},
    }


# Single particles


def _particles(
    model: NanoModel, particles: Particles, methods: Mapping[str, Method], maps: np.ndarray | None
) -> list[dict[str, Any]]:
    table = model.predict(particles)
    targets = model.ensemble.targets
    features = model.ensemble.descriptors.features
    found = []
    for row, said in enumerate(table.iter_rows(named=True)):
        by_target = {}
        for k, target in enumerate(targets):
            by_target[target] = {
                "unit": TARGETS[target],
                "prediction": rounded(said[target]),
                "lo": rounded(said[f"{target}_LO"]),
                "hi": rounded(said[f"{target}_HI"]),
                "methods": {
                    name: _contributions(one, row, k, features) for name, one in methods.items()
                },
            }
        found.append(
            {
                "id": said["ID"],
                "verdict": said["VERDICT"],
                "reason": said["REASON"],
                "targets": by_target,
                "attention": None
                if maps is None
                else {target: _matrix(maps[row, k]) for k, target in enumerate(targets)},
            }
        )
    return found


def _contributions(
    method: Method, row: int, target: int, features: Sequence[str]
) -> dict[str, Any]:
    own = {} if method.features is None else _by(features, method.features[row, target])
    return {
        "log10_prediction": rounded(method.prediction[row, target]),
        "log10_base": rounded(method.base[target]),
        "properties": _by(list(PLAYERS), method.properties[row, target]),
        "features": own,
        "gap": float(f"{method.gap[row, target]:.1e}"),
    }


def _by(names: Sequence[str], values: np.ndarray) -> dict[str, float]:
    return {name: rounded(value) for name, value in zip(names, values, strict=True)}


def _matrix(values: Float[np.ndarray, "raw knowledge"]) -> list[list[float]]:
    return [[float(f"{value:.3g}") for value in row] for row in values]
