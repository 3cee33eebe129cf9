"""What an early measurement is worth: later amounts of unseen particles, with and without it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from latentpk.evaluate.scores import coverage
from latentpk.inference.trees import ForestSettings, fit_forest
from latentpk.inference.tumor_posterior import Seen, TumorPosterior, tumor_posterior
from latentpk.models.descriptors import Properties, fit_descriptors
from latentpk.models.tumor import FAINT, TumorModel, decode
from latentpk.records.courses import Courses
from latentpk.workflows.nano.tumor import Measured

DRAWS = 512
TAIL = 0.05
FLOOR = 1e-3  # %ID under which errors of log amounts are not told apart
SOONEST = 1e-3  # h
LATENT = ("latent", "latent, one measurement", "latent, two measurements")
CARRIED = "first measurement carried forward"
PLAIN, UPDATED = "forest of properties and time", "forest, one measurement"


@dataclass(frozen=True, eq=False)
class Later:
    """Every measurement but the first of unseen particles' courses.

    Attributes:
        particle: Row of each.
        truth: Its log [%ID].
        found: log predictions, by predictor; the latent model's after two measurements are NaN for
            the second of a course, which it has seen.
        low: 5 % of the measurement by the latent model after one.
        high: 95 %.
        rung: Which rung that posterior came from.
        reliable: Whether its weights can be trusted.
    """

    particle: Int[np.ndarray, " later"]
    truth: Float[np.ndarray, " later"]
    found: dict[str, Float[np.ndarray, " later"]]
    low: Float[np.ndarray, " later"]
    high: Float[np.ndarray, " later"]
    rung: Int[np.ndarray, " later"]
    reliable: Bool[np.ndarray, " later"]


@dataclass(frozen=True, eq=False)
class Case:
    """One outer fold.

    Attributes:
        model: Trained on `train`.
        known: Properties of all rows.
        measured: Courses and mice of all rows.
        train: Rows seen.
        test: Rows not seen.
        seed: Of everything random.
    """

    model: TumorModel
    known: Properties
    measured: Measured
    train: Int[np.ndarray, " seen"]
    test: Int[np.ndarray, " unseen"]
    seed: int


def seen_of(courses: Courses, row: int, count: int | None = None) -> Seen:
    """A particle's measurements, or its first ones."""
    kept = np.flatnonzero(courses.measured[row])[:count]
    return Seen(
        courses.time[row, kept], courses.tumor[row, kept], courses.censored[row, kept].astype(float)
    )


def predict_log(
    model: TumorModel,
    posterior: TumorPosterior,
    body: tuple[float, float, float, float],
    times: Float[np.ndarray, " time"],
    *,
    seed: int,
) -> Float[np.ndarray, "3 time"]:
    """5, 50 and 95 % of the log of a measurement at each time."""
    z = posterior.even(DRAWS, seed=seed)
    found = np.log(np.maximum(decode(z, body, times).assayed(model.config.assay), FAINT))
    noise = np.random.default_rng([seed, 2]).standard_normal(found.shape)
    ends = np.quantile(found + model.sigma * noise, [TAIL, 1 - TAIL], axis=0)
    return np.stack([ends[0], np.median(found, axis=0), ends[1]])


def predict_later(case: Case) -> Later:
    """Predict the later measurements of a fold's particles, by the latent model and its peers."""
    courses = case.measured.courses
    rows = [int(row) for row in case.test if courses.measured[row].sum() > 1]
    location = case.model.location(case.known.take(np.array(rows)))
    table, plain, updated = _forests(case)
    parts = []
    for k, row in enumerate(rows):
        seen, body = seen_of(courses, row), case.measured.mouse.body(row)
        times, first = seen.time[1:], np.log(max(float(seen.tumor[0]), FLOOR))
        posteriors = [
            tumor_posterior(
                case.model, location[:, k], body, seen_of(courses, row, count), seed=case.seed
            )
            for count in range(3)
        ]
        quantiles = [
            predict_log(case.model, one, body, times, seed=case.seed) for one in posteriors
        ]
        middles = [own[1].copy() for own in quantiles]
        middles[2][0] = np.nan
        own = [[*table[row], np.log(max(t, SOONEST))] for t in times]
        more = [[*one, np.log(max(seen.time[0], SOONEST)), first] for one in own]
        found = {
            **dict(zip(LATENT, middles, strict=True)),
            CARRIED: np.full(len(times), first),
            PLAIN: plain.predict(np.array(own))[:, 0],
            UPDATED: updated.predict(np.array(more))[:, 0] + first,
        }
        same = np.ones(len(times), int)
        parts.append(
            Later(
                row * same,
                np.log(np.maximum(seen.tumor[1:], FLOOR)),
                found,
                quantiles[1][0],
                quantiles[1][2],
                posteriors[1].rung * same,
                (posteriors[1].reliable * same).astype(bool),
            )
        )
    return join_later(parts)


def join_later(parts: list[Later]) -> Later:
    """Particles, or folds, one after the other."""
    return Later(
        np.concatenate([one.particle for one in parts]),
        np.concatenate([one.truth for one in parts]),
        {name: np.concatenate([one.found[name] for one in parts]) for name in parts[0].found},
        np.concatenate([one.low for one in parts]),
        np.concatenate([one.high for one in parts]),
        np.concatenate([one.rung for one in parts]),
        np.concatenate([one.reliable for one in parts]),
    )


def score_later(later: Later) -> dict[str, Any]:
    """JSON values: log-RMSE of each predictor, and how the posterior was reached."""

    def error(found: np.ndarray) -> float:
        kept = ~np.isnan(found)
        return float(np.sqrt(np.mean((found[kept] - later.truth[kept]) ** 2)))

    whole = coverage(later.truth[:, None], later.low[:, None], later.high[:, None])
    per_particle = [np.flatnonzero(later.particle == one)[0] for one in np.unique(later.particle)]
    return {
        "log_rmse": {name: error(found) for name, found in later.found.items()},
        "measurements": len(later.truth),
        "particles": len(per_particle),
        "coverage90_after_one": float(whole[0]),
        "second_rung": float(np.mean(later.rung[per_particle] == 2)),
        "reliable": float(np.mean(later.reliable[per_particle])),
    }


def _forests(case: Case) -> tuple[np.ndarray, Any, Any]:
    """Peers that know no pharmacology: later log amounts from properties, time, and a first one."""
    table = fit_descriptors(case.known.take(case.train)).encode(case.known).table
    plain, wanted, more, change = [], [], [], []
    for row in case.train:
        seen = seen_of(case.measured.courses, int(row))
        logs = np.log(np.maximum(seen.tumor, FLOOR))
        clock = np.log(np.maximum(seen.time, SOONEST))
        plain += [[*table[row], t] for t in clock]
        wanted += list(logs)
        more += [[*table[row], t, clock[0], logs[0]] for t in clock[1:]]
        change += list(logs[1:] - logs[:1])
    settings = ForestSettings(trees=200, min_samples_leaf=3)
    fitted = [
        fit_forest(
            np.array(x), np.array(y)[:, None], kind="random", settings=settings, seed=case.seed
        )
        for x, y in ((plain, wanted), (more, change))
    ]
    return table, fitted[0], fitted[1]
