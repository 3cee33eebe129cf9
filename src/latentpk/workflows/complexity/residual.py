"""What a trained model adds to a compartment model: over time, concentration, dose, covariates."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from latentpk.evaluate.hints import FAINT, PLAIN, UNNAMED, find_hints
from latentpk.evaluate.pattern import BINS, LEAST, Band, Course, Hint, band, explained
from latentpk.inference.courses import even_draws, follow_courses
from latentpk.models.decoders.compartment import CompartmentDecoder
from latentpk.models.decoders.hybrid import HybridDecoder
from latentpk.models.decoders.mechanistic import MechanisticDecoder
from latentpk.models.record import Queries
from latentpk.records.subject import Subject
from latentpk.workflows.complexity.assess import Assessment, Judged

Progress = Callable[[int, int, str], None]
GROUPS = 6  # of subjects by a covariate, at most
POINTS, DRAWS = 48, 64  # of a subject's curve, of its posterior
LIKELY = 0.5  # probability from which a subject counts among those who may be complex
BETTER = 2.0  # standard errors by which held-out levels must be forecast better
PRESENT = 0.8  # probability of complex people from which on a mechanism is looked for


@dataclass(frozen=True, eq=False)
class ResidualModel:
    """What is added, and which mechanism would do this.

    Attributes:
        course: Both models' curves of the judged subjects.
        likely: Who may be complex, shape (judged,).
        bands: Log ratio of individual predictions over time after dose [h], time [h], the
            compartment model's concentration [mg/L] and dose [mg], of those who may be complex
            where they are enough, else of all.
        typical: The same of typical predictions, over time after dose.
        observed: Log of held-out levels over the compartment model's prediction of them, over time
            after dose.
        explained: Share of the variance of the log ratio that each of these and each covariate
            explains (a covariate: of the subjects' means).
        covariates: Mean log ratio of each subject over each covariate.
        factor: A hybrid's own learned factor (its logarithm) over time after dose, else None.
        of_whom: Whom bands are of, in words.
        clear: Whether the trained model forecasts held-out levels better at all.
        hints: Mechanisms.
        sentence: All of it for a person.
        advice: What would tell the subjects apart better; None where nothing is known.
    """

    course: Course
    likely: Bool[np.ndarray, " judged"]
    bands: dict[str, Band]
    typical: Band
    observed: Band
    explained: dict[str, float]
    covariates: dict[str, Band]
    factor: Band | None
    of_whom: str
    clear: bool
    hints: list[Hint]
    sentence: str
    advice: str | None


def residual_model(found: Assessment, *, progress: Progress | None = None) -> ResidualModel:
    """Compare the curves of both models.

    Args:
        found: The assessment.
        progress: Called with (done, total, label).
    """
    subjects = [found.cohort.subjects[i] for i in found.index]
    queries, since = _grid(subjects)
    records = found.stacked(until_last_level=False)

    def curves(judged: Judged, which: str) -> tuple[np.ndarray, ...]:
        model = (found.model if which == "trained" else found.rival).model
        eps = even_draws(judged.bank, judged.weight, DRAWS)
        label = f"curves, {which} model"
        return follow_courses(model, records, queries, eps, progress=progress, label=label)

    trained, rival = curves(found.trained, "trained"), curves(found.compartment, "compartment")
    start = np.array([_first_dose(s) for s in subjects])
    time = queries.time - start[:, None]
    course = Course(time, since, trained[0], rival[0], trained[1], rival[1])
    likely = found.probability >= LIKELY
    some = likely.sum() >= LEAST
    chosen = np.flatnonzero(likely) if some else np.arange(len(likely))
    of_whom = "of the subjects that may be complex" if some else "of all subjects"
    own = course.take(chosen)
    dose = np.array([_dose(s) for s in subjects])
    bands, by_covariate, shares = _over(found, own, dose, chosen)
    better = _better(found)
    clear = found.presence >= PRESENT and better
    hints = (
        find_hints(own, bands["time_after_dose"], _parameters(found), dose, of_whom=of_whom)
        if clear
        else []
    )
    hybrid = isinstance(found.model.model.decoder, HybridDecoder)
    return ResidualModel(
        course=course,
        likely=likely,
        bands=bands,
        typical=band(own.since, own.typical_ratio),
        observed=_observed(found, subjects, chosen),
        explained=shares,
        covariates=by_covariate,
        factor=band(own.since, np.log(np.maximum(trained[2][chosen], 1e-12))) if hybrid else None,
        of_whom=of_whom,
        clear=clear,
        hints=hints,
        sentence=_sentence(hints, clear=clear, better=better),
        advice=_advice(found, hints),
    )


def _over(
    found: Assessment, own: Course, dose: np.ndarray, chosen: np.ndarray
) -> tuple[dict[str, Band], dict[str, Band], dict[str, float]]:
    """Bands over times, concentration and dose, over each covariate, and what each explains."""
    over = {
        "time_after_dose": own.since,
        "time": own.time,
        "concentration": np.where(own.compared, own.rival, np.nan),
        "dose": np.broadcast_to(dose[chosen][:, None], own.time.shape),
    }
    groups = int(np.clip(len(chosen) // (LEAST + 1), 1, GROUPS))  # subjects have one dose each
    bands = {
        name: band(x, own.ratio, bins=groups if name == "dose" else BINS)
        for name, x in over.items()
    }
    shares = {name: explained(x, own.ratio) for name, x in over.items()}
    mean = _row_mean(own.ratio)
    by_covariate = {}
    for c, name in enumerate(found.cohort.covariate_names):
        values = np.array([found.cohort.subjects[i].covariates[0, c] for i in found.index[chosen]])
        by_covariate[name] = band(values[:, None], mean[:, None], bins=groups)
        shares[name] = explained(values, mean)
    return bands, by_covariate, shares


def _sentence(hints: list[Hint], *, clear: bool, better: bool) -> str:
    if not clear:
        return FAINT if better else PLAIN
    return " ".join(hint.sentence for hint in hints) if hints else UNNAMED


def _advice(found: Assessment, hints: list[Hint]) -> str | None:
    """Saturation is told by its own equations: a free curve bends hardly more than its rival."""
    rival, named = found.rival.model.decoder, found.model.model.decoder
    if not any(hint.saturates for hint in hints) or isinstance(named, MechanisticDecoder):
        return None
    if not isinstance(rival, CompartmentDecoder):
        return None
    few = "1c-mm" if rival.structure.compartments == 1 else "2c-mm-cl"
    return (
        f"Elimination that saturates is told by its own equations: fit with --structure "
        f"{few}-{'oral' if rival.structure.oral else 'iv'} and ask again. By a free curve whoever "
        "had a small dose may be called simple, since a lower clearance describes it as well."
    )


def _better(found: Assessment) -> bool:
    """Whether held-out levels are forecast better by more than two standard errors."""
    one, other = (j.left_out.log_density for j in (found.trained, found.compartment))
    gain = _row_mean(one - other)
    gain = gain[np.isfinite(gain)]
    error = np.std(gain, ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.inf
    return bool(np.mean(gain) > BETTER * error) if len(gain) else False


def _parameters(found: Assessment) -> dict[str, np.ndarray]:
    """Posterior means of the compartment model's log parameters, less what covariates say."""
    judged, model = found.compartment, found.rival.model
    mean = np.einsum("nsd,ns->nd", judged.bank.eps, judged.weight)
    moved = mean @ np.asarray(model.prior.chol()).T
    structure = getattr(model.decoder, "structure", None)
    names = () if structure is None else structure.names
    return {name: moved[:, k] for k, name in enumerate(names)}


def _observed(found: Assessment, subjects: list[Subject], chosen: np.ndarray) -> Band:
    records, median = found.stacked(), found.compartment.left_out.median
    seen = np.asarray(records.mask & ~records.censored) & (np.asarray(records.value) > 0)
    seen &= np.nan_to_num(median) > 0
    safe = np.where(seen, median, 1.0)
    ratio = np.where(seen, np.log(np.where(seen, records.value, 1.0)) - np.log(safe), np.nan)
    since = np.stack([_since(s, np.asarray(records.time)[i]) for i, s in enumerate(subjects)])
    return band(since[chosen], ratio[chosen])


def _grid(subjects: list[Subject]) -> tuple[Queries, np.ndarray]:
    """Evenly spread times from each subject's first dose to its last level, and time after dose."""
    rows = []
    for subject in subjects:
        last = float(subject.levels.time.max())
        first = min(_first_dose(subject), last)
        rows.append(np.linspace(first, max(last, first + 1e-3), POINTS + 1)[1:])
    time = np.stack(rows)
    since = np.stack([_since(s, t) for s, t in zip(subjects, time, strict=True)])
    return Queries(time, np.full(time.shape, np.inf)), since


def _first_dose(subject: Subject) -> float:
    return float(subject.doses.time.min()) if len(subject.doses) else 0.0


def _since(subject: Subject, time: np.ndarray) -> np.ndarray:
    """Hours since the last dose at or before each time; nan before any."""
    doses = np.sort(subject.doses.time)
    place = np.searchsorted(doses, time, side="right") - 1
    known = place >= 0
    return np.where(known, time - doses[np.maximum(place, 0)], np.nan) if len(doses) else 0 * time


def _dose(subject: Subject) -> float:
    return float(np.median(subject.doses.amount)) if len(subject.doses) else 0.0


def _row_mean(values: Float[np.ndarray, "row point"]) -> Float[np.ndarray, " row"]:
    """Mean of each row's numbers; nan where it has none."""
    known = np.isfinite(values)
    count = known.sum(axis=1)
    sums = np.where(known, values, 0.0).sum(axis=1)
    return np.where(count > 0, sums / np.maximum(count, 1), np.nan)
