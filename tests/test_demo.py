"""The demo: its arithmetic, and (long) the whole of it."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

PATH = Path(__file__).parents[1] / "examples" / "demo.py"
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "demo.png"


@pytest.fixture(scope="module")
def demo():
    spec = importlib.util.spec_from_file_location("demo", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["demo"] = module  # a dataclass looks its module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["demo"]


def test_scores_are_what_their_names_say(demo):
    later = pl.DataFrame(
        {
            "DV": [10.0, 20.0, 30.0, 40.0],
            "CONC": [10.0, 20.0, 30.0, 40.0],
            "IPRED": [10.0 * np.e, 20.0 * np.e, 30.0 / np.e, 40.0 / np.e],
            "PRED": [40.0, 80.0, 120.0, 160.0],
            "PI_LO": [5.0, 21.0, 30.0, 1.0],
            "PI_HI": [15.0, 25.0, 31.0, 39.0],
        }
    )
    scores = demo.scores(later)
    assert scores == {
        "later_levels": 4,
        "coverage90": 0.5,
        "log_rmse": 1.0,
        "log_rmse_population": pytest.approx(np.log(4), abs=1e-4),
    }
    assert demo.held_out(later).inside.tolist() == [True, False, True, False]


def test_the_readme_has_its_picture_and_it_is_small():
    assert PICTURE.read_bytes().startswith(b"\x89PNG")
    assert PICTURE.stat().st_size < 400_000


@pytest.mark.long
def test_the_demo(tmp_path):
    out = tmp_path / "demo"
    command = [sys.executable, str(PATH), "--out", str(out)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert result.returncode == 0, result.stderr
    names = ["forecast.csv", "forecast.png", "summary.json"]
    assert result.stdout.split()[-3:] == [str(out / name) for name in names]
    assert sorted(path.name for path in out.iterdir()) == names
    for work in ("subjects simulated", "choosing the model", "training", "posteriors"):
        assert work in result.stderr  # a bar each
    summary = json.loads((out / "summary.json").read_text())
    assert summary["work_seconds"] > 0
    assert 0.8 < summary["coverage90"] < 0.97
    assert summary["log_rmse"] < summary["log_rmse_population"]
    table = pl.read_csv(out / "forecast.csv")
    assert table["ID"].n_unique() == summary["patients"]["unseen"]
    values = table.select("PRED", "PRED_MEDIAN", "IPRED", "LO", "HI", "PI_LO", "PI_HI").to_numpy()
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    assert (out / "forecast.png").read_bytes().startswith(b"\x89PNG")
