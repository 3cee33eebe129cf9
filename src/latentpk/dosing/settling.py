"""Steady state where doses do not add up: a regimen is followed until its exposure settles."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from latentpk.dosing.exposure import COARSE, Window, areas, heights, of_curve, steady
from latentpk.dosing.metric import DAY, Metric
from latentpk.dosing.patient import Seen, factor_on
from latentpk.dosing.regimen import Regimen, schedule
from latentpk.models.decoders.followed import FollowedDecoder
from latentpk.models.latent import LatentModel
from latentpk.models.record import Record

LENGTHS = (16, 64)  # doses that are followed; the next only where an exposure still moves
SETTLED = 0.03  # change of an exposure when twice as many doses are followed
OUTLIERS, DOUBTFUL = 0.01, 0.05  # shares of the draws that need not settle; that are told of


@dataclass(frozen=True, eq=False)
class Settled:
    """An exposure of every draw after many doses.

    Attributes:
        values: In the metric's unit, shape (draw,).
        settled: Whether it changed by at most SETTLED since half as many doses, shape (draw,). An
            exposure that comes near its limit by halves is then within a thousandth of it.
        doses: How many were followed.
        hours: How long [h].
    """

    values: Float[np.ndarray, " draw"]
    settled: Bool[np.ndarray, " draw"]
    doses: int
    hours: float

    def doubt(self, weight: Float[np.ndarray, " draw"]) -> str:
        """What there is to say where too many draws have not settled, else nothing."""
        share = float(weight @ ~self.settled)
        if share <= DOUBTFUL:
            return ""
        return (
            f"With a probability of {100 * share:.2g} % the exposure still rises after "
            f"{self.doses} doses ({self.hours / DAY:.3g} days): elimination is slow, or saturated, "
            "and then there may be no steady state. Such exposures are those of the last interval "
            "followed."
        )


def settle(metric: Metric, patient: Seen, regimen: Regimen, depot: float) -> Settled:
    """Follow a regimen from an empty body until the exposure of an interval settles.

    Args:
        metric: What; an area is brought to `metric.hours`.
        patient: Its doses are replaced, its last covariates hold for ever.
        regimen: What is given for ever, without a loading dose.
        depot: 1 into the absorption site, 0 into the central compartment.

    Returns:
        The exposure of the last interval that was followed.
    """
    found = Settled(np.zeros(0), np.zeros(0, bool), 0, 0.0)
    repeated = steady(regimen.interval, regimen.infusion, depot, amount=regimen.amount)
    factor = factor_on(patient, repeated, regimen.interval)
    for doses in LENGTHS:
        plan = schedule(regimen, 0.0, doses * regimen.interval, depot)
        on = patient.settled().bare().given(plan)  # what is beyond the training moves no course
        half, whole = _intervals(metric, on, regimen.interval, doses, factor)
        still = np.abs(whole - half) <= SETTLED * np.maximum(whole, np.finfo(float).tiny)
        found = Settled(whole, still | (whole == half), doses, doses * regimen.interval)
        if patient.weight @ ~found.settled <= OUTLIERS:
            break
    return found


def _intervals(
    metric: Metric, patient: Seen, interval: float, doses: int, factor: np.ndarray | None
) -> tuple[Float[np.ndarray, " draw"], Float[np.ndarray, " draw"]]:
    """A metric over the middle one and the last one of many intervals, each draw with a factor."""
    starts = (doses // 2 - 1) * interval, (doses - 1) * interval
    times = np.ones(patient.weight.size) if factor is None else factor
    if metric.kind in ("auc", "average"):
        edges = np.array([edge for start in starts for edge in (start, start + interval)])
        area = _areas_between(patient, edges)
        scale = times * (metric.hours if metric.kind == "auc" else 1.0) / interval
        return area[:, 0] * scale, area[:, 2] * scale
    windows = [Window.of(start, start + interval, patient.record.doses, COARSE) for start in starts]
    time, order = np.concatenate([(w.time, w.order) for w in windows], axis=1)
    curve = heights(patient, Window(0.0, float(time[-1]), time, order)) * times[:, None]
    parts = np.split(curve, [windows[0].time.size], axis=1)
    half, whole = (of_curve(metric, w, c) for w, c in zip(windows, parts, strict=True))
    return half, whole


def _areas_between(
    patient: Seen, edges: Float[np.ndarray, " edge"]
) -> Float[np.ndarray, "draw step"]:
    """Areas of every draw from each of increasing times to the next [mg h/L]."""
    steps = []
    for part in patient.parts:
        decoder = part.model.decoder
        if isinstance(decoder, FollowedDecoder):  # which carries the area along, once for all
            found = _cumulative(decoder, part.model, part.record, part.eps, edges)
            steps.append(np.diff(np.asarray(found), axis=1))
        else:
            steps.append(np.stack([areas(part, a, b) for a, b in pairwise(edges)], axis=1))
    return np.maximum(np.concatenate(steps), 0.0)


@eqx.filter_jit
def _cumulative(
    decoder: FollowedDecoder, model: LatentModel, record: Record, eps: Any, time: Any
) -> Array:
    location, moments = model.location(record), jnp.asarray(time)

    def one(e: Array) -> Array:
        z = model.latent(e, location, record.occasion)
        return decoder.followed(z, record.change, record.doses, moments, paths=record.paths).area

    return model.over_draws(one, jnp.asarray(eps))
