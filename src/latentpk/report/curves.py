"""Patients' whole curves for pictures, from a forecast at a dense set of times."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from latentpk.records.subject import Cohort, OutputTable, Subject
from latentpk.report.plots import Curve, forecast_figure, save_figure

Forecast = Callable[[Cohort], pl.DataFrame]
Progress = Callable[[int, int, str], None]

_POINTS = 240  # across the picture, beside the points at doses
_MARGIN = 0.05  # of the time shown, after the last thing that happens


def draw_subjects(
    forecast: Forecast, cohort: Cohort, folder: Path, *, progress: Progress | None = None
) -> list[Path]:
    """Draw one picture for each subject of a cohort.

    Args:
        forecast: Gives the forecast table of a cohort, one row for each output row, in order.
        cohort: Whom to draw.
        folder: Where the pictures go; made if absent.
        progress: Called with (done, total, label).

    Returns:
        The pictures' paths, in the cohort's order.
    """
    paths = _paths(cohort, folder)
    for i, (path, curve) in enumerate(zip(paths, curves(forecast, cohort), strict=True)):
        save_figure(forecast_figure(curve), path)
        if progress is not None:
            progress(i + 1, len(cohort), "pictures drawn")
    return paths


def curves(forecast: Forecast, cohort: Cohort) -> list[Curve]:
    """Forecast whole curves: the levels conditioned on stay, the output times become dense.

    Args:
        forecast: Gives the forecast table of a cohort, one row for each output row, in order.
        cohort: Whose curves.

    Returns:
        One curve for each subject, times in hours, levels in the file's unit.
    """
    if len(cohort) == 0:
        return []
    dense, start = [], 0
    for subject in cohort:
        outputs = _dense(subject, start)
        dense.append(replace(subject, outputs=outputs))
        start += len(outputs)
    table = forecast(replace(cohort, subjects=tuple(dense)))
    found, start = [], 0
    for subject, shown in zip(cohort, dense, strict=True):
        part = table.slice(start, len(shown.outputs))
        found.append(_curve(subject, shown.outputs.time, part, cohort.units.unit("DV")))
        start += len(shown.outputs)
    return found


def _dense(subject: Subject, first_row: int) -> OutputTable:
    """Output rows over the whole record: evenly spaced, and on both sides of every dose."""
    dose = subject.doses
    ends = dose.time + dose.duration
    events = np.concatenate([dose.time, ends, subject.levels.time, subject.outputs.time])
    begin = float(events.min()) if events.size else 0.0
    end = max(float(events.max(initial=begin)), begin + 1.0)
    end += _MARGIN * (end - begin)
    shown = dose.time[(dose.time >= begin) & (dose.time <= end)]
    stops = ends[(dose.duration > 0) & (ends <= end)]
    after = np.concatenate([np.linspace(begin, end, _POINTS), shown, stops])
    time = np.concatenate([after, shown])
    order = np.concatenate([np.full(after.size, np.inf), np.full(shown.size, -np.inf)])
    sorting = np.lexsort((order, time))
    time, order = time[sorting], order[sorting]
    unknown = np.full(time.size, np.nan)
    return OutputTable(
        time=time,
        order=order,
        row=first_row + np.arange(time.size),
        cmt=unknown,
        dvid=unknown,
        dv=unknown,
        dv_text=np.full(time.size, ""),
        time_text=np.array([repr(float(t)) for t in time]),
        is_level=np.zeros(time.size, bool),
    )


def _curve(subject: Subject, time: np.ndarray, table: pl.DataFrame, unit: str) -> Curve:
    columns = ("PRED", "IPRED", "LO", "HI", "PI_LO", "PI_HI")
    values = {name: table[name].cast(pl.Float64).to_numpy() for name in columns}
    outputs = subject.outputs
    level = outputs.is_level & np.isfinite(outputs.dv)
    used = np.isin(outputs.row, subject.levels.row)[level]
    censored = np.isin(outputs.row, subject.levels.row[subject.levels.censored])[level]
    return Curve(
        id=subject.id,
        time=time,
        pred=values["PRED"],
        ipred=values["IPRED"],
        band=(values["LO"], values["HI"]),
        interval=(values["PI_LO"], values["PI_HI"]),
        dose_time=subject.doses.time,
        dose_amount=subject.doses.amount,
        dose_duration=subject.doses.duration,
        level_time=outputs.time[level],
        level=outputs.dv[level],
        used=used,
        censored=censored,
        verdict=str(table["VERDICT"][0]),
        reason=str(table["REASON"][0] or ""),
        unit=unit,
    )


def _paths(cohort: Cohort, folder: Path) -> list[Path]:
    """One path for each subject; an ID is text from a file and must not lead out of the folder."""
    names: list[str] = []
    for subject in cohort:
        name = re.sub(r"[^\w-]+", "_", subject.id)[:60] or "subject"
        while name.lower() in (taken.lower() for taken in names):
            name += "_"
        names.append(name)
    return [folder / f"subject-{name}.png" for name in names]
