"""Read a NONMEM table into a cohort."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import narwhals as nw
import numpy as np
import polars as pl

from latentpk.errors import InputError
from latentpk.records.subject import Cohort, DoseTable, LevelTable, OutputTable, Subject
from latentpk.units import Units

_RESERVED = set("ID TIME DATE AMT RATE DUR EVID MDV DV DVID CMT ADDL II SS LLOQ CENS BLQ OCC ROUTE".split())


def read_nonmem(
    source: Any,
    *,
    units: str | Units | None = None,
    covariates: Sequence[str] | None = None,
    interpolation: Literal["locf", "nocb", "linear"] = "locf",
    ties: Literal["file", "pre", "post"] = "file",
    impute: Literal["median"] | None = None,
    dvid: float | None = None,
    route: Literal["auto", "iv", "oral"] = "auto",
    condition_until: float | None = None,
    purpose: Literal["fit", "forecast"] = "fit",
    progress: Callable[[int, int, str], None] | None = None,
) -> Cohort:
    """Read a NONMEM table (first, plain version: h, mg, mg/L, no checks)."""
    if isinstance(source, str | Path):
        frame = pl.read_csv(source, infer_schema=False, comment_prefix="#")
        digest = hashlib.sha256(Path(source).read_bytes()).hexdigest()
    else:
        frame = nw.from_native(source, eager_only=True).to_polars().cast(pl.String)
        digest = hashlib.sha256(frame.write_csv().encode()).hexdigest()
    if "DV" not in frame.columns:
        raise InputError("column DV is missing")
    names = tuple(covariates or [c for c in frame.columns if c not in _RESERVED])
    subjects = tuple(
        _subject(str(key[0]), part, names, route)
        for key, part in frame.with_row_index("ROW").group_by("ID", maintain_order=True)
    )
    return Cohort(
        subjects, names, ("continuous",) * len(names), Units(), interpolation, ties, (), digest, None
    )


def _subject(name: str, part: pl.DataFrame, names: tuple[str, ...], route: str) -> Subject:
    n = len(part)

    def column(key: str, default: float = 0.0) -> np.ndarray:
        if key not in part.columns:
            return np.full(n, np.nan if default != default else default)
        return part[key].cast(pl.Float64, strict=False).fill_null(default).to_numpy().copy()

    time, amt, rate, dur = (column(k) for k in ("TIME", "AMT", "RATE", "DUR"))
    dv = column("DV", np.nan)
    evid = column("EVID") if "EVID" in part.columns else (amt > 0).astype(float)
    mdv = column("MDV", np.nan)
    mdv = np.where(np.isnan(mdv), (np.isnan(dv) | (evid != 0)).astype(float), mdv)
    order = np.arange(n, dtype=float)
    cmt = column("CMT", np.nan)
    level = (evid == 0) & (mdv == 0)
    out = (evid == 0) | (evid == 2)
    length = np.where(rate > 0, amt / np.where(rate > 0, rate, 1.0), dur)
    until, until_order = np.full(n, np.inf), np.full(n, np.inf)
    ss, ii, addl = column("SS"), column("II"), column("ADDL")
    for i in np.flatnonzero((evid >= 3) | ((evid == 1) & (ss == 1)))[::-1]:
        until[:i] = np.where(np.isinf(until[:i]), time[i], until[:i])
        until_order[:i] = np.where(np.isinf(until_order[:i]), order[i], until_order[:i])
        until[:i], until_order[:i] = time[i], order[i]
        break
    steady = np.where((ss > 0) & (amt == 0) & (rate > 0), 3.0, ss)
    depot = np.full(n, {"iv": 0.0, "oral": 1.0}.get(route, np.nan))
    if level.any():
        depot = np.where(np.isfinite(cmt) & ~np.isin(cmt, cmt[level]), 1.0, depot)
    depot = np.where(length > 0, 0.0, depot)
    at = np.flatnonzero((evid == 1) | (evid == 4))
    rows = np.repeat(at, 1 + addl[at].astype(int))
    k = np.concatenate([np.arange(1 + int(addl[i])) for i in at]) if len(at) else np.zeros(0)
    doses = DoseTable(
        time[rows] + k * ii[rows], order[rows], amt[rows], rate[rows], length[rows], depot[rows],
        ii[rows], np.where(k == 0, steady[rows], 0.0), until[rows], until_order[rows],
    )  # fmt: skip
    row = part["ROW"].to_numpy().astype(int)
    nans = np.full(int(level.sum()), np.nan)
    levels = LevelTable(
        time[level], order[level], dv[level], nans, np.zeros(int(level.sum()), bool), row[level]
    )
    text = {
        k: np.array(part[k].fill_null("").to_list(), dtype=object) for k in ("DV", "TIME")
    }
    outputs = OutputTable(
        time[out], order[out], row[out], cmt[out], column("DVID", np.nan)[out], dv[out],
        text["DV"][out], text["TIME"][out], level[out],
    )  # fmt: skip
    values = np.stack([column(c, np.nan)[:1] for c in names], axis=1) if names else np.zeros((1, 0))
    return Subject(name, doses, levels, outputs, time[:1], values)
