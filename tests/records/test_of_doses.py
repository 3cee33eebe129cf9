"""Covariates of doses are read on the records of doses alone."""

import numpy as np
import pytest

ROWS = """
    ID,TIME,EVID,AMT,DV,FED,WT
    1,0,0,0,1,1,70
    1,1,1,100,.,0,.
    1,2,0,0,1,1,.
    1,3,1,100,.,1,.
    1,3,0,0,1,0,80
    1,9,1,100,.,0,.
    2,0,2,0,.,1,60
"""
ASKED = {"covariates": ["FED", "WT"], "dose_covariates": ["FED"], "purpose": "dose"}


@pytest.mark.parametrize("interpolation", ["locf", "nocb", "linear"])
def test_a_value_holds_from_its_dose_to_the_next_whatever_other_records_say(read, interpolation):
    cohort = read(ROWS, interpolation=interpolation, **ASKED)
    one = cohort[0]
    at = np.searchsorted(one.covariate_time, one.doses.time, side="right") - 1
    np.testing.assert_array_equal(one.covariates[at, 0], [0, 1, 0])
    assert cohort.dose_covariates == ("FED",)
    assert (cohort[1].covariates[:, 0] == 0).all()  # without a dose nothing reads it


def test_a_dose_later_than_what_is_known_still_says_it(read):
    one = read(ROWS, condition_until=2.0, **ASKED)[0]
    assert one.covariates[np.searchsorted(one.covariate_time, 3.0, side="right") - 1, 0] == 1
    assert (one.covariates[:, 1] == 70).all()


def test_a_dose_without_it_and_two_of_one_time_are_blamed(problems):
    text = ROWS.replace("1,1,1,100,.,0,.", "1,1,1,100,.,.,.").replace(
        "1,3,0,0,1,0,80", "1,3,1,50,.,0,80"
    )
    found = [str(problem) for problem in problems(text, **ASKED)]
    assert any("record 2 " in one and "FED is missing" in one for one in found)
    assert any("record 5 " in one and "one time" in one for one in found)


def test_it_must_be_a_covariate(problems):
    (found,) = problems(ROWS, covariates=["WT"], dose_covariates=["FED"], purpose="dose")
    assert "FED" in str(found)
