"""Which design of a particle is predicted to deliver most, among those like particles seen.

A grid over size, charge, shape and targeting is predicted in the particle's own setting: tumor,
dose, mouse, type and material stay. What lies outside the data's domain is left out. Differences
within a grid are mostly smaller than the uncertainty, and are told as ties.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import norm

from latentpk.models.descriptors import LEVELS, NUMBERS, Properties, properties
from latentpk.models.domain import CHUNK, Domain, apart
from latentpk.models.tumor import Mouse
from latentpk.models.uncertainty import LEVEL
from latentpk.records.particles import Particles
from latentpk.workflows.nano.explain import as_library, told_of
from latentpk.workflows.nano.grid import SIGNS, Grid, candidates, make_grid
from latentpk.workflows.nano.model import MOST, NanoModel
from latentpk.workflows.nano.table import TARGETS, Library, physiology

Progress = Callable[[int, int, str], None]
Target = Literal["DE24", "DE168", "DEmax"]
SHOWN = 10  # designs told
AT_ONCE = 4096  # designs predicted at once
TIE = 0.1  # of the interval's half-width, within which medians are one
NORMAL = float(norm.ppf((1 + LEVEL) / 2))  # half-widths of an interval in SDs of its error
MESSAGE = (
    "A hypothesis to test, no instruction: the ranking is correlational, learned from published "
    "studies that differ in much besides the design, and claims no cause. `latentpk nano explain` "
    "tells whether size and charge matter in these data at all."
)
ASSUMED = (
    "Tumor, cancer, dose, mouse, type and material stay as the row has them.",
    "A neutral design has 0 mV; a charged one the row's own zeta potential without its sign, or "
    "the median of the training particles of that charge where the row is neutral or has none.",
    "The chance of beating the current design takes the calibrated errors of both as normal and "
    "independent. Errors of two designs in the same tumor are likely to go together, which would "
    "make the chance more decided: what is told is the cautious one, nearer to a half.",
    f"Medians within {TIE:g} of the half-width of the best one's interval are ties.",
)


@dataclass(frozen=True, eq=False)
class Designs:
    """Predicted designs of one particle.

    Attributes:
        known: Their properties.
        median: log10 of the target.
        reach: How far the calibrated interval reaches below and above, log10.
        verdict: Of the domain.
        reason: Why.
        near: Training particles within the usual distance.
    """

    known: Properties
    median: Float[np.ndarray, " design"]
    reach: Float[np.ndarray, "2 design"]
    verdict: tuple[str, ...]
    reason: tuple[str, ...]
    near: Int[np.ndarray, " design"]

    @property
    def half(self) -> Float[np.ndarray, " design"]:
        """Half of the interval's width, log10."""
        return self.reach.mean(axis=0)

    @property
    def inside(self) -> Bool[np.ndarray, " design"]:
        """Which lie inside the data's domain."""
        return np.array([verdict == "ok" for verdict in self.verdict], dtype=bool)

    def take(self, start: int, count: int) -> "Designs":
        """Some that follow each other."""
        rows = slice(start, start + count)
        known = Properties(self.known.number[rows], self.known.code[rows])
        median, reach = self.median[rows], self.reach[:, rows]
        return Designs(known, median, reach, self.verdict[rows], self.reason[rows], self.near[rows])

    def number(self, name: str) -> Float[np.ndarray, " design"]:
        """A number, as `Properties` holds it."""
        return self.known.number[:, NUMBERS.index(name)]

    def level(self, name: str, row: int) -> str | None:
        """A category."""
        code = self.known.code[row, list(LEVELS).index(name)]
        return None if code < 0 else LEVELS[name][code]

    def chance_above(self, other: "Designs") -> Float[np.ndarray, " design"]:
        """That each beats the one other design; errors normal and independent."""
        spread = np.hypot(self.half, other.half[0]) / NORMAL
        return norm.cdf((self.median - other.median[0]) / spread)


def design(
    model: NanoModel,
    table: str | Path | Library | Any,
    grid: Grid | None = None,
    *,
    target: Target = "DE24",
    studies: str | Path | Any | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Rank designs for every particle of a table.

    Args:
        model: The model.
        table: CSV file, data frame, or particles with their studies; each row is a setting and
            its current design.
        grid: What is compared; by default sizes of 10 to 200 nm of every charge.
        target: What is to be large.
        studies: Table of ID, STUDY_ID and, as inputs, MAT and ZP_SIGNED.
        progress: Called with (done, total, label).

    Returns:
        JSON values: `meta`, `units`, and for each of `particles` the current design, the ranked
        `alternatives` inside the domain, which of them is `recommended` (an index, or null with
        the reasons), the best of each charge, shape and targeting in `kinds`, what was left out,
        and `curves` of delivery against size.

    Raises:
        InputError: Every problem of the table.
    """
    library = as_library(table, studies)
    particles, grid = library.particles, grid or make_grid()
    rows: list[dict[str, Any]] = []
    step = max(AT_ONCE // len(grid), 1)
    for start in range(0, len(particles), step):
        if progress is not None:
            progress(start, len(particles), "designs")
        some = np.arange(start, min(start + step, len(particles)))
        rows += _answers(model, particles, some, grid, target)
    if progress is not None:
        progress(len(particles), len(particles), "designs")
    units = {"HD": "nm", "ZETA": "mV", "median": TARGETS[target], "lo": TARGETS[target]}
    return {
        "meta": {
            "what": MESSAGE,
            "target": target,
            "grid": {
                "HD [nm]": list(grid.sizes),
                "CHARGE": [_sign(value) for value in grid.charges],
                "SHAPE": "own" if grid.shapes is None else list(grid.shapes),
                "TS": "own" if grid.targeting is None else list(grid.targeting),
            },
            "assumptions": list(ASSUMED),
            "model": model.card.get("hashes", {}),
            "warnings": list(model.warnings),
            "notices": told_of(model, library),
        },
        "units": {**units, "hi": TARGETS[target], "level": "5 to 95 %", "near": "particles"},
        "particles": rows,
    }


def predict_designs(model: NanoModel, known: Properties, mouse: Mouse, target: str) -> Designs:
    """Predict designs, each in its mouse, and judge where they lie."""
    found = model.predict_known(known, mouse)
    domain, column = model.ensemble.domain, model.ensemble.targets.index(target)
    judged = domain.judge(known)
    return Designs(
        known,
        found.median[:, column],
        found.reach[:, :, column],
        tuple(verdict for verdict, _ in judged),
        tuple(reason for _, reason in judged),
        _near(domain, known),
    )


def tie_groups(median: np.ndarray, half: np.ndarray) -> list[int]:
    """Number of the tie that each design belongs to, medians falling.

    Example:
        >>> tie_groups(np.array([1.0, 0.95, 0.85, 0.8]), np.ones(4))
        [1, 1, 2, 2]
    """
    groups: list[int] = []
    leader = 0
    for k in range(len(median)):
        if not groups or median[leader] - median[k] > TIE * half[leader]:
            leader = k
            groups.append((groups[-1] if groups else 0) + 1)
        else:
            groups.append(groups[-1])
    return groups


def _near(domain: Domain, known: Properties) -> Int[np.ndarray, " design"]:
    counts = [
        (apart(known.take(rows), domain.known, domain.scale) <= domain.usual).sum(axis=1)
        for rows in np.array_split(np.arange(len(known)), max(len(known) // CHUNK, 1))
    ]
    return np.concatenate(counts)


# As JSON values


def _answers(
    model: NanoModel, particles: Particles, rows: np.ndarray, grid: Grid, target: str
) -> list[dict[str, Any]]:
    """Some particles, whose designs are predicted at once."""
    known, seen = properties(particles), model.ensemble.domain.known
    parts = []
    for row in rows:
        own = known.take(np.array([row]))
        parts += [own, candidates(own, grid, seen)]
    number, code = (np.concatenate(one) for one in zip(*parts, strict=True))
    size = 1 + len(grid)
    mouse = physiology(particles).take(np.repeat(rows, size))
    found = predict_designs(model, Properties(number, code), mouse, target)
    return [
        {"id": particles.ids[row]}
        | _ranked(found.take(size * k, 1), found.take(size * k + 1, len(grid)), grid, target)
        for k, row in enumerate(rows)
    ]


def _ranked(now: Designs, all_of: Designs, grid: Grid, target: str) -> dict[str, Any]:
    inside = np.flatnonzero(all_of.inside)
    order = inside[np.argsort(-all_of.median[inside], kind="stable")]
    ties = tie_groups(all_of.median[order], all_of.half[order])
    chance = all_of.chance_above(now)
    better = len(order) > 1 and bool(all_of.median[order[0]] > now.median[0])
    ranked = order if len(order) > 1 else order[:0]  # one design is no ranking
    told = [
        {"rank": k + 1, "tie": ties[k], **_told(all_of, int(row), target)}
        | {"p_better": _rounded(chance[row])}
        for k, row in enumerate(ranked)
    ]
    return {
        "current": _told(now, 0, target) | {"verdict": now.verdict[0], "reason": now.reason[0]},
        "designs": len(all_of.median),
        "inside": len(order),
        "left_out": _left_out(all_of),
        "recommended": 0 if better else None,
        "alternatives": told[:SHOWN],
        "tied_with_best": ties.count(1) - 1 if ties else 0,
        "kinds": _kinds(all_of, ranked, told),
        "reasons": _reasons(all_of, now, order, ties, target),
        "curves": _curves(all_of, grid, order, target),
    }


def _kinds(
    found: Designs, ranked: Int[np.ndarray, " rank"], told: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The best size of each charge, shape and targeting, and the sizes that tie with it."""
    kinds: dict[tuple, dict[str, Any]] = {}
    for row, one in zip(ranked, told, strict=True):
        own = kinds.setdefault(
            (one["CHARGE"], one["SHAPE"], one["TS"]),
            one | {"HD_tied": [], "least": found.median[row] - TIE * found.half[row]},
        )
        if found.median[row] >= own["least"]:
            own["HD_tied"].append(one["HD"])
    return [
        {key: value for key, value in own.items() if key not in ("rank", "tie", "least")}
        | {"HD_tied": sorted(own["HD_tied"])}
        for own in kinds.values()
    ]


def _told(found: Designs, row: int, target: str) -> dict[str, Any]:
    most, low = MOST.get(target, np.inf), found.median[row] - found.reach[0, row]
    high = found.median[row] + found.reach[1, row]
    return {
        "HD": _or_none(np.exp(found.number("HD")[row])),
        "CHARGE": _sign(found.number("CHARGE")[row]),
        "ZETA": _or_none(found.number("ZETA")[row]),
        "SHAPE": found.level("SHAPE", row),
        "TS": found.level("TS", row),
        "median": _rounded(min(10 ** found.median[row], most)),
        "lo": _rounded(min(10**low, most)),
        "hi": _rounded(min(10**high, most)),
        "near": int(found.near[row]),
    }


def _left_out(found: Designs) -> list[dict[str, Any]]:
    """Why designs are left out, each reason with how many it is true of."""
    counts = Counter(
        kind
        for verdict, reason in zip(found.verdict, found.reason, strict=True)
        if verdict != "ok"
        for kind in dict.fromkeys(map(_kind, reason.split("; ")))
    )
    return [{"reason": kind, "designs": count} for kind, count in counts.most_common()]


def _kind(reason: str) -> str:
    """A reason without the numbers of a single design."""
    return re.sub(r"^(\w+) -?[\d.e+-]+ is", r"\1 is", reason).partition(" (")[0]


def _reasons(
    found: Designs, now: Designs, order: np.ndarray, ties: list[int], target: str
) -> list[str]:
    unit = TARGETS[target]
    if len(order) < 2:
        start = (
            "No design lies inside the data's domain"
            if not len(order)
            else "Only one design lies inside the data's domain: there is nothing to rank"
        )
        return [start + ".", *(_outside(one, len(found.median)) for one in _left_out(found))]
    told = []
    best, last = order[0], order[-1]
    if found.median[best] <= now.median[0]:
        told.append(
            f"No design is predicted above the current one ({_plain(10 ** now.median[0])} {unit}); "
            f"the best of the grid reaches {_plain(10 ** found.median[best])} {unit}."
        )
    elif now.verdict[0] == "ok" and found.median[best] - now.median[0] <= TIE * found.half[best]:
        told.append("The best design is no more than a tie with the current one.")
    apart_by = _plain(10 ** (found.median[best] - found.median[last]))
    told.append(
        f"The medians of all {len(order)} designs inside the domain differ by a factor of "
        f"{apart_by}; the 90 % interval of the best one alone spans a factor of "
        f"{_plain(10 ** (2 * found.half[best]))}."
    )
    if ties.count(1) == len(order):
        told.append(f"All {len(order)} are a tie: the model does not tell them apart.")
    elif ties.count(1) > 1:
        told.append(f"The best {ties.count(1)} are a tie: choose among them for other reasons.")
    if now.verdict[0] != "ok":
        told.append(
            f"The current design is itself not well inside the domain ({now.reason[0]}): the "
            "comparison with it is extrapolation."
        )
    return told


def _outside(one: Mapping[str, Any], total: int) -> str:
    return f"{one['designs']} of {total} designs: {one['reason']}."


def _curves(found: Designs, grid: Grid, order: np.ndarray, target: str) -> list[dict[str, Any]]:
    """Delivery against size for each charge, at the best design's shape and targeting."""
    shape, targeting = list(LEVELS).index("SHAPE"), list(LEVELS).index("TS")
    first = int(order[0]) if len(order) else 0
    same = found.known.code[:, [shape, targeting]] == found.known.code[first, [shape, targeting]]
    curves = []
    for charge in grid.charges:
        rows = np.flatnonzero(same.all(axis=1) & (found.number("CHARGE") == charge))
        told = [_told(found, int(row), target) for row in rows]
        curves.append(
            {key: told[0][key] for key in ("CHARGE", "ZETA", "SHAPE", "TS")}
            | {key: [one[key] for one in told] for key in ("HD", "median", "lo", "hi")}
            | {"inside": [bool(found.inside[row]) for row in rows]}
        )
    return curves


def _sign(value: float) -> str | None:
    return next((name for name, sign in SIGNS.items() if sign == value), None)


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else _rounded(value)


def _plain(value: Any) -> str:
    """Two digits, as a sentence says them."""
    return f"{float(f'{float(value):.2g}'):g}"


def _rounded(value: Any) -> float:
    return float(f"{float(value):.6g}")
