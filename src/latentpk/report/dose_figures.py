"""Pictures of a recommended dose: the fit continued by the regimen, and the other regimens."""

import io
import re
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from latentpk.report.plots import BAND, BLUE, GREY, INK, LEVEL, hour_ticks, literal, tidy
from latentpk.workflows.dose_curves import Band, DoseCurves, Explained, Given

PLAN, PLAN_BAND = "#2e7d4f", "#b5d9c3"
TARGET = "#f3e3b3"
_FAMILY = ("DejaVu Sans", "Verdana", "Arial", "sans-serif")


def record_figure(curves: DoseCurves, amount_unit: str) -> Figure | None:
    """Draw the fit over the record, and the recommended regimen beyond it.

    Args:
        curves: What to draw.
        amount_unit: Of the doses.

    Returns:
        A figure; None where there is neither a fit nor a regimen.
    """
    bands = [band for band in (curves.fitted, curves.recommended) if band is not None]
    if not bands:
        return None
    figure = Figure(figsize=(9.0, 5.0), layout="constrained", facecolor="white")
    grid = figure.add_gridspec(2, 1, height_ratios=(5.5, 1), hspace=0.02)
    main = figure.add_subplot(grid[0])
    below = figure.add_subplot(grid[1], sharex=main)
    _draw_target(main, curves)
    if curves.fitted is not None:
        _draw_band(main, curves.fitted, BLUE, BAND, "fitted to this patient")
        typical = {"color": GREY, "lw": 1.2, "ls": (0, (4, 3))}
        main.plot(curves.fitted.time, curves.population, label="population alone", **typical)
    if curves.recommended is not None:
        _draw_band(main, curves.recommended, PLAN, PLAN_BAND, "recommended regimen")
        main.axvline(curves.start, color=GREY, lw=0.9, ls=":", label="first new dose")
    if curves.levels is not None:
        _draw_levels(main, curves.levels)
    main.set_ylabel(literal(f"concentration [{curves.unit}]"), color=INK)
    main.set_ylim(0, 1.08 * _height(curves, bands))
    main.tick_params(labelbottom=False)
    begin, end = min(band.time[0] for band in bands), max(band.time[-1] for band in bands)
    main.set_xlim(begin, end)
    hour_ticks(main, end - begin)
    tidy(main)
    _draw_doses(below, curves.given, INK)
    _draw_doses(below, curves.planned, PLAN)
    top = max(curves.given.amount.max(initial=0.0), curves.planned.amount.max(initial=0.0)) or 1.0
    below.set_ylim(0, 1.25 * top)
    below.set_yticks([0.0, top], ["0", f"{top:g}"])
    below.set_ylabel(literal(f"dose [{amount_unit}]"), color=INK)
    below.set_xlabel("time [h]", color=INK)
    tidy(below)
    below.grid(visible=False)
    _legend(figure, main, 4)
    return figure


def alternatives_figure(curves: DoseCurves, names: list[str]) -> Figure | None:
    """Draw the curves of the regimens, one panel each, the recommended one in every panel.

    Args:
        curves: What to draw.
        names: A title for each of `curves.alternatives`.

    Returns:
        A figure; None where no regimen is recommended.
    """
    if not curves.alternatives:
        return None
    columns = min(len(names), 2)
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(9.0, 1.0 + 2.4 * rows), layout="constrained", facecolor="white")
    bands = [band for _, band in curves.alternatives]
    top = 1.08 * _height(curves, bands, with_record=False)
    first = bands[0]
    for i, (band, name) in enumerate(zip(bands, names, strict=True)):
        axes = figure.add_subplot(rows, columns, i + 1)
        _draw_target(axes, curves)
        face, shade = (PLAN, PLAN_BAND) if i == 0 else (BLUE, BAND)
        _draw_band(axes, band, face, shade, "recommended" if i == 0 else "this alternative")
        if i > 0:
            axes.plot(first.time, first.median, color=PLAN, lw=1.1, ls=(0, (4, 3)), zorder=3)
        axes.set(xlim=(first.time[0], first.time[-1]), ylim=(0, top))
        axes.set_title(literal(name), loc="left", fontsize=9.5, color=INK)
        hour_ticks(axes, float(np.ptp(first.time)))
        if i % columns == 0:
            axes.set_ylabel(literal(f"concentration [{curves.unit}]"), color=INK)
        if i + columns >= len(names):
            axes.set_xlabel("time [h]", color=INK)
        tidy(axes)
    panels = figure.axes
    _legend(figure, panels[0], 5, also=panels[1] if len(panels) > 1 else None)
    return figure


def svg_text(figure: Figure, name: str) -> str:
    """A figure as an `<svg>` element for a page; its text stays text.

    Args:
        figure: The figure.
        name: Put before every id, so that two figures share a page.
    """
    buffer = io.StringIO()
    style: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.sans-serif": _FAMILY,
    }
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context(style):
        figure.savefig(buffer, format="svg", metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    return re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)


def _draw_target(axes: Axes, curves: DoseCurves) -> None:
    """A band where both ends are finite, else a line at the one that is."""
    if curves.target is None:
        return
    low, high = curves.target
    if low is not None and high is not None:
        axes.axhspan(low, high, color=TARGET, lw=0, zorder=0, label="target range")
    for end, words in ((low, "at least"), (high, "at most")):
        if end is not None and (low is None or high is None):
            axes.axhline(end, color="#b26a00", lw=1.2, zorder=1, label=f"target: {words} {end:.4g}")


def _draw_band(axes: Axes, band: Band, color: str, shade: str, label: str) -> None:
    axes.fill_between(band.time, band.lo, band.hi, color=shade, lw=0, alpha=0.75)
    axes.plot(band.time, band.median, color=color, lw=1.7, label=f"{label}: median, 90 % band")


def _draw_levels(axes: Axes, levels: Explained) -> None:
    style: dict[str, Any] = {"s": 34, "linewidths": 1.4, "edgecolors": LEVEL, "zorder": 6}
    for chosen, face, marker, label in (
        (~levels.censored, LEVEL, "o", "level"),
        (levels.censored, "white", "v", "below the assay's limit"),
    ):
        if chosen.any():
            place = (levels.time[chosen], levels.observed[chosen])
            axes.scatter(*place, fc=face, marker=marker, label=label, clip_on=False, **style)


def _draw_doses(axes: Axes, doses: Given, color: str) -> None:
    axes.vlines(doses.time, 0, doses.amount, color=color, lw=2.0, clip_on=False, zorder=5)
    slow = doses.duration > 0
    bars = doses.time[slow], doses.amount[slow], doses.duration[slow]
    axes.bar(*bars, align="edge", color=color, lw=0)


def _height(curves: DoseCurves, bands: list[Band], *, with_record: bool = True) -> float:
    """Room for all that is drawn, and for the least that is aimed at, however far away it is."""
    top = max(float(band.hi.max(initial=0.0)) for band in bands)
    if with_record:
        top = max(top, float(curves.population.max(initial=0.0)))
    if with_record and curves.levels is not None:
        top = max(top, float(curves.levels.observed.max(initial=0.0)))
    low, high = curves.target or (None, None)
    if low is not None:
        top = max(top, 1.1 * low)
    if high is not None and high < 2 * top:
        top = max(top, high)
    return top or 1.0


def _legend(figure: Figure, axes: Axes, columns: int, *, also: Axes | None = None) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if also is not None:
        for handle, label in zip(*also.get_legend_handles_labels(), strict=True):
            if label not in labels:
                handles, labels = [*handles, handle], [*labels, label]
    style: dict[str, Any] = {"frameon": False, "fontsize": 9, "labelcolor": INK}
    figure.legend(handles, labels, loc="outside lower center", ncols=min(columns, 3), **style)
