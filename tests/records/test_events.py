import numpy as np
import pytest


def test_every_kind_of_record_finds_its_place(read):
    cohort = read("""
        ID,TIME,EVID,MDV,AMT,DV
        1,0,1,1,10,.
        1,1,0,0,.,5
        1,2,0,1,.,-7
        1,3,2,1,.,text
        1,4,3,1,.,.
        1,5,4,1,20,.
        1,6,0,0,.,6
        2,0,1,1,10,.
        2,1,0,0,.,5
    """)
    subject = cohort[0]
    np.testing.assert_array_equal(subject.doses.amount, [10, 20])
    np.testing.assert_array_equal(subject.levels.value, [5, 6])
    np.testing.assert_array_equal(subject.levels.row, [1, 6])
    np.testing.assert_array_equal(subject.outputs.row, [1, 2, 3, 6])
    np.testing.assert_array_equal(subject.outputs.is_level, [True, False, False, True])
    assert list(subject.outputs.dv_text) == ["5", "-7", "text", "6"]
    np.testing.assert_array_equal(subject.outputs.dv, [5, -7, np.nan, 6])


def test_missing_evid_and_mdv_are_derived_cell_by_cell(read):
    given = read("""
        ID,TIME,EVID,MDV,AMT,DV
        1,0,1,1,10,.
        1,1,0,0,.,5
        1,2,0,1,.,.
        2,0,1,1,10,.
        2,1,0,0,0,5
    """)
    derived = read("""
        ID,TIME,EVID,MDV,AMT,DV
        1,0,.,.,10,.
        1,1,.,.,.,5
        1,2,.,.,.,.
        2,0,1,.,10,.
        2,1,.,0,0,5
    """)
    for a, b in zip(given, derived, strict=True):
        np.testing.assert_array_equal(a.doses.amount, b.doses.amount)
        np.testing.assert_array_equal(a.levels.row, b.levels.row)
        np.testing.assert_array_equal(a.outputs.row, b.outputs.row)
    assert {"A missing EVID is 1 where AMT is above 0, else 0."} <= set(derived.notices)
    assert not any("missing EVID" in notice for notice in given.notices)


def test_an_endless_infusion_without_evid_is_a_dose(read):
    cohort = read("""
        ID,TIME,AMT,RATE,SS,II,DV
        1,0,0,50,1,0,.
        1,1,0,0,0,0,5
        2,0,10,0,0,0,.
        2,1,0,0,0,0,5
    """)
    np.testing.assert_array_equal(cohort[0].doses.steady, [3])
    np.testing.assert_array_equal(cohort[0].doses.rate, [50])


def test_a_censored_level_needs_no_dv(read):
    cohort = read("""
        ID,TIME,AMT,DV,CENS,LLOQ
        1,0,10,.,0,.
        1,1,.,.,1,0.5
        1,2,.,3,0,0.5
        2,0,10,.,0,.
        2,1,.,5,0,0.5
    """)
    np.testing.assert_array_equal(cohort[0].levels.censored, [True, False])
    np.testing.assert_array_equal(cohort[0].levels.value, [0.5, 3])


@pytest.mark.parametrize(
    ("row", "column", "found"),
    [
        ("1,1,5,0,.,5", "EVID", "EVID is '5'"),
        ("1,1,-1,0,.,5", "EVID", "EVID is '-1'"),
        ("1,1,0,2,.,5", "MDV", "MDV is '2'"),
        ("1,1,0,0,.,.", "DV", "DV is missing on a level"),
        ("1,1,0,0,7,5", "AMT", "AMT '7' on a record with EVID 0"),
        ("1,1,2,1,7,.", "AMT", "AMT '7' on a record with EVID 2"),
    ],
)
def test_a_contradiction_is_named(problems, row, column, found):
    told = problems(
        f"ID,TIME,EVID,MDV,AMT,DV\n1,0,1,1,10,.\n{row}\n1,2,0,0,.,3\n2,0,1,1,10,.\n2,1,0,0,.,5\n"
    )
    assert [p.where for p in told] == [f"subject 1, record 2 (line 3), column {column}"]
    assert told[0].found.startswith(found)
