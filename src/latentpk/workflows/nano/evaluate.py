"""Cross-validation of particle models: nested, so that nothing is chosen on a scored fold."""

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field

from latentpk.errors import InputError, Problem
from latentpk.evaluate.scores import r2
from latentpk.inference.blending import cross_weigh, weigh
from latentpk.inference.conformal import calibrate
from latentpk.inference.ensemble import EnsembleSettings, Inner, Rows, fit_ensemble
from latentpk.inference.folds import make_folds
from latentpk.inference.tumor_training import Told
from latentpk.models.config import Frozen
from latentpk.models.descriptors import LEVELS, Properties, properties
from latentpk.models.ensemble import MEMBERS, Ensemble
from latentpk.models.tumor import Mouse
from latentpk.workflows.nano.model import ALONE, failure_signs, inner_scores, optimism
from latentpk.workflows.nano.outcome import LEVEL, SCALE, Outcome, finite, scores_of, tabulate
from latentpk.workflows.nano.table import Library, delivery_at, training_rows
from latentpk.workflows.nano.tumor import Joined, Measured, join, measure
from latentpk.workflows.nano.update import Case, join_later, predict_later, score_later

Progress = Callable[[int, int, str], None]
Scheme = Literal["random", "study", "material", "tumor_model"]
COMBINED: dict[str, tuple[str, ...]] = {
    "network+xgboost": ("mean", "network", "xgboost"),
    "network+random_forest": ("mean", "network", "random_forest"),
    "ensemble": MEMBERS,
}
MODELS = (*MEMBERS, *COMBINED)
FEWEST_GROUPS = 3  # one is left out, and inner folds need two


class EvaluateSettings(Frozen):
    """How models are compared.

    Attributes:
        scheme: What stays together in folds, inner and outer.
        folds: Outer folds; fewer where there are fewer groups, each of which is then left out once.
        repeats: Times that the rows are dealt anew.
        seed: Of the folds and of everything random.
        update: Whether the first repeat's particles are also predicted after early measurements.
        ensemble: How each is fitted.
    """

    scheme: Scheme = "random"
    folds: int = Field(default=5, ge=2)
    repeats: int = Field(default=5, ge=1)
    seed: int = Field(default=0, ge=0)
    update: bool = True
    ensemble: EnsembleSettings = EnsembleSettings()


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
            mend = "Add --studies STUDIES.csv, or write --folds random"
            problem = Problem("--folds study", "no studies", rule, mend)
            raise InputError([problem], source="the folds")
        return library.studies.groups
    column = "TM" if scheme == "tumor_model" else "MAT"
    if column not in particles.frame.columns:
        rule = "Folds by material need the column MAT, of the table or of its studies"
        problem = Problem("--folds material", "no MAT", rule, "Add --studies STUDIES.csv")
        raise InputError([problem], source="the folds")
    return properties(particles).code[:, list(LEVELS).index(column)]  # what is unknown is one


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
        JSON values: `meta`, and `targets` by target and model; null where a score has no value.

    Raises:
        InputError: Too few groups for the folds, or what a scheme needs is missing.
    """
    rows, whole, told = training_rows(library, scheme_groups(library, settings.scheme))
    settings, reduced = _with_folds(rows, settings)
    told += reduced
    measured = None
    if library.courses is not None:
        kept = np.flatnonzero(whole)
        measured = measure(library, kept, seed=settings.seed, threads=threads, progress=progress)
    outcomes = run_folds(rows, settings, measured, threads=threads, progress=progress)
    found = {
        "meta": _meta(library, rows, settings, outcomes, told),
        "targets": tabulate(rows, outcomes),
    }
    later = [one.later for one in outcomes if one.later is not None]
    return found | ({"update": score_later(join_later(later))} if later else {})


def run_folds(
    rows: Rows,
    settings: EvaluateSettings,
    measured: Measured | None = None,
    *,
    threads: int,
    progress: Progress | None = None,
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
        found = _outer(rows, _Fold(fold, k, repeat), settings, measured)
        done += 1
        tell(done, len(jobs), "outer folds")
        return found

    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    # Both are the process's: what one thread set, another would bring back.
    with warnings.catch_warnings(), threadpool_limits(1, user_api="blas"):
        warnings.simplefilter("ignore", ConvergenceWarning)
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(work, jobs))


class _Fold(NamedTuple):
    """Which rows an outer fold leaves out, of which dealing."""

    fold: Int[np.ndarray, " row"]
    left: int
    repeat: int


def _outer(
    rows: Rows, cut: _Fold, settings: EvaluateSettings, measured: Measured | None
) -> Outcome:
    train = np.flatnonzero(cut.fold != cut.left)
    unseen = np.flatnonzero(cut.fold == cut.left)
    test = unseen[rows.scored[unseen]]
    seed = (settings.seed + 1000 * cut.repeat + cut.left) % 2**32
    ensemble, inner = fit_ensemble(rows.take(train), settings.ensemble, seed=seed)
    known = rows.known.take(test)
    found = ensemble.members(known)
    pairs = {name: _combined(name, found, inner) for name in MODELS}
    later = told = None
    if measured is not None:
        seen = rows.take(train)
        joined = join(
            (ensemble, inner), seen, measured.take(train), settings.ensemble.tumor, seed=seed
        )
        told, model = joined.told, joined.joint.latent
        pairs[ALONE] = pairs["ensemble"]
        pairs |= _with_latent(ensemble, joined, known, measured.take(test).mouse, pairs[ALONE][0])
        if settings.update and cut.repeat == 0:
            later = predict_later(Case(model, rows.known, measured, train, unseen, seed))
    spread = ensemble.disagreement(known)
    stretch = ensemble.domain.stretch(ensemble.domain.distance(known))
    median, reach = {}, {}
    for name, (middle, blended) in pairs.items():
        disagreement = None if name == "mean" else inner.disagreement
        wide = calibrate(inner.truth - blended, disagreement, _stretch(name, inner.stretch))
        own = np.zeros_like(spread) if name == "mean" else spread
        reach[name] = wide.reach(own, _stretch(name, stretch)) * ensemble.scale
        median[name] = middle * ensemble.scale + ensemble.center
    scores = inner_scores(ensemble, inner)
    scores["ensemble"] = r2(inner.truth, pairs["ensemble"][1])
    return Outcome(test, cut.repeat, median, reach, scores, len(train), later, told)


def _with_latent(
    ensemble: Ensemble,
    joined: Joined,
    known: Properties,
    mouse: Mouse,
    alone: Float[np.ndarray, "row target"],
) -> dict[str, tuple[Float[np.ndarray, "row target"], Float[np.ndarray, "inner target"]]]:
    """The latent model's own standardized predictions, and the ensemble that it joins."""
    joint = joined.joint

    def standard(place: np.ndarray, delivered: np.ndarray) -> np.ndarray:
        own = np.concatenate([place[:, :4] / np.log(10), delivered + joint.offset], axis=1)
        return (own - ensemble.center) / ensemble.scale

    location = joint.latent.location(known).mean(axis=0)
    latent = standard(location, delivery_at(location, mouse))
    whole = alone.copy()
    whole[:, 4:] += joint.share * (latent[:, 4:] - alone[:, 4:])
    unseen = standard(joined.unseen, joined.delivered)
    return {"latent": (latent, unseen), "ensemble": (whole, joined.found)}


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
    weights = weigh(stacked, inner.truth, inner.fold)
    middle = np.einsum("mrt,mt->rt", np.stack([found[one] for one in names]), weights)
    return middle, cross_weigh(stacked, inner.truth, inner.fold)


def _with_folds(rows: Rows, settings: EvaluateSettings) -> tuple[EvaluateSettings, tuple[str, ...]]:
    """As many folds as there are groups for, and what was reduced."""
    groups = len(np.unique(rows.groups[rows.scored]))
    if groups < FEWEST_GROUPS:
        rule = f"Folds need at least {FEWEST_GROUPS} groups of complete particles"
        found = f"{groups} group{'s' * (groups != 1)}"
        problem = Problem(f"--folds {settings.scheme}", found, rule, "Write --folds random")
        raise InputError([problem], source="the folds")
    folds = min(settings.folds, groups)
    for repeat in range(settings.repeats):
        fold = make_folds(rows.groups, folds, scored=rows.scored, seed=settings.seed + repeat)
        left = [len(np.unique(rows.groups[rows.scored & (fold != k)])) for k in range(folds)]
        if min(left) < 2:
            rule = "Every fold leaves at least 2 groups to train on"
            problem = Problem(f"{folds} folds", f"{min(left)} left", rule, "Use more folds")
            raise InputError([problem], source="the folds")
    if folds == settings.folds:
        return settings, ()
    told = f"{groups} groups make {folds} folds: each is left out once a repeat."
    return settings.model_copy(update={"folds": folds}), (told,)


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
    pooled = scores_of(rows, outcomes, repeats, "ensemble")["r2"]
    outer = {name: scores_of(rows, outcomes, repeats, name)["r2"] for name in MEMBERS}
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
        "scale": SCALE,
        "interval": LEVEL,
        "settings": settings.ensemble.model_dump(mode="json"),
        "latent": _told([one.told for one in outcomes if one.told is not None]),
        "data": library.particles.digest,
        "inner_r2_ensemble": {
            name: finite(value)
            for name, value in zip(rows.targets, scores["ensemble"], strict=True)
        },
        "warnings": [*signs, *gap],
        "notices": [*library.notices, *told],
    }


def _told(folds: list[Told]) -> dict[str, Any] | None:
    """What the latent model's training chose, over folds."""
    if not folds:
        return None
    names = sorted({one.assay for one in folds})
    return {
        "assay": {name: sum(one.assay == name for one in folds) for name in names},
        "held_out_log_likelihood": {
            name: float(np.mean([one.assays[name] for one in folds])) for name in folds[0].assays
        },
        "sigma": float(np.mean([one.sigma for one in folds])),
        "decay": [one.decay for one in folds],
    }
