"""What outer folds gave, as scores by target and model."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from latentpk.evaluate.compare import corrected_t, holm
from latentpk.evaluate.scores import coverage, interval_score, mae, r2, rmse
from latentpk.inference.ensemble import Rows
from latentpk.inference.tumor_training import Told
from latentpk.workflows.nano.update import Later

SCORES = (
    "r2", "r2_sd", "rmse", "mae", "coverage90", "width90", "interval_score90", "p_vs_ensemble",
)  # fmt: skip
SCALE = "log10; R2 = 1 - SSE / SST about the mean of the scored rows"
LEVEL = 0.9


@dataclass(frozen=True, eq=False)
class Outcome:
    """One outer fold: what every model said of rows that nothing of it had seen.

    Attributes:
        rows: Which rows.
        repeat: Of which dealing.
        median: log10, by model, shape (row, target).
        reach: How far intervals reach below and above, by model, shape (2, row, target).
        inner: R2 on inner folds, by model.
        trained: Rows trained on.
        later: Of the first repeat, later measurements of the fold's courses.
        told: What the latent model's training chose.
    """

    rows: Int[np.ndarray, " row"]
    repeat: int
    median: dict[str, Float[np.ndarray, "row target"]]
    reach: dict[str, Float[np.ndarray, "2 row target"]]
    inner: dict[str, Float[np.ndarray, " target"]]
    trained: int
    later: Later | None = None
    told: Told | None = None


def tabulate(rows: Rows, outcomes: list[Outcome]) -> dict[str, Any]:
    """Scores by target and model, pooled over folds; JSON values."""
    repeats = sorted({one.repeat for one in outcomes})
    names = tuple(outcomes[0].median)
    by_model = {name: scores_of(rows, outcomes, repeats, name) for name in names}
    p = _significance(rows, outcomes, names)
    return {
        target: {
            name: {key: finite(value[k]) for key, value in by_model[name].items()}
            | {"p_vs_ensemble": p[target].get(name)}
            for name in names
        }
        for k, target in enumerate(rows.targets)
    }


def scores_of(
    rows: Rows, outcomes: list[Outcome], repeats: list[int], name: str
) -> dict[str, Float[np.ndarray, " target"]]:
    """Scores pooled over the folds of a repeat, their mean and SD over repeats."""
    kinds: dict[str, list[np.ndarray]] = {}
    for repeat in repeats:
        own = [one for one in outcomes if one.repeat == repeat]
        order = np.concatenate([one.rows for one in own])
        truth = rows.target[order]
        middle = np.concatenate([one.median[name] for one in own])
        down, up = np.concatenate([one.reach[name] for one in own], axis=1)
        low, high = middle - down, middle + up
        found = {
            "r2": r2(truth, middle),
            "rmse": rmse(truth, middle),
            "mae": mae(truth, middle),
            "coverage90": coverage(truth, low, high),
            "width90": np.mean(high - low, axis=0),
            "interval_score90": interval_score(truth, low, high, level=LEVEL),
        }
        for key, value in found.items():
            kinds.setdefault(key, []).append(value)
    means = {key: np.mean(value, axis=0) for key, value in kinds.items()}
    folds = [r2(rows.target[one.rows], one.median[name]) for one in outcomes if len(one.rows) > 2]
    return {
        "r2": means.pop("r2"),
        "r2_sd": _sd(kinds["r2"], means["rmse"].size),
        "r2_fold_sd": _sd(folds, means["rmse"].size),
        **means,
    }


def _sd(values: list[np.ndarray], targets: int) -> Float[np.ndarray, " target"]:
    """SD over folds or repeats, NaN of fewer than two."""
    return np.std(values, axis=0, ddof=1) if len(values) > 1 else np.full(targets, np.nan)


def finite(value: float) -> float | None:
    """A number that JSON has, None where there is none."""
    return float(value) if np.isfinite(value) else None


def _significance(
    rows: Rows, outcomes: list[Outcome], names: tuple[str, ...]
) -> dict[str, dict[str, float]]:
    """The p of each model against the ensemble, for each target adjusted over models."""
    errors = {
        name: np.stack(
            [np.mean((rows.target[one.rows] - one.median[name]) ** 2, axis=0) for one in outcomes]
        )
        for name in names
    }
    share = float(np.mean([len(one.rows) / one.trained for one in outcomes]))
    found = {}
    for k, target in enumerate(rows.targets):
        raw = {
            name: corrected_t(errors[name][:, k] - errors["ensemble"][:, k], test_share=share)
            for name in names
            if name != "ensemble"
        }
        found[target] = holm(raw)
    return found
