"""An assessment as JSON values with units, and in sentences."""

from typing import Any

import numpy as np

from latentpk.evaluate.pattern import Band
from latentpk.inference.two_kinds import share_interval
from latentpk.workflows.complexity.assess import Assessment, Judged
from latentpk.workflows.complexity.residual import ResidualModel
from latentpk.workflows.complexity.rival import TOLD, levels_of

RESAMPLES = 1000
MIXED = 0.9  # share of complex people from which on the population is complex
HELD_OUT = (
    "each level predicted from all others of its subject, of six levels the most that can be "
    "conditioned on; medians of the predictive concentration"
)
HOW = (
    "Bayes factor of all levels between two kinds of people, each with its decoder and a Gaussian "
    "of its own, times the share of complex ones and the probability that there are any"
)


def told(found: Assessment, residual: ResidualModel) -> dict[str, Any]:
    """JSON values: the population, each subject, the latent dimension, what is missing."""
    rival = str(found.rival.fitted.chosen.decoder)
    return {
        "meta": {
            "what": "whether a compartment model would do",
            "model": str(found.model.fitted.chosen.decoder),
            "compartment_model": rival,
            "what_either_has_seen": found.seen,
            "held_out": HELD_OUT,
            "probability": HOW,
            "complex_from": found.settings.sure,
            "simple_to": 1 - found.settings.sure,
            "odds_needed_while_kinds_are_found": float(np.exp(found.mixture.need)),
            "selection_of_the_compartment_model": list(found.rival.notices),
            "units": {"error": "log", "density": "nat", "time": "h", "dose": "mg",
                      "concentration": found.cohort.units.unit("DV")},
            "seed": found.settings.seed,
        },
        "population": population_of(found),
        "dimension": _dimension(found),
        "subjects": subjects_of(found),
        "residual": residual_of(found, residual),
    }  # fmt: skip


def population_of(found: Assessment) -> dict[str, Any]:
    """The class of the population, the share of complex people, errors of both models."""
    low, high = share_interval(found.verdicts)
    kind, probability = _population_class(found)
    errors = {
        "trained": _errors(found, found.trained),
        "compartment": _errors(found, found.compartment),
    }
    return {
        "class": kind,
        "probability": probability,
        "sentence": _population_sentence(found, kind, errors),
        "complex_people_exist": found.presence,
        "complex_people_are_apart": found.parted,
        "share_complex": {"value": found.verdicts.share, "low": low, "high": high,
                          "if": "there are complex people"},
        "log_density_gained": {
            "total": float(found.gain.sum()),
            "standard_error": float(np.std(found.gain) * np.sqrt(len(found.gain))),
            "of": "two kinds over the compartment model alone, subjects held out of the kinds",
        },
        "counts": {name: int(sum(_class(found, i) == name for i in range(len(found.cohort))))
                   for name in ("simple", "complex", "undecided")},
        "held_out": errors | {"trained_minus_compartment": _difference(found)},
    }  # fmt: skip


def subjects_of(found: Assessment) -> list[dict[str, Any]]:
    """Each subject, those with too few levels too."""
    place = {int(i): row for row, i in enumerate(found.index)}
    return [_subject(found, i, place.get(i)) for i in range(len(found.cohort))]


def residual_of(found: Assessment, residual: ResidualModel) -> dict[str, Any]:
    """What the trained model adds."""
    unit = 1 / found.cohort.units.factor("DV")
    bands = {name: _band(one, unit if name == "concentration" else 1.0)
             for name, one in residual.bands.items()}  # fmt: skip
    return {
        "sentence": residual.sentence,
        "advice": residual.advice,
        "clear": residual.clear,
        "hints": [vars(hint) for hint in residual.hints],
        "of": residual.of_whom.removeprefix("of "),
        "log_ratio": "trained over compartment model, individual predictions given all levels",
        "over": bands,
        "typical_over_time_after_dose": _band(residual.typical),
        "held_out_levels_over_compartment": _band(residual.observed),
        "over_covariates": {name: _band(one) for name, one in residual.covariates.items()},
        "variance_explained": residual.explained,
        "learned_factor_over_time_after_dose": residual.factor and _band(residual.factor),
    }


def _class(found: Assessment, i: int) -> str:
    rows = np.flatnonzero(found.index == i)
    if rows.size == 0:
        return "undecided"
    probability = found.probability[rows[0]]
    if probability >= found.settings.sure:
        return "complex"
    return "simple" if probability <= 1 - found.settings.sure else "undecided"


def _subject(found: Assessment, i: int, row: int | None) -> dict[str, Any]:
    subject, kind = found.cohort.subjects[i], _class(found, i)
    levels = levels_of(subject)
    base = {"id": subject.id, "levels": levels, "class": kind}
    if row is None:
        many = "no level" if levels == 0 else f"{levels} level{'s' * (levels != 1)}"
        return base | {
            "probability": None,
            "sentence": f"Subject {subject.id} is undecided: {many}, and it takes {TOLD} to hold "
            "one out.",
        }
    one, other = (_root(_log_errors(found, j)[row]) for j in (found.trained, found.compartment))
    probability = float(found.probability[row])
    return base | {
        "probability": probability,
        "log_bayes_factor": float(found.verdicts.log_bayes[row]),
        "log_rmse_trained": one,
        "log_rmse_compartment": other,
        "log_density_trained": _mean(found.trained.left_out.log_density[row]),
        "log_density_compartment": _mean(found.compartment.left_out.log_density[row]),
        "fitted_log_rmse_trained": _root(_log_errors(found, found.trained, fitted=True)[row]),
        "fitted_log_rmse_compartment": _root(
            _log_errors(found, found.compartment, fitted=True)[row]
        ),
        "directions_informed": float(found.informed[row]),
        "effective_draws": float(
            min(np.nanmin(j.left_out.ess[row]) for j in (found.trained, found.compartment))
        ),
        "sentence": _subject_sentence(found, subject.id, kind, (probability, one, other)),
    }


def _subject_sentence(
    found: Assessment, name: str, kind: str, told: tuple[float, float | None, float | None]
) -> str:
    probability, one, other = told
    rival = found.rival.fitted.chosen.decoder
    head = {
        "complex": f"Subject {name} is complex (probability {probability:.2f}): no compartment "
        "model that describes the simple subjects describes this one",
        "simple": f"Subject {name} is simple (probability of being complex {probability:.2f}): a "
        "compartment model describes it",
        "undecided": f"Subject {name} is undecided (probability of being complex "
        f"{probability:.2f}): its levels fit either",
    }[kind]
    if one is None or other is None:
        return head + "."
    return (
        f"{head}; a held-out level is missed by {_percent(other)} by {rival} and by "
        f"{_percent(one)} by the trained model."
    )


def _population_class(found: Assessment) -> tuple[str, float]:
    presence, sure = found.presence, found.settings.sure
    if presence <= 1 - sure:
        return "simple", 1 - presence
    if presence < sure:
        return "undecided", presence
    if found.parted < sure:
        return "undecided", found.parted
    return ("complex" if found.verdicts.share >= MIXED else "mixed"), min(presence, found.parted)


def _population_sentence(found: Assessment, kind: str, errors: dict[str, Any]) -> str:
    rival = found.rival.fitted.chosen.decoder
    one, other = (errors[name]["log_rmse"] for name in ("trained", "compartment"))
    missed = ""
    if one is not None and other is not None:
        missed = (
            f" Held-out levels are missed by {_percent(other)} by {rival} and by {_percent(one)} "
            "by the trained model."
        )
    if kind == "simple":
        return (
            f"A compartment model ({rival}) will do: nothing shows that any subject is more "
            "complex." + missed
        )
    if kind == "undecided" and found.presence >= found.settings.sure:
        return (
            "The trained model explains these levels better, but not by people apart whom it could "
            "tell: whether some are more complex than a compartment model, or everybody is a "
            "little, is left open." + missed
        )
    if kind == "undecided":
        return "Whether any subject is more complex than a compartment model is left open." + missed
    low, high = share_interval(found.verdicts)
    who = (
        f"About {100 * found.verdicts.share:.0f} % of the subjects ({100 * low:.0f} to "
        f"{100 * high:.0f} %) are complex: no compartment model describes them."
    )
    return who + missed


def _dimension(found: Assessment) -> dict[str, Any]:
    d = found.dimension
    return {
        "latent": len(d.variance),
        "active_units": d.active,
        "by_criterion": d.by_criterion,
        "by_held_out": d.by_held_out,
        "by_encoder_elbo": d.by_elbo,
        "variance_of_posterior_means": _list(d.variance),
        "kept": list(range(len(d.variance) + 1)),
        "criterion": _list(d.criterion),
        "log_evidence_of_a_subject": _list(d.evidence),
        "held_out_log_density_of_a_level": _list(d.held_out),
        "standard_error_of_the_difference_to_the_best": _list(d.behind),
        "encoder_elbo_of_a_subject": None if d.elbo is None else _list(d.elbo),
        "subjects_used": d.subjects,
        "how": "directions of the posterior means' covariance, the rest switched off to the "
        "prior's mean, nothing trained again; by held-out: the least within one standard "
        "error of the best",
    }


def _log_errors(found: Assessment, judged: Judged, *, fitted: bool = False) -> np.ndarray:
    """Log of measured over predicted, nan where there is none, shape (judged, level)."""
    records = judged.bank.records
    seen = np.asarray(records.mask & ~records.censored) & (np.asarray(records.value) > 0)
    median = (
        np.einsum("nsl,ns->nl", judged.bank.level, judged.weight)
        if fitted
        else judged.left_out.median
    )
    seen &= np.nan_to_num(median) > 0
    value = np.log(np.where(seen, records.value, 1.0))
    return np.where(seen, value - np.log(np.where(seen, median, 1.0)), np.nan)


def _errors(found: Assessment, judged: Judged) -> dict[str, float | None]:
    rows = [_root(row) for row in _log_errors(found, judged)]
    fitted = [_root(row) for row in _log_errors(found, judged, fitted=True)]
    return {
        "log_rmse": _mean(np.array([r for r in rows if r is not None])),
        "log_density_of_a_level": _mean(judged.left_out.log_density),
        "fitted_log_rmse": _mean(np.array([r for r in fitted if r is not None])),
    }


def _difference(found: Assessment) -> dict[str, Any]:
    """Trained minus compartment model, subjects drawn anew for the 95 % interval."""
    one, other = (
        np.array([_root(r) or np.nan for r in _log_errors(found, j)])
        for j in (found.trained, found.compartment)
    )
    density = [
        np.array([_mean(r) for r in j.left_out.log_density], float)
        for j in (found.trained, found.compartment)
    ]
    return {
        "log_rmse": _interval(one - other, found.settings.seed),
        "log_density_of_a_level": _interval(density[0] - density[1], found.settings.seed),
    }


def _interval(values: np.ndarray, seed: int) -> dict[str, float | None]:
    values = values[np.isfinite(values)]
    if values.size == 0:
        return {"value": None, "low": None, "high": None}
    rng = np.random.Generator(np.random.Philox([seed, values.size]))
    again = rng.choice(values, (RESAMPLES, values.size)).mean(axis=1)
    low, high = np.quantile(again, [0.025, 0.975])
    return {"value": float(values.mean()), "low": float(low), "high": float(high)}


def _band(one: Band, unit: float = 1.0) -> dict[str, list[float]]:
    rows = {name: _list(getattr(one, name)) for name in vars(one)}
    return rows | {"at": _list(unit * one.at)}


def _list(values: np.ndarray) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


def _root(errors: np.ndarray) -> float | None:
    known = errors[np.isfinite(errors)]
    return float(np.sqrt(np.mean(known**2))) if known.size else None


def _mean(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.mean(known)) if known.size else None


def _percent(error: float) -> str:
    return f"{100 * np.expm1(min(error, 5.0)):.0f} %"
