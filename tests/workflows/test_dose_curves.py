"""The curves behind a dose: they are the posterior's own, in the file's units."""

import numpy as np
import pytest

from latentpk.dosing.judge import Alternative
from latentpk.dosing.regimen import Regimen
from latentpk.dosing.spread import Spread
from latentpk.dosing.target import parse_target
from latentpk.records.nonmem import read_nonmem
from latentpk.workflows.dose_curves import curves_of, different
from latentpk.workflows.dose_options import Wish
from latentpk.workflows.dosing import advise
from latentpk.workflows.predictor import open_predictor

HEAD = "ID,TIME,EVID,AMT,RATE,DV,MDV,WT,CRCL,DIAL\n"
RECORD = """7,0,1,1000,1000,,1,70,90,0
7,12,1,1000,1000,,1,70,90,0
7,24,1,1000,1000,,1,70,90,0
7,36,1,1000,1000,,1,70,90,0
7,39,0,0,0,27.0,0,70,90,0
7,47.5,0,0,0,14.0,0,70,90,0
"""
WISH = Wish(amounts=(500.0, 1000.0), intervals=(12.0, 24.0), infusions=(1.0,))


@pytest.fixture(scope="module")
def predictor():
    return open_predictor("vancomycin-goti-2018")


def advised(predictor, path, rows=RECORD, target="trough=10:15", wish=WISH, units=None):
    path.write_text(HEAD + rows)
    reading = dict(predictor.reading) | ({} if units is None else {"units": units})
    cohort = read_nonmem(path, **reading, purpose="dose")
    pairs = [(predictor, cohort)]
    found, answer, average = advise(pairs, parse_target(target), wish, draws=2048)
    return found, average.first, curves_of(pairs, answer, average)


@pytest.fixture(scope="module")
def usual(predictor, tmp_path_factory):
    return advised(predictor, tmp_path_factory.mktemp("dose") / "p.csv")


@pytest.mark.long
def test_the_fit_is_the_posteriors_own_prediction(usual):
    _, posterior, curves = usual
    profile = posterior.predict([39.0, 47.5])
    levels = curves.levels
    assert levels.observed == pytest.approx([27, 14])
    assert levels.population == pytest.approx(profile.pred, rel=1e-6)
    for name, other in (("median", "ipred"), ("lo", "lo"), ("hi", "hi")):
        assert getattr(levels, name) == pytest.approx(getattr(profile, other), rel=0.01)
    # sd = sqrt(3.4^2 + (0.227 f)^2)
    sd = np.sqrt(3.4**2 + (0.227 * levels.mode) ** 2)
    assert levels.residual == pytest.approx((levels.observed - levels.mode) / sd, rel=0.01)


def test_curves_join_at_the_first_new_dose(usual):
    found, _, curves = usual
    assert curves.start == 48
    assert (curves.fitted.time[0], curves.fitted.time[-1]) == (0, 48)
    for _, band in curves.alternatives:
        assert band.time[0] == 48
        assert band.median[0] == pytest.approx(curves.fitted.median[-1])
    assert curves.planned.time.min() == 48
    assert curves.given.time.max() == 36
    assert set(curves.planned.amount) == {found["alternatives"][0]["amount"]}
    assert curves.target == (10, 15)


def test_bands_hold_the_median_and_no_curve_is_negative(usual):
    for band in (usual[2].fitted, *(band for _, band in usual[2].alternatives)):
        assert (np.diff(band.time) >= 0).all()
        assert (band.lo >= 0).all()
        assert (band.lo <= band.median).all()
        assert (band.median <= band.hi).all()


@pytest.mark.long
def test_units_carry_through(predictor, usual, tmp_path):
    rows = RECORD.replace("1000,1000", "1,1").replace("27.0", "27000").replace("14.0", "14000")
    wish = Wish(amounts=(0.5, 1.0), intervals=(12.0, 24.0), infusions=(1.0,))
    target, units = "trough=10000:15000", "AMT=g,DV=ng/mL"
    _, _, curves = advised(predictor, tmp_path / "p.csv", rows, target, wish, units)
    assert curves.unit == "ng/mL"
    assert curves.given.amount == pytest.approx(np.ones(4))
    assert curves.recommended.median == pytest.approx(1000 * usual[2].recommended.median)
    assert curves.levels.observed == pytest.approx([27000, 14000])
    assert curves.target == pytest.approx((10000, 15000))


def test_doses_after_the_start_are_replaced(predictor, tmp_path):
    """A recommendation that starts at 48 h draws no planned dose of the file from 48 h on."""
    planned = RECORD + "7,48,1,1500,1500,,1,70,90,0\n7,60,1,1500,1500,,1,70,90,0\n"
    wish = Wish(amounts=(1000.0,), intervals=(12.0,), infusions=(1.0,), start=48.0)
    _, _, curves = advised(predictor, tmp_path / "p.csv", planned, wish=wish)
    assert curves.given.time.tolist() == [0, 12, 24, 36]
    assert curves.recommended.time[0] == 48
    assert curves.fitted.time[-1] == 48
    assert curves.recommended.median[0] == pytest.approx(curves.fitted.median[-1], rel=0.02)


def test_no_record_has_a_regimen_but_no_fit(predictor, tmp_path):
    _, _, curves = advised(predictor, tmp_path / "p.csv", "7,0,2,,,,1,70,90,0\n", "auc24=400:600")
    assert curves.fitted is None
    assert curves.recommended is not None
    assert curves.levels.time.size == 0
    assert curves.target is None


def test_a_refusal_has_a_fit_but_no_regimen(predictor, tmp_path):
    rows = RECORD.replace(",70,90,0", ",20,90,0")
    _, _, curves = advised(predictor, tmp_path / "p.csv", rows)
    assert curves.recommended is None
    assert curves.alternatives == ()
    assert curves.planned.time.size == 0
    assert curves.fitted is not None


def test_regimens_that_draw_the_same_curve_are_left_out():
    spread = Spread(1.0, 1.0, 1.0)
    ranked = [
        Alternative(Regimen(amount, interval, 1.0, loading), 0.5, None, 1.0, spread, spread)
        for amount, interval, loading in (
            (1000, 12, None), (1050, 12, None), (1000, 12, 2000), (2000, 24, None),
            (1200, 12, None), (500, 6, None), (750, 8, None),
        )
    ]  # fmt: skip
    assert different(ranked) == [0, 3, 4, 5]
    assert different(ranked, most=2) == [0, 3]
