import numpy as np
import pytest

OCC = """
    ID,TIME,AMT,DV,WT,OCC
    1,0,10,.,70,1
    1,2,.,5,70,1
    1,24,.,2,70,1
    1,24,10,.,72,2
    1,30,.,6,72,2
    1,50,10,.,72,5
    2,3,10,.,50,7
    2,5,.,5,50,7
"""
RULE = """
    ID,TIME,EVID,AMT,II,ADDL,DV,WT
    1,2,1,10,0,0,.,70
    1,26,0,.,.,.,5,70
    1,26,1,10,.,.,.,70
    1,30,0,.,.,.,5,70
    2,0,1,10,24,3,.,50
    2,24,0,.,.,.,5,50
"""


def test_pieces_are_cut_where_occ_changes_and_know_their_occasion(read):
    cohort = read(OCC, covariates=["WT"], occasions=(), purpose="forecast")
    one, two = cohort
    np.testing.assert_array_equal(one.covariate_time, [0, 24, 50])
    np.testing.assert_array_equal(one.occasion, [0, 1, 2])
    np.testing.assert_array_equal(one.covariates[:, 0], [70, 72, 72])
    np.testing.assert_array_equal(two.occasion, [0])
    told = "Occasions: column OCC, 1 to 3 for each subject; one begins at its first record."
    assert told in cohort.notices
    assert cohort.occasional


def test_a_trough_before_the_dose_that_begins_an_occasion_keeps_its_own(read):
    one = read(OCC, covariates=["WT"], occasions=(), purpose="forecast")[0]
    time = one.levels.time
    assert time[1] < 24 == one.doses.time[1]
    assert time[1] == pytest.approx(24, abs=1e-8)
    np.testing.assert_array_equal(time[[0, 2]], [2, 30])


def test_without_a_model_that_asks_occ_is_not_looked_at(read):
    plain = read(OCC, covariates=["WT"], purpose="forecast")
    np.testing.assert_array_equal(plain[0].covariate_time, [0, 24])
    np.testing.assert_array_equal(plain[0].occasion, [0, 0])
    assert plain[0].levels.time[1] == 24
    assert not plain.occasional
    read(OCC.replace("70,1", "70,x"), covariates=["WT"], purpose="forecast")


def test_without_occ_occasions_begin_by_the_rule(read):
    cohort = read(RULE, covariates=["WT"], occasions=(24, 48, 72, 96), purpose="forecast")
    one, two = cohort
    # counted from the first dose at 2 h; what comes after the record's end is one more
    np.testing.assert_array_equal(one.covariate_time, [2, 26, 50])
    np.testing.assert_array_equal(one.occasion, [0, 1, 2])
    np.testing.assert_allclose(one.levels.time, [26, 30])
    assert one.levels.time[0] < 26  # a level before the dose of its time
    # ADDL goes on to 72 h; the level at 24 h is after the dose of its time
    np.testing.assert_array_equal(two.covariate_time, [0, 24, 48, 72, 96])
    assert two.levels.time[0] == 24
    told = "the file has no OCC, so an occasion begins 24, 48, 72, 96 h after the first dose"
    assert any(told in notice for notice in cohort.notices)


def test_without_occ_and_without_a_rule_a_record_is_one_occasion(read):
    cohort = read(RULE, covariates=["WT"], occasions=(), purpose="forecast")
    np.testing.assert_array_equal(cohort[0].occasion, [0])
    assert any("each subject's record is one occasion" in notice for notice in cohort.notices)


@pytest.mark.parametrize(
    ("old", "new", "found", "rule"),
    [
        ("1,30,.,6,72,2", "1,30,.,6,72,1", "OCC 1 follows OCC 2", "does not decrease"),
        ("1,30,.,6,72,2", "1,30,.,6,72,2.5", "OCC is '2.5'", "whole number"),
        ("1,30,.,6,72,2", "1,30,.,6,72,.", "OCC is missing", "Every record has an OCC"),
        ("1,30,.,6,72,2", "1,30,.,6,72,second", "'second' is no number", "holds numbers"),
    ],
)
def test_a_bad_occ_is_a_problem_of_its_record(problems, old, new, found, rule):
    told = problems(OCC.replace(old, new), covariates=["WT"], occasions=(), purpose="forecast")
    assert told[0].where.startswith("subject 1, record 5 (line 6), column OCC")
    assert found in told[0].found
    assert rule in told[0].rule
    assert told[0].mend


def test_later_levels_stay_out_of_sight_and_their_occasions_do_not(read):
    options = {"covariates": ["WT"], "occasions": (), "purpose": "forecast"}
    one = read(OCC, **options, condition_until=10)[0]
    assert len(one.levels) == 1
    np.testing.assert_array_equal(one.occasion, [0, 1, 2])


@pytest.mark.parametrize("hours", [(24, 24), (48, 24), (0,), (-1, 3), (float("inf"),)])
@pytest.mark.parametrize("name", ["occasions", "elapsed"])
def test_hours_must_increase_from_above_0(problems, hours, name):
    told = problems(RULE, **{name: hours})
    assert told[0].where == f"argument {name}"


@pytest.mark.parametrize("text", [OCC.replace("1,30,", "1,.,"), RULE.replace("1,30,", "1,x,")])
def test_a_bad_time_is_still_the_only_problem(problems, text):
    told = problems(text, covariates=["WT"], occasions=(24,), elapsed=(6,), purpose="forecast")
    assert [problem.where.rpartition(" ")[2] for problem in told] == ["TIME"]


def test_records_that_cannot_be_read_as_occasions_are_all_named(problems):
    empty = OCC.replace(",1\n", ",.\n").replace(",2\n", ",.\n").replace(",5\n", ",.\n")
    told = problems(empty, covariates=["WT"], occasions=(), purpose="forecast")
    assert len(told) == 6
    assert all("OCC is missing" in problem.found for problem in told)
