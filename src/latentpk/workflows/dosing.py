"""Advice for one patient as JSON values: the dose, its alternatives, and all they rest on."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from latentpk.dosing.exposure import quantiles
from latentpk.dosing.history import last_dose, usual_interval
from latentpk.dosing.judge import Alternative, DoseOptions, Opinion
from latentpk.dosing.metric import DAY, At
from latentpk.dosing.recommend import Recommendation, recommend
from latentpk.dosing.regimen import Practice
from latentpk.dosing.spread import Spread
from latentpk.dosing.target import INLINE, Target
from latentpk.errors import InputError, Problem
from latentpk.inference.trust import Trust, worst
from latentpk.models.decoders.compartment import CompartmentDecoder
from latentpk.models.decoders.mechanistic import MechanisticDecoder
from latentpk.records.subject import Cohort
from latentpk.workflows.averaging import Average, Pair, check_alike
from latentpk.workflows.card import parameter_unit
from latentpk.workflows.exposure import DRAWS, LEVEL, unit_of
from latentpk.workflows.patient import Posterior
from latentpk.workflows.predictor import Predictor

INTERVALS = (8.0, 12.0, 24.0)
STEPS = 12  # of a grid made from a usual dose


@dataclass(frozen=True)
class Wish:
    """What a user asked of a recommendation; None takes a default that is named in the answer.

    Attributes:
        amounts: Amounts of a dose, in the file's unit.
        intervals: Between doses [h].
        infusions: Lengths of an infusion [h].
        at: Start of the window that is judged [h], or "ss".
        start: Time of the first new dose [h].
        loading: Whether a first dose may be larger.
        most_daily: Largest amount a day, in the file's unit.
        most_single: Largest single dose, in the file's unit.
        vial: Amounts are whole multiples of this, in the file's unit.
    """

    amounts: tuple[float, ...] | None = None
    intervals: tuple[float, ...] | None = None
    infusions: tuple[float, ...] | None = None
    at: At = "ss"
    start: float | None = None
    loading: bool = False
    most_daily: float | None = None
    most_single: float | None = None
    vial: float | None = None


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
    _check_finite(wish)
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
    unit = _Units(cohort, cohort.units.factor("AMT") * predictor.salt_factor, level)
    options, defaults = _options(predictor, posterior, wish, unit.amount)
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
        defaults.append(f"the first new dose {_begun(posterior, answer)} (--start)")
    inputs = {
        "target": shown.model_dump(exclude={"name"})
        | {"says": shown.describe(), "measured": target.measure.describe(wish.at)},
        "at": wish.at,
        "start [h]": answer.start,
        **_practice(options.practice, unit),
        "levels used": len(posterior.subject.levels),
        "doses given": int(np.sum(posterior.subject.doses.time < answer.start)),
        "doses replaced": int(np.sum(posterior.subject.doses.time >= answer.start)),
        "covariates": _covariates(pairs),
        **_doses_to_come(predictor, posterior),
        "units": cohort.units.describe(cohort.covariate_names),
        "reading": list(cohort.notices),
        "file sha256": cohort.source_hash,
        "draws": draws,
        "draws that regimens were judged by": answer.draws,
        "seed": seed,
        "defaults": defaults,
        "computed": list(cohort.computed),
    }
    about = [one.about for one, _ in pairs]
    return _json(unit, about, average, answer, inputs), answer, average


def _check_finite(wish: Wish) -> None:
    """Refuse numbers that are none, before any work.

    Raises:
        InputError: With every one of them.
    """
    given = {
        "--start": wish.start,
        "--max-daily": wish.most_daily,
        "--max-single": wish.most_single,
        "--vial": wish.vial,
    }
    problems = [
        Problem(name, f"{value}", "It is a finite number", "Write it in digits or leave it out")
        for name, value in given.items()
        if value is not None and not np.isfinite(value)
    ]
    if problems:
        raise InputError(problems, source="the options")


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


@dataclass(frozen=True, eq=False)
class _Units:
    """How many internal units the file's are.

    Attributes:
        cohort: Names them.
        amount: mg of the measured molecule in one unit of AMT.
        exposure: Internal units of the exposure in one of the file's.
    """

    cohort: Cohort
    amount: float
    exposure: float


def _options(
    predictor: Predictor, posterior: Posterior, wish: Wish, unit: float
) -> tuple[DoseOptions, list[str]]:
    """What to choose among, and a sentence for everything the user did not say."""
    patient, defaults = posterior.patient(), []
    design = predictor.design
    given = len(posterior.subject.doses) > 0
    _, duration, depot = last_dose(patient) if given else (0.0, 0.0, predictor.undecided)
    amounts = wish.amounts
    if amounts is None:
        amounts = _usual_amounts(predictor, posterior, unit)
        listed = f"{amounts[0]:g} to {amounts[-1]:g}"
        defaults.append(f"amounts {listed}, from the model's own practice (--doses)")
    intervals = wish.intervals
    if intervals is None:
        usual = usual_interval(patient)
        known = {i.hours for i in design.dosing.intervals} if design else set(INTERVALS)
        intervals = tuple(sorted(known | ({usual} if usual and usual <= 14 * DAY else set())))
        defaults.append(
            f"intervals {', '.join(f'{i:g}' for i in intervals)} h, from the model's own practice "
            "and the patient's (--intervals)"
        )
    infusions = wish.infusions
    if infusions is None:
        usual = duration if given else design.dosing.infusion_least if design else 1.0
        infusions = (0.0 if depot else usual,)
        defaults.append(f"infusions of {infusions[0]:g} h (--infusion)")
    if predictor.dose_covariates and predictor.coming is None:
        whose = "the patient's last one" if given else "the model's reference"
        pairs = zip(predictor.dose_covariates, posterior.said, strict=True)
        said = ", ".join(f"{name} {value:g}" for name, value in pairs)
        defaults.append(f"doses with {said}, as {whose} (--dose-covariates)")
    if posterior.model.kappas:
        defaults.append("the regimen in an occasion of its own, of which no level tells")
    practice = Practice(
        amounts=tuple(unit * amount for amount in amounts),
        intervals=intervals,
        infusions=infusions,
        loading=wish.loading,
        most_daily=None if wish.most_daily is None else unit * wish.most_daily,
        most_single=None if wish.most_single is None else unit * wish.most_single,
        vial=None if wish.vial is None else unit * wish.vial,
    )
    return DoseOptions(practice, wish.at, wish.start, depot), defaults


def _doses_to_come(predictor: Predictor, posterior: Posterior) -> dict[str, dict[str, float]]:
    """What is said of the doses that are judged; nothing where the model asks nothing."""
    said = dict(zip(predictor.dose_covariates, map(float, posterior.said), strict=True))
    return {"covariates of the doses": said} if said else {}


def _begun(posterior: Posterior, answer: Recommendation) -> str:
    """Why new doses begin when they do, where nobody said."""
    if answer.hold_until == answer.start:
        return "when the concentration has fallen to what the target allows"
    if len(posterior.subject.doses) > 0 and usual_interval(posterior.patient()) is None:
        return "at the last record, since no interval is known"
    return "when the next one is due"


def _usual_amounts(predictor: Predictor, posterior: Posterior, unit: float) -> tuple[float, ...]:
    """A grid of amounts in the file's unit: the published practice, or around the usual dose."""
    if predictor.design is not None:
        dosing, salt = predictor.design.dosing, predictor.salt_factor
        count = int((dosing.high - dosing.low) / dosing.round_to + 1e-9) + 1
        rounded = dosing.low + dosing.round_to * np.arange(count)
        return tuple(float(v) for v in rounded * salt / unit)
    doses = posterior.subject.doses
    given = doses.amount[doses.amount > 0]
    usual = float(np.median(given)) if given.size else predictor.usual_dose
    step = float(f"{usual / (STEPS / 3):.1g}")  # one digit: an amount that can be weighed out
    return tuple(float(f"{k * step / unit:.6g}") for k in range(1, STEPS + 1))


def _scaled(target: Target, factor: float) -> Target:
    """The target in internal units; a MIC is in mg/L already."""
    if factor == 1:
        return target
    ends = ("low", "high", "best", "toxic")
    values = {name: getattr(target, name) for name in ends}
    return target.model_copy(
        update={name: None if v is None else v * factor for name, v in values.items()}
    )


def _practice(practice: Practice, unit: _Units) -> dict[str, Any]:
    amount = unit.cohort.units.unit("AMT")

    def back(value: float | None) -> float | None:
        return None if value is None else value / unit.amount

    return {
        f"amounts [{amount}]": [v / unit.amount for v in practice.rounded()],
        "intervals [h]": list(practice.intervals),
        "infusions [h]": list(practice.infusions),
        "loading": practice.loading,
        f"most daily [{amount}]": back(practice.most_daily),
        f"most single [{amount}]": back(practice.most_single),
        f"vial [{amount}]": back(practice.vial),
    }


def _covariates(pairs: Sequence[Pair]) -> dict[str, float]:
    """The last value of each covariate of any of the models, internal units."""
    found = {}
    for predictor, cohort in pairs:
        units = {known.name: known.unit for known in predictor.domain.ranges}
        for name, value in zip(predictor.covariates, cohort[0].covariates[-1], strict=True):
            found[f"{name} [{units[name]}]" if units.get(name) else name] = float(value)
    return found


def _json(
    unit: _Units,
    about: list[dict[str, Any]],
    average: Average,
    answer: Recommendation,
    inputs: dict[str, Any],
) -> dict[str, Any]:
    def spread(found: Spread) -> dict[str, float]:
        return {name: value / unit.exposure for name, value in asdict(found).items()}

    def alternative(one: Alternative) -> dict[str, Any]:
        regimen = one.regimen
        loading = regimen.loading
        return {
            "amount": regimen.amount / unit.amount,
            "interval": regimen.interval,
            "infusion": regimen.infusion,
            "loading": None if loading is None else loading / unit.amount,
            "probability": one.probability,
            "probability_toxic": one.probability_toxic,
            "expected_loss": one.expected_loss / unit.exposure,
            "exposure": spread(one.exposure),
            "first_24h": spread(one.first_day),
        } | opinions(one)

    several = len(average.posteriors) > 1
    names = [average.panel.says[m].name for m in average.heard]

    def opinions(one: Alternative) -> dict[str, Any]:
        if not several:
            return {}
        each = one.opinions or (Opinion(one.probability, one.exposure),)
        return {
            "models": [
                {"name": name, "probability": said.probability, "exposure": spread(said.exposure)}
                for name, said in zip(names, each, strict=True)
            ]
        }

    cohort, sample = unit.cohort, answer.next_sample
    return {
        "verdict": answer.verdict,
        "reasons": list(answer.reasons),
        "gates": [_gate(gate, levels=inputs["levels used"]) for gate in answer.gates],
        "inputs": inputs,
        "model": about if several else about[0],
        "posterior": _posterior(average.first) | (_weights(average) if several else {}),
        "units": {
            "amount": cohort.units.unit("AMT"),
            "time": "h",
            "exposure": unit_of(answer.target.measure, cohort),
        },
        "level": LEVEL,
        "alternatives": [alternative(one) for one in answer.alternatives],
        "recommended": answer.recommended,
        "optimal_amount": [
            one | {"amount": one["amount"] / unit.amount} for one in answer.optimal_amount
        ],
        "hold_until": answer.hold_until,
        "next_sample": None if sample is None else asdict(sample),
    }


def _gate(gate: Trust, *, levels: int) -> dict[str, Any]:
    """A gate as it is told; C is a share of what is allowed for, and low is bad."""

    def finite(value: float) -> float | None:
        return value if np.isfinite(value) else None

    c = gate.gate.startswith("C")
    return {
        "gate": gate.gate,
        "caution": "below the threshold" if c else "above the threshold",
        "verdict": gate.verdict,
        "value": finite(gate.value),
        "threshold": finite(gate.threshold),
        "sentence": gate.reason
        or ("There is no level to judge." if c and not levels else "Nothing to say against it."),
    }


def _weights(average: Average) -> dict[str, Any]:
    """The models with their weights and verdicts; the parameters are of the weightiest."""
    panel = average.panel
    return {
        "of": panel.says[panel.first].name,
        "models": [
            {"name": say.name, "weight": float(weight), "verdict": worst(say.gates)}
            for say, weight in zip(panel.says, panel.weight, strict=True)
        ],
    }


def _posterior(posterior: Posterior) -> dict[str, Any]:
    """Draws, method, and parameters where they have names: typical, median, 5 and 95 %, MAP."""
    found = posterior.found
    told: dict[str, Any] = {
        "method": found.method[0],
        "effective draws": float(found.ess[0]),
        "pareto k": float(found.k[0]) if np.isfinite(found.k[0]) else None,
        **({"groups": posterior.groups} if posterior.groups else {}),
    }
    decoder = posterior.model.decoder
    if isinstance(decoder, CompartmentDecoder | MechanisticDecoder):
        table, mode, typical = posterior.parameters, posterior.map, posterior.typical
        weight = np.full(len(table), 1 / len(table))
        told["parameters"] = {
            name: dict(
                zip(
                    ("lo", "median", "hi"),
                    quantiles(table[name].to_numpy(), weight, (0.05, 0.5, 0.95)),
                    strict=True,
                )
            )
            | {
                "typical": typical[name],
                "map": mode[name],
                "unit": parameter_unit(decoder.structure, name),
            }
            for name in table.columns
        }
    return told
