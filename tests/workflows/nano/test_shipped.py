"""The model that is part of the package, as an installation uses it: without the type checker."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl

from latentpk.workflows.nano.table import TARGETS

SOURCE = Path(__file__).parents[3] / "src"


def test_the_shipped_model_predicts_at_once(nano_table, nano_studies, tmp_path):
    table, out = tmp_path / "table.csv", tmp_path / "p.csv"
    nano_table.join(nano_studies.drop("study_id"), on="ID").head(5).write_csv(table)
    command = [sys.executable, "-c", "from latentpk.cli.main import main; main()"]
    command += ["nano", "predict", str(table), "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "5 particles: " in done.stdout
    found = pl.read_csv(out)
    names = [name + end for name in TARGETS for end in ("_LO", "", "_HI")]
    values = found.select(names).to_numpy().reshape(5, len(TARGETS), 3)
    assert np.isfinite(values).all()
    assert (np.diff(values, axis=2) >= 0).all()
    assert not found["VERDICT"].eq("refuse").all()
