"""A patient who varies between occasions, from a file to an answer."""

import io

import numpy as np
import polars as pl
import pytest

from latentpk import read_nonmem
from latentpk.dosing.exposure import areas, at_steady_state, steady
from latentpk.dosing.history import put_on
from latentpk.dosing.metric import parse_metric
from latentpk.dosing.regimen import Regimen
from latentpk.dosing.target import parse_target
from latentpk.errors import InputError
from latentpk.library.catalog import read_model
from latentpk.models.published import Occasions
from latentpk.workflows.dose_options import Wish
from latentpk.workflows.dosing import advise
from latentpk.workflows.predictor import published_predictor

WITHIN = (0.09, 0.04)  # variances of log CL and log V1 between occasions
TEXT = """ID,TIME,AMT,DUR,EVID,DV,WT,OCC
1,0,15,2,1,,15,1
1,3,0,0,0,1.4,15,1
1,6,0,0,0,0.3,15,1
1,24,15,2,1,,15,2
1,27,0,0,0,0.8,15,2
1,48,15,2,1,,15,3
1,52,0,0,2,,15,3
"""
OTHER = "".join(f"2{line[1:]}\n" for line in TEXT.splitlines()[1:4])  # one occasion


def card(within=WITHIN, starts=()):
    plain = read_model("busulfan-paci-2012")
    occasions = within and Occasions(
        parameters=("cl", "v1"), variances=within, starts=starts, convention=""
    )
    population = plain.population.model_copy(update={"occasions": occasions})
    return plain.model_copy(update={"population": population})


@pytest.fixture(scope="module")
def predictor():
    return published_predictor(card())


def read(text, predictor, **options):
    frame = pl.read_csv(io.StringIO(text))
    return read_nonmem(frame, **predictor.reading | {"purpose": "forecast"} | options)


@pytest.fixture(scope="module")
def posterior(predictor):
    return predictor.posterior(read(TEXT, predictor)[0], draws=8192, least_ess=0.5)


def log_clearance(patient, kappa):
    """Of every draw, by the card's formula at 15 kg, with the kappa of one occasion."""
    root = np.sqrt(0.051548)
    return np.log(2.18 * (15 / 9) ** 0.76) + root * patient.eps[:, 0] + np.sqrt(WITHIN[0]) * kappa


def moment(values, weight):
    mean = weight @ values
    return mean, weight @ (values - mean) ** 2


@pytest.mark.long
def test_levels_tell_of_their_own_occasions_alone(posterior):
    # eta CL, eta V, then kappa CL and V of the two occasions that have levels
    assert posterior.found.eps.shape == (1, 8192, 6)
    patient = posterior.patient()
    assert patient.eps.shape == (8192, 10)  # the third occasion, and one that is yet to come
    np.testing.assert_array_equal(patient.record.occasion, [0, 1, 2, 2])
    for column in (6, 7, 8, 9):
        mean, variance = moment(patient.eps[:, column], patient.weight)
        assert abs(mean) < 0.05
        assert variance == pytest.approx(1, abs=0.05)
    _, variance = moment(patient.eps[:, 2], patient.weight)
    assert variance < 0.9


@pytest.mark.long
def test_steady_state_is_an_occasion_yet_to_come(posterior):
    patient = posterior.patient()
    one = patient.settled().given(steady(6.0, 2.0, 0.0, amount=15.0))
    assert one.record.occasion.tolist() == [3]
    found = at_steady_state(parse_metric("auc24"), one, 6.0)
    expected = 60.0 / np.exp(log_clearance(patient, patient.eps[:, 8]))
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    _, spread = moment(np.log(found), patient.weight)
    _, own = moment(log_clearance(patient, 0.0), patient.weight)
    assert spread == pytest.approx(own + WITHIN[0], rel=0.05)


def test_a_new_regimen_begins_an_occasion_and_leaves_the_earlier_ones(posterior):
    patient = posterior.patient()
    there = put_on(patient, Regimen(15.0, 24.0, 2.0), 48.0, 96.0, 0.0)
    kept = np.flatnonzero(there.record.change < 48)
    np.testing.assert_array_equal(there.record.change[kept], [0, 24])
    np.testing.assert_array_equal(there.record.occasion[kept], [0, 1])
    assert set(there.record.occasion[there.record.change >= 48]) == {3}
    late = patient.renewed(60.0).record
    np.testing.assert_array_equal(late.change, [0, 24, 48, 60])
    np.testing.assert_array_equal(late.occasion, [0, 1, 2, 3])
    five = patient.renewed(60.0).renewed(30.0).record
    np.testing.assert_array_equal(five.change, [0, 24, 30, 48, 60, *[60] * 11])
    np.testing.assert_array_equal(five.occasion[:5], [0, 1, 3, 3, 3])
    again = put_on(there, Regimen(15.0, 24.0, 2.0), 48.0, 96.0, 0.0)
    np.testing.assert_array_equal(again.record.occasion, there.record.occasion)
    # all of a dose is cleared in that occasion; of the record's doses little is left by then
    late = areas(put_on(patient, Regimen(15.0, 240.0, 2.0), 48.0, 49.0, 0.0), 48.0, 288.0)
    clearance = np.exp(log_clearance(patient, patient.eps[:, 8]))
    assert np.median(np.abs(late * clearance / 15.0 - 1)) < 0.02


def test_a_point_estimate_has_no_effect_of_occasions_without_levels(posterior):
    assert posterior.mode.shape == (6,)
    at = posterior.patient().at_mode(posterior.mode)
    np.testing.assert_array_equal(at.eps[0], [*posterior.mode, 0, 0, 0, 0])
    expected = 2.18 * (15 / 9) ** 0.76 * np.exp(np.sqrt(0.051548) * posterior.mode[0])
    assert posterior.map["cl"] == pytest.approx(expected, rel=1e-10)
    assert posterior.typical["cl"] == pytest.approx(2.18 * (15 / 9) ** 0.76)
    drawn = np.log(posterior.parameters["cl"].to_numpy())
    own = moment(log_clearance(posterior.patient(), 0.0), posterior.patient().weight)
    assert drawn.mean() == pytest.approx(own[0], abs=0.01)


@pytest.mark.long
def test_who_else_is_in_the_file_changes_no_answer(predictor):
    other = f"{TEXT.splitlines()[0]}\n{OTHER}"
    one, two, both = (predictor.forecast(read(t, predictor)) for t in (TEXT, other, TEXT + OTHER))
    assert both["ID"].to_list() == ["1"] * 4 + ["2"] * 2
    for column in ("IPRED", "LO", "HI", "PI_HI", "ESS"):
        np.testing.assert_allclose(both[column][:4], one[column], rtol=1e-9)
        np.testing.assert_allclose(both[column][4:], two[column], rtol=1e-9)


@pytest.mark.long
def test_posteriors_come_in_the_order_of_the_file(predictor):
    head, *rows = TEXT.splitlines()
    third = "".join(f"3{row[1:]}\n" for row in rows)
    cohort = read(f"{head}\n{OTHER}{third}", predictor)
    found = list(predictor.posteriors(cohort.subjects))
    assert [one.subject.id for one in found] == ["2", "3"]
    assert [one.found.eps.shape[2] for one in found] == [4, 6]


@pytest.mark.long
def test_a_forecast_in_an_occasion_without_levels_is_wider(predictor):
    here = predictor.forecast(read(TEXT, predictor))
    same = predictor.forecast(read(TEXT.replace(",15,3", ",15,2"), predictor))
    width = [np.log(table["HI"][-1] / table["LO"][-1]) for table in (here, same)]
    assert width[0] > 1.3 * width[1]


def test_a_cohort_whose_occasions_were_not_looked_for_is_refused(predictor):
    cohort = read(TEXT, predictor, occasions=None)
    with pytest.raises(InputError, match="none were looked for"):
        predictor.forecast(cohort)


def test_without_occ_the_card_says_when_occasions_begin():
    ruled = published_predictor(card(starts=(24.0, 48.0)))
    text = "\n".join(line.rpartition(",")[0] for line in TEXT.splitlines())
    np.testing.assert_array_equal(read(text, ruled)[0].occasion, [0, 1, 2])


def test_an_answer_says_that_its_regimen_is_in_a_new_occasion(predictor):
    cohort = read(TEXT, predictor, purpose="dose")
    wish = Wish(amounts=(10.0, 15.0, 20.0), intervals=(6.0,), start=48.0)
    pairs = [(predictor, cohort)]
    told, answer, average = advise(pairs, parse_target("auc24=15:24"), wish)
    assert any("occasion of its own" in one for one in told["inputs"]["defaults"])
    assert any("OCC, 3 for each subject" in one for one in told["inputs"]["reading"])
    best = answer.alternatives[0]
    patient = average.patient()
    area = 24 / 6 * best.regimen.amount / np.exp(log_clearance(patient, patient.eps[:, 8]))
    assert best.probability == pytest.approx(patient.weight @ ((area >= 15) & (area <= 24)))
