"""Exposures of a cohort: areas, troughs, peaks and times above a MIC, with their uncertainty."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from latentpk.dosing.exposure import (
    COARSE,
    POINTS,
    Patient,
    at_steady_state,
    measure,
    quantiles,
    steady,
)
from latentpk.dosing.history import last_dose, usual_interval
from latentpk.dosing.metric import DAY, At, Metric
from latentpk.dosing.regimen import Regimen
from latentpk.dosing.settling import settle
from latentpk.errors import InputError
from latentpk.inference.trust import reasons, worst
from latentpk.records.subject import Cohort
from latentpk.workflows.patient import Posterior
from latentpk.workflows.predictor import Predictor

Progress = Callable[[int, int, str], None]
LEVEL = 0.9  # of the interval from lo to hi
DRAWS = 8192  # at least half of them effective


@dataclass(frozen=True)
class Question:
    """What is asked of each subject.

    Attributes:
        metric: What.
        at: Start of the window [h], or "ss".
        span: Range whose probability is asked, in the answer's unit; None asks for none.
    """

    metric: Metric
    at: At
    span: tuple[float, float] | None = None


def exposures(
    predictor: Predictor,
    cohort: Cohort,
    question: Question,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Compute an exposure of every subject of a cohort.

    Args:
        predictor: The model.
        cohort: Read with `predictor.reading`.
        question: What, when, and within which range.
        draws: Posterior draws of a subject; more work is done until half of them are effective.
        seed: Of the draws.
        progress: Called with (done, total, label).

    Returns:
        JSON values: model, metric, unit, at, level, range, and for each subject id, median, mean,
        lo and hi (5 and 95 %), p (of the range), map, ess, verdict and reasons.

    Raises:
        InputError: A cohort of another model, a window that the decoder does not know.
    """
    predictor.check(cohort)
    decoder = predictor.model.decoder
    if question.at == "ss" and not (decoder.linear or decoder.simulated):
        raise InputError(
            "The grid decoder cannot tell what a dose repeated for ever does. Name a time with "
            "--at H."
        )
    if question.at == "ss" and question.metric.kind == "auc_cum":
        raise InputError("A cumulative area has no steady state. Name its end with --at H.")
    factor = cohort.units.factor("DV") ** question.metric.concentration
    found = []
    everyone = predictor.posteriors(cohort.subjects, draws=draws, seed=seed, least_ess=0.5)
    for posterior in everyone:
        found.append(_one(posterior, question, factor))
        if progress is not None:
            progress(len(found), len(cohort), "exposures")
    return {
        "model": predictor.about,
        "metric": question.metric.name,
        "means": question.metric.describe(question.at),
        "unit": unit_of(question.metric, cohort),
        "at": question.at,
        "computed": list(cohort.computed),
        "level": LEVEL,
        "range": None if question.span is None else [_end(end) for end in question.span],
        "draws": draws,
        "seed": seed,
        "subjects": found,
    }


def unit_of(metric: Metric, cohort: Cohort) -> str:
    """Unit of a metric where concentrations are in the file's unit."""
    dv = cohort.units.unit("DV")
    if dv == "mg/L" or not metric.concentration:
        return metric.unit
    return f"{dv} h" if metric.unit == "mg h/L" else dv


def _end(value: float) -> float | None:
    return value if np.isfinite(value) else None  # JSON has no infinity


def _one(posterior: Posterior, question: Question, factor: float) -> dict[str, Any]:
    patient, told = posterior.patient(), []
    found, assumed = exposure_of(patient.beside(posterior.mode), question)
    told += [assumed] if assumed else []
    point, values = found[0] / factor, found[1:] / factor
    weight = patient.weight
    lo, median, hi = quantiles(values, weight, (0.05, 0.5, 0.95))
    verdict = worst(posterior.gates)
    if assumed and verdict == "ok":
        verdict = "caution"
    span = question.span
    return {
        "id": posterior.subject.id,
        "median": median,
        "mean": float(weight @ values),
        "lo": lo,
        "hi": hi,
        "p": None if span is None else float(weight @ ((values >= span[0]) & (values <= span[1]))),
        "map": float(point),
        "ess": float(posterior.found.ess[0]),
        "verdict": verdict,
        "reasons": [*reasons(posterior.gates), *told],
    }


def exposure_of(patient: Patient, question: Question) -> tuple[Float[np.ndarray, " draw"], str]:
    """Every draw's exposure in internal units, and what had to be assumed for it."""
    metric = question.metric
    if question.at != "ss":
        doses = patient.record.doses
        given = (np.asarray(doses.amount) > 0) | (np.asarray(doses.rate) > 0)
        first = float(np.min(np.asarray(doses.time)[given], initial=question.at))
        points = COARSE if patient.model.decoder.simulated else POINTS
        return measure(metric, patient, question.at, first=first, points=points), ""
    interval, assumed = usual_interval(patient), ""
    if interval is None:
        interval = DAY
        assumed = "The file tells no dosing interval: one dose a day is assumed at steady state."
    amount, duration, depot = last_dose(patient)
    if patient.model.decoder.simulated:
        found = settle(metric, patient, Regimen(amount, interval, duration), depot)
        doubt = found.doubt(patient.weight)
        return found.values, " ".join(words for words in (assumed, doubt) if words)
    one = steady(interval, duration, depot, amount=amount)
    return at_steady_state(metric, patient.settled().given(one), interval), assumed
