"""Curves behind a dose's advice, as plain arrays: the fit, the recommended regimen, the others."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from latentpk.dosing.exposure import Window, heights, quantiles
from latentpk.dosing.history import last_dose, put_on
from latentpk.dosing.judge import Alternative
from latentpk.dosing.patient import Patient, Seen, few
from latentpk.dosing.recommend import FEW, Recommendation
from latentpk.dosing.regimen import Regimen
from latentpk.dosing.spread import BAND
from latentpk.kinetics.doses import Doses
from latentpk.workflows.averaging import Average, Pair
from latentpk.workflows.patient import Posterior

SHOWN = 4  # regimens whose curves are computed, the recommended one included
ALIKE = 0.1  # amounts a day that differ by less than this share show the same curve
INTERVALS, LEAST, MOST = 4, 48.0, 336.0  # how far a regimen is followed [intervals, h, h]


@dataclass(frozen=True, eq=False)
class Band:
    """A concentration under the posterior, in the file's unit.

    Attributes:
        time: Times, increasing; both sides of a dose are there [h], shape (time,).
        median: Median, shape (time,).
        lo: 5 % quantile, shape (time,).
        hi: 95 % quantile, shape (time,).
    """

    time: Float[np.ndarray, " time"]
    median: Float[np.ndarray, " time"]
    lo: Float[np.ndarray, " time"]
    hi: Float[np.ndarray, " time"]


@dataclass(frozen=True, eq=False)
class Given:
    """Doses in the file's unit, each field of shape (dose,).

    Attributes:
        time: When [h].
        amount: How much.
        duration: Length of the infusion [h]; 0 is instantaneous or extravascular.
    """

    time: Float[np.ndarray, " dose"]
    amount: Float[np.ndarray, " dose"]
    duration: Float[np.ndarray, " dose"]


@dataclass(frozen=True, eq=False)
class Explained:
    """The levels used beside what the model makes of them, each of shape (level,).

    Attributes:
        time: When [h].
        observed: Measured; the limit of quantification where censored.
        censored: Whether the true value is only known to lie below.
        population: Predicted from doses and covariates alone, at the prior's location.
        median: Posterior median.
        lo: 5 % quantile.
        hi: 95 % quantile.
        mode: At the highest mode (MAP).
        residual: (observed - mode) in standard deviations of the model's error.
    """

    time: np.ndarray
    observed: np.ndarray
    censored: np.ndarray
    population: np.ndarray
    median: np.ndarray
    lo: np.ndarray
    hi: np.ndarray
    mode: np.ndarray
    residual: np.ndarray


@dataclass(frozen=True, eq=False)
class DoseCurves:
    """What a report draws of a recommendation.

    Attributes:
        id: The patient, as the file wrote it.
        unit: Of concentration.
        start: Time of the first new dose [h].
        fitted: The record's curve up to the first new dose; None without a finite posterior.
        population: The same at the prior's location, shape (time,) of `fitted`.
        levels: The fit to the patient's own levels; None without a finite posterior.
        given: Doses of the record.
        recommended: The recommended regimen from its start on; None where there is none.
        planned: Its doses.
        alternatives: Index into the ranked alternatives, and the curve; the recommended one first.
        target: The range of concentration aimed at; None where the metric is no concentration. An
            end that is open is None.
    """

    id: str
    unit: str
    start: float
    fitted: Band | None
    population: Float[np.ndarray, " time"]
    levels: Explained | None
    given: Given
    recommended: Band | None
    planned: Given
    alternatives: tuple[tuple[int, Band], ...]
    target: tuple[float | None, float | None] | None


def curves_of(pairs: Sequence[Pair], answer: Recommendation, average: Average) -> DoseCurves:
    """Compute the curves behind what `advise` answered.

    Args:
        pairs: The models, each with the one subject that was advised on.
        answer: The recommendation.
        average: What it rests on; of several models the typical curve, the mode and the
            residuals are the weightiest one's.

    Returns:
        Curves in the file's units.
    """
    (predictor, cohort), posterior = pairs[0], average.first
    patient = average.patient()
    simulated = any(part.model.decoder.simulated for part in patient.parts)
    drawing = _Drawing(
        few(patient, FEW) if simulated else patient,
        posterior.patient(),
        level=cohort.units.factor("DV"),
        amount=cohort.units.factor("AMT") * predictor.salt_factor,
        depot=_site(posterior),
    )
    finite = bool(np.isfinite(posterior.found.eps).all())
    record = drawing.window(answer) if finite else None
    shown = [] if answer.recommended is None else different(answer.alternatives)
    bands = [(i, drawing.followed(answer, answer.alternatives[i].regimen)) for i in shown]
    first = answer.alternatives[shown[0]].regimen if shown else None
    return DoseCurves(
        id=posterior.subject.id,
        unit=cohort.units.unit("DV"),
        start=answer.start,
        fitted=None if record is None else drawing.band(drawing.patient, record),
        population=np.zeros(0) if record is None else drawing.population(record),
        levels=drawing.explained(posterior) if finite else None,
        given=drawing.given(answer),
        recommended=bands[0][1] if bands else None,
        planned=drawing.planned(answer, first),
        alternatives=tuple(bands),
        target=_range(answer, drawing.level),
    )


def different(ranked: Sequence[Alternative], most: int = SHOWN) -> list[int]:
    """The best regimens that would not draw the same curve: another interval or infusion, or 10 %.

    Args:
        ranked: Best first.
        most: How many at most.

    Returns:
        Indices into `ranked`, the best first.
    """
    found: list[int] = []
    for i, one in enumerate(ranked):
        if len(found) == most:
            break
        if not any(_alike(one.regimen, ranked[j].regimen) for j in found):
            found.append(i)
    return found


def _alike(one: Regimen, other: Regimen) -> bool:
    same = (one.interval, one.infusion) == (other.interval, other.infusion)
    return same and abs(one.daily - other.daily) < ALIKE * max(one.daily, other.daily) * (1 - 1e-9)


@dataclass(frozen=True, eq=False)
class _Drawing:
    """One patient's curves, brought to the file's units.

    Attributes:
        patient: The record with all its doses, and the draws.
        alone: The same as the weightiest model sees it.
        level: mg/L in one unit of DV.
        amount: mg of the measured molecule in one unit of AMT.
        depot: 1 where new doses go into the absorption site, 0 for the central compartment.
    """

    patient: Seen
    alone: Patient
    level: float
    amount: float
    depot: float

    def window(self, answer: Recommendation) -> Window | None:
        """The record, up to the first new dose and to its last level; None where it is empty."""
        doses, record = self.patient.record.doses, self.patient.record
        levels = np.asarray(record.time)[np.asarray(record.mask)]
        begin = float(min(np.min(_times(doses), initial=np.inf), np.min(levels, initial=np.inf)))
        end = float(max(answer.start, np.max(levels, initial=-np.inf)))
        return Window.of(begin, end, doses) if begin < end else None

    def band(self, patient: Seen, window: Window) -> Band:
        """Median, 5 and 95 % quantiles over a window."""
        curve = heights(patient, window)
        lo, median, hi = self._quantiles(curve, patient.weight)
        return Band(window.time, median, lo, hi)

    def population(self, window: Window) -> Float[np.ndarray, " time"]:
        """The curve at the prior's location."""
        return heights(self._at(np.zeros(self.alone.eps.shape[1])), window)[0] / self.level

    def followed(self, answer: Recommendation, regimen: Regimen) -> Band:
        """A regimen from the first new dose on, with what the record's doses left."""
        patient = self._on(answer, regimen)
        return self.band(patient, Window.of(answer.start, _end(answer), patient.record.doses))

    def given(self, answer: Recommendation) -> Given:
        """The record's doses; those that a recommendation replaces are left out."""
        replaced = answer.start if answer.recommended is not None else np.inf
        return self._given(self.patient.record.doses, -np.inf, replaced)

    def planned(self, answer: Recommendation, regimen: Regimen | None) -> Given:
        """The doses of a regimen."""
        if regimen is None:
            return Given(np.zeros(0), np.zeros(0), np.zeros(0))
        return self._given(self._on(answer, regimen).record.doses, answer.start, np.inf)

    def explained(self, posterior: Posterior) -> Explained:
        """The levels used, and the curve at their times."""
        levels = posterior.subject.levels
        if len(levels) == 0:
            none = np.zeros(0)
            return Explained(none, none, levels.censored, *[none] * 6)
        begin, end = float(levels.time[0]), float(levels.time[-1])
        window = Window(begin, end, levels.time, levels.order)
        lo, median, hi = self._quantiles(heights(self.patient, window), self.patient.weight)
        typical = heights(self._at(np.zeros_like(posterior.mode)), window)[0]
        mode = heights(self._at(posterior.mode), window)[0]
        residual = posterior.model.residual.standardized(
            jnp.asarray(levels.value), jnp.asarray(mode)
        )
        return Explained(
            levels.time,
            levels.value / self.level,
            levels.censored,
            typical / self.level,
            median,
            lo,
            hi,
            mode / self.level,
            np.asarray(residual),
        )

    def _on(self, answer: Recommendation, regimen: Regimen) -> Seen:
        return put_on(self.patient, regimen, answer.start, _end(answer), self.depot)

    def _at(self, eps: Float[np.ndarray, " effect"]) -> Patient:
        return self.alone.at_mode(eps)

    def _quantiles(self, curve: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Quantiles of BAND at each time, shape (3, time)."""
        return np.array([quantiles(one, weight, BAND) for one in curve.T]).T / self.level

    def _given(self, doses: Doses, begin: float, end: float) -> Given:
        time, amount = np.asarray(doses.time), np.asarray(doses.amount)
        there = (amount > 0) & (time >= begin) & (time < end)
        order = np.argsort(time[there], kind="stable")
        chosen = time[there], amount[there] / self.amount, np.asarray(doses.duration)[there]
        return Given(*(field[order] for field in chosen))


def _times(doses: Doses) -> np.ndarray:
    """Times of the doses that are there; padding is not."""
    given = (np.asarray(doses.amount) > 0) | (np.asarray(doses.rate) > 0)
    return np.asarray(doses.time)[given]


def _site(posterior: Posterior) -> float:
    """Where new doses go: where the last one went, else where the model sends them."""
    return (
        last_dose(posterior.patient())[2] if len(posterior.subject.doses) else posterior.undecided
    )


def _end(answer: Recommendation) -> float:
    """How far regimens are followed: four intervals of the best one, and the window judged."""
    best = answer.alternatives[answer.recommended or 0].regimen
    ahead = max(INTERVALS * best.interval, LEAST)
    if answer.at != "ss":
        ahead = max(ahead, answer.at + answer.target.measure.hours - answer.start)
    return answer.start + min(ahead, MOST)


def _range(answer: Recommendation, level: float) -> tuple[float | None, float | None] | None:
    """The target as a range of concentration in the file's unit, where it is one."""
    metric, target = answer.target.measure, answer.target
    if metric.kind in ("trough", "peak", "average"):
        high = None if target.high is None else target.high / level
        return (target.low / level if target.low > 0 else None), high
    if metric.kind == "ft_mic" and metric.mic is not None:
        return metric.mic / metric.unbound / level, None
    return None
