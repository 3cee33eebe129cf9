"""Exposures against the reference tables: MAP, and the exact posterior by two samplers."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.optimize import minimize

from latentpk import read_nonmem
from latentpk.dosing.metric import parse_metric
from latentpk.errors import InputError
from latentpk.workflows.exposure import Question, exposures
from latentpk.workflows.predictor import open_predictor

FOLDER = Path(__file__).parents[1] / "reference"
DAY_TWO = Question(parse_metric("auc24"), 24.0, (400.0, 600.0))


@pytest.fixture(scope="module")
def predictor():
    return open_predictor("vancomycin-goti-2018")


@pytest.fixture(scope="module")
def cohort(predictor):
    return read_nonmem(FOLDER / "map_patients.csv", **predictor.reading, purpose="forecast")


@pytest.fixture(scope="module")
def found(predictor, cohort):
    return exposures([(predictor, cohort)], DAY_TWO)["subjects"]


@pytest.mark.long
def test_the_mode_gives_the_reference_area(found):
    table = pl.read_csv(FOLDER / "map.csv")
    np.testing.assert_allclose([one["map"] for one in found], table["AUC24_48"], rtol=1e-4)


def test_the_posterior_gives_the_reference_area(found):
    table = pl.read_csv(FOLDER / "posterior.csv").filter(
        (pl.col("QUANTITY") == "AUC24_48") & (pl.col("METHOD") == "ADAPTIVE_IS")
    )
    for one, row in zip(found, table.iter_rows(named=True), strict=True):
        ours = row["SD"] / np.sqrt(one["ess"])
        for name, column, cost in (("mean", "MEAN", 1.0), ("median", "MEDIAN", 1.5)):
            allowed = 4 * np.hypot(cost * ours, row[f"{column}_MCSE"])
            assert abs(one[name] - row[column]) < allowed, (one["id"], name)
        p = row["P_400_600"]
        allowed = 4 * np.sqrt(p * (1 - p) / one["ess"] + row["P_400_600_MCSE"] ** 2) + 1e-4
        assert abs(one["p"] - p) < allowed, one["id"]
        assert one["ess"] > 4000


def test_the_golden_patient_at_steady_state(predictor, cohort):
    """Against a brute-force grid of the three effects (221 points each): median and chance."""
    question = Question(parse_metric("auc24"), "ss", (400.0, 600.0))
    one = exposures([(predictor, cohort.subset([0]))], question)["subjects"][0]
    assert one["median"] == pytest.approx(595.25, rel=0.004)
    assert one["p"] == pytest.approx(0.4804, abs=0.008)
    assert one["map"] == pytest.approx(2000 / 3.585082, rel=1e-5)


def test_an_interval_that_nobody_tells_is_assumed_aloud(predictor):
    rows = "ID,TIME,EVID,AMT,RATE,DV,MDV,WT,CRCL,DIAL\n1,0,1,1000,1000,,1,70,90,0\n"
    frame = pl.read_csv((rows + "1,6,0,,,15,0,70,90,0\n").encode())
    alone = read_nonmem(frame, **predictor.reading, purpose="forecast")
    one = exposures([(predictor, alone)], Question(parse_metric("trough"), "ss"), draws=1024)
    (subject,) = one["subjects"]
    assert subject["verdict"] == "caution"
    assert any("one dose a day is assumed" in reason for reason in subject["reasons"])
    assert subject["p"] is None


def test_another_models_cohort_is_refused(predictor, cohort):
    other = open_predictor("vancomycin-thomson-2009")
    with pytest.raises(InputError, match="covariates"):
        exposures([(other, cohort)], DAY_TWO)


def test_the_residual_variance_follows_the_patients_own_curve(predictor, cohort):
    """Frozen at the population prediction it gives another mode: CL 3.453 against 3.585 L/h."""
    levels = cohort[0].levels
    omega = np.array([0.14705, 0.51019, 0.28232])
    typical = np.array([4.5 * (90 / 120) ** 0.8, 58.4, 38.4])

    def curve(eta):
        cl, v1, v2 = typical * np.exp(eta)
        return infused_twice_daily(cl, v1, 6.5, v2, levels.time)

    def variance(f):
        return 0.051529 * f**2 + 11.56

    frozen = variance(curve(np.zeros(3)))

    def objective(eta, fixed):
        f = curve(eta)
        spread = frozen if fixed else variance(f)
        return np.sum((levels.value - f) ** 2 / spread + np.log(spread)) + np.sum(eta**2 / omega)

    def clearance(fixed):
        found = minimize(objective, np.zeros(3), args=(fixed,), method="BFGS", tol=1e-10)
        return typical[0] * np.exp(found.x[0])

    assert clearance(fixed=True) == pytest.approx(3.453, abs=1e-3)
    assert predictor.posterior(cohort[0], draws=128).map["cl"] == pytest.approx(
        clearance(fixed=False), rel=1e-5
    )


def infused_twice_daily(cl, v1, q, v2, time):
    """Four infusions of 1000 mg over 1 h, every 12 h, into two compartments [mg/L]."""
    k10, k12, k21 = cl / v1, q / v1, q / v2
    total = k10 + k12 + k21
    root = np.sqrt(total**2 - 4 * k10 * k21)
    fast, slow = (total + root) / 2, (total - root) / 2
    share = (fast - k21) / (fast - slow)
    found = np.zeros_like(time)
    for start in (0.0, 12.0, 24.0, 36.0):
        on, off = np.clip(time - start, 0, 1), np.maximum(time - start - 1, 0)
        for rate, weight in ((fast, share), (slow, 1 - share)):
            found += 1000 * weight / v1 / rate * (1 - np.exp(-rate * on)) * np.exp(-rate * off)
    return found
