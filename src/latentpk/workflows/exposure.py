"""Exposures of a cohort: areas, troughs, peaks and times above a MIC, with their uncertainty."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from latentpk.dosing.exposure import at_steady_state, measure, quantiles, steady
from latentpk.dosing.history import last_dose, usual_interval
from latentpk.dosing.metric import DAY, At, Metric
from latentpk.dosing.patient import Patient
from latentpk.dosing.regimen import Regimen
from latentpk.dosing.settling import settle
from latentpk.errors import InputError
from latentpk.inference.trust import worst
from latentpk.models.decoders.decoder import Decoder
from latentpk.records.subject import Cohort
from latentpk.workflows.averaging import Average, Pair, check_alike
from latentpk.workflows.patient import Posterior

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
        each_level: Whether to answer also as one would have before any level, and after each.
    """

    metric: Metric
    at: At
    span: tuple[float, float] | None = None
    each_level: bool = False


def exposures(
    pairs: Sequence[Pair],
    question: Question,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Compute an exposure of every subject of a cohort.

    Args:
        pairs: A model with the cohort read by its `reading`; several models of one drug, each
            with the same patients, are averaged, weighed by the marginal likelihood of the levels.
        question: What, when, and within which range.
        draws: Posterior draws of a subject; more work is done until half of them are effective.
        seed: Of the draws.
        progress: Called with (done, total, label).

    Returns:
        JSON values: model (a list where several were asked), metric, unit, at, level, range, and
        for each subject id, median, mean, lo and hi (5 and 95 %), p (of the range), map, ess,
        verdict and reasons; `models` with each model's own answer and weight; `sequence` with
        the answers after 0, 1, 2, ... levels where asked. A model of several groups of people
        adds `groups`, the probability of each; one that knows covariates of doses adds those of
        the dose that is repeated at steady state, `repeated dose`.

    Raises:
        InputError: A cohort of another model, models that cannot be averaged, a window that the
            decoder does not know.
    """
    check_alike(pairs)
    cohort = pairs[0][1]
    _check(question, [one.model.decoder for one, _ in pairs])
    if question.at != "ss" and any(one.coming is not None for one, _ in pairs):
        raise InputError(
            "Covariates of doses to come are of the dose that is repeated at steady state; before "
            "it all doses are the file's, which says theirs. Leave out --dose-covariates, or --at."
        )
    factor = cohort.units.factor("DV") ** question.metric.concentration
    each = question.each_level
    steps = [range(len(s.levels) + 1) if each else (len(s.levels),) for s in cohort]
    asked = [
        [s.after(k) for s, few in zip(one, steps, strict=True) for k in few] for _, one in pairs
    ]
    voices = zip(
        *(
            one.posteriors(subjects, draws=draws, seed=seed, least_ess=0.5)
            for (one, _), subjects in zip(pairs, asked, strict=True)
        ),
        strict=True,
    )
    names = [one.name for one, _ in pairs]
    said = pairs[0][0].dose_covariates if question.at == "ss" else ()
    found: list[dict[str, Any]] = []
    for few in steps:
        heard = [next(voices) for _ in few]
        state = heard[-1][0].said if said else ()
        repeated = dict(zip(said, map(float, state), strict=True))
        whose = {"repeated dose": repeated} if repeated else {}
        answers = [_one(names, one, question, factor) | whose for one in heard]
        found.append(answers[-1] | ({"sequence": answers} if each else {}))
        if progress is not None:
            progress(len(found), len(cohort), "exposures")
    about = [one.about for one, _ in pairs]
    return {
        "model": about if len(about) > 1 else about[0],
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


def _check(question: Question, decoders: Sequence[Decoder]) -> None:
    if question.at == "ss" and not all(one.linear or one.simulated for one in decoders):
        raise InputError(
            "The grid decoder cannot tell what a dose repeated for ever does. Name a time with "
            "--at H."
        )
    if question.at == "ss" and question.metric.kind == "auc_cum":
        raise InputError("A cumulative area has no steady state. Name its end with --at H.")


def unit_of(metric: Metric, cohort: Cohort) -> str:
    """Unit of a metric where concentrations are in the file's unit."""
    dv = cohort.units.unit("DV")
    if dv == "mg/L" or not metric.concentration:
        return metric.unit
    return f"{dv} h" if metric.unit == "mg h/L" else dv


def _end(value: float) -> float | None:
    return value if np.isfinite(value) else None  # JSON has no infinity


def _one(
    names: Sequence[str], posteriors: Sequence[Posterior], question: Question, factor: float
) -> dict[str, Any]:
    """What one model or several say of one subject."""
    panel = Average.of(names, posteriors).panel
    told: list[str] = []
    values, points, weights = [], [], []
    for posterior in posteriors:
        patient = posterior.patient()
        found, assumed = exposure_of(patient.beside(posterior.mode), question)
        values.append(found[1:] / factor)
        points.append(float(found[0] / factor))
        weights.append(patient.weight)
        told += [assumed] if assumed and assumed not in told else []
    verdict = panel.verdict
    if told and verdict == "ok":
        verdict = "caution"
    subject = posteriors[0].subject
    answer = {
        "id": subject.id,
        "levels": len(subject.levels),
        **_summary(np.concatenate(values), panel.mixed(weights), question.span),
        "map": float(panel.weight @ points),
        "ess": panel.ess,
        "verdict": verdict,
        "reasons": [*panel.reasons, *told],
    }
    if len(names) == 1:
        groups = posteriors[0].groups
        return answer | ({"groups": groups} if groups else {})
    own = zip(names, posteriors, panel.weight, values, points, weights, strict=True)
    models = [
        {
            "name": name,
            "weight": float(share),
            **_summary(value, weight, question.span),
            "map": point,
            "verdict": worst(posterior.gates),
        }
        for name, posterior, share, value, point, weight in own
    ]
    return answer | {"models": models}


def _summary(
    values: Float[np.ndarray, " draw"],
    weight: Float[np.ndarray, " draw"],
    span: tuple[float, float] | None,
) -> dict[str, float | None]:
    lo, median, hi = quantiles(values, weight, (0.05, 0.5, 0.95))
    inside = None if span is None else float(weight @ ((values >= span[0]) & (values <= span[1])))
    return {"median": median, "mean": float(weight @ values), "lo": lo, "hi": hi, "p": inside}


def exposure_of(patient: Patient, question: Question) -> tuple[Float[np.ndarray, " draw"], str]:
    """Every draw's exposure in internal units, and what had to be assumed for it."""
    metric = question.metric
    if question.at != "ss":
        doses = patient.record.doses
        given = (np.asarray(doses.amount) > 0) | (np.asarray(doses.rate) > 0)
        first = float(np.min(np.asarray(doses.time)[given], initial=question.at))
        return measure(metric, patient, question.at, first=first), ""
    interval, assumed = usual_interval(patient), ""
    if interval is None:
        interval = DAY
        assumed = "The file tells no dosing interval: one dose a day is assumed at steady state."
    amount, duration, depot = last_dose(patient)
    one, beyond = steady(interval, duration, depot, amount=amount), patient.model.beyond
    assumed = " ".join([*filter(None, [assumed]), *(beyond.words(one) if beyond else ())])
    if patient.model.decoder.simulated:
        found = settle(metric, patient, Regimen(amount, interval, duration), depot)
        doubt = found.doubt(patient.weight)
        return found.values, " ".join(words for words in (assumed, doubt) if words)
    return at_steady_state(metric, patient.settled().given(one), interval), assumed
