"""Judging a fitted model on particles it never saw."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from latentpk.evaluate.scores import coverage, interval_score, mae, r2, rmse
from latentpk.inference.ensemble import Rows
from latentpk.models.tumor import Mouse
from latentpk.workflows.nano.model import NanoModel
from latentpk.workflows.nano.outcome import LEVEL, SCALE, SCORES, finite
from latentpk.workflows.nano.table import Library, measured_rows, physiology


def evaluate_model(model: NanoModel, library: Library) -> dict[str, Any]:
    """Score a fitted model and its members on an independent set.

    Args:
        model: The model.
        library: Particles it never saw, with any of the targets.

    Returns:
        JSON values as `evaluate` gives them, of the members and the ensemble; what has no value,
        such as intervals of members, is null.

    Raises:
        InputError: No particle has a target.
    """
    ensemble = model.ensemble
    rows, told = measured_rows(library)
    alike = int(np.sum(ensemble.domain.distance(rows.known) < 1e-9))
    signs = []
    if alike:
        signs.append(
            f"{alike} of {len(rows.known)} particles have the properties of one that the model "
            "was trained on: scores promise more than new particles will hold."
        )
    return {
        "meta": {
            "scheme": "independent set",
            "rows": len(rows.known),
            "scored": {
                name: int(np.sum(~np.isnan(own)))
                for name, own in zip(rows.targets, rows.target.T, strict=True)
            },
            "scale": SCALE,
            "interval": LEVEL,
            "model": dict(model.card["hashes"]),
            "data": library.particles.digest,
            "warnings": signs,
            "notices": [*library.notices, *told],
        },
        "targets": score_model(model, rows, physiology(library.particles).take(rows.groups)),
    }


def score_model(
    model: NanoModel, rows: Rows, mouse: Mouse
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Score a fitted model and its members on an independent set.

    Args:
        model: The model.
        rows: Particles it never saw, with their targets, NaN where one is missing.
        mouse: Their mice.

    Returns:
        Scores by target and model, None where there is none; intervals of the ensemble alone.
    """
    found = model.predict_known(rows.known, mouse)
    everything = {**found.members, "ensemble": found.median}
    scores: dict[str, dict[str, dict[str, float | None]]] = {}
    for k, target in enumerate(rows.targets):
        own = np.flatnonzero(~np.isnan(rows.target[:, k]))
        truth, reach = rows.target[own, k : k + 1], found.reach[:, own, k : k + 1]
        scores[target] = {
            name: _scored(truth, middle[own, k : k + 1], reach if name == "ensemble" else None)
            for name, middle in everything.items()
            if not np.isnan(middle[:, k]).any()  # the latent model has its own KTRES
        }
    return scores


def _scored(
    truth: Float[np.ndarray, "row 1"],
    middle: Float[np.ndarray, "row 1"],
    reach: Float[np.ndarray, "2 row 1"] | None,
) -> dict[str, float | None]:
    values: Mapping[str, np.ndarray] = {}
    if len(truth):
        values = {"r2": r2(truth, middle), "rmse": rmse(truth, middle), "mae": mae(truth, middle)}
    if len(truth) and reach is not None:
        low, high = middle - reach[0], middle + reach[1]
        values |= {
            "coverage90": coverage(truth, low, high),
            "width90": np.mean(high - low, axis=0),
            "interval_score90": interval_score(truth, low, high, level=LEVEL),
        }
    return {name: finite(values[name][0]) if name in values else None for name in SCORES}
