"""Every touch of the package's Python interface, in one file: what the benchmarks ask of it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Recipe:
    """How a model of ours is fitted.

    Attributes:
        decoder: auto, compartment, kernel or grid.
        structure: auto or the name of a compartment structure.
        covariates: Columns used.
        seed: Of the training.
    """

    decoder: str
    structure: str
    covariates: tuple[str, ...]
    seed: int


@dataclass(frozen=True)
class Later:
    """Forecast of each subject's times to predict, in file order.

    Attributes:
        ipred: Posterior median of the concentration [mg/L], shape (row,).
        pred: Population prediction [mg/L], shape (row,).
        low: PI_LO, 5 % of a new measurement [mg/L], shape (row,).
        high: PI_HI, 95 % of a new measurement [mg/L], shape (row,).
        methods: Share of subjects at each rung of the ladder.
    """

    ipred: Floats
    pred: Floats
    low: Floats
    high: Floats
    methods: dict[str, float]


def fit(path: Path, recipe: Recipe) -> tuple[Any, float]:
    """Read a table and fit it; the model and the seconds it took."""
    from latentpk import ProfileVAE, read_nonmem

    begun = time.perf_counter()
    cohort = read_nonmem(path, covariates=list(recipe.covariates))
    model = ProfileVAE(decoder=recipe.decoder, structure=recipe.structure, seed=recipe.seed)
    fitted = model.fit(cohort)
    return fitted, time.perf_counter() - begun


def read_unseen(path: Path, recipe: Recipe) -> Any:
    """Read a table of patients to forecast."""
    from latentpk import read_nonmem

    return read_nonmem(path, covariates=list(recipe.covariates), purpose="forecast")


def forecast(model: Any, path: Path, recipe: Recipe) -> tuple[Later, float]:
    """Forecast the rows of a table that are times to predict; the seconds it took.

    The table's times to predict must have an empty DV and its levels a value.
    """
    begun = time.perf_counter()
    frame = model.forecast(read_unseen(path, recipe))
    seconds = time.perf_counter() - begun
    return later_rows(frame, path), seconds


def later_rows(frame: pl.DataFrame, path: Path) -> Later:
    """The rows of forecast.csv that are times to predict, matched to the input row by row."""
    asked = pl.read_csv(path).filter(pl.col("EVID") != 1)  # one output row for each of these
    identifiers = frame["ID"].cast(pl.Utf8).to_list()
    if identifiers != asked["ID"].cast(pl.Utf8).to_list():
        raise ValueError("The forecast's rows are not the table's levels and times to predict.")
    wanted = frame.filter(asked["EVID"] == 2)
    columns = {
        name: wanted[name].cast(pl.Float64).to_numpy()
        for name in ("IPRED", "PRED", "PI_LO", "PI_HI")
    }
    first = frame.unique(subset="ID", maintain_order=True)
    rungs = first["METHOD"].value_counts(normalize=True)
    return Later(
        ipred=columns["IPRED"],
        pred=columns["PRED"],
        low=columns["PI_LO"],
        high=columns["PI_HI"],
        methods={name: round(share, 4) for name, share in rungs.iter_rows()},
    )


def map_forecast(model: Any, path: Path, recipe: Recipe) -> Floats:
    """Concentrations [mg/L] at the posterior mode of each subject's times to predict, (row,)."""
    found = []
    for subject in read_unseen(path, recipe):
        outputs = subject.outputs
        times = np.asarray(outputs.time)[~np.asarray(outputs.is_level)]
        if len(times):
            found.append(map_concentration(model.posterior(subject), times))
    return np.concatenate(found)


def map_concentration(posterior: Any, times: Sequence[float] | Floats) -> Floats:
    """Concentration [mg/L] at the posterior's mode, shape (time,)."""
    return np.asarray(posterior.map(times), dtype=float)
