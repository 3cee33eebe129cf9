import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentpk.records import read_nonmem

TEXT = """
    ID,TIME,AMT,DV,WT,SEX
    1,0,10,.,10,0
    1,2,.,5,.,0
    1,4,.,5,30,0
    1,4,.,6,40,1
    1,8,.,5,20,1
    2,0,10,.,50,1
    2,1,.,5,50,1
"""


@pytest.mark.parametrize(
    ("rule", "time", "weight"),
    [
        ("locf", [0, 4, 8], [10, 40, 20]),
        ("nocb", [0, 4], [30, 20]),
        ("linear", [0, 2, 4, 8], [15, 25, 30, 20]),
    ],
)
def test_pieces_of_a_weight(read, rule, time, weight):
    cohort = read(TEXT, covariates=["WT"], interpolation=rule)
    np.testing.assert_array_equal(cohort[0].covariate_time, time)
    np.testing.assert_array_equal(cohort[0].covariates[:, 0], weight)
    np.testing.assert_array_equal(cohort[1].covariates, [[50]])
    assert cohort.interpolation == rule
    told = " ".join(cohort.notices)
    assert f"between records: {rule}" in told
    assert "Missing values of WT are filled" in told


def test_codes_are_never_averaged(read):
    cohort = read(TEXT, covariates=["SEX"], interpolation="linear")
    np.testing.assert_array_equal(cohort[0].covariate_time, [0, 4])
    np.testing.assert_array_equal(cohort[0].covariates[:, 0], [0, 1])


@pytest.mark.parametrize("rule", ["locf", "nocb", "linear"])
def test_missing_ends_take_the_nearest_value(read, rule):
    text = "ID,TIME,AMT,DV,WT\n1,0,10,.,.\n1,1,.,5,70\n1,2,.,5,.\n2,0,10,.,50\n2,1,.,5,50\n"
    np.testing.assert_array_equal(read(text, interpolation=rule)[0].covariates, [[70]])


@pytest.mark.parametrize("rule", ["locf", "nocb", "linear"])
@pytest.mark.parametrize(("until", "last"), [(0.0, 10), (4.0, 40), (8.0, 20)])
def test_nothing_later_than_the_limit_is_looked_at(read, rule, until, last):
    cohort = read(TEXT, covariates=["WT"], interpolation=rule, condition_until=until)
    assert cohort[0].covariates[-1, 0] == last
    changed = TEXT.replace("1,8,.,5,20,1", "1,8,.,5,99,1")
    if until < 8:
        other = read(changed, covariates=["WT"], interpolation=rule, condition_until=until)
        np.testing.assert_array_equal(cohort[0].covariates, other[0].covariates)


HOLE = "ID,TIME,AMT,DV,WT,SEX\n" + "".join(
    f"{i},0,10,.,{w},{s}\n{i},1,.,5,{w},{s}\n"
    for i, w, s in [(1, 60, 0), (2, 70, 1), (3, 90, 1), (4, ".", "."), (5, 100, 0)]
)


def test_a_subject_without_a_covariate_is_a_problem(problems):
    told = problems(HOLE)
    assert [p.where for p in told] == [
        "subject 4, record 1 (line 8), column WT",
        "subject 4, record 1 (line 8), column SEX",
    ]
    assert "median" in told[0].mend


def test_the_median_of_the_others_is_imputed(read):
    cohort = read(HOLE, impute="median")
    np.testing.assert_array_equal(cohort[3].covariates, [[80, 0]])
    assert any("WT of 1 subjects is imputed as 80" in notice for notice in cohort.notices)


def test_stored_medians_come_first(read):
    cohort = read(HOLE, impute="median", medians={"WT": 75.0})
    np.testing.assert_array_equal(cohort[3].covariates, [[75, 0]])


def test_a_lone_patient_is_imputed_from_stored_medians_only(read, problems):
    text = "ID,TIME,AMT,DV,WT\n1,0,10,.,.\n1,1,.,5,.\n"
    options = {"covariates": ["WT"], "purpose": "forecast", "impute": "median"}
    assert read(text, medians={"WT": 75.0}, **options)[0].covariates[0, 0] == 75
    assert problems(text, **options)[0].where == "subject 1, record 1 (line 2), column WT"


@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.none() | st.integers(1, 9)), min_size=1, max_size=8
    ).filter(lambda rows: any(value is not None for _, value in rows)),
    st.sampled_from(["locf", "nocb", "linear"]),
)
def test_pieces_stay_between_what_was_recorded(rows, rule):
    rows = sorted(rows, key=lambda row: row[0])
    frame = pl.DataFrame(
        {
            "ID": ["x", *["1"] * len(rows), "z"],
            "TIME": [0, *(time for time, _ in rows), 0],
            "AMT": 10,
            "DV": None,
            "WT": [1000.0, *(value for _, value in rows), 2000.0],
        },
        strict=False,
    )
    subject = read_nonmem(frame, interpolation=rule, purpose="forecast")[1]
    known = [value for _, value in rows if value is not None]
    assert (np.diff(subject.covariate_time) > 0).all()
    assert subject.covariate_time[0] == rows[0][0]
    assert min(known) <= subject.covariates.min() <= subject.covariates.max() <= max(known)
    if rule == "locf":
        assert subject.covariates[-1, 0] == known[-1]
