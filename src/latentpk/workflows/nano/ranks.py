"""The rank of size and charge among properties, and whether it agrees with prior knowledge."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from latentpk.inference.ensemble import Rows
from latentpk.models.attribution import PLAYERS
from latentpk.views.particle import FEATURES
from latentpk.workflows.nano.attribute import NAMED, Method
from latentpk.workflows.nano.importance import PermutedNull
from latentpk.workflows.nano.table import Library

CHANCE = 0.05
JUDGED = ("size", "charge", "tumor size")


def rank_properties(
    methods: Mapping[str, Method], nulls: Mapping[str, PermutedNull], targets: Sequence[str]
) -> dict[str, Any]:
    """The place of each judged property among all, and what chance would give."""
    size = {name: np.mean(np.abs(one.properties), axis=0) for name, one in methods.items()}
    names = list(PLAYERS)
    found: dict[str, Any] = {}
    for k, target in enumerate(targets):
        found[target] = {}
        for name in JUDGED:
            own = names.index(name)
            rank = {m: int(1 + np.sum(s[k] > s[k, own])) for m, s in size.items()}
            one = nulls.get(name)
            found[target][name] = {
                "rank": rank,
                "of": len(names),
                "importance": None if one is None else rounded(one.importance[k]),
                "null_95": None if one is None else rounded(one.quantile[k]),
                "p": None if one is None else rounded(one.p[k]),
                "agrees": None if one is None else bool(one.p[k] < CHANCE),
                "sentence": _sentence(name, target, rank, len(names), one, k),
            }
    return found


def _sentence(
    name: str, target: str, rank: Mapping[str, int], of: int, null: PermutedNull | None, k: int
) -> str:
    places = ", ".join(f"{place} in {method}" for method, place in rank.items())
    start = f"{target}: of {of} properties, {name} ranks {places}; "
    if null is None:
        return start + "it was not compared with chance."
    against = (
        f"importance {null.importance[k]:.2g} against {null.quantile[k]:.2g} by chance, "
        f"p {null.p[k]:.2g}"
    )
    if null.p[k] < CHANCE:
        return start + f"XGBoost makes more of it than chance gives ({against}): knowledge agrees."
    return start + (
        f"XGBoost makes no more of it than chance gives ({against}): these data do not show what "
        "knowledge says."
    )


def compare_with_knowledge(nulls: Mapping[str, PermutedNull], targets: Sequence[str]) -> list[str]:
    """One sentence for each judged property: where data and prior knowledge agree."""
    found = []
    for name, null in nulls.items():
        own = PLAYERS[name].features
        sources = {f.source for f in FEATURES if {NAMED.get(n, n) for n in f.needs} & {*own}}
        shown = [t for t, p in zip(targets, null.p, strict=True) if p < CHANCE]
        silent = [t for t in targets if t not in shown]
        start = f"Knowledge says that {name} matters ({'; '.join(sorted(sources))}). "
        seen = f"The data show it for {', '.join(shown)}" if shown else "The data do not show it"
        rest = f"; not for {', '.join(silent)}." if shown and silent else "."
        found.append(start + seen + (rest if shown else f" for any of {', '.join(silent)}."))
    if found:
        found.append(
            "Not shown is not disproved: the targets are weakly known, and properties go together. "
            f"{len(nulls) * len(targets)} comparisons were made: expect "
            f"{CHANCE * len(nulls) * len(targets):.1f} below {CHANCE:g} by chance alone."
        )
    return found


def told_null(
    library: Library, rows: Rows | None, nulls: Mapping[str, PermutedNull], why: str
) -> dict[str, Any]:
    """How properties were compared with chance, or why they were not."""
    if rows is None:
        return {"method": None, "reason": f"Not compared with chance: {why}."}
    grouped = library.studies is not None
    return {
        "method": "XGBoost fitted again with the property's values exchanged",
        "exchanged": "between whole studies" if grouped else "between particles",
        "reason": ""
        if grouped
        else "Values were exchanged between single particles: a property that only tells studies "
        "apart looks important so. Pass the studies.",
        "rows": len(rows.known),
        "permutations": len(next(iter(nulls.values())).draws),
        "smallest_p": rounded(1 / (1 + len(next(iter(nulls.values())).draws))),
    }


def rounded(value: float) -> float:
    """Six digits, for a file."""
    return float(f"{value:.6g}")
