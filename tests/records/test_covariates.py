import numpy as np
import pytest

TEXT = """
    ID,TIME,AMT,DV,WT,SEX,RACE,STUDY,NOTE,SITE,EMPTY,OCC
    1,0,10,.,70,0,1,1,a,3,.,1
    1,1,.,5,70,0,1,1,a,3,.,1
    2,0,10,.,80.5,1,2,1,b,4,.,1
    2,1,.,5,80.5,1,2,1,b,4,.,1
    3,0,10,.,60,1,3,1,b,5,.,1
    3,1,.,5,60,1,3,1,b,5,.,1
"""


def test_numeric_columns_that_vary_are_covariates(read):
    cohort = read(TEXT)
    assert cohort.covariate_names == ("WT", "SEX", "RACE", "SITE")
    assert cohort.covariate_kinds == ("continuous", "binary", "categorical", "categorical")
    told = " ".join(cohort.notices)
    assert "Covariates: WT, SEX, RACE, SITE." in told
    assert "hold no numbers: NOTE, EMPTY" in told
    assert "constant: STUDY" in told


def test_a_forecast_takes_constant_columns_too(read):
    assert read(TEXT, purpose="forecast").covariate_names == ("WT", "SEX", "RACE", "STUDY", "SITE")


def test_asked_covariates_keep_their_order_and_case_does_not_matter(read):
    cohort = read(TEXT, covariates=["sex", "WT"])
    assert cohort.covariate_names == ("SEX", "WT")
    np.testing.assert_array_equal(cohort[1].covariates, [[1, 80.5]])
    assert read(TEXT, covariates=()).covariate_names == ()


def test_two_weights_are_no_sex(read):
    cohort = read("ID,TIME,AMT,DV,WT\n1,0,10,.,70\n1,1,.,5,70\n2,0,10,.,80\n2,1,.,5,80\n")
    assert cohort.covariate_kinds == ("continuous",)


def test_units_are_applied(read):
    text = """
        ID,TIME,AMT,DV,WT,SCR
        1,0,10,.,154,88.4
        1,1,.,5,154,88.4
        2,0,10,.,176,176.8
        2,1,.,5,176,176.8
    """
    cohort = read(text, units="WT=lb,SCR=umol/L")
    np.testing.assert_allclose(cohort[0].covariates, [[154 * 0.45359237, 1.0]])


@pytest.mark.parametrize(
    ("units", "warned"), [("SCR=umol/L", False), ("SCR=mg/dL", True), ("", True)]
)
def test_a_wrong_unit_is_warned_of(read, units, warned):
    text = "ID,TIME,AMT,DV,SCR\n1,0,10,.,80\n1,1,.,5,90\n2,0,10,.,70\n2,1,.,5,100\n"
    told = [n for n in read(text, units=units).notices if n.startswith("Warning")]
    assert bool(told) == warned
    if warned:
        assert "100% of SCR lie outside 0.1-15 mg/dL" in told[0]


@pytest.mark.parametrize(
    ("asked", "where", "found"),
    [
        (["WT", "CRCL"], "column CRCL", "it is missing"),
        (["STUDY"], "column STUDY", "it is 1 everywhere"),
        (["EMPTY"], "column EMPTY", "it is empty"),
        (["DV"], "covariate DV", "reserved"),
    ],
)
def test_a_covariate_that_cannot_be_is_named(problems, asked, where, found):
    told = problems(TEXT, covariates=asked)
    assert told[0].where == where
    assert found in told[0].found


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("-70", "WT is '-70'"),
        ("0", "WT is '0'"),
        ("inf", "not finite"),
        ("heavy", "'heavy' is no number"),
    ],
)
def test_a_bad_weight_is_named(problems, value, found):
    told = problems(TEXT.replace("80.5", value, 1))
    assert [p.where for p in told] == ["subject 2, record 1 (line 4), column WT"]
    assert found in told[0].found


@pytest.mark.parametrize(("value", "fine"), [("0", True), ("-1", False)])
def test_an_age_may_be_zero(read, problems, value, fine):
    text = f"ID,TIME,AMT,DV,AGE\n1,0,10,.,30\n1,1,.,5,30\n2,0,10,.,{value}\n2,1,.,5,{value}\n"
    if fine:
        assert read(text)[1].covariates[0, 0] == 0
    else:
        assert len(problems(text)) == 2


def test_an_infinite_covariate_is_no_warning_but_a_problem(problems):
    text = "ID,TIME,AMT,DV,X\n1,0,10,.,inf\n1,1,.,5,inf\n2,0,10,.,inf\n2,1,.,5,inf\n"
    assert any("not finite" in problem.found for problem in problems(text, covariates=["X"]))


def test_other_covariates_may_be_negative(read):
    cohort = read("ID,TIME,AMT,DV,LOGP\n1,0,10,.,-1.5\n1,1,.,5,-1.5\n2,0,10,.,2\n2,1,.,5,2\n")
    assert cohort[0].covariates[0, 0] == -1.5
