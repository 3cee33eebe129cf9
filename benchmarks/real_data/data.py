"""The four real data sets: what is read, what is left out, which levels are given."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

FOLDS, REPEATS, MOST_GIVEN = 5, 3, 4


@dataclass(frozen=True)
class Dataset:
    """One file of LATENTPK_DATA/pk.

    Attributes:
        name: Its name without the ending.
        covariates: Columns used as covariates.
        after: Levels up to this time [h] are left out; negative keeps those at time 0.
    """

    name: str
    covariates: tuple[str, ...]
    after: float = -1.0


DATASETS = {
    dataset.name: dataset
    for dataset in (
        # Nine of its twelve levels at time 0 are 0; a dose given at 0 explains none of the others.
        Dataset("theophylline", ("WT",), after=0.0),
        Dataset("warfarin", ("WT", "AGE", "SEX")),
        Dataset("phenobarbital", ("WT", "APGAR")),
        Dataset("remifentanil", ("AGE", "SEX", "HT", "WT", "LBM")),
    )
}


def folder() -> Path:
    """The folder of the tables; it need not be there."""
    return Path(os.environ.get("LATENTPK_DATA", "absent")) / "pk"


def load(dataset: Dataset, source: Path) -> pl.DataFrame:
    """Read a table; levels that are not above 0 or not after `after` are left out."""
    table = pl.read_csv(source / f"{dataset.name}.csv", infer_schema_length=None)
    level = pl.col("EVID") == 0
    kept = (pl.col("DV") > 0) & (pl.col("TIME") > dataset.after)
    return table.filter(~level | kept)


def folds(table: pl.DataFrame, repeat: int) -> dict[int, int]:
    """Subject to fold, shuffled by the repeat's seed."""
    subjects = table["ID"].unique(maintain_order=True).to_list()
    order = np.random.default_rng([2026, repeat]).permutation(len(subjects))
    return {subjects[place]: rank % FOLDS for rank, place in enumerate(order)}


def given(count: int) -> int:
    """How many of a subject's levels are given: half of them, rounded up, at most four."""
    return min(MOST_GIVEN, (count + 1) // 2)


def ask(table: pl.DataFrame) -> pl.DataFrame:
    """Turn each subject's later levels into times to predict; subjects without any are left out.

    Args:
        table: Doses and levels in record order.

    Returns:
        The table with EVID=2, MDV=1, an empty DV at the later levels, and their value in OBSERVED.
    """
    level = pl.col("EVID") == 0
    rank = level.cum_sum().over("ID")
    count = level.sum().over("ID")
    share = pl.min_horizontal(pl.lit(MOST_GIVEN), (count + 1) // 2)
    later = level & (rank > share)
    table = table.with_columns(OBSERVED=pl.when(later).then(pl.col("DV")), LATER=later)
    return (
        table.filter(pl.col("LATER").any().over("ID"))
        .with_columns(
            EVID=pl.when("LATER").then(2).otherwise("EVID"),
            MDV=pl.when("LATER").then(1).otherwise("MDV"),
            DV=pl.when("LATER").then(None).otherwise("DV"),
        )
        .drop("LATER")
    )
