"""What a particle's properties become before a model reads them, fitted on training rows alone.

Positive numbers enter by their logarithm. Each number has three kinds of columns: its standardized
value, whether it is missing, and where it lies between quantiles of the training rows (piecewise
linear encoding, Gorishniy 2022), so that a network can tell two sizes apart as a tree does. A
category has a column for each level; a level that is missing or was never seen has none. A number
that no training row states is not read, whoever states it later.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from pydantic import BaseModel, ConfigDict, Field, model_validator

from latentpk import precision  # noqa: F401  (sets x64 before any array)
from latentpk.errors import InputError, Problem
from latentpk.records.courses import MATERIALS
from latentpk.records.particles import CATEGORIES, Particles
from latentpk.views.particle import BY_NAME, PROPERTIES, particle_view

NUMBERS = ("HD", "ZETA", "CHARGE", "TSZ", "TW", "DOSE", "BW", "ZP_SIGNED")
LOGGED = frozenset({"HD", "TSZ", "TW", "DOSE", "BW"})
BINNED = frozenset({"HD", "ZETA", "TSZ", "TW", "DOSE", "ZP_SIGNED"})
LEVELS = {**CATEGORIES, "MAT": MATERIALS}
BINS = 8
FARTHEST = 5.0  # SDs from the centre beyond which a value is read as if it were there
BLOCK = 256  # rows of one compiled program
TO_BE_SURE = 1e-6


class Properties(NamedTuple):
    """Particles as numbers.

    Attributes:
        number: In the order of `NUMBERS`, their logarithm where `LOGGED`; NaN where missing, shape
            (row, number).
        code: Level of each category of `LEVELS`, -1 where missing, shape (row, category).
    """

    number: Float[np.ndarray, "row number"]
    code: Int[np.ndarray, "row category"]

    def take(self, rows: np.ndarray) -> "Properties":
        """Some of the rows."""
        return Properties(self.number[rows], self.code[rows])

    def __len__(self) -> int:
        return self.number.shape[0]


def properties(particles: Particles) -> Properties:
    """Read the inputs of a table; nothing that was fitted is among them.

    Raises:
        InputError: A level that is not known, such as a material's.
    """
    columns = []
    for name in NUMBERS:
        if name in ("TSZ", "TW"):  # one of them stands for the other
            value = particles.tumor_size if name == "TSZ" else particles.tumor_weight
        elif name in particles.frame.columns:
            value = particles.number(name)
        else:
            value = np.full(len(particles), np.nan)
        columns.append(np.log(value) if name in LOGGED else value)
    problems: list[Problem] = []
    codes = [_codes(particles, name, problems) for name in LEVELS]
    if problems:
        raise InputError(problems, source="the table")
    return Properties(np.stack(columns, axis=1), np.stack(codes, axis=1))


def _codes(particles: Particles, name: str, problems: list[Problem]) -> Int[np.ndarray, " row"]:
    """A category's levels as numbers, in any spelling of small and capital letters."""
    if name not in particles.frame.columns:
        return np.full(len(particles), -1)
    known = {level.lower(): code for code, level in enumerate(LEVELS[name])}
    codes = []
    for row, cell in enumerate(particles.frame[name], start=1):
        plain = None if cell is None else " ".join(str(cell).lower().split())
        if plain is not None and plain not in known:
            rule = f"{name} is one of {', '.join(LEVELS[name])}"
            mend = "Correct the spelling, or leave the cell empty where it is not known"
            problems.append(Problem(f"row {row}, column {name}", f"{cell!r}", rule, mend))
        codes.append(known.get(plain or "", -1))
    return np.array(codes, dtype=np.int64)


class Scale(BaseModel):
    """How a number is read.

    Attributes:
        center: Mean of the training rows.
        scale: Their SD.
        knots: Their quantiles, between which the value is placed; empty where it is not.
        stated: Whether any of them states it; else it is missing, whoever states it.
        lacking: Whether any of them lacks it; else that it is missing says nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    center: float
    scale: float = Field(gt=0)
    knots: tuple[float, ...] = ()
    stated: bool = True
    lacking: bool = True

    def read(self, value: np.ndarray) -> np.ndarray:
        """The value, NaN where it is not read."""
        return value if self.stated else np.full_like(value, np.nan)

    def missing(self, value: np.ndarray) -> np.ndarray:
        """1 where it is missing and that says something, else 0."""
        return (np.isnan(value) & self.lacking).astype(float)

    def standardized(self, value: np.ndarray) -> np.ndarray:
        """In SDs from the centre, NaN where missing."""
        return np.clip((value - self.center) / self.scale, -FARTHEST, FARTHEST)

    def placed(self, value: np.ndarray) -> list[np.ndarray]:
        """From -1 to 1 within each pair of knots, a step where they are one; 0 where missing."""
        pairs = zip(self.knots[:-1], self.knots[1:], strict=True)
        return [
            np.nan_to_num(2 * np.clip((value - low) / max(high - low, TO_BE_SURE), 0, 1) - 1)
            for low, high in pairs
        ]


class Encoded(NamedTuple):
    """Particles as models read them; nothing is missing but in `gaps`.

    Attributes:
        views: Of networks: raw columns, then knowledge features.
        table: Standardized numbers, flags of what is missing, levels of categories; for forests
            and the Gaussian process.
        gaps: The same with NaN where a number is missing, for XGBoost.
    """

    views: tuple[Float[np.ndarray, "row raw"], Float[np.ndarray, "row feature"]]
    table: Float[np.ndarray, "row column"]
    gaps: Float[np.ndarray, "row column"]

    def take(self, rows: np.ndarray) -> "Encoded":
        """Some of the rows."""
        raw, knowledge = self.views
        return Encoded((raw[rows], knowledge[rows]), self.table[rows], self.gaps[rows])

    @property
    def near(self) -> Float[np.ndarray, "row column"]:
        """The table with levels at half their size, for distances."""
        numbers = 2 * len(NUMBERS)
        return np.concatenate([self.table[:, :numbers], 0.5 * self.table[:, numbers:]], axis=1)

    @property
    def wide(self) -> Float[np.ndarray, "row column"]:
        """Table and knowledge side by side, for linear models."""
        return np.concatenate([self.table, self.views[1]], axis=1)


class Descriptors(BaseModel):
    """How properties are read, as fitted on training rows.

    Attributes:
        numbers: One of each of `NUMBERS`.
        knowledge: One of each knowledge feature.
        levels: Which levels of each of `LEVELS` were seen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    numbers: tuple[Scale, ...]
    knowledge: tuple[Scale, ...]
    levels: tuple[tuple[bool, ...], ...]

    @model_validator(mode="after")
    def _shaped(self) -> "Descriptors":
        knots = tuple(len(scale.knots) for scale in (*self.numbers, *self.knowledge))
        wanted = [BINS + 1 if name in BINNED else 0 for name in NUMBERS] + [0] * len(BY_NAME)
        levels = tuple(len(seen) for seen in self.levels)
        if knots != tuple(wanted) or levels != tuple(len(names) for names in LEVELS.values()):
            raise ValueError("the descriptors are of other numbers, features or levels")
        return self

    @property
    def features(self) -> tuple[str, ...]:
        """The raw view's features, in order."""
        return (*NUMBERS, *LEVELS)

    @property
    def columns(self) -> tuple[int, ...]:
        """The feature that each column of the raw view belongs to."""
        bins = [max(len(scale.knots) - 1, 0) for scale in self.numbers]
        owners = [[k] * (2 + count) for k, count in enumerate(bins)]
        owners += [[len(NUMBERS) + k] * len(levels) for k, levels in enumerate(LEVELS.values())]
        return tuple(k for own in owners for k in own)

    @property
    def table_columns(self) -> tuple[int, ...]:
        """The feature that each column of the table belongs to."""
        owners = [[k] * 2 for k in range(len(NUMBERS))]
        owners += [[len(NUMBERS) + k] * len(levels) for k, levels in enumerate(LEVELS.values())]
        return tuple(k for own in owners for k in own)

    def encode(self, known: Properties) -> Encoded:
        """Read particles."""
        raw, plain, gaps = [], [], []
        for scale, stated in zip(self.numbers, known.number.T, strict=True):
            value = scale.read(stated)
            standard, missing = scale.standardized(value), scale.missing(value)
            own = [np.nan_to_num(standard), missing]
            raw += [*own, *scale.placed(value)]
            plain += own
            gaps += [standard, missing]
        levels = [
            ((codes[:, None] == np.arange(len(seen))) & np.array(seen)).astype(float)
            for seen, codes in zip(self.levels, known.code.T, strict=True)
        ]
        features = knowledge_of(known)
        knowledge = [
            np.nan_to_num(scale.standardized(scale.read(value)))
            for scale, value in zip(self.knowledge, features.T, strict=True)
        ]
        levels_table = np.concatenate(levels, axis=1)

        def beside(columns: list[np.ndarray]) -> np.ndarray:
            return np.concatenate([np.stack(columns, axis=1), levels_table], axis=1)

        views = (beside(raw), np.stack(knowledge, axis=1))
        return Encoded(views, beside(plain), beside(gaps))


def fit_descriptors(known: Properties) -> Descriptors:
    """Fit centres, scales, quantiles and the levels there are on training rows."""
    numbers = tuple(
        _scale(value, BINS if name in BINNED else 0)
        for name, value in zip(NUMBERS, known.number.T, strict=True)
    )
    features = knowledge_of(known)
    levels = tuple(
        tuple(bool((codes == code).any()) for code in range(len(names)))
        for names, codes in zip(LEVELS.values(), known.code.T, strict=True)
    )
    return Descriptors(
        numbers=numbers, knowledge=tuple(_scale(value, 0) for value in features.T), levels=levels
    )


def knowledge_of(known: Properties) -> Float[np.ndarray, "row feature"]:
    """The knowledge view of each particle, NaN where what a feature needs is missing."""
    by_name: dict[str, np.ndarray] = dict(zip(NUMBERS, known.number.T, strict=True))
    names = list(LEVELS)

    def is_level(name: str, level: str) -> np.ndarray:
        codes = known.code[:, names.index(name)]
        return np.where(codes < 0, np.nan, codes == LEVELS[name].index(level))

    needed = {
        **{name: np.exp(by_name[name]) for name in LOGGED},
        "ZETA": by_name["ZETA"],
        "CHARGE": by_name["CHARGE"],
        "ACTIVE": is_level("TS", "Active"),
        "SPHERE": is_level("SHAPE", "Spherical"),
    }
    rows = np.stack([needed[name] for name in PROPERTIES], axis=1)
    short = -len(rows) % BLOCK
    padded = np.concatenate([rows, np.ones((short, rows.shape[1]))]).reshape(
        -1, BLOCK, rows.shape[1]
    )
    found = [np.asarray(_view(jnp.asarray(block))) for block in padded]
    return np.concatenate([*found, np.zeros((0, len(BY_NAME)))])[: len(rows)]


@jax.jit
def _view(rows: Float[Array, "row property"]) -> Float[Array, "row feature"]:
    return jax.vmap(particle_view)(rows)


def _scale(value: np.ndarray, bins: int) -> Scale:
    seen = value[~np.isnan(value)]
    stated, lacking = bool(seen.size), seen.size < value.size
    if not stated:
        seen = np.zeros(1)
    spread = float(seen.std())
    # as many knots whatever the rows, so that every fold has the same columns
    knots = np.quantile(seen, np.linspace(0, 1, bins + 1)) if bins else np.zeros(0)
    return Scale(
        center=float(seen.mean()),
        scale=spread if spread > TO_BE_SURE else 1.0,
        knots=tuple(float(knot) for knot in knots),
        stated=stated,
        lacking=lacking,
    )
