"""Train the model that is part of the package: python -m benchmarks.nano_tumor.ship.

On the CC0 tables alone (particles, time courses). Studies, which another repository tells, only
draw the folds on which weights and intervals are judged; what else that table holds is no input.
"""

import os
from pathlib import Path

import polars as pl

from latentpk.workflows.nano.model import NanoModel
from latentpk.workflows.nano.shipped import FOLDER


def main() -> None:
    """Fit with all defaults and write the folder."""
    folder = Path(os.environ["LATENTPK_DATA"]) / "nano"
    studies = pl.read_csv(folder / "nano_tumor_studies.csv").select("ID", "study_id")
    model = NanoModel.fit(
        folder / "nano_tumor.csv",
        timecourse=folder / "nano_tumor_timecourse.csv",
        studies=studies,
        threads=2,
    )
    model.save(FOLDER)
    print(FOLDER, model.card["hashes"])
    for sign in model.warnings:
        print(sign)


if __name__ == "__main__":
    main()
