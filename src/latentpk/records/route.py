"""Whether a dose enters the central compartment or an absorption site."""

import numpy as np
import polars as pl

from latentpk.records.columns import numbers
from latentpk.records.doses import DoseRecords
from latentpk.records.events import Events
from latentpk.records.findings import Findings

_ROUTES = {"iv": 0.0, "oral": 1.0, "po": 1.0, "sc": 1.0, "im": 1.0}


def read_route(
    findings: Findings, records: DoseRecords, *, events: Events, measured: np.ndarray, route: str
) -> np.ndarray:
    """Site of each dose: RATE or DUR, else ROUTE, else CMT, else `route`, else undecided.

    An infusion is intravenous, but where ROUTE says sc or im it is one into that site (a pump).

    Args:
        findings: Where problems and notices go.
        records: What the dose records say.
        events: Kinds of the records.
        measured: The levels (or, without any, the prediction times) whose CMT is the central one.
        route: "auto", or "iv" or "oral" for the doses that the file leaves undecided.

    Returns:
        1 for an absorption site, 0 for central, nan where undecided, shape (row,).
    """
    cmt = numbers(findings, "CMT")
    central = np.unique(cmt[measured])
    central = central[~np.isnan(central)]
    by_cmt = (~np.isnan(cmt)) & ~np.isin(cmt, central) & (len(central) > 0)
    named, pump = _named(findings, events)
    infused = (records.duration > 0) | (records.steady == 3)
    given = {"iv": 0.0, "oral": 1.0}.get(route, np.nan)
    site = np.where(by_cmt, 1.0, given)
    site = np.where(np.isnan(named), site, named)
    site = np.where(infused & ~pump, 0.0, site)
    _notice(findings, site, events.dose, (infused, named, by_cmt), route)
    return site


def _named(findings: Findings, events: Events) -> tuple[np.ndarray, np.ndarray]:
    """Site by the ROUTE column, nan without one, and whether it is sc or im."""
    table = findings.table
    if not table.has("ROUTE"):
        return np.full(len(table), np.nan), np.zeros(len(table), bool)
    text = table.frame["ROUTE"].cast(pl.String).str.to_lowercase()
    named = text.replace_strict(_ROUTES, default=None, return_dtype=pl.Float64)
    bad = events.dose & (named.is_null() & text.is_not_null()).to_numpy()
    rule = "ROUTE is iv, oral, sc or im"
    findings.flag(bad, "ROUTE", "ROUTE is {}", rule, "Use one of these, or leave it empty")
    pump = text.is_in(["sc", "im"]).fill_null(False).to_numpy()
    return named.fill_null(float("nan")).to_numpy(), pump


def _notice(
    findings: Findings,
    site: np.ndarray,
    dose: np.ndarray,
    reasons: tuple[np.ndarray, ...],
    route: str,
) -> None:
    infused, named, by_cmt = reasons
    by_name = ~infused & ~np.isnan(named)
    left = dose & ~infused & ~by_name & ~by_cmt
    counts = {
        "infusions (RATE or DUR above 0)": dose & infused,
        "by ROUTE": dose & by_name,
        "extravascular, since their CMT is not the levels'": dose & ~infused & ~by_name & by_cmt,
        "undecided by the file" if np.isnan(site[left]).any() else f"by route={route}": left,
    }
    parts = [f"{int(mask.sum())} {name}" for name, mask in counts.items() if mask.any()]
    findings.notice(f"Route of the doses: {'; '.join(parts) or 'no doses'}.")
    pumped = dose & infused & (site == 1)
    if pumped.any():
        findings.notice(f"{int(pumped.sum())} infusions go into the site of ROUTE (sc, im).")
    denied = dose & infused & (named == 1) & (site == 0)
    if denied.any():
        findings.notice(
            f"{int(denied.sum())} doses have RATE or DUR above 0 and ROUTE oral: they are taken as "
            "intravenous infusions."
        )
