"""Exposures of one patient under posterior draws: areas in closed form, the rest from the curve."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentpk.dosing.metric import Metric
from latentpk.errors import InputError
from latentpk.kinetics.doses import Doses, Paths
from latentpk.models.decoders.mechanistic import MechanisticDecoder
from latentpk.models.latent import LatentModel
from latentpk.models.record import SIZES, TIGHT, Record, padded_size

Parts = tuple[Float[np.ndarray, "draw time"], ...]
POINTS = 241  # of a window, beside its events: every 6 minutes of a day
COARSE = 49  # of one where many regimens are read, or each course is simulated


@dataclass(frozen=True, eq=False)
class Patient:
    """One patient as a model sees it.

    Attributes:
        model: The model.
        record: The record, without a leading axis; its doses are what was given.
        eps: Posterior draws, shape (draw, effect).
        weight: Their weights, which sum to 1, shape (draw,).
    """

    model: LatentModel
    record: Record
    eps: Float[np.ndarray, "draw effect"]
    weight: Float[np.ndarray, " draw"]

    def given(self, doses: Doses) -> "Patient":
        """The same patient with other doses, padded to a compiled size."""
        padded = _padded(doses, TIGHT if self.model.decoder.simulated else SIZES)
        return self._with(replace(self.record, doses=padded, paths=Paths.of(padded)))

    def settled(self) -> "Patient":
        """The same patient with the last covariates for ever, as at steady state."""
        record = self.record
        return self._with(
            replace(record, change=record.change[-1:], covariates=record.covariates[-1:])
        )

    def at_mode(self, mode: Float[np.ndarray, " effect"]) -> "Patient":
        """The same patient with one draw, the mode."""
        return Patient(self.model, self.record, mode[None], np.ones(1))

    def few(self, draws: int) -> "Patient":
        """The same patient with at most so many draws, evenly weighted: systematic resampling."""
        if self.weight.size <= draws:
            return self
        edges = np.cumsum(self.weight) / self.weight.sum()
        index = np.searchsorted(edges, (np.arange(draws) + 0.5) / draws)
        chosen = self.eps[np.minimum(index, self.weight.size - 1)]
        return Patient(self.model, self.record, chosen, np.full(draws, 1 / draws))

    def beside(self, mode: Float[np.ndarray, " effect"]) -> "Patient":
        """The same patient with the mode as a first draw, of weight 0."""
        eps, weight = np.concatenate([mode[None], self.eps]), np.append(0.0, self.weight)
        return Patient(self.model, self.record, eps, weight)

    def _with(self, record: Record) -> "Patient":
        return Patient(self.model, record, self.eps, self.weight)


@dataclass(frozen=True, eq=False)
class Window:
    """Where a curve is looked at.

    Attributes:
        start: Start [h].
        end: End [h].
        time: Times, increasing [h], shape (time,).
        order: Record order at equal times: -inf before a dose, inf after, shape (time,).
    """

    start: float
    end: float
    time: Float[np.ndarray, " time"]
    order: Float[np.ndarray, " time"]

    @staticmethod
    def of(start: float, end: float, doses: Doses, points: int = POINTS) -> "Window":
        """A dense window that also holds both sides of every dose and every infusion's end."""
        begin, length = np.asarray(doses.time), np.asarray(doses.duration)
        inside = (begin > start) & (begin < end)
        stops = (begin + length)[(length > 0) & (begin + length > start) & (begin + length < end)]
        after = np.concatenate([np.linspace(start, end, points)[:-1], begin[inside], stops])
        before = np.append(begin[inside], end)
        time = np.concatenate([after, before])
        order = np.concatenate([np.full(after.size, np.inf), np.full(before.size, -np.inf)])
        sorting = np.lexsort((order, time))
        time, order = time[sorting], order[sorting]
        short = padded_size(time.size, range(16, 4096, 16)) - time.size  # few compiled shapes
        return Window(
            start,
            end,
            np.concatenate([time, np.repeat(time[-1:], short)]),
            np.concatenate([order, np.repeat(order[-1:], short)]),
        )


def heights(patient: Patient, window: Window) -> Float[np.ndarray, "draw time"]:
    """Concentrations of every draw over a window [mg/L], never negative."""
    curves = _heights(patient.model, patient.record, patient.eps, window.time, window.order)
    return np.maximum(np.asarray(curves), 0.0)


def areas(patient: Patient, start: float, end: float) -> Float[np.ndarray, " draw"]:
    """Areas under the curve of every draw from start to end [mg h/L], never negative."""
    found = _areas(patient.model, patient.record, patient.eps, np.float64(start), np.float64(end))
    return np.maximum(np.asarray(found), 0.0)


def cumulative(
    patient: Patient, time: Float[np.ndarray, " time"]
) -> Float[np.ndarray, "draw time"]:
    """Areas since the first event of every draw [mg h/L], by a decoder that follows courses.

    Args:
        patient: With a simulated decoder.
        time: Until when [h], shape (time,).

    Raises:
        InputError: Another decoder.
    """
    decoder = patient.model.decoder
    if not isinstance(decoder, MechanisticDecoder):
        raise InputError("Only a mechanistic decoder carries an area along. Ask `areas`.")
    return np.asarray(_cumulative(decoder, patient.model, patient.record, patient.eps, time))


def measure(
    metric: Metric,
    patient: Patient,
    start: float,
    *,
    first: float = 0.0,
    points: int = POINTS,
) -> Float[np.ndarray, " draw"]:
    """A metric of every draw over the window that begins at `start`.

    Args:
        metric: What.
        patient: With all doses that reach into the window.
        start: Start of the window [h].
        first: Time of the first dose, where a cumulative area begins [h].
        points: Of the window, beside its events, where a curve is read.

    Returns:
        Values in `metric.unit`, shape (draw,).
    """
    end = start + metric.hours
    if metric.kind == "auc":
        return areas(patient, start, end)
    if metric.kind == "auc_cum":
        return areas(patient, min(first, start), start)
    if metric.kind == "average":
        return areas(patient, start, end) / metric.hours
    window = Window.of(start, end, patient.record.doses, points)
    return of_curve(metric, window, heights(patient, window))


def at_steady_state(
    metric: Metric, patient: Patient, interval: float
) -> Float[np.ndarray, " draw"]:
    """A metric of every draw over one interval at steady state.

    An area is brought to `metric.hours`: where the interval is no divisor of them this is the
    area's mean over time, (daily dose / CL) for 24 h.

    Args:
        metric: What; a cumulative area has no steady state.
        patient: With one dose at its steady state, at time 0.
        interval: The dosing interval [h].

    Returns:
        Values in `metric.unit`, shape (draw,).
    """
    if metric.kind in ("auc", "average"):
        hours = metric.hours if metric.kind == "auc" else 1.0
        return areas(patient, 0.0, interval) * hours / interval
    window = Window.of(0.0, interval, patient.record.doses)
    return of_curve(metric, window, heights(patient, window))


def of_curve(
    metric: Metric, window: Window, curve: Float[np.ndarray, "draw time"]
) -> Float[np.ndarray, " draw"]:
    """A metric that is read off a curve: trough, peak, or time above a MIC."""
    return np.asarray(_read(metric, _lengths(window), jnp.asarray(curve.T)))


def of_sums(
    metric: Metric, window: Window, parts: Parts, amounts: Float[np.ndarray, "regimen part"]
) -> Float[np.ndarray, "regimen draw"]:
    """A metric read off sums of curves, one sum for each row of amounts.

    Args:
        metric: trough, peak or ft_mic.
        window: Where the curves are looked at.
        parts: Curves of every draw, each (draw, time).
        amounts: What each curve is multiplied by, shape (regimen, part).

    Returns:
        Values in `metric.unit`, shape (regimen, draw).
    """
    # time first: each step then runs over all draws, which lie side by side
    turned = tuple(np.ascontiguousarray(part.T) for part in parts)
    return np.asarray(_of_sums(metric, _lengths(window), turned, amounts))


@eqx.filter_jit
def _of_sums(metric: Metric, lengths: Any, parts: Any, amounts: Any) -> Array:
    curves = [jnp.asarray(part) for part in parts]

    def one(row: Array) -> Array:
        total = sum((row[i] * curve for i, curve in enumerate(curves)), jnp.zeros(()))
        return _read(metric, jnp.asarray(lengths), total)

    return jax.lax.map(one, jnp.asarray(amounts))  # a sum of its own each: none is kept


def _lengths(window: Window) -> Float[np.ndarray, " step"]:
    """Share of the window between two of its times."""
    return np.diff(window.time) / (window.end - window.start)


def _read(metric: Metric, lengths: Any, curve: Array) -> Array:
    """A metric of curves whose first axis is time."""
    match metric.kind:
        case "trough":
            return jnp.min(curve, axis=0)
        case "peak":
            return jnp.max(curve, axis=0)
        case "ft_mic":
            return 100 * _share_above(lengths, metric.unbound * curve, metric.mic or 0.0)
    raise ValueError(f"{metric.kind} is an area")


def _share_above(lengths: Any, curve: Array, mic: float) -> Array:
    """Share of the window above a value, the curve a line between two times."""
    left, right = curve[:-1], curve[1:]
    high, low = jnp.maximum(left, right), jnp.minimum(left, right)
    part = jnp.clip((high - mic) / jnp.maximum(high - low, 1e-300), 0.0, 1.0)
    above = jnp.where(low > mic, 1.0, jnp.where(high > mic, part, 0.0))
    return jnp.sum(above * lengths[:, None], axis=0)


def steady(interval: float, duration: float, depot: float, *, amount: float = 1.0) -> Doses:
    """One dose at its steady state, at time 0."""
    return Doses.of(
        [0.0], amount, duration=duration, interval=interval, steady=1.0, depot=depot, until=np.inf
    )


def quantiles(
    values: Float[np.ndarray, " draw"],
    weight: Float[np.ndarray, " draw"],
    levels: tuple[float, ...],
) -> list[float]:
    """Quantiles of weighted draws, a line between the middles of their steps."""
    ranked = np.argsort(values)
    ordered, share = values[ranked], weight[ranked]
    middle = np.cumsum(share) - share / 2
    return [float(q) for q in np.interp(np.asarray(levels) * share.sum(), middle, ordered)]


@eqx.filter_jit
def _heights(model: LatentModel, record: Record, eps: Any, time: Any, order: Any) -> Array:
    location = model.location(record)
    moments = jnp.asarray(time), jnp.asarray(order)
    return model.over_draws(
        lambda e: model.concentration(e, location, record, *moments), jnp.asarray(eps)
    )


@eqx.filter_jit
def _areas(model: LatentModel, record: Record, eps: Any, start: Any, end: Any) -> Array:
    location = model.location(record)
    window = jnp.asarray(start), jnp.asarray(end)
    return model.over_draws(lambda e: model.auc(e, location, record, *window), jnp.asarray(eps))


@eqx.filter_jit
def _cumulative(
    decoder: MechanisticDecoder, model: LatentModel, record: Record, eps: Any, time: Any
) -> Array:
    location, moments = model.location(record), jnp.asarray(time)

    def one(e: Array) -> Array:
        z = model.latent(e, location)
        return decoder.followed(z, record.change, record.doses, moments, paths=record.paths).area

    return model.over_draws(one, jnp.asarray(eps))


def _padded(doses: Doses, sizes: Sequence[int]) -> Doses:
    """Pad to a compiled size; padding has amount, rate and time 0 and never counts."""
    size = doses.time.shape[0]
    short = padded_size(max(size, 1), sizes) - size
    fields: list[Any] = [np.pad(np.asarray(field, float), (0, short)) for field in doses]
    return Doses(*fields)
