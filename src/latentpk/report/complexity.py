"""Pictures of an assessment: who is complex, what the trained model adds, a few subjects."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from latentpk.evaluate.pattern import Band
from latentpk.report.plots import (
    BAND,
    BLUE,
    GREY,
    INK,
    INTERVAL,
    LEVEL,
    hour_ticks,
    literal,
    save_figure,
    tidy,
)
from latentpk.workflows.complexity.answer import population_of, subjects_of
from latentpk.workflows.complexity.assess import Assessment
from latentpk.workflows.complexity.residual import ResidualModel

COLORS = {"simple": BLUE, "complex": LEVEL, "undecided": GREY}
MOST = 3  # covariates of a picture, and subjects of either kind
NAMES = {"time_after_dose": "time after dose", "time": "time since the first dose"}
_TITLE: dict[str, Any] = {
    "x": 0.01, "ha": "left", "fontsize": 14, "fontweight": "bold", "color": INK,
}  # fmt: skip


def draw_complexity(found: Assessment, residual: ResidualModel, folder: Path) -> list[Path]:
    """Draw an assessment.

    Args:
        found: The assessment.
        residual: What the trained model adds.
        folder: Where the pictures go; made if absent.

    Returns:
        The pictures' paths: `complexity.png`, `residual.png`, `subjects.png`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figures = {
        "complexity.png": complexity_figure(found),
        "residual.png": residual_figure(found, residual),
        "subjects.png": subjects_figure(found, residual),
    }
    for name, figure in figures.items():
        save_figure(figure, folder / name)
    return [folder / name for name in figures]


def complexity_figure(found: Assessment) -> Figure:
    """Probabilities, errors of held-out levels, and the latent dimension."""
    figure = Figure(figsize=(11.5, 8.6), layout="constrained", facecolor="white")
    panels = figure.subplots(2, 2).ravel()
    told = [one for one in subjects_of(found) if one["probability"] is not None]
    _probabilities(panels[0], found, told)
    _errors(panels[1], told)
    _held_out_dimension(panels[2], found)
    _units(panels[3], found)
    words = population_of(found)["sentence"]
    cut = words.find(". ")
    title = words if cut < 0 else words[: cut + 1]
    figure.suptitle(literal(_wrapped(title, 95)), **_TITLE)
    return figure


def residual_figure(found: Assessment, residual: ResidualModel) -> Figure:
    """Log ratio of the trained model to the compartment model over what it may depend on."""
    unit, factor = found.cohort.units.unit("DV"), 1 / found.cohort.units.factor("DV")
    covariates = list(residual.covariates)
    covariates.sort(key=lambda name: -residual.explained.get(name, 0.0))
    dosed = len(residual.bands["dose"].at) > 1
    multiple = not np.allclose(
        residual.bands["time"].at[-1:], residual.bands["time_after_dose"].at[-1:], rtol=0.05
    )
    wanted: list[tuple[Band, str, float]] = [
        (residual.bands["time_after_dose"], "time after dose [h]", 1.0),
        *([(residual.bands["time"], "time since the first dose [h]", 1.0)] if multiple else []),
        (residual.bands["concentration"], f"compartment model's concentration [{unit}]", factor),
        *([(residual.bands["dose"], "dose [mg]", 1.0)] if dosed else []),
        *((residual.covariates[name], f"{name}; mean of each subject", 1.0)
          for name in covariates[:MOST]),
    ]  # fmt: skip
    rows = -(-(len(wanted) + 1) // 3)
    figure = Figure(figsize=(13.0, 3.9 * rows + 1.3), layout="constrained", facecolor="white")
    panels = figure.subplots(rows, 3, squeeze=False).ravel()
    for axes, (one, label, scale) in zip(panels, wanted, strict=False):
        _band(axes, one, label, scale)
        if label.startswith("compartment model's") and one.at.size:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(_ticks())
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    _points(panels[0], residual)
    _explained(panels[len(wanted)], residual, multiple=multiple)
    for axes in panels[len(wanted) + 1 :]:
        axes.set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9,
        labelcolor=INK,
    )  # fmt: skip
    figure.suptitle(
        literal(f"What the trained model adds: {residual.of_whom.removeprefix('of ')}")
        + "\n"
        + literal(_wrapped(residual.sentence, 135)),
        **_TITLE | {"fontsize": 11},
    )
    return figure


def subjects_figure(found: Assessment, residual: ResidualModel) -> Figure:
    """Both models' curves of those likeliest to be complex, and of the simplest."""
    order = np.argsort(found.probability, kind="stable")
    few = min(MOST, len(order) // 2) or len(order)
    shown = [*order[::-1][:few], *order[: min(few, len(order) - few)]]
    figure = Figure(figsize=(13.0, 7.6), layout="constrained", facecolor="white")
    panels = figure.subplots(2, MOST, squeeze=False)
    for row in panels:
        for axes in row:
            axes.set_visible(False)
    factor, unit = 1 / found.cohort.units.factor("DV"), found.cohort.units.unit("DV")
    for place, judged in enumerate(shown):
        axes = panels[place // few, place % few]
        axes.set_visible(True)
        _subject(axes, found, residual, int(judged), factor)
        if place % few == 0:
            axes.set_ylabel(f"concentration [{unit}]", color=INK)
        axes.set_xlabel("time since the first dose [h]", color=INK)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9,
        labelcolor=INK,
    )  # fmt: skip
    figure.suptitle("The subjects likeliest to be complex, and the simplest", **_TITLE)
    return figure


def _probabilities(axes: Axes, found: Assessment, told: list[dict[str, Any]]) -> None:
    ranked = sorted(told, key=lambda one: one["probability"])
    place = np.arange(len(ranked)) + 1
    for name, color in COLORS.items():
        own = np.array([one["class"] == name for one in ranked], bool)
        values = np.array([one["probability"] for one in ranked])[own]
        axes.scatter(place[own], values, color=color, s=16, lw=0, label=f"{name} ({own.sum()})")
    for height in (found.settings.sure, 1 - found.settings.sure):
        axes.axhline(height, color=GREY, lw=1, ls=(0, (4, 3)))
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("subjects, in order", color=INK)
    axes.set_ylabel("probability of being complex", color=INK)
    axes.legend(loc="upper left", frameon=False, fontsize=9, labelcolor=INK)
    tidy(axes)


def _errors(axes: Axes, told: list[dict[str, Any]]) -> None:
    known = [
        one for one in told if one["log_rmse_trained"] and one["log_rmse_compartment"]
    ]  # an error of nothing, or none, has no place on a logarithmic axis
    if not known:
        _empty(axes, "no levels to compare")
        return
    pairs = np.array([(one["log_rmse_compartment"], one["log_rmse_trained"]) for one in known])
    low, high = np.quantile(pairs, 0.005) / 1.2, pairs.max() * 1.2
    axes.plot([low, high], [low, high], color=GREY, lw=1)
    for name, color in COLORS.items():
        own = np.array([one["class"] == name for one in known], bool)
        axes.scatter(*pairs[own].T, color=color, s=16, lw=0, alpha=0.75)
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(_ticks())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    axes.set_xlabel("compartment model: log error of held-out levels", color=INK)
    axes.set_ylabel("trained model: the same", color=INK)
    axes.set_title("under the line the trained model is better", loc="left", fontsize=9, color=GREY)
    tidy(axes)


def _held_out_dimension(axes: Axes, found: Assessment) -> None:
    d = found.dimension
    lost = d.held_out.max() - d.held_out
    kept = np.arange(len(lost))
    axes.fill_between(
        kept, np.maximum(lost - d.behind, 1e-3), lost + d.behind + 1e-3, color=BAND, lw=0, alpha=0.7
    )
    axes.plot(kept, lost + 1e-3, color=BLUE, lw=1.8, marker="o", ms=4)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    for at, text, height in (
        (d.by_held_out, "held-out levels", 0.95),
        (d.by_criterion, "information criterion", 0.85),
    ):
        axes.axvline(at, color=LEVEL, lw=1, ls=(0, (4, 3)))
        axes.text(
            at + 0.08, height, f"{at} by {text}", transform=axes.get_xaxis_transform(),
            fontsize=9, color=LEVEL, va="top",
        )  # fmt: skip
    axes.set_xticks(kept)
    axes.set_xlabel("latent directions kept", color=INK)
    axes.set_ylabel("loss in held-out log density\nof a level [nat]", color=INK)
    tidy(axes)


def _units(axes: Axes, found: Assessment) -> None:
    d = found.dimension
    place = np.arange(len(d.variance)) + 1
    axes.bar(place, d.variance, color=BLUE, width=0.6, lw=0)
    axes.set_xticks(place)
    axes.set_xlabel("latent direction", color=INK)
    axes.set_ylabel("variance of posterior means\n(1: levels say all, 0: nothing)", color=INK)
    axes.set_title(
        f"{d.active} of {len(place)} units active (variance over 0.01)",
        loc="left", fontsize=9, color=GREY,
    )  # fmt: skip
    tidy(axes)


def _band(axes: Axes, one: Band, label: str, scale: float) -> None:
    axes.set_xlabel(literal(label), color=INK)
    axes.set_ylabel("log ratio, trained / compartment", color=INK)
    if one.at.size == 0:
        _empty(axes, "too few subjects")
        return
    x = scale * one.at
    if x.size < 5:  # groups, not a course
        axes.vlines(x, one.low, one.high, color=INTERVAL, lw=14)
        axes.vlines(x, one.sure_low, one.sure_high, color=BAND, lw=14)
        axes.scatter(x, one.median, color=BLUE, s=26, zorder=3)
        axes.margins(x=0.3)
    else:
        axes.fill_between(x, one.low, one.high, color=INTERVAL, lw=0, label="90 % of subjects")
        axes.fill_between(
            x, one.sure_low, one.sure_high, color=BAND, lw=0, label="95 % interval of the median"
        )
        axes.plot(x, one.median, color=BLUE, lw=1.8, label="median over subjects")
    axes.axhline(0, color=GREY, lw=1)
    tidy(axes)


def _points(axes: Axes, residual: ResidualModel) -> None:
    """Held-out levels over what the compartment model forecast for them."""
    seen = residual.observed
    if seen.at.size:
        axes.errorbar(
            seen.at, seen.median, (seen.median - seen.sure_low, seen.sure_high - seen.median),
            fmt="o", color=LEVEL, ms=4, lw=1.2, label="held-out levels / compartment, median",
        )  # fmt: skip
    if residual.factor is not None and residual.factor.at.size:
        axes.plot(
            residual.factor.at, residual.factor.median, color=INK, lw=1.2, ls=(0, (4, 3)),
            label="the hybrid's own factor, median",
        )  # fmt: skip


def _explained(axes: Axes, residual: ResidualModel, *, multiple: bool) -> None:
    items = [item for item in residual.explained.items() if multiple or item[0] != "time"]
    shown = sorted(items, key=lambda item: item[1])[-8:]
    names = [NAMES.get(name, name).replace("_", " ") for name, _ in shown]
    axes.barh(range(len(shown)), [100 * value for _, value in shown], color=BLUE, height=0.6)
    axes.set_yticks(range(len(shown)), [literal(name) for name in names])
    axes.set_xlim(0, max(10.0, 110 * max((value for _, value in shown), default=0.0)))
    axes.set_xlabel("variance of the log ratio explained [%]", color=INK)
    tidy(axes)
    axes.grid(visible=False, axis="y")


def _subject(
    axes: Axes, found: Assessment, residual: ResidualModel, row: int, factor: float
) -> None:
    subject, course = found.cohort.subjects[int(found.index[row])], residual.course
    start = float(subject.doses.time.min()) if len(subject.doses) else 0.0
    axes.plot(
        course.time[row], factor * course.rival[row], color=GREY, lw=1.5, ls=(0, (4, 3)),
        label="compartment model",
    )  # fmt: skip
    axes.plot(
        course.time[row], factor * course.trained[row], color=BLUE, lw=1.8, label="trained model"
    )
    axes.scatter(
        subject.levels.time - start, factor * subject.levels.value, color=LEVEL, s=26, zorder=3,
        label="level",
    )  # fmt: skip
    axes.set_yscale("log")
    levels = factor * subject.levels.value[subject.levels.value > 0]
    shown = np.concatenate([levels, factor * course.rival[row], factor * course.trained[row]])
    bottom = 0.5 * float(levels.min()) if levels.size else 1e-3
    axes.set_ylim(bottom, 1.5 * max(float(np.nanmax(shown)), 2 * bottom))
    axes.yaxis.set_major_locator(_ticks())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    hour_ticks(axes, float(np.ptp(course.time[row])))
    axes.set_title(
        literal(f"Subject {subject.id}: complex with probability {found.probability[row]:.2f}"),
        loc="left", fontsize=10, color=INK,
    )  # fmt: skip
    tidy(axes)


def _ticks() -> Any:
    from matplotlib.ticker import LogLocator

    return LogLocator(10, subs=(1.0, 2.0, 5.0))


def _empty(axes: Axes, words: str) -> None:
    axes.text(0.5, 0.5, words, ha="center", transform=axes.transAxes, color=GREY)
    tidy(axes)
    axes.set_xticks([])
    axes.set_yticks([])


def _wrapped(text: str, width: int) -> str:
    import textwrap

    return textwrap.fill(text, width)
