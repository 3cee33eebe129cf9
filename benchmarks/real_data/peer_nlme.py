"""An independent peer for theophylline: nlme's population fit in R, MAP by scipy."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import minimize

Floats = NDArray[np.float64]
SCRIPT = Path(__file__).with_name("peer_nlme.R")


def available() -> bool:
    """Whether Rscript and its nlme are installed."""
    if shutil.which("Rscript") is None:
        return False
    asked = ["Rscript", "-e", "quit(status = !requireNamespace('nlme', quietly = TRUE))"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def population(train: pl.DataFrame) -> tuple[Floats, Floats, float]:
    """Fit nlme to a training table with one dose at time 0 for each subject.

    Returns:
        log ke [1/h], log ka [1/h], log cl [L/h]; their standard deviations; sigma [mg/L].
    """
    dose = train.filter(pl.col("EVID") == 1).select("ID", DOSE="AMT")
    levels = train.filter(pl.col("EVID") == 0).select("ID", "TIME", "DV").join(dose, on="ID")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "train.csv", Path(folder) / "estimates.csv"
        levels.write_csv(source)
        subprocess.run(
            ["Rscript", str(SCRIPT), str(source), str(target)],
            check=True,
            capture_output=True,
            timeout=300,
        )
        row = pl.read_csv(target).to_numpy()[0]
    return row[:3], row[3:6], float(row[6])


def forecast(train: pl.DataFrame, asked: pl.DataFrame) -> tuple[Floats, Floats]:
    """MAP and population prediction [mg/L] at the times to predict, in record order."""
    typical, spread, sigma = population(train)
    modes, centres = [], []
    for _, subject in asked.group_by("ID", maintain_order=True):
        dose = subject.filter(pl.col("EVID") == 1)["AMT"][0]
        early, later = (subject.filter(pl.col("EVID") == kind) for kind in (0, 2))
        time, level = early["TIME"].to_numpy(), early["DV"].to_numpy()

        def objective(eta: Floats, time=time, level=level, dose=dose) -> float:
            residual = (level - concentration(typical + spread * eta, time, dose)) / sigma
            return float((residual**2).sum() + (eta**2).sum())

        starts = ([0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, -1.0, 0.0])
        best = min((minimize(objective, start) for start in starts), key=lambda found: found.fun)
        times = later["TIME"].to_numpy()
        modes.append(concentration(typical + spread * best.x, times, dose))
        centres.append(concentration(typical, times, dose))
    return np.concatenate(modes), np.concatenate(centres)


def concentration(logs: Floats, time: Floats, dose: float) -> Floats:
    """One-compartment oral concentration [mg/L] from log ke, log ka, log cl."""
    ke, ka, cl = np.exp(logs)
    if abs(ka - ke) < 1e-9:
        ka = ke * (1 + 1e-9)
    return dose * ke * ka / cl * (np.exp(-ke * time) - np.exp(-ka * time)) / (ka - ke)
