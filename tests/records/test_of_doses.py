"""Covariates of doses are read on the records of doses alone."""

import numpy as np
import pytest

ROWS = """
    ID,TIME,EVID,AMT,ADDL,II,DV,FED,WT
    1,0,0,0,0,0,1,1,70
    1,1,1,100,1,12,.,0,.
    1,2,0,0,0,0,1,1,.
    1,3,1,100,0,0,.,1,.
    1,3,0,0,0,0,1,0,80
    1,9,1,100,0,0,.,0,.
    2,0,2,0,0,0,.,1,60
"""
ASKED = {"covariates": ["WT"], "dose_covariates": ["FED"], "purpose": "dose"}


@pytest.mark.parametrize("interpolation", ["locf", "nocb", "linear"])
def test_a_dose_has_what_its_own_record_says_whatever_others_do(read, interpolation):
    cohort = read(ROWS, interpolation=interpolation, **ASKED)
    one = cohort[0]
    np.testing.assert_array_equal(one.doses.time, [1, 3, 9, 13])  # the last one made by ADDL
    np.testing.assert_array_equal(one.doses.state[:, 0], [0, 1, 0, 0])
    assert cohort.dose_covariates == ("FED",)
    assert cohort.dose_kinds == ("binary",)
    assert cohort.covariate_names == ("WT",)
    assert 9.0 not in one.covariate_time  # meals cut nothing
    assert cohort[1].doses.state.shape == (0, 1)


def test_without_being_asked_the_others_are_covariates(read):
    cohort = read(ROWS, dose_covariates=["fed"], purpose="dose")
    assert cohort.covariate_names == ("WT",)
    assert read(ROWS, purpose="dose")[0].doses.state.shape == (4, 0)


def test_a_dose_later_than_what_is_known_still_says_it(read):
    one = read(ROWS, condition_until=2.0, **ASKED)[0]
    assert one.doses.state[1, 0] == 1
    assert (one.covariates[:, 0] == 70).all()


def test_doses_of_one_time_may_differ(read):
    text = ROWS.replace("1,3,0,0,0,0,1,0,80", "1,3,1,50,0,0,.,0,80")
    np.testing.assert_array_equal(read(text, **ASKED)[0].doses.state[1:3, 0], [1, 0])


def test_all_that_is_wrong_is_told_at_once(problems):
    text = ROWS.replace("1,3,1,100,0,0,.,1,.", "1,3,1,100,0,0,.,.,.")
    asked = {"covariates": ["WT"], "dose_covariates": ["FED", "WT", "MEAL", "AMT"]}
    found = [str(problem) for problem in problems(text, purpose="dose", **asked)]
    assert any("record 4 " in one and "FED is missing" in one for one in found)
    assert any("WT" in one and "of the patient, too" in one for one in found)
    assert any("MEAL" in one and "the column is missing" in one for one in found)
    assert any("AMT" in one and "reserved" in one for one in found)


def test_one_that_never_varies_teaches_nothing(problems):
    text = ROWS.replace("1,3,1,100,0,0,.,1,.", "1,3,1,100,0,0,.,0,.").replace(",.,1,60", ",5,1,60")
    found = problems(text, covariates=["WT"], dose_covariates=["FED"], purpose="fit")
    assert any("FED" in str(one) and "0 everywhere" in str(one) for one in found)


MEALS = """
    ID,TIME,EVID,AMT,DV,FED,WT,TROUGH
    1,0,1,100,.,0,70,1
    1,2,0,0,1,0,70,1
    1,12,1,100,.,1,71,2
    1,14,0,0,1,{},71,3
    2,0,1,100,.,1,60,4
    2,3,0,0,2,1,60,4
"""


@pytest.mark.parametrize(("after", "proposed"), [("1", True), (".", True), ("0", False)])
def test_a_column_that_changes_with_doses_alone_is_proposed(read, after, proposed):
    notices = read(MEALS.format(after), purpose="fit").notices
    told = [notice for notice in notices if "--dose-covariates" in notice]
    assert len(told) == proposed  # a weight never is, nor what changes between doses
    if proposed:
        assert told[0].startswith("FED changes")
        assert not any(
            "--dose-covariates" in n
            for n in read(MEALS.format(after)[:], purpose="forecast").notices
        )


def test_other_records_may_say_anything(read):
    text = ROWS.replace("1,3,0,0,0,0,1,0,80", "1,3,0,0,0,0,1,fasted,80")
    np.testing.assert_array_equal(read(text, **ASKED)[0].doses.state[:, 0], [0, 1, 0, 0])
