"""The designs that are compared: sizes, charges, shapes and targeting, as a user writes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from latentpk.errors import InputError, Problem
from latentpk.models.descriptors import LEVELS, NUMBERS, Properties
from latentpk.records.particles import CATEGORIES, CHARGES, INPUTS, SYNONYMS

MOST = 20_000  # designs of one grid
SIZES = "10:200:10"
SIGNS = {"negative": -1.0, "neutral": 0.0, "positive": 1.0}
OWN = "own"  # the particle keeps what it is
_ROUND = 1e-9


@dataclass(frozen=True)
class Grid:
    """What is varied; every combination is a design.

    Attributes:
        sizes: Hydrodynamic diameters [nm], rising.
        charges: -1, 0 or 1.
        shapes: Levels of SHAPE; None keeps the particle's own.
        targeting: Levels of TS; None keeps the particle's own.
    """

    sizes: tuple[float, ...]
    charges: tuple[float, ...]
    shapes: tuple[str, ...] | None = None
    targeting: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return (
            len(self.sizes)
            * len(self.charges)
            * len(self.shapes or (OWN,))
            * len(self.targeting or (OWN,))
        )


def make_grid(
    size: str = SIZES,
    charge: str = "negative,neutral,positive",
    shape: str = OWN,
    targeting: str = OWN,
) -> Grid:
    """Read a grid as it is written.

    Args:
        size: LOW:HIGH:STEP or a list [nm].
        charge: Of negative, neutral, positive.
        shape: Levels of SHAPE; `all`, or `own` to keep the particle's.
        targeting: Levels of TS; `all`, or `own`.

    Returns:
        The grid.

    Raises:
        InputError: Every option that cannot be read, fewer than two designs, or too many.

    Example:
        >>> make_grid("50:100:25", "neutral").sizes
        (50.0, 75.0, 100.0)
    """
    problems: list[Problem] = []
    grid = Grid(
        _sizes(size, problems),
        _charges(charge, problems),
        _levels("--shape", shape, CATEGORIES["SHAPE"], SYNONYMS["SHAPE"], problems),
        _levels("--targeting", targeting, CATEGORIES["TS"], {}, problems),
    )
    if not problems and len(grid) > MOST:
        rule, mend = f"At most {MOST:,} are compared", "Take a larger step of --size, or fewer"
        problems.append(Problem("the grid", f"{len(grid):,} designs", rule, mend))
    if not problems and len(grid) < 2:
        rule, mend = "Two designs or more can be ranked", "Name another size or charge"
        problems.append(Problem("the grid", "1 design", rule, mend))
    if problems:
        raise InputError(problems, source="the grid")
    return grid


def candidates(own: Properties, grid: Grid, seen: Properties) -> Properties:
    """Every design of a grid, in the setting of one particle.

    Args:
        own: The particle.
        grid: What is varied.
        seen: Training particles, whose zeta potentials stand for unknown ones.

    Returns:
        Charges, then shapes, then targeting, then sizes; the last varies fastest.
    """
    shape, targeting = list(LEVELS).index("SHAPE"), list(LEVELS).index("TS")
    shapes = _codes("SHAPE", grid.shapes, int(own.code[0, shape]))
    aims = _codes("TS", grid.targeting, int(own.code[0, targeting]))
    zeta = [zeta_of(own, charge, seen) for charge in grid.charges]
    one = np.array(
        [
            (*charged, level, aim, size)
            for charged in zip(grid.charges, zeta, strict=True)
            for level in shapes
            for aim in aims
            for size in grid.sizes
        ]
    )
    number, code = np.repeat(own.number, len(one), axis=0), np.repeat(own.code, len(one), axis=0)
    number[:, NUMBERS.index("CHARGE")], number[:, NUMBERS.index("ZETA")] = one[:, 0], one[:, 1]
    signed = NUMBERS.index("ZP_SIGNED")
    if not np.isnan(own.number[0, signed]):  # not known of the row, not known of its designs
        number[:, signed] = one[:, 0] * one[:, 1]
    number[:, NUMBERS.index("HD")] = np.log(one[:, 4])
    code[:, shape], code[:, targeting] = one[:, 2], one[:, 3]
    return Properties(number, code)


def zeta_of(own: Properties, charge: float, seen: Properties) -> float:
    """The zeta potential of a design, without its sign [mV].

    0 where neutral; else the particle's own, or the median of the training particles of that
    charge where it is neutral itself or states none.
    """
    if charge == 0:
        return 0.0
    sign, value = (own.number[0, NUMBERS.index(name)] for name in ("CHARGE", "ZETA"))
    if value > 0 and sign != 0:
        return float(value)
    same = seen.number[:, NUMBERS.index("CHARGE")] == charge
    known = seen.number[same, NUMBERS.index("ZETA")]
    known = known[~np.isnan(known)]
    return float(np.median(known)) if known.size else np.nan


def _sizes(text: str, problems: list[Problem]) -> tuple[float, ...]:
    mend = f"Write LOW:HIGH:STEP such as {SIZES}, or a list such as 20,50,100"
    parts = [part.strip() for part in text.replace(":", ",").split(",")]
    try:
        values = [float(part) for part in parts if part]
    except ValueError:
        values = []
    if not values or not np.isfinite(values).all():
        problems.append(Problem("--size", f"{text!r}", "Sizes are numbers in nm", mend))
        return ()
    if ":" in text:
        if len(values) != 3 or values[2] <= 0 or values[1] < values[0]:
            rule = "A range is low:high:step, low not above high and the step above 0"
            problems.append(Problem("--size", f"{text!r}", rule, mend))
            return ()
        low, high, step = values
        count = int(min((high - low) / step, MOST) + _ROUND) + 1
        values = [round(low + step * k, 9) for k in range(count)]
    known = INPUTS["HD"]
    if min(values) <= known.low or max(values) > known.high:
        rule = f"A size is above {known.low:g} and at most {known.high:g} nm"
        problems.append(Problem("--size", f"{text!r}", rule, mend))
        return ()
    return tuple(sorted(set(values)))


def _charges(text: str, problems: list[Problem]) -> tuple[float, ...]:
    words = _words(text)
    unknown = [word for word in words if word not in CHARGES]
    if unknown or not words:
        found = f"{unknown[0]!r}" if unknown else "nothing"
        rule, mend = "A charge is negative, neutral or positive", "Write negative,neutral"
        problems.append(Problem("--charge", found, rule, mend))
    return tuple(sorted({CHARGES[word] for word in words if word in CHARGES}))


def _levels(
    option: str,
    text: str,
    levels: Sequence[str],
    synonyms: Mapping[str, str],
    problems: list[Problem],
) -> tuple[str, ...] | None:
    words = _words(text)
    if words == [OWN]:
        return None
    if words == ["all"]:
        return tuple(levels)
    known = {level.lower(): level for level in levels} | dict(synonyms)
    unknown = [word for word in words if word not in known]
    if unknown or not words:
        found = f"{unknown[0]!r}" if unknown else "nothing"
        rule = f"It is {OWN}, all, or some of {', '.join(levels)}"
        problems.append(Problem(option, found, rule, f"Write {levels[0]},{levels[1]}"))
    chosen = {known[word] for word in words if word in known}
    return tuple(level for level in levels if level in chosen)


def _words(text: str) -> list[str]:
    return [word.strip().lower() for word in text.split(",") if word.strip()]


def _codes(name: str, levels: tuple[str, ...] | None, own: int) -> list[int]:
    return [own] if levels is None else [LEVELS[name].index(level) for level in levels]
