"""Advice for one patient as JSON values: the dose, its alternatives, and all they rest on."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from latentpk.dosing.recommend import Recommendation, recommend
from latentpk.dosing.target import INLINE, Target
from latentpk.errors import InputError
from latentpk.records.subject import Cohort
from latentpk.workflows.averaging import Average, Pair, check_alike
from latentpk.workflows.dose_answer import (
    FileUnits,
    answer_values,
    coming_values,
    covariate_values,
    practice_values,
)
from latentpk.workflows.dose_options import Wish, begun, check_finite, options_of
from latentpk.workflows.exposure import DRAWS, unit_of
from latentpk.workflows.predictor import Predictor


def advise(
    pairs: Sequence[Pair],
    target: Target,
    wish: Wish,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> tuple[dict[str, Any], Recommendation, Average]:
    """Recommend a regimen for the one patient of a file.

    Args:
        pairs: A model with the cohort of one subject read by its `reading`; several models of
            one drug are averaged, weighed by the marginal likelihood of the levels.
        target: What to aim at; an inline one's numbers are in units of the file's DV, a named
            one's in mg/L.
        wish: What to choose among.
        draws: Posterior draws; more work is done until half of them are effective.
        seed: Of the draws.
        progress: Called with (done, total, label).

    Returns:
        JSON values, the recommendation, and what it rests on.

    Raises:
        InputError: More than one subject, or none; an empty grid; another model's cohort; models
            that cannot be averaged.
    """
    check_alike(pairs)
    check_finite(wish)
    cohort = pairs[0][1]
    if len(cohort) != 1:
        raise InputError(
            f"{len(cohort)} subjects: a dose is recommended for one patient. "
            "Give a file that holds one ID."
        )
    level = cohort.units.factor("DV") ** target.measure.concentration
    told = progress or (lambda done, total, label: None)
    steps, posteriors = len(pairs) + 1, []
    for done, (one, same) in enumerate(pairs):
        told(done, steps, "posterior")
        posteriors.append(one.posterior(same[0], draws=draws, seed=seed, least_ess=0.5))
    average = Average.of([one.name for one, _ in pairs], posteriors)
    told(len(pairs), steps, "regimens judged")
    predictor, posterior = pairs[average.panel.first][0], average.first
    unit = FileUnits(cohort, cohort.units.factor("AMT") * predictor.salt_factor, level)
    options, defaults = options_of(predictor, posterior, wish, unit.amount)
    named = target.citation != INLINE
    aim = target if named else _scaled(target, level)
    shown = _scaled(target, 1 / level) if named else target
    shown = shown.model_copy(update={"unit": unit_of(target.measure, cohort)})
    _check_measurable(aim, cohort)
    _check_drug(target, predictor)
    answer = recommend(
        average,
        aim,
        options,
        progress=lambda done, total: told(done, total, "courses simulated"),
    )
    told(steps, steps, "regimens judged")
    if wish.start is None:
        defaults.append(f"the first new dose {begun(posterior, answer)} (--start)")
    inputs = {
        "target": shown.model_dump(exclude={"name"})
        | {"says": shown.describe(), "measured": target.measure.describe(wish.at)},
        "at": wish.at,
        "start [h]": answer.start,
        **practice_values(options.practice, unit),
        "levels used": len(posterior.subject.levels),
        "doses given": int(np.sum(posterior.subject.doses.time < answer.start)),
        "doses replaced": int(np.sum(posterior.subject.doses.time >= answer.start)),
        "covariates": covariate_values(pairs),
        **coming_values(predictor, posterior),
        "units": cohort.described_units,
        "reading": list(cohort.notices),
        "file sha256": cohort.source_hash,
        "draws": draws,
        "draws that regimens were judged by": answer.draws,
        "seed": seed,
        "defaults": defaults,
        "computed": list(cohort.computed),
    }
    about = [one.about for one, _ in pairs]
    return answer_values(unit, about, average, answer, inputs), answer, average


def _check_drug(target: Target, predictor: Predictor) -> None:
    """Refuse a named target of another drug.

    Raises:
        InputError: The target's drug is not the model's.
    """
    drug = predictor.about.get("drug")
    if target.drug and drug and target.drug != drug:
        raise InputError(
            f"{target.name} is a target of {target.drug}, and {predictor.name} is a model of "
            f"{drug}. Name one of {drug}, or write the range: {target.metric}=low:high."
        )


def _check_measurable(target: Target, cohort: Cohort) -> None:
    """Refuse a target that no level of this assay can show to be met.

    An area is read as the mean concentration that gives it.

    Raises:
        InputError: The whole target lies below the largest limit of quantification.
    """
    limits = cohort[0].levels.lloq
    limit = float(np.max(limits[np.isfinite(limits)], initial=0.0))
    metric = target.measure
    if metric.kind == "auc_cum":
        return
    if metric.kind == "ft_mic":
        top = (metric.mic or 0.0) / metric.unbound
    else:
        top = (target.high or target.low) / (metric.hours if metric.kind == "auc" else 1.0)
    if top < limit:
        unit = cohort.units.factor("DV")
        raise InputError(
            f"The target {target.describe()} asks for concentrations up to {top / unit:.4g} "
            f"{cohort.units.unit('DV')}, below the assay's limit of quantification, "
            f"{limit / unit:.4g}: no level could show whether it is met. Check the target and its "
            "unit, or the LLOQ column."
        )


def _scaled(target: Target, factor: float) -> Target:
    """The target in internal units; a MIC is in mg/L already."""
    if factor == 1:
        return target
    ends = ("low", "high", "best", "toxic")
    values = {name: getattr(target, name) for name in ends}
    return target.model_copy(
        update={name: None if v is None else v * factor for name, v in values.items()}
    )
