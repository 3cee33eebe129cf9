"""What a particle's properties become before a model reads them, fitted on training rows alone.

Positive numbers enter by their logarithm. Each number has three kinds of columns: its standardized
value, whether it is missing, and where it lies between quantiles of the training rows (piecewise
linear encoding, Gorishniy 2022), so that a network can tell two sizes apart as a tree does. A
category has a column for each level; a level that is missing or was never seen has none.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from pydantic import BaseModel, ConfigDict

from latentpk import precision  # noqa: F401  (sets x64 before any array)
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
    """Read the inputs of a table; nothing that was fitted is among them."""
    columns = []
    for name in NUMBERS:
        if name in ("TSZ", "TW"):  # one of them stands for the other
            value = particles.tumor_size if name == "TSZ" else particles.tumor_weight
        elif name in particles.frame.columns:
            value = particles.number(name)
        else:
            value = np.full(len(particles), np.nan)
        columns.append(np.log(value) if name in LOGGED else value)
    codes = [
        [
            levels.index(level) if level in levels else -1
            for level in (
                particles.frame[name]
                if name in particles.frame.columns
                else [None] * len(particles)
            )
        ]
        for name, levels in LEVELS.items()
    ]
    return Properties(np.stack(columns, axis=1), np.array(codes, dtype=np.int64).T)


class Scale(BaseModel):
    """How a number is read.

    Attributes:
        center: Mean of the training rows.
        scale: Their SD.
        knots: Their quantiles, between which the value is placed; empty where it is not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    center: float
    scale: float
    knots: tuple[float, ...] = ()

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
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    numbers: tuple[Scale, ...]
    knowledge: tuple[Scale, ...]

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
        for scale, value in zip(self.numbers, known.number.T, strict=True):
            standard, missing = scale.standardized(value), np.isnan(value).astype(float)
            own = [np.nan_to_num(standard), missing]
            raw += [*own, *scale.placed(value)]
            plain += own
            gaps += [standard, missing]
        levels = [
            (codes[:, None] == np.arange(len(names))).astype(float)
            for names, codes in zip(LEVELS.values(), known.code.T, strict=True)
        ]
        features = knowledge_of(known)
        knowledge = [
            np.nan_to_num(scale.standardized(value))
            for scale, value in zip(self.knowledge, features.T, strict=True)
        ]
        levels_table = np.concatenate(levels, axis=1)

        def beside(columns: list[np.ndarray]) -> np.ndarray:
            return np.concatenate([np.stack(columns, axis=1), levels_table], axis=1)

        views = (beside(raw), np.stack(knowledge, axis=1))
        return Encoded(views, beside(plain), beside(gaps))


def fit_descriptors(known: Properties) -> Descriptors:
    """Fit centres, scales and quantiles on training rows."""
    numbers = tuple(
        _scale(value, BINS if name in BINNED else 0)
        for name, value in zip(NUMBERS, known.number.T, strict=True)
    )
    features = knowledge_of(known)
    return Descriptors(numbers=numbers, knowledge=tuple(_scale(value, 0) for value in features.T))


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
    if not seen.size:  # a column that no training row states says nothing
        seen = np.zeros(1)
    spread = float(seen.std())
    # as many knots whatever the rows, so that every fold has the same columns
    knots = np.quantile(seen, np.linspace(0, 1, bins + 1)) if bins else np.zeros(0)
    return Scale(
        center=float(seen.mean()),
        scale=spread if spread > TO_BE_SURE else 1.0,
        knots=tuple(float(knot) for knot in knots),
    )
