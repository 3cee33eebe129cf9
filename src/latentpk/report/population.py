"""Pictures of a population fit: how predictions meet levels, and how patients differ."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from latentpk.models.population import LEAST as LOWEST
from latentpk.report.plots import BLUE, GREY, INK, LEVEL, literal, save_figure, tidy
from latentpk.workflows.population.discovery import Discovery
from latentpk.workflows.population.fit import PopulationFit
from latentpk.workflows.population.outcome import (
    LEAST_SD,
    individual_effects,
    individual_predictions,
    numbers_of,
    typical_predictions,
    weighted_residuals,
)

_TITLE: dict[str, Any] = {
    "x": 0.01, "ha": "left", "fontsize": 14, "fontweight": "bold", "color": INK,
}  # fmt: skip
MOST = 12  # covariates of a picture
WIDE = 5  # of them in a row
CODES = 6  # values of a covariate that is drawn as a code


def draw_population(fit: PopulationFit, folder: Path) -> list[Path]:
    """Draw a fit.

    Args:
        fit: The fit.
        folder: Where the pictures go; made if absent.

    Returns:
        The pictures' paths: `fit.png`, and `effects.png`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "fit.png", folder / "effects.png"]
    for path, figure in zip(paths, (fit_figure(fit), effects_figure(fit)), strict=True):
        save_figure(figure, path)
    return paths


def draw_discovery(found: Discovery, folder: Path) -> list[Path]:
    """Draw random effects against covariates, before effects and with them.

    Args:
        found: What was found.
        folder: Where the pictures go; made if absent.

    Returns:
        The pictures' paths: `before.png`, `after.png`, `fit.png`; of a latent space
        `directions.png`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if found.base is None or found.final is None:
        save_figure(directions_figure(found), folder / "directions.png")
        return [folder / "directions.png"]
    figures = {
        "before.png": effects_figure(found.base, "Random effects without covariates"),
        "after.png": effects_figure(found.final, "Random effects beside the chosen covariates"),
        "fit.png": fit_figure(found.final),
    }
    for name, figure in figures.items():
        save_figure(figure, folder / name)
    return [folder / name for name in figures]


def fit_figure(fit: PopulationFit) -> Figure:
    """Levels against both predictions, and weighted residuals over time and prediction."""
    seen = np.asarray(fit.records.mask & ~fit.records.censored)
    value, time = np.asarray(fit.records.value)[seen], np.asarray(fit.records.time)[seen]
    individual = individual_predictions(fit.model, fit.records, fit.found.modes)
    typical = typical_predictions(fit.model, fit.records)
    weighted = weighted_residuals(fit, individual)[seen]
    figure = Figure(figsize=(9.6, 8.4), layout="constrained", facecolor="white")
    panels: list[Axes] = list(figure.subplots(2, 2).ravel())
    _against(panels[0], typical[seen], value, "prediction for the typical patient [mg/L]")
    _against(panels[1], individual[seen], value, "individual prediction [mg/L]")
    _scatter(panels[2], time, weighted, "time [h]")
    _scatter(panels[3], individual[seen], weighted, "individual prediction [mg/L]")
    title = f"{fit.config.structure}: {len(fit.cohort)} subjects, {int(seen.sum())} levels"
    figure.suptitle(literal(title), **_TITLE)
    return figure


def effects_figure(
    fit: PopulationFit, title: str = "Random effects (modes) of the subjects"
) -> Figure:
    """Random effects beside the distribution they were given, and against covariates."""
    eta = individual_effects(fit)
    names = fit.config.varying
    sd = np.asarray(numbers_of(fit.config, fit.found.value)["sd"])
    first = np.stack([subject.covariates[0] for subject in fit.cohort])
    shown = min(first.shape[1], MOST)
    columns = max(len(names), min(shown, WIDE), 2)
    each = -(-shown // columns)  # rows of a parameter's covariates
    differing = [k for k in range(len(names)) if sd[k] > LEAST_SD]
    rows = 1 + len(differing) * each
    size = (max(3.0 * columns, 6.4), 2.9 * rows + 0.6)
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    grid: list[Axes] = list(figure.subplots(rows, columns, squeeze=False).ravel())
    panels = grid[: len(names)]
    for place in range(len(differing)):
        start = columns * (1 + place * each)
        panels += grid[start : start + shown]
    pairs = [(k, c) for k in differing for c in range(shown)]
    for axes in grid:
        axes.set_visible(axes in panels)
    for k, name in enumerate(names):
        _histogram(panels[k], eta[:, k], float(sd[k]), name)
    for place, (k, c) in enumerate(pairs):
        axes, covariate = panels[len(names) + place], fit.config.covariates[c]
        axes.axhline(0, color=GREY, lw=1)
        axes.scatter(first[:, c], eta[:, k], color=BLUE, s=16, alpha=0.7, lw=0)
        codes = np.unique(first[:, c])
        if len(codes) <= CODES:
            axes.set_xticks(codes, [f"{code:g}" for code in codes])
            axes.margins(x=0.3)
        axes.set_xlabel(literal(covariate), color=INK)
        axes.set_ylabel(f"effect on log {names[k]}", color=INK)
        tidy(axes)
    figure.suptitle(title, **_TITLE)
    return figure


def directions_figure(found: Discovery) -> Figure:
    """Latent directions against covariates with how sure each patient is, and chosen effects."""
    names = found.cohort.covariate_names[:MOST]
    mean, sd = found.problem.empty.departures
    rows, columns = len(found.directions), len(names)
    size = (max(2.6 * columns + 0.6, 6.4), 2.3 * rows + 0.9)
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    panels: np.ndarray = figure.subplots(rows, columns, squeeze=False, sharey="row", sharex="col")
    chosen = {one.place: number for number, one in enumerate(found.choice.fit.chosen)}
    for k, direction in enumerate(found.directions):
        for c, covariate in enumerate(names):
            axes, x = panels[k, c], found.covariates[:, c]
            axes.axhline(0, color=GREY, lw=1)
            shown = mean[:, k]
            acts = (k, covariate) in chosen
            color = BLUE if acts else GREY
            axes.errorbar(x, shown, sd[:, k], fmt="none", ecolor=color, elinewidth=0.6, alpha=0.35)
            axes.scatter(x, shown, color=color, s=12, alpha=0.8, lw=0)
            if acts:
                _draw_effect(axes, found, chosen[k, covariate], x)
            codes = np.unique(x)
            if len(codes) <= CODES:
                axes.set_xticks(codes, [f"{code:g}" for code in codes])
                axes.margins(x=0.3)
            if k == rows - 1:
                axes.set_xlabel(literal(covariate), color=INK)
            if c == 0:
                axes.set_ylabel(literal(direction), color=INK)
            tidy(axes)
    count = len(chosen)
    said = "no effect" if not count else f"{count} effect{'s' if count > 1 else ''}"
    figure.supylabel("posterior mean and SD, from the population's mean", color=INK, fontsize=10)
    figure.suptitle(f"Latent directions and covariates: {said} chosen (blue)", **_TITLE)
    return figure


def _draw_effect(axes: Axes, found: Discovery, number: int, x: np.ndarray) -> None:
    """The chosen effect, as far as covariates reach."""
    fit = found.choice.fit
    one, coefficient = fit.chosen[number], fit.coefficients[number]
    columns = found.problem.design[:, one.columns]
    if one.shape == "linear":
        moved = np.log(np.maximum(1 + columns[:, 0] * coefficient[0], LOWEST))
    else:
        moved = columns @ coefficient
    moved = moved + fit.mean[one.parameter] - found.problem.empty.mean[one.parameter]
    order = np.argsort(x)
    if one.shape == "category":
        codes, first = np.unique(x, return_index=True)
        axes.plot(codes, moved[first], "_", color=LEVEL, ms=26, mew=2)
    else:
        axes.plot(x[order], moved[order], color=LEVEL, lw=1.8)
    axes.set_title(one.shape, fontsize=9, color=INK)


def _against(
    axes: Axes, predicted: Float[np.ndarray, " level"], value: np.ndarray, label: str
) -> None:
    top = 1.05 * max(float(predicted.max(initial=0)), float(value.max(initial=0)), 1e-9)
    axes.plot([0, top], [0, top], color=GREY, lw=1)
    axes.scatter(predicted, value, color=BLUE, s=14, alpha=0.6, lw=0)
    axes.set_xlabel(label, color=INK)
    axes.set_ylabel("measured level [mg/L]", color=INK)
    tidy(axes)


def _scatter(axes: Axes, x: np.ndarray, weighted: np.ndarray, label: str) -> None:
    for height in (-1.96, 1.96):
        axes.axhline(height, color=GREY, lw=1, ls=(0, (4, 3)))
    axes.axhline(0, color=GREY, lw=1)
    axes.scatter(x, weighted, color=BLUE, s=14, alpha=0.6, lw=0)
    axes.plot(*_running(x, weighted), color=LEVEL, lw=1.6, label="running median")
    reach = 1.3 * max(2.5, float(np.abs(weighted).max(initial=0)))  # room for the legend
    axes.set_ylim(-reach, reach)
    axes.legend(frameon=False, fontsize=9, loc="upper right")
    axes.set_xlabel(label, color=INK)
    axes.set_ylabel("individual weighted residual", color=INK)
    tidy(axes)


def _running(x: np.ndarray, y: np.ndarray) -> tuple[Sequence[float], Sequence[float]]:
    """Medians of about ten groups of neighbours."""
    order = np.argsort(x, kind="stable")
    groups = np.array_split(order, int(np.clip(len(x) // 8, 1, 10)))
    kept = [group for group in groups if len(group)]
    return [float(np.median(x[g])) for g in kept], [float(np.median(y[g])) for g in kept]


def _histogram(axes: Axes, eta: np.ndarray, sd: float, name: str) -> None:
    if sd <= LEAST_SD:
        text = f"{name} does not vary\nbetween these subjects"
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=INK)
        axes.set_axis_off()
        return
    reach = 1.1 * max(3 * sd, float(np.abs(eta).max(initial=0)))
    axes.hist(
        eta, bins=np.linspace(-reach, reach, 15).tolist(), color=BLUE, alpha=0.45, density=True
    )
    grid = np.linspace(-reach, reach, 200)
    density = np.exp(-0.5 * (grid / sd) ** 2) / (sd * np.sqrt(2 * np.pi))
    axes.plot(grid, density, color=LEVEL, lw=1.6, label=f"estimated, SD {sd:.2g}")
    axes.legend(frameon=False, fontsize=9, loc="upper right")
    axes.set_ylim(0, 1.35 * max(axes.get_ylim()[1] / 1.05, float(density.max())))
    axes.set_xlabel(f"effect on log {name}", color=INK)
    axes.set_ylabel("density", color=INK)
    tidy(axes)
