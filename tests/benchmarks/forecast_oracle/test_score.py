import numpy as np
import pytest
from benchmarks.forecast_oracle import cohorts
from benchmarks.forecast_oracle.populations import POPULATIONS
from benchmarks.forecast_oracle.score import Score, coverage, interval_score, ratio, score


@pytest.fixture(scope="module")
def patients():
    return cohorts.unseen(POPULATIONS["two-peaks"], 40, seed=1)


def test_a_constant_factor_is_its_own_log_error(patients):
    assert score(patients, 1.3 * patients.truth).log_rmse == pytest.approx(np.log(1.3))
    assert score(patients, patients.truth).log_rmse == 0


def test_times_below_one_percent_of_the_peak_do_not_count(patients):
    assert not patients.scored.all()
    wrong_there = np.where(patients.scored, patients.truth, 50.0)
    assert score(patients, wrong_there).log_rmse == 0


def test_a_forecast_that_is_not_finite_or_of_another_shape_is_refused(patients):
    with pytest.raises(ValueError, match="finite forecast"):
        score(patients, patients.truth * np.nan)
    with pytest.raises(ValueError, match="shape"):
        score(patients, patients.truth[:, :-1])


def test_coverage_counts_new_measurements(patients):
    everything = (np.zeros_like(patients.truth), np.full_like(patients.truth, np.inf))
    assert score(patients, patients.truth, everything).coverage == 1
    nothing = (patients.fresh + 1, patients.fresh + 2)
    found = score(patients, patients.truth, nothing)
    assert coverage([found]).json() == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_the_ratio_is_one_to_itself_and_its_interval_holds_the_ratio(patients):
    rng = np.random.default_rng(3)
    shape = patients.truth.shape
    good, bad = (
        score(patients, patients.truth * np.exp(spread * rng.standard_normal(shape)))
        for spread in (0.1, 0.2)
    )
    assert ratio([good], [good], draws=50).value == 1
    found = ratio([bad, bad], [good, good], draws=300)
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(2, rel=0.1)


def test_a_score_survives_its_file(patients):
    found = score(patients, 1.2 * patients.truth, (patients.truth, 2 * patients.truth))
    again = Score.parse(found.json())
    assert again.log_rmse == pytest.approx(found.log_rmse, rel=1e-6)
    assert again.coverage == found.coverage


def test_the_interval_score_is_width_and_twenty_times_the_miss(patients):
    fresh = patients.fresh
    narrow = score(patients, patients.truth, (fresh - 1, fresh + 1))
    missing = score(patients, patients.truth, (fresh + 0.1, fresh + 2.1))
    assert narrow.penalty.sum() == pytest.approx(2 * narrow.counts.sum())
    assert missing.penalty.sum() == pytest.approx((2 + 20 * 0.1) * missing.counts.sum())
    assert interval_score([missing], [narrow], draws=20).value == pytest.approx(2)
