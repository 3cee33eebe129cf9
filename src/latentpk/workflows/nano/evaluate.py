"""Cross-validation of particle models: nested, so that nothing is chosen on a scored fold."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field

from latentpk.errors import InputError, Problem
from latentpk.evaluate.compare import corrected_t, holm
from latentpk.evaluate.scores import coverage, interval_score, mae, r2, rmse
from latentpk.inference.blending import blend, cross_blend
from latentpk.inference.conformal import calibrate
from latentpk.inference.ensemble import EnsembleSettings, Inner, Rows, fit_ensemble
from latentpk.inference.folds import make_folds
from latentpk.models.config import Frozen
from latentpk.models.ensemble import MEMBERS, Ensemble
from latentpk.workflows.nano.model import failure_signs, inner_scores, optimism
from latentpk.workflows.nano.table import Library, training_rows

Progress = Callable[[int, int, str], None]
Scheme = Literal["random", "study", "material", "tumor_model"]
COMBINED: dict[str, tuple[str, ...]] = {
    "network+xgboost": ("mean", "network", "xgboost"),
    "network+random_forest": ("mean", "network", "random_forest"),
    "ensemble": MEMBERS,
}
MODELS = (*MEMBERS, *COMBINED)
LEVEL = 0.9


class EvaluateSettings(Frozen):
    """How models are compared.

    Attributes:
        scheme: What stays together in folds, inner and outer.
        folds: Outer folds.
        repeats: Times that the rows are dealt anew.
        seed: Of the folds and of everything random.
        ensemble: How each is fitted.
    """

    scheme: Scheme = "random"
    folds: int = Field(default=5, ge=2)
    repeats: int = Field(default=5, ge=1)
    seed: int = Field(default=0, ge=0)
    ensemble: EnsembleSettings = EnsembleSettings()


@dataclass(frozen=True, eq=False)
class Outcome:
    """One outer fold: what every model said of rows that nothing of it had seen.

    Attributes:
        rows: Which rows.
        repeat: Of which dealing.
        median: log10, by model, shape (row, target).
        half: Half-widths of intervals, by model.
        inner: R2 on inner folds, by model.
        trained: Rows trained on.
    """

    rows: Int[np.ndarray, " row"]
    repeat: int
    median: dict[str, Float[np.ndarray, "row target"]]
    half: dict[str, Float[np.ndarray, "row target"]]
    inner: dict[str, Float[np.ndarray, " target"]]
    trained: int


def scheme_groups(library: Library, scheme: Scheme) -> Int[np.ndarray, " row"]:
    """What stays together.

    Raises:
        InputError: The scheme needs studies that were not given.
    """
    particles = library.particles
    if scheme == "random":
        return np.arange(len(particles))
    if scheme == "study":
        if library.studies is None:
            rule = "Folds by study need to know the studies"
            problem = Problem("--folds study", "no studies", rule, "Add --studies STUDIES.csv")
            raise InputError([problem], source="the folds")
        return library.studies.groups
    column = "TM" if scheme == "tumor_model" else "MAT"
    if column not in particles.frame.columns:
        rule = "Folds by material need the column MAT, of the table or of its studies"
        problem = Problem("--folds material", "no MAT", rule, "Add --studies STUDIES.csv")
        raise InputError([problem], source="the folds")
    names = [str(one) for one in particles.frame[column].fill_null("unknown")]
    return np.unique(names, return_inverse=True)[1]


def evaluate(
    library: Library,
    settings: EvaluateSettings,
    *,
    threads: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score every model by repeated, nested cross-validation.

    Args:
        library: The particles.
        settings: How.
        threads: Outer folds at once.
        progress: Called with (done, total, label).

    Returns:
        JSON values: `meta`, and `targets` by target and model.

    Raises:
        InputError: Too few groups for the folds, or what a scheme needs is missing.
    """
    rows, _, told = training_rows(library, scheme_groups(library, settings.scheme))
    _check(rows, settings)
    outcomes = run_folds(rows, settings, threads=threads, progress=progress)
    return {
        "meta": _meta(library, rows, settings, outcomes, told),
        "targets": _tabulate(rows, outcomes),
    }


def run_folds(
    rows: Rows, settings: EvaluateSettings, *, threads: int, progress: Progress | None = None
) -> list[Outcome]:
    """Run every outer fold of every repeat."""
    tell = progress or (lambda done, total, label: None)
    jobs = []
    for repeat in range(settings.repeats):
        fold = make_folds(
            rows.groups, settings.folds, scored=rows.scored, seed=settings.seed + repeat
        )
        jobs += [(repeat, fold, k) for k in range(settings.folds)]
    done = 0
    tell(0, len(jobs), "outer folds")

    def work(job: tuple[int, np.ndarray, int]) -> Outcome:
        nonlocal done
        repeat, fold, k = job
        found = _outer(rows, fold, k, repeat, settings)
        done += 1
        tell(done, len(jobs), "outer folds")
        return found

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, jobs))


def _outer(
    rows: Rows, fold: np.ndarray, k: int, repeat: int, settings: EvaluateSettings
) -> Outcome:
    train = np.flatnonzero(fold != k)
    test = np.flatnonzero((fold == k) & rows.scored)
    seed = settings.seed + 1000 * repeat + k
    ensemble, inner = fit_ensemble(rows.take(train), settings.ensemble, seed=seed)
    known = rows.known.take(test)
    found = ensemble.members(known)
    spread = ensemble.disagreement(known)
    stretch = ensemble.domain.stretch(ensemble.domain.distance(known))
    median, half = {}, {}
    for name in MODELS:
        middle, blended = _combined(name, found, inner)
        disagreement = None if name == "mean" else inner.disagreement
        wide = calibrate(inner.truth - blended, disagreement, _stretch(name, inner.stretch))
        own = np.zeros_like(spread) if name == "mean" else spread
        half[name] = wide.half_width(own, _stretch(name, stretch)) * ensemble.scale
        median[name] = middle * ensemble.scale + ensemble.center
    return Outcome(test, repeat, median, half, inner_scores(ensemble, inner), len(train))


def _stretch(name: str, stretch: np.ndarray) -> np.ndarray:
    return np.ones_like(stretch) if name == "mean" else stretch


def _combined(
    name: str, found: dict[str, np.ndarray], inner: Inner
) -> tuple[Float[np.ndarray, "row target"], Float[np.ndarray, "inner target"]]:
    """A model's predictions of the outer fold, and its own out-of-fold ones of inner folds."""
    if name not in COMBINED:
        return found[name], inner.found[name]
    names = COMBINED[name]
    stacked = inner.stacked(names)
    weights = blend(stacked, inner.truth)
    middle = np.einsum("mrt,mt->rt", np.stack([found[one] for one in names]), weights)
    return middle, cross_blend(stacked, inner.truth, inner.fold)


def _check(rows: Rows, settings: EvaluateSettings) -> None:
    groups = len(np.unique(rows.groups[rows.scored]))
    if groups < settings.folds + 1:
        rule = f"{settings.folds} folds need at least {settings.folds + 1} groups"
        problem = Problem(f"--folds {settings.scheme}", f"{groups} groups", rule, "Use other folds")
        raise InputError([problem], source="the folds")


def _tabulate(rows: Rows, outcomes: list[Outcome]) -> dict[str, Any]:
    repeats = sorted({one.repeat for one in outcomes})
    names = tuple(outcomes[0].median)
    by_model = {name: _scores(rows, outcomes, repeats, name) for name in names}
    p = _significance(rows, outcomes, names)
    return {
        target: {
            name: {key: float(value[k]) for key, value in by_model[name].items()}
            | {"p_vs_ensemble": p[target].get(name)}
            for name in names
        }
        for k, target in enumerate(rows.targets)
    }


def _scores(
    rows: Rows, outcomes: list[Outcome], repeats: list[int], name: str
) -> dict[str, Float[np.ndarray, " target"]]:
    """Scores pooled over the folds of a repeat, their mean and SD over repeats."""
    kinds: dict[str, list[np.ndarray]] = {}
    for repeat in repeats:
        own = [one for one in outcomes if one.repeat == repeat]
        order = np.concatenate([one.rows for one in own])
        truth = rows.target[order]
        middle = np.concatenate([one.median[name] for one in own])
        half = np.concatenate([one.half[name] for one in own])
        found = {
            "r2": r2(truth, middle),
            "rmse": rmse(truth, middle),
            "mae": mae(truth, middle),
            "coverage90": coverage(truth, middle - half, middle + half),
            "width90": np.mean(2 * half, axis=0),
            "interval_score90": interval_score(truth, middle - half, middle + half, level=LEVEL),
        }
        for key, value in found.items():
            kinds.setdefault(key, []).append(value)
    means = {key: np.mean(value, axis=0) for key, value in kinds.items()}
    folds = [r2(rows.target[one.rows], one.median[name]) for one in outcomes if len(one.rows) > 2]
    spread = np.std(kinds["r2"], axis=0, ddof=1) if len(repeats) > 1 else 0 * means["r2"]
    return {
        "r2": means.pop("r2"),
        "r2_sd": spread,
        "r2_fold_sd": np.std(folds, axis=0, ddof=1),
        **means,
    }


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


def _meta(
    library: Library,
    rows: Rows,
    settings: EvaluateSettings,
    outcomes: list[Outcome],
    told: tuple[str, ...],
) -> dict[str, Any]:
    scores = {
        name: np.mean([one.inner[name] for one in outcomes], axis=0) for name in outcomes[0].inner
    }
    repeats = sorted({one.repeat for one in outcomes})
    pooled = _scores(rows, outcomes, repeats, "ensemble")["r2"]
    outer = {name: _scores(rows, outcomes, repeats, name)["r2"] for name in MEMBERS}
    signs = failure_signs(outer | {"ensemble": pooled}, rows.targets, entropy=None)
    gap = optimism(scores["ensemble"], pooled, rows.targets)
    return {
        "scheme": settings.scheme,
        "folds": settings.folds,
        "repeats": settings.repeats,
        "seed": settings.seed,
        "rows": len(rows.known),
        "scored": int(rows.scored.sum()),
        "groups": len(np.unique(rows.groups[rows.scored])),
        "scale": "log10; R2 = 1 - SSE / SST about the mean of the scored rows",
        "interval": LEVEL,
        "settings": settings.ensemble.model_dump(mode="json"),
        "data": library.particles.digest,
        "inner_r2_ensemble": {
            name: float(value) for name, value in zip(rows.targets, scores["ensemble"], strict=True)
        },
        "warnings": [*signs, *gap],
        "notices": [*library.notices, *told],
    }


def score_model(ensemble: Ensemble, rows: Rows) -> dict[str, dict[str, dict[str, float]]]:
    """Score a fitted ensemble and its members on an independent set.

    Args:
        ensemble: The model.
        rows: Particles it never saw, with their targets.

    Returns:
        Scores by target and model; intervals of the ensemble alone.
    """
    found = ensemble.predict(rows.known)
    everything = {**found.members, "ensemble": found.median}
    low, high = found.median - found.half, found.median + found.half
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for k, target in enumerate(rows.targets):
        scores[target] = {}
        for name, middle in everything.items():
            scores[target][name] = {
                "r2": float(r2(rows.target, middle)[k]),
                "rmse": float(rmse(rows.target, middle)[k]),
                "mae": float(mae(rows.target, middle)[k]),
            }
        scores[target]["ensemble"] |= {
            "coverage90": float(coverage(rows.target, low, high)[k]),
            "width90": float(np.mean(high - low, axis=0)[k]),
            "interval_score90": float(interval_score(rows.target, low, high, level=LEVEL)[k]),
        }
    return scores
