"""Pictures of what drives a particle model, and of delivery against a particle's design.

They are drawn from the JSON values of `workflows.nano.explain` and `workflows.nano.design`.
"""

import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from latentpk.report.plots import (
    BAND,
    BLUE,
    GREY,
    INK,
    LEVEL,
    RULE,
    VERDICTS,
    literal,
    save_figure,
    tidy,
)

Progress = Callable[[int, int, str], None]
PICTURES = 20  # particles drawn
LARGEST = 6  # properties in a particle's panel
COLORS = {"prediction": BLUE, "xgboost": "#d99a3d", "network": "#86a98c"}
SAID = {
    "prediction": "the prediction itself",
    "xgboost": "its member XGBoost",
    "network": "its member network",
}
_TITLE: dict[str, Any] = {"x": 0.01, "ha": "left", "fontsize": 14, "fontweight": "bold"}
_FACTORS = (1.05, 1.1, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0)


def draw_explained(
    found: Mapping[str, Any], folder: Path, *, progress: Progress | None = None
) -> list[Path]:
    """Draw what a table's predictions rest on, then its first particles.

    Args:
        found: From `explain`.
        folder: Where the pictures go; made if absent.
        progress: Called with (done, total, label).

    Returns:
        The pictures' paths.
    """
    figures: list[tuple[str, Callable[[], Figure]]] = [
        ("importance", lambda: importance_figure(found))
    ]
    if found["global"]["attention"] is not None:
        figures.append(("attention", lambda: attention_figure(found)))
    shown = found["particles"][:PICTURES]
    for name, one in zip(_names([one["id"] for one in shown]), shown, strict=True):
        figures.append((f"particle-{name}", lambda one=one: particle_figure(one)))
    return _save(figures, folder, progress)


def draw_designs(
    found: Mapping[str, Any], folder: Path, *, progress: Progress | None = None
) -> list[Path]:
    """Draw delivery against size of the first particles.

    Args:
        found: From `design`.
        folder: Where the pictures go; made if absent.
        progress: Called with (done, total, label).

    Returns:
        The pictures' paths.
    """
    shown = found["particles"][:PICTURES]
    figures: list[tuple[str, Callable[[], Figure]]] = [
        (f"design-{name}", lambda one=one: design_figure(one, found["meta"]["target"]))
        for name, one in zip(_names([one["id"] for one in shown]), shown, strict=True)
    ]
    return _save(figures, folder, progress)


def importance_figure(found: Mapping[str, Any]) -> Figure:
    """Draw how much each property adds to the predictions of a table, one panel a target.

    Args:
        found: From `explain`.

    Returns:
        A figure; bars are means of absolute contributions, ticks what chance gives.
    """
    whole = found["global"]
    size = {name: one["properties"] for name, one in whole["importance"].items()}
    targets = list(found["units"])
    names = list(size["prediction"][targets[0]])
    names.sort(key=lambda name: sum(size["prediction"][target][name] for target in targets))
    most = max(size[m][t][name] for m in size for t in targets for name in names)
    ticks = {t: {n: one["null_95"] for n, one in whole["ranks"][t].items()} for t in targets}
    most = max(most, *(v or 0.0 for own in ticks.values() for v in own.values()))
    figure = Figure(figsize=(14.0, 8.6), layout="constrained", facecolor="white")
    panels = _panels(figure, len(targets))
    for k, (axes, target) in enumerate(zip(panels, targets, strict=False)):
        _bars(axes, names, {m: [own[target][n] for n in names] for m, own in size.items()})
        for place, name in enumerate(names):
            if (tick := ticks[target].get(name)) is not None:
                ends = (place - 0.42, place + 0.42)
                axes.plot([tick, tick], ends, color=INK, lw=1.6, solid_capstyle="butt", zorder=4)
        axes.set_xlim(0, 1.05 * most or 1.0)
        axes.set_title(target, loc="left", fontsize=11, fontweight="bold", color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        if k + 4 >= len(targets):
            axes.set_xlabel("mean absolute contribution [log10 units]", color=INK, fontsize=9)
    handles: list[Any] = [Patch(color=COLORS[name], label=SAID[name]) for name in size]
    judged = any(v is not None for own in ticks.values() for v in own.values())
    if judged:
        handles.append(Line2D([], [], color=INK, lw=1.6, label="XGBoost: 95 % quantile by chance"))
    count = whole["particles"]
    words = [
        f"Mean over {count} particle{'s' * (count != 1)}. 0.3 on the log10 scale is a factor of 2. "
        "A bar says how much a model's output moves with a property, not that the property is a "
        "cause.",
        _chance(whole["null"]) if judged else whole["null"]["reason"],
    ]
    _explain(panels[-1], handles, words)
    figure.suptitle("What the predictions rest on", color=INK, **_TITLE)
    return figure


def attention_figure(found: Mapping[str, Any]) -> Figure:
    """Draw which knowledge features the networks read through which raw ones, all targets pooled.

    Args:
        found: From `explain`, of a model whose networks attend.

    Returns:
        A figure; shares are told as multiples of the even one.
    """
    told = found["global"]["attention"]
    maps = np.array([told["map"][target] for target in told["map"]])
    pooled = maps.mean(axis=0) / maps.sum(axis=(1, 2)).mean() * maps[0].size
    reach = max(2.0, float(pooled.max()), 1 / max(float(pooled.min()), 0.05))
    figure = Figure(figsize=(10.5, 7.2), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    drawn = axes.imshow(pooled, cmap="RdBu_r", norm=LogNorm(1 / reach, reach), aspect="auto")
    axes.set_xticks(np.arange(len(told["knowledge"])), told["knowledge"], rotation=45, ha="right")
    axes.set_yticks(np.arange(len(told["raw"])), told["raw"])
    axes.set_xlabel("knowledge feature that is read", color=INK)
    axes.set_ylabel("raw feature that reads", color=INK)
    axes.tick_params(color=RULE, labelcolor=INK, labelsize=9, length=0)
    for spine in axes.spines.values():
        spine.set_color(RULE)
    bar = figure.colorbar(drawn, ax=axes, shrink=0.8, pad=0.02)
    bar.set_label("share of attention, times the even share", color=INK)
    ticks = [value for value in (0.1, 0.2, 0.5, 1, 2, 5, 10) if 1 / reach <= value <= reach]
    bar.set_ticks(ticks, labels=[f"{value:g}" for value in ticks])
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    bar.ax.tick_params(labelcolor=INK, labelsize=9, color=RULE)
    bar.outline.set_edgecolor(RULE)  # type: ignore[operator]
    span = f"{pooled.min():.2f} to {pooled.max():.2f} times the even share"
    count = found["global"]["particles"]
    words = (
        f"All targets pooled, mean over networks and {count} particle{'s' * (count != 1)}. Shares "
        f"are {span}; entropy {told['entropy']:.3f} of the largest."
    )
    if told["entropy"] > 0.95:
        words += " That is nearly uniform: the map tells no feature from another."
    axes.set_title(textwrap.fill(words, 105), loc="left", fontsize=9.5, color=INK)
    figure.suptitle("Attention between the two views", color=INK, **_TITLE)
    return figure


def particle_figure(particle: Mapping[str, Any]) -> Figure:
    """Draw what moves one particle's predictions, one panel a target.

    Args:
        particle: One of `particles` from `explain`.

    Returns:
        A figure; a bar is the factor by which a property moves the prediction.
    """
    targets = list(particle["targets"])
    added = {
        target: {name: own["properties"] for name, own in one["methods"].items()}
        for target, one in particle["targets"].items()
    }
    figure = Figure(figsize=(14.0, 8.4), layout="constrained", facecolor="white")
    words = f"verdict {particle['verdict']}"
    words += f": {particle['reason']}" if particle["reason"] else ""
    color = VERDICTS.get(particle["verdict"], GREY)
    panels = _panels(_headed(figure, f"Particle {particle['id']}", [words], color), len(targets))
    for k, (axes, target) in enumerate(zip(panels, targets, strict=False)):
        own, one = added[target], particle["targets"][target]
        names = sorted(own["prediction"], key=lambda name: abs(own["prediction"][name]))[-LARGEST:]
        _bars(axes, names, {m: [values[n] for n in names] for m, values in own.items()})
        axes.axvline(0, color=GREY, lw=0.9, zorder=3)
        _factor_axis(axes, max(abs(own[m][n]) for m in own for n in names))
        unit = "" if one["unit"] == "1" else f" {one['unit']}"
        low, middle, high = (plain(one[key]) for key in ("lo", "prediction", "hi"))
        said = f"{middle}{unit} ({low} to {high})"
        axes.set_title(target, loc="left", fontsize=11, fontweight="bold", color=INK, pad=20)
        axes.text(0, 1.02, said, transform=axes.transAxes, fontsize=9, color=INK)
        if k + 4 >= len(targets):
            axes.set_xlabel("factor on the prediction", color=INK, fontsize=9)
    told = [
        "Under each target: the predicted median and its 90 % interval.",
        f"The {LARGEST} properties that move it most, from what the model says of other "
        "particles. Contributions say what the model does with a property, not what the "
        "property does in a tumor.",
    ]
    _explain(panels[-1], [Patch(color=COLORS[m], label=SAID[m]) for m in COLORS], told)
    return figure


def design_figure(particle: Mapping[str, Any], target: str) -> Figure:
    """Draw delivery against size, one panel a charge; grey where no such particle was seen.

    Args:
        particle: One of `particles` from `design`.
        target: What is drawn.

    Returns:
        A figure.
    """
    curves, now = particle["curves"], particle["current"]
    width = max(4.2 * len(curves), 8.0)
    figure = Figure(figsize=(width, 5.8), layout="constrained", facecolor="white")
    kind = ", ".join(one.lower() for one in (curves[0]["SHAPE"], curves[0]["TS"]) if one)
    title = f"Particle {particle['id']}: {target} against size" + (f" ({kind})" if kind else "")
    body = _headed(figure, title, particle["reasons"][:4], INK)
    chosen = particle["recommended"]
    best = None if chosen is None else particle["alternatives"][chosen]
    panels = body.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for axes, curve in zip(panels, curves, strict=True):
        _draw_curve(axes, curve)
        for one, color, marker, label in (
            (now, LEVEL, "o", "current design"),
            (best, VERDICTS["ok"], "*", "highest median of the grid"),
        ):
            if one is not None and one["CHARGE"] == curve["CHARGE"]:
                kind = [one[key] for key in ("SHAPE", "TS") if one[key] != curve[key]]
                other = f" ({', '.join(map(str, kind)).lower()})" if kind else ""
                _draw_design(axes, one, color, marker, label + other)
        zeta = "zeta unknown" if curve["ZETA"] is None else f"zeta {curve['ZETA']:g} mV"
        signed = "-" if curve["CHARGE"] == "negative" else ""
        axes.set_title(
            f"{curve['CHARGE']}, {zeta.replace('zeta ', f'zeta {signed}')}",
            loc="left", fontsize=10, color=INK,
        )  # fmt: skip
        axes.set_xlabel("hydrodynamic diameter [nm]", color=INK)
    panels[0].set_ylabel(f"{target} [%ID]", color=INK)
    panels[0].set_yscale("log")
    panels[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panels[0].yaxis.set_minor_formatter(NullFormatter())
    handles: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    body.legend(
        list(handles.values()), list(handles), loc="outside lower center", ncols=5,
        frameon=False, fontsize=9, labelcolor=INK,
    )  # fmt: skip
    return figure


def plain(value: float) -> str:
    """Two digits, without an exponent where a reader can do without.

    Example:
        >>> plain(218.3), plain(0.0356), plain(2.0e-7)
        ('220', '0.036', '2e-07')
    """
    return f"{float(f'{value:.2g}'):g}"


def _draw_design(axes: Axes, one: Mapping[str, Any], color: str, marker: str, label: str) -> None:
    """One design with its interval; a line where its size is not known."""
    if one["HD"] is None:
        axes.axhline(one["median"], color=color, lw=1.3, ls=":", label=f"{label}, size unknown")
        return
    place = ([one["HD"]], [one["median"]])
    spread = [[one["median"] - one["lo"]], [one["hi"] - one["median"]]]
    axes.errorbar(*place, yerr=spread, color=color, lw=1.3, capsize=3, zorder=5)
    axes.scatter(
        *place, s=190 if marker == "*" else 48, color=color, marker=marker, label=label, zorder=6,
        edgecolors="white", linewidths=0.8,
    )  # fmt: skip


def _draw_curve(axes: Axes, curve: Mapping[str, Any]) -> None:
    size, inside = np.array(curve["HD"]), np.array(curve["inside"], dtype=bool)
    low, middle, high = (np.array(curve[name]) for name in ("lo", "median", "hi"))
    if len(size) > 1:
        axes.fill_between(size, low, high, color=BAND, alpha=0.45, lw=0, label="90 % interval")
        axes.plot(size, middle, color=BLUE, lw=1.8, label="median")
    else:
        axes.errorbar(size, middle, yerr=[middle - low, high - middle], color=BLUE, capsize=3)
        axes.scatter(size, middle, color=BLUE, s=24, label="median")
    ends = np.concatenate([size[:1], (size[1:] + size[:-1]) / 2, size[-1:]])
    if len(size) == 1:
        ends = np.array([0.95 * size[0], 1.05 * size[0]])
    label = "outside the domain: left out"
    for left, right, kept in zip(ends[:-1], ends[1:], inside, strict=True):
        if not kept:
            axes.axvspan(left, right, color="#c3cad2", alpha=0.75, lw=0, zorder=3, label=label)
            label = "_nolegend_"
    margin = 0.03 * (ends[-1] - ends[0])
    axes.set_xlim(ends[0] - margin, ends[-1] + margin)
    tidy(axes)


def _panels(figure: Figure | SubFigure, count: int) -> list[Axes]:
    """Panels in rows of four, and one more to explain them in."""
    rows = -(-(count + 1) // 4)
    return list(figure.subplots(rows, 4, squeeze=False).reshape(-1))[: count + 1]


def _bars(axes: Axes, names: Sequence[str], values: Mapping[str, Sequence[float]]) -> None:
    """Bars of each method side by side, the first one on top."""
    height = 0.8 / len(values)
    for k, (method, own) in enumerate(values.items()):
        place = np.arange(len(names)) + 0.4 - (k + 0.5) * height
        axes.barh(place, own, height, color=COLORS[method], lw=0, zorder=2)
    axes.set_yticks(np.arange(len(names)), list(names))
    axes.set_ylim(-0.6, len(names) - 0.4)
    tidy(axes)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def _factor_axis(axes: Axes, reach: float) -> None:
    """An axis of log10 contributions, told as factors."""
    reach = max(reach, np.log10(_FACTORS[0])) * 1.08
    axes.set_xlim(-reach, reach)
    inside = [factor for factor in _FACTORS if np.log10(factor) <= reach]
    last = inside[-1]
    between = [one for one in inside if 0.3 * reach < np.log10(one) < np.log10(last) - 0.36 * reach]
    ticks = [1.0, last, 1 / last, *(t for one in between[-1:] for t in (one, 1 / one))]
    axes.set_xticks([np.log10(tick) for tick in ticks], [f"×{tick:.2g}" for tick in ticks])


def _explain(axes: Axes, handles: list[Any], words: Sequence[str]) -> None:
    axes.set_axis_off()
    axes.legend(
        handles=handles, loc="upper left", frameon=False, fontsize=9.5, labelcolor=INK,
        borderaxespad=0,
    )  # fmt: skip
    text = "\n\n".join(textwrap.fill(one, 46) for one in words if one)
    axes.text(0, 0.02, literal(text), transform=axes.transAxes, va="bottom", fontsize=9, color=INK)


def _chance(null: Mapping[str, Any]) -> str:
    return (
        f"Chance: XGBoost fitted {null['permutations']} times with the property's values exchanged "
        f"{null['exchanged']}. {null['reason']}".strip()
    )


def _headed(figure: Figure, title: str, lines: Sequence[str], color: str) -> SubFigure:
    """A title with lines under it; what is drawn goes into the part that is returned."""
    width, height = figure.get_size_inches()
    wrapped = [line for one in lines for line in textwrap.wrap(one, int(13 * width))]
    inches = 0.42 + 0.19 * len(wrapped)
    parts = figure.subfigures(2, 1, squeeze=False, height_ratios=(inches, height - inches))
    head, body = parts[:, 0]
    style: dict[str, Any] = {"ha": "left", "va": "top"}
    head.text(0.01, 0.93, literal(title), fontsize=13, fontweight="bold", color=INK, **style)
    text = literal("\n".join(wrapped))
    head.text(0.01, 1 - 0.38 / inches, text, fontsize=9.5, color=color, **style)
    return body


def _names(ids: Sequence[str]) -> list[str]:
    """File names of IDs, which are text from a file and must not lead out of the folder."""
    names: list[str] = []
    for one in ids:
        name = re.sub(r"[^\w-]+", "_", one)[:60] or "particle"
        while name.lower() in (taken.lower() for taken in names):
            name += "_"
        names.append(name)
    return names


def _save(
    figures: Sequence[tuple[str, Callable[[], Figure]]], folder: Path, progress: Progress | None
) -> list[Path]:
    paths = [folder / f"{name}.png" for name, _ in figures]
    for k, (path, (_, draw)) in enumerate(zip(paths, figures, strict=True)):
        save_figure(draw(), path)
        if progress is not None:
            progress(k + 1, len(figures), "pictures drawn")
    return paths
