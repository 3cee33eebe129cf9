"""A recommendation as JSON values, in the units of the patient's file."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from latentpk.dosing.exposure import quantiles
from latentpk.dosing.judge import Alternative, Opinion
from latentpk.dosing.recommend import Recommendation
from latentpk.dosing.regimen import Practice
from latentpk.dosing.spread import Spread
from latentpk.inference.trust import Trust, worst
from latentpk.models.decoders.compartment import CompartmentDecoder
from latentpk.models.decoders.mechanistic import MechanisticDecoder
from latentpk.models.parameters import parameter_unit
from latentpk.records.subject import Cohort
from latentpk.workflows.averaging import Average, Pair
from latentpk.workflows.exposure import LEVEL, unit_of
from latentpk.workflows.patient import Posterior
from latentpk.workflows.predictor import Predictor


@dataclass(frozen=True, eq=False)
class FileUnits:
    """How many internal units the file's are.

    Attributes:
        cohort: Names them.
        amount: mg of the measured molecule in one unit of AMT.
        exposure: Internal units of the exposure in one of the file's.
    """

    cohort: Cohort
    amount: float
    exposure: float


def answer_values(
    unit: FileUnits,
    about: list[dict[str, Any]],
    average: Average,
    answer: Recommendation,
    inputs: dict[str, Any],
) -> dict[str, Any]:
    """All that is answered.

    Args:
        unit: How many internal units the file's are.
        about: What each model says of itself.
        average: What the recommendation rests on.
        answer: The recommendation.
        inputs: What it was made from.

    Returns:
        JSON values; of several models also what each says.
    """
    several = len(average.posteriors) > 1
    names = [average.panel.says[m].name for m in average.heard] if several else []
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
        "alternatives": [_alternative(one, unit, names) for one in answer.alternatives],
        "recommended": answer.recommended,
        "optimal_amount": [
            one | {"amount": one["amount"] / unit.amount} for one in answer.optimal_amount
        ],
        "hold_until": answer.hold_until,
        "next_sample": None if sample is None else asdict(sample),
    }


def _alternative(one: Alternative, unit: FileUnits, names: list[str]) -> dict[str, Any]:
    """A regimen with what it would do; where models have names, also what each says."""
    regimen = one.regimen
    loading = regimen.loading
    told = {
        "amount": regimen.amount / unit.amount,
        "interval": regimen.interval,
        "infusion": regimen.infusion,
        "loading": None if loading is None else loading / unit.amount,
        "probability": one.probability,
        "probability_toxic": one.probability_toxic,
        "expected_loss": one.expected_loss / unit.exposure,
        "exposure": _spread(one.exposure, unit),
        "first_24h": _spread(one.first_day, unit),
    }
    if not names:
        return told
    each = one.opinions or (Opinion(one.probability, one.exposure),)
    models = [
        {"name": name, "probability": said.probability, "exposure": _spread(said.exposure, unit)}
        for name, said in zip(names, each, strict=True)
    ]
    return told | {"models": models}


def _spread(found: Spread, unit: FileUnits) -> dict[str, float]:
    return {name: value / unit.exposure for name, value in asdict(found).items()}


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


def practice_values(practice: Practice, unit: FileUnits) -> dict[str, Any]:
    """What there was to choose among."""
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


def covariate_values(pairs: Sequence[Pair]) -> dict[str, float]:
    """The last value of each covariate of any of the models, internal units."""
    found = {}
    for predictor, cohort in pairs:
        units = {known.name: known.unit for known in predictor.domain.ranges}
        for name, value in zip(predictor.covariates, cohort[0].covariates[-1], strict=True):
            found[f"{name} [{units[name]}]" if units.get(name) else name] = float(value)
    return found


def coming_values(predictor: Predictor, posterior: Posterior) -> dict[str, dict[str, float]]:
    """What is said of the doses that are judged; nothing where the model asks nothing."""
    said = dict(zip(predictor.dose_covariates, map(float, posterior.said), strict=True))
    return {"covariates of the doses": said} if said else {}
