"""Exposures of one patient under posterior draws: areas in closed form, the rest from the curve."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentpk.dosing.metric import DAY, Metric
from latentpk.dosing.patient import Patient, Seen, widened
from latentpk.kinetics.doses import Doses
from latentpk.models.latent import LatentModel
from latentpk.models.record import Record, padded_size

Parts = tuple[Float[np.ndarray, "time draw"], ...]
POINTS = 241  # of a window, beside its events: every 6 minutes of a day
COARSE = 47  # of a window where many curves are read, or an extreme is then looked for again
ZOOM = 8  # more points between the neighbours of an extreme


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
        time, order = np.unique(np.stack([time, order]), axis=1)  # sorted, each side once
        short = padded_size(time.size, range(16, 4096, 16)) - time.size  # few compiled shapes
        return Window(
            start,
            end,
            np.concatenate([time, np.repeat(time[-1:], short)]),
            np.concatenate([order, np.repeat(order[-1:], short)]),
        )


def interval_ends(start: float, interval: float) -> Window:
    """Just before each dose after the first within a day, at least one.

    The first interval begins low whatever is given: its troughs are its intervals' ends.
    """
    count = max(int(DAY / interval + 1e-9), 1)
    time = start + interval * np.arange(1, count + 1)
    return Window(start, float(time[-1]), time, np.full(count, -np.inf))


def heights(patient: Seen, window: Window) -> Float[np.ndarray, "draw time"]:
    """Concentrations of every draw over a window [mg/L], never negative."""
    curves = [
        np.asarray(
            _heights(part.model, _unmeasured(part.record), part.eps, window.time, window.order)
        )
        * part.factor(window.time)
        for part in patient.parts
    ]
    return np.maximum(np.concatenate(curves), 0.0)


def areas(patient: Seen, start: float, end: float) -> Float[np.ndarray, " draw"]:
    """Areas under the curve of every draw from start to end [mg h/L], never negative."""
    return np.maximum(np.concatenate([_area(part, start, end) for part in patient.parts]), 0.0)


def _area(part: Patient, start: float, end: float) -> Float[np.ndarray, " draw"]:
    """One model's areas: the decoder's own, times the mean of the factor over the curve."""
    window = np.float64(start), np.float64(end)
    own = np.asarray(_areas(part.model, _unmeasured(part.record), part.eps, *window))
    if not widened(part, start, end):
        return own
    dense = Window.of(start, end, part.record.doses)
    factor, bare = part.factor(dense.time), heights(part.bare(), dense)
    if (factor == factor[:, :1]).all():
        return own * factor[:, 0]
    whole = np.trapezoid(bare, dense.time, axis=1)
    wide = np.trapezoid(bare * factor, dense.time, axis=1)
    return own * np.where(whole > 0, wide / np.where(whole > 0, whole, 1.0), 1.0)


def _unmeasured(record: Record) -> Record:
    """The record without its levels: no curve needs them, and their number is no program's."""
    levels = ("time", "order", "value", "censored", "mask")
    return replace(record, **{name: np.asarray(getattr(record, name))[:0] for name in levels})


def _joined(parts: Sequence[Array]) -> np.ndarray:
    return np.concatenate([np.asarray(part) for part in parts])


def measure(
    metric: Metric, patient: Seen, start: float, *, first: float = 0.0
) -> Float[np.ndarray, " draw"]:
    """A metric of every draw over the window that begins at `start`.

    Args:
        metric: What.
        patient: With all doses that reach into the window.
        start: Start of the window [h].
        first: Time of the first dose, where a cumulative area begins [h].

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
    return _of_window(metric, patient, start, end)


def at_steady_state(metric: Metric, patient: Seen, interval: float) -> Float[np.ndarray, " draw"]:
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
    return _of_window(metric, patient, 0.0, interval)


def _of_window(
    metric: Metric, patient: Seen, start: float, end: float
) -> Float[np.ndarray, " draw"]:
    """A metric read off every draw's curve over a window."""
    doses = patient.record.doses
    simulated = any(part.model.decoder.simulated for part in patient.parts)
    if metric.kind == "ft_mic":
        window = Window.of(start, end, doses, COARSE if simulated else POINTS)
        return of_curve(metric, window, heights(patient, window))
    if widened(patient, start, end) and not simulated:  # its factor moves extremes
        return of_curve(metric, (dense := Window.of(start, end, doses)), heights(patient, dense))
    window = Window.of(start, end, doses, COARSE)
    if simulated:  # a second look costs as much
        return of_curve(metric, window, heights(patient, window))
    sign = 1.0 if metric.kind == "peak" else -1.0
    moments = window.time, window.order
    found = [
        _extreme(part.model, _unmeasured(part.record), part.eps, moments, np.float64(sign))
        for part in patient.parts
    ]
    return np.maximum(_joined(found), 0.0)


def of_curve(
    metric: Metric, window: Window, curve: Float[np.ndarray, "draw time"]
) -> Float[np.ndarray, " draw"]:
    """A metric that is read off a curve: trough, peak, or time above a MIC."""
    return np.asarray(_read(metric, _lengths(window), jnp.asarray(curve.T)))


def of_sums(
    metric: Metric,
    window: Window,
    parts: Parts,
    amounts: Float[np.ndarray, "regimen part"],
    factor: Float[np.ndarray, "regimen draw"] | None = None,
) -> Float[np.ndarray, "regimen draw"]:
    """A metric read off sums of curves, one sum for each row of amounts.

    Args:
        metric: trough, peak or ft_mic.
        window: Where the curves are looked at.
        parts: Curves of every draw, each (time, draw) and contiguous: a step of the reading then
            runs over all draws, which lie side by side.
        amounts: What each curve is multiplied by, shape (regimen, part).
        factor: What each draw of the sum is multiplied by, shape (regimen, draw); None is 1.

    Returns:
        Values in `metric.unit`, shape (regimen, draw).
    """
    return np.asarray(_of_sums(metric, _lengths(window), parts, amounts, factor))


@eqx.filter_jit
def _of_sums(metric: Metric, lengths: Any, parts: Any, amounts: Any, factor: Any) -> Array:
    curves = [jnp.asarray(part) for part in parts]

    def one(item: tuple[Array, Array | None]) -> Array:
        row, own = item
        total = sum((row[i] * curve for i, curve in enumerate(curves)), jnp.zeros(()))
        return _read(metric, jnp.asarray(lengths), total if own is None else total * own)

    items = jnp.asarray(amounts), None if factor is None else jnp.asarray(factor)
    return jax.lax.map(one, items)  # a sum of its own each: none is kept


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
def _extreme(model: LatentModel, record: Record, eps: Any, moments: Any, sign: Any) -> Array:
    """The highest concentration (sign 1) or the lowest (-1) of each draw, looked for twice.

    The window holds both sides of whatever jumps, so that between two of its times a curve is
    smooth: the neighbourhood of the best time is looked at again at ZOOM points.
    """
    location = model.location(record)
    time, order = (jnp.asarray(one) for one in moments)
    inside = jnp.arange(1, ZOOM + 1) / (ZOOM + 1)

    def one(e: Array) -> Array:
        first = sign * model.concentration(e, location, record, time, order)
        best = jnp.argmax(first)
        low = time[jnp.maximum(best - 1, 0)]
        high = time[jnp.minimum(best + 1, time.size - 1)]
        nearer = low + (high - low) * inside
        after = jnp.full(ZOOM, jnp.inf)
        second = sign * model.concentration(e, location, record, nearer, after)
        return sign * jnp.maximum(first[best], jnp.max(second))

    return jax.vmap(one)(jnp.asarray(eps))


@eqx.filter_jit
def _areas(model: LatentModel, record: Record, eps: Any, start: Any, end: Any) -> Array:
    location = model.location(record)
    window = jnp.asarray(start), jnp.asarray(end)
    return model.over_draws(lambda e: model.auc(e, location, record, *window), jnp.asarray(eps))
