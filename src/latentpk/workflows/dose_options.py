"""What to choose a regimen among: what a user asked, and what stands in for what nobody said."""

from dataclasses import dataclass

import numpy as np

from latentpk.dosing.history import last_dose, usual_interval
from latentpk.dosing.judge import DoseOptions
from latentpk.dosing.metric import DAY, At
from latentpk.dosing.recommend import Recommendation
from latentpk.dosing.regimen import Practice
from latentpk.errors import InputError, Problem
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


def check_finite(wish: Wish) -> None:
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


def options_of(
    predictor: Predictor, posterior: Posterior, wish: Wish, unit: float
) -> tuple[DoseOptions, list[str]]:
    """What to choose among.

    Args:
        predictor: The model.
        posterior: Of the patient.
        wish: What the user asked.
        unit: mg of the measured molecule in one unit of AMT.

    Returns:
        The options, and a sentence for everything that the user did not say.
    """
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


def begun(posterior: Posterior, answer: Recommendation) -> str:
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
