"""The verbs as users start them: each a process of its own, whose threads nobody has set before."""

import os
import subprocess
import sys

import polars as pl

COMMAND = [sys.executable, "-c", "from latentpk.cli.main import main; main()"]
SET_HERE = ("NPROC", "OMP_NUM_THREADS", "XLA_FLAGS", "JAX_PLATFORMS")


def latentpk(folder, *asked):
    """Run a verb in a folder; programs that earlier runs compiled are found on the disk."""
    left = {key: value for key, value in os.environ.items() if key not in SET_HERE}
    path = os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))
    done = subprocess.run(
        [*COMMAND, *asked],
        cwd=folder,
        env={**left, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_model_is_fitted_shown_and_asked(ward, patients, tmp_path):
    ward.write_csv(tmp_path / "ward.csv")
    patients.write_csv(tmp_path / "new.csv")
    chosen = ("--decoder", "compartment", "--structure", "1c-iv", "--epochs", "3")
    told = latentpk(tmp_path, "fit", "ward.csv", "--out", "ward.model", *chosen, "--threads", "2")
    assert "ward.model" in told
    assert "1c-iv" in latentpk(tmp_path, "show", "ward.model")
    asked = ("--condition-until", "20", "--out", "answer.csv")
    latentpk(tmp_path, "forecast", "ward.model", "new.csv", *asked)
    answer = pl.read_csv(tmp_path / "answer.csv")
    assert answer["ID"].n_unique() == 6
    assert (answer["LO"] < answer["HI"]).all()
