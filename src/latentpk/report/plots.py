"""Pictures of forecasts: plain arrays in, a matplotlib figure out."""

import io
import textwrap
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator

from latentpk.storage import write_file

INK, GREY, RULE = "#1f2933", "#6b7785", "#e4e8ec"
BLUE, BAND, INTERVAL = "#1b5e9b", "#9cc3e6", "#dfecf7"
LEVEL, OUTSIDE = "#c8501e", "#b3261e"
VERDICTS = {"ok": "#2e7d4f", "caution": "#b26a00", "refuse": "#b3261e"}

_FONT: dict[str, Any] = {"color": INK}
_DAY = 24.0


@dataclass(frozen=True, eq=False)
class Curve:
    """One subject's forecast, ready to draw.

    Attributes:
        id: The subject.
        time: Times of the curves [h], shape (time,).
        pred: Population prediction [unit], shape (time,).
        ipred: Posterior median of the concentration [unit], shape (time,).
        band: Its 5 and 95 % quantiles [unit], each of shape (time,).
        interval: 5 and 95 % quantiles of a new measurement [unit], each of shape (time,).
        dose_time: Dose times [h], shape (dose,).
        dose_amount: Amounts [mg], shape (dose,).
        dose_duration: Infusion lengths [h], shape (dose,).
        level_time: Times of the levels [h], shape (level,).
        level: Measured levels [unit], shape (level,).
        used: Whether each level was conditioned on, shape (level,).
        censored: Whether it is only known to lie below the value, shape (level,).
        verdict: ok, caution or refuse.
        reason: Why, in a sentence; may be empty.
        unit: Unit of concentration.
    """

    id: str
    time: np.ndarray
    pred: np.ndarray
    ipred: np.ndarray
    band: tuple[np.ndarray, np.ndarray]
    interval: tuple[np.ndarray, np.ndarray]
    dose_time: np.ndarray
    dose_amount: np.ndarray
    dose_duration: np.ndarray
    level_time: np.ndarray
    level: np.ndarray
    used: np.ndarray
    censored: np.ndarray
    verdict: str = "ok"
    reason: str = ""
    unit: str = "mg/L"


@dataclass(frozen=True, eq=False)
class HeldOut:
    """New measurements beside what was forecast for them.

    Attributes:
        observed: Measurements that were not conditioned on [unit], shape (level,).
        predicted: Their forecast, the posterior median [unit], shape (level,).
        low: 5 % quantile of the prediction interval [unit], shape (level,).
        high: 95 % quantile [unit], shape (level,).
        unit: Unit of concentration.
    """

    observed: np.ndarray
    predicted: np.ndarray
    low: np.ndarray
    high: np.ndarray
    unit: str = "mg/L"
    inside: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        inside = (self.observed >= self.low) & (self.observed <= self.high)
        object.__setattr__(self, "inside", inside)


def forecast_figure(curve: Curve) -> Figure:
    """Draw one subject: levels, the forecast with its two bands, the doses.

    Args:
        curve: The subject's forecast.

    Returns:
        A figure; `save_figure` writes it.
    """
    figure = Figure(figsize=(9.0, 5.4), layout="constrained", facecolor="white")
    grid = figure.add_gridspec(2, 1, height_ratios=(6.5, 1), hspace=0.02)
    main = figure.add_subplot(grid[0])
    doses = figure.add_subplot(grid[1], sharex=main)
    _draw_curve(main, curve)
    _draw_doses(doses, curve)
    main.tick_params(labelbottom=False)
    main.set_ylabel(f"concentration [{curve.unit}]", **_FONT)
    doses.set_xlabel("time [h]", **_FONT)
    figure.suptitle(
        literal(f"Subject {curve.id}"), x=0.01, ha="left", fontsize=14, fontweight="bold", **_FONT
    )
    color = VERDICTS.get(curve.verdict, GREY)
    words = f"verdict {curve.verdict}" + (f": {curve.reason}" if curve.reason else "")
    main.set_title(literal(textwrap.fill(words, 115)), loc="left", fontsize=9.5, color=color)
    handles, labels = main.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=9,
        labelcolor=INK,
    )
    return figure


def cohort_figure(curves: list[Curve], held_out: HeldOut, *, title: str = "") -> Figure:
    """Draw several subjects as small multiples, and all held-out levels beside them.

    Args:
        curves: Up to six subjects.
        held_out: Every new measurement with its forecast.
        title: Over the whole figure.

    Returns:
        A figure; `save_figure` writes it.
    """
    shown = curves[:6]
    columns = 2 if len(shown) > 1 else 1
    rows = max(-(-len(shown) // columns), 1)
    figure = Figure(figsize=(13.5, 2.2 + 2.5 * rows), layout="constrained", facecolor="white")
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1.55, 1), wspace=0.03)[0]
    for i, curve in enumerate(shown):
        axes = left.add_subplot(rows, columns, i + 1)
        _draw_curve(axes, curve)
        name = literal(f"Subject {curve.id}")
        axes.set_title(name, loc="left", fontsize=10, fontweight="bold", **_FONT)
        color = VERDICTS.get(curve.verdict, GREY)
        axes.set_title(curve.verdict, loc="right", fontsize=9, color=color)
        if i % columns == 0:
            axes.set_ylabel(f"concentration [{curve.unit}]", **_FONT)
        if i + columns >= len(shown):
            axes.set_xlabel("time [h]", **_FONT)
    if shown:
        handles, labels = _all_handles(left.axes)
        left.legend(
            handles,
            labels,
            loc="outside lower center",
            ncols=4,
            frameon=False,
            fontsize=9,
            labelcolor=INK,
        )
    grid = right.add_gridspec(2, 1, height_ratios=(2.2, 1))
    _draw_held_out(right.add_subplot(grid[0]), held_out)
    _draw_coverage(right.add_subplot(grid[1]), held_out)
    if title:
        figure.suptitle(literal(title), fontsize=14, fontweight="bold", x=0.01, ha="left", **_FONT)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # an ID in a script the font lacks
        figure.savefig(buffer, format="png", dpi=150)
    write_file(path, buffer.getvalue())


def _draw_curve(axes: Axes, curve: Curve) -> None:
    axes.fill_between(
        curve.time, *curve.interval, color=INTERVAL, lw=0, label="90 % of new measurements"
    )
    axes.fill_between(curve.time, *curve.band, color=BAND, lw=0, label="90 % of the concentration")
    axes.plot(curve.time, curve.pred, color=GREY, lw=1.2, ls=(0, (4, 3)), label="population")
    axes.plot(curve.time, curve.ipred, color=BLUE, lw=1.8, label="this subject, median")
    measured = curve.used & ~curve.censored
    new = ~curve.used & ~curve.censored
    style: dict[str, Any] = {"s": 34, "linewidths": 1.4, "edgecolors": LEVEL, "zorder": 4}
    for chosen, face, marker, label in (
        (measured, LEVEL, "o", "level, used"),
        (new, "white", "o", "level, not used"),
        (curve.censored, "white", "v", "below the assay's limit"),
    ):
        if chosen.any():
            place = (curve.level_time[chosen], curve.level[chosen])
            axes.scatter(*place, facecolors=face, marker=marker, label=label, **style)
    if measured.any() and new.any():
        last = curve.level_time[measured].max()
        if (curve.level_time[new] > last).any():
            axes.axvline(last, color=GREY, lw=0.8, ls=":", zorder=1, label="last level used")
    axes.set_ylim(0, _top(curve))
    span = curve.time[0], curve.time[-1]
    axes.set_xlim(*span)
    hour_ticks(axes, span[1] - span[0])
    tidy(axes)


def _draw_doses(axes: Axes, curve: Curve) -> None:
    """Doses as bars as wide as their infusion, an instantaneous one as a thin line."""
    shown = (curve.dose_amount > 0) & (curve.dose_time <= curve.time[-1])
    time, amount = curve.dose_time[shown], curve.dose_amount[shown]
    duration = curve.dose_duration[shown]
    # a dose at the first time stands on the axis: wide, and not cut in half
    axes.vlines(time, 0, amount, color=INK, lw=2.0, clip_on=False, zorder=5)
    slow = duration > 0
    axes.bar(time[slow], amount[slow], duration[slow], align="edge", color=INK, lw=0)
    top = float(amount.max(initial=1.0))
    usual = float(np.median(amount)) if amount.size else top
    ticks = [0.0, top] if abs(top - usual) < 0.3 * top or usual < 0.3 * top else [0.0, usual, top]
    axes.set_ylim(0, 1.25 * top)
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_ylabel("dose [mg]", **_FONT)
    tidy(axes)
    axes.grid(visible=False)


def _draw_held_out(axes: Axes, levels: HeldOut) -> None:
    if levels.observed.size == 0:
        axes.text(0.5, 0.5, "no held-out levels", ha="center", transform=axes.transAxes, color=GREY)
        axes.set_axis_off()
        return
    low, high = _log_limits(levels)
    axes.plot([low, high], [low, high], color=GREY, lw=1, zorder=1)
    for chosen, color, label in (
        (levels.inside, BLUE, "inside its 90 % interval"),
        (~levels.inside, OUTSIDE, "outside"),
    ):
        faint = 0.55 if chosen is levels.inside or chosen.sum() > 500 else 0.9
        axes.scatter(
            levels.predicted[chosen],
            np.maximum(levels.observed[chosen], low),
            s=14,
            color=color,
            alpha=faint,
            linewidths=0,
            clip_on=False,
            label=f"{label} ({chosen.sum()})",
        )
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.set_anchor("N")  # in line with the panels beside it
    _plain_ticks(axes)
    axes.set_xlabel(f"forecast, median [{levels.unit}]", **_FONT)
    axes.set_ylabel(f"measured later [{levels.unit}]", **_FONT)
    share = 100 * levels.inside.mean()
    axes.set_title(
        f"{share:.0f} % of {levels.observed.size} new levels inside their 90 % interval",
        loc="left",
        fontsize=10,
        fontweight="bold",
        **_FONT,
    )
    tidy(axes)
    axes.legend(loc="upper left", frameon=False, fontsize=9, labelcolor=INK)


def _draw_coverage(axes: Axes, levels: HeldOut, groups: int = 5) -> None:
    """Share inside the interval by the forecast concentration, with 95 % binomial bars (Wilson)."""
    groups = min(groups, levels.observed.size)
    if groups == 0:
        axes.set_axis_off()
        return
    order = np.argsort(levels.predicted, kind="stable")
    parts = np.array_split(order, groups)
    share = np.array([levels.inside[part].mean() for part in parts])
    size = np.array([part.size for part in parts])
    middle = (share + 1.92 / size) / (1 + 3.84 / size)
    reach = 1.96 * np.sqrt(share * (1 - share) / size + 0.96 / size**2) / (1 + 3.84 / size)
    place = np.arange(groups)
    axes.axhline(90, color=GREY, lw=1, ls=(0, (4, 3)))
    axes.vlines(place, 100 * (middle - reach), 100 * (middle + reach), color=BLUE, lw=2)
    axes.scatter(place, 100 * share, color=BLUE, s=36, zorder=3)
    ranges = [levels.predicted[part[[0, -1]]] for part in parts]
    axes.set_xticks(place, [f"{low:.3g} to {high:.3g}" for low, high in ranges])
    axes.set_xlim(-0.5, groups - 0.5)
    axes.set_ylim(min(70, 100 * (middle - reach).min() - 3), 101)
    axes.set_xlabel(f"forecast, median [{levels.unit}]", **_FONT)
    axes.set_ylabel("inside 90 % interval [%]", **_FONT)
    tidy(axes)
    axes.grid(visible=False, axis="x")


def _plain_ticks(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
        axis.set_tick_params(which="minor", length=0)


def _log_limits(levels: HeldOut) -> tuple[float, float]:
    values = np.concatenate([levels.observed, levels.predicted])
    values = values[values > 0]
    if values.size == 0:
        return 0.1, 10.0
    # a measurement far below the rest is drawn on the edge, and the rest can be seen
    low = min(np.quantile(values, 0.01), levels.predicted[levels.predicted > 0].min(initial=np.inf))
    return 0.8 * float(low), 1.25 * float(values.max())


def _top(curve: Curve) -> float:
    """Room for all levels and the curve; a wide interval is cut rather than flatten the rest."""
    needed = max(
        curve.level.max(initial=0.0), np.nanmax(curve.band[1]), np.nanmax(curve.pred), 1e-9
    )
    return 1.08 * float(np.clip(np.nanmax(curve.interval[1]), needed, 1.6 * needed))


def hour_ticks(axes: Axes, span: float) -> None:
    """Ticks of a time axis at whole days where it spans more than two."""
    if span > 2 * _DAY:
        axes.xaxis.set_major_locator(MultipleLocator(_DAY * max(1, round(span / (8 * _DAY)))))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(8))


def tidy(axes: Axes) -> None:
    """A light grid, two spines, small tick labels."""
    axes.grid(color=RULE, lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(color=RULE, labelcolor=INK, labelsize=9)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GREY)


def _all_handles(panels: list[Axes]) -> tuple[list[Any], list[str]]:
    """Every entry once, whichever panel has it."""
    found: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return list(found.values()), list(found)


def literal(text: str) -> str:
    """Text from a file as it is: no dollar sign starts a formula."""
    return text.replace("$", r"\$")
