"""What a patient was given, and what a regimen adds to it."""

import jax
import numpy as np

from latentpk.dosing.patient import Seen
from latentpk.dosing.regimen import Regimen, schedule
from latentpk.errors import InputError
from latentpk.kinetics.doses import Doses
from latentpk.models.record import take


def due(patient: Seen) -> float:
    """When the next dose is due [h]: an interval after the last one, not before the last level."""
    doses, levels = patient.record.doses, patient.record.time[np.asarray(patient.record.mask)]
    given = times_given(doses)
    latest = float(np.max(levels, initial=-np.inf))
    if given.size == 0:
        return latest if np.isfinite(latest) else 0.0
    return max(float(given[-1]) + (usual_interval(patient) or 0.0), latest)


def usual_interval(patient: Seen) -> float | None:
    """The interval of the last doses [h]: their II, else the gap between them; None if unknown."""
    doses = patient.record.doses
    given = np.unique(times_given(doses))
    if given.size == 0:
        return None
    last = np.asarray(doses.time) == given[-1]
    stated = np.asarray(doses.interval)[last & (np.asarray(doses.steady) > 0)]
    if stated.size and stated.max() > 0:
        return float(stated.max())
    return float(given[-1] - given[-2]) if given.size > 1 else None


def last_dose(patient: Seen) -> tuple[float, float, float]:
    """Amount [mg], duration [h] and site (1 absorption, 0 central) of the last dose.

    Raises:
        InputError: No dose was given.
    """
    doses = patient.record.doses
    given = np.flatnonzero((np.asarray(doses.amount) > 0) | (np.asarray(doses.rate) > 0))
    if given.size == 0:
        raise InputError("A patient without any dose has no regimen. Give one with `dose`.")
    last = given[np.lexsort((np.asarray(doses.order)[given], np.asarray(doses.time)[given]))[-1]]
    amount, duration, depot = (
        float(np.asarray(field)[last]) for field in (doses.amount, doses.duration, doses.depot)
    )
    return amount, duration, depot


def put_on(patient: Seen, regimen: Regimen, start: float, end: float, depot: float) -> Seen:
    """A patient on a regimen: the doses given before its start, and its own up to an end.

    Args:
        patient: With the record's doses; those at or after the start are replaced.
        regimen: What is given.
        start: Time of its first dose [h].
        end: No dose is given at or after this time [h].
        depot: 1 into the absorption site, 0 into the central compartment.

    Returns:
        The same patient with other doses.
    """
    plan = patient.stated(schedule(regimen, start, end, depot))
    before = until(patient, start)
    return before.given(both(before.record.doses, plan))


def times_given(doses: Doses) -> np.ndarray:
    """Times of the doses that are there, increasing; padding is not."""
    given = (np.asarray(doses.amount) > 0) | (np.asarray(doses.rate) > 0)
    return np.sort(np.asarray(doses.time)[given])


def until(patient: Seen, start: float) -> Seen:
    """The patient with only the doses before a time; what was planned after it is replaced.

    From then on is a new occasion, where patients vary between occasions.
    """
    doses = patient.record.doses
    given = (np.asarray(doses.amount) > 0) | (np.asarray(doses.rate) > 0)
    keep = np.flatnonzero(given & (np.asarray(doses.time) < start))
    return patient.given(take(doses, keep)).renewed(start)


def both(first: Doses, second: Doses) -> Doses:
    """Two lists of doses as one; of both or of neither something is said."""
    return jax.tree.map(lambda *pair: np.concatenate([np.asarray(x) for x in pair]), first, second)
