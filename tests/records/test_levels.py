import numpy as np
import pytest

HEAD = "ID,TIME,EVID,AMT,DV,LLOQ,CENS,BLQ\n"
DOSE = "1,0,1,10,.,.,.,.\n"
SECOND = "2,0,1,10,.,.,.,.\n2,1,0,.,5,.,.,.\n"


def _levels(read, *rows, **options):
    return read(HEAD + DOSE + "\n".join(rows) + "\n" + SECOND, **options)[0].levels


@pytest.mark.parametrize(
    ("row", "value", "lloq", "censored"),
    [
        ("1,1,0,.,5,.,.,.", 5, np.nan, False),
        ("1,1,0,.,5,2,0,0", 5, 2, False),
        ("1,1,0,.,1,2,.,.", 2, 2, True),
        ("1,1,0,.,0,2,.,.", 2, 2, True),
        ("1,1,0,.,2,2,.,.", 2, 2, False),
        ("1,1,0,.,2,2,1,.", 2, 2, True),
        ("1,1,0,.,2,.,1,.", 2, 2, True),
        ("1,1,0,.,2,.,.,1", 2, 2, True),
        ("1,1,0,.,<2,2,1,.", 2, 2, True),
        ("1,1,0,.,-99,2,1,.", 2, 2, True),
    ],
)
def test_a_limit_censors_what_is_below_it(read, row, value, lloq, censored):
    levels = _levels(read, row)
    np.testing.assert_array_equal(levels.value, [value])
    np.testing.assert_array_equal(levels.lloq, [lloq])
    np.testing.assert_array_equal(levels.censored, [censored])


def test_m1_drops_what_m3_keeps(read):
    rows = ("1,1,0,.,5,2,.,.", "1,2,0,.,1,2,.,.")
    dropped = _levels(read, *rows, blq="M1")
    np.testing.assert_array_equal(dropped.value, [5])
    np.testing.assert_array_equal(_levels(read, *rows, blq="M3").value, [5, 2])
    cohort = read(HEAD + DOSE + "\n".join(rows) + "\n" + SECOND, blq="M1")
    np.testing.assert_array_equal(cohort[0].outputs.is_level, [True, True])
    assert any("1 levels are below" in n and "dropped (M1)" in n for n in cohort.notices)


def test_value_and_limit_are_in_internal_units_and_dv_as_written(read):
    cohort = read(HEAD + DOSE + "1,1,0,.,5000,2000,.,.\n" + SECOND, units="DV=ng/mL")
    np.testing.assert_allclose(cohort[0].levels.value, [5])
    np.testing.assert_allclose(cohort[0].levels.lloq, [2])
    np.testing.assert_array_equal(cohort[0].outputs.dv, [5000])


def test_dv_and_limit_may_have_different_units(read):
    text = HEAD + DOSE + "1,1,0,.,5000,2,.,.\n1,2,0,.,1000,2,.,.\n" + SECOND
    levels = read(text, units="DV=ng/mL,LLOQ=mg/L")[0].levels
    np.testing.assert_allclose(levels.value, [5, 2])
    np.testing.assert_array_equal(levels.censored, [False, True])


def test_levels_of_several_compartments_are_warned_of(read):
    text = "ID,TIME,AMT,DV,CMT\n1,0,10,.,1\n1,1,.,5,2\n1,1,.,6,3\n2,0,10,.,1\n2,1,.,5,2\n"
    assert any("levels of CMT 2, 3 are read as one" in notice for notice in read(text).notices)


def test_a_zero_without_a_limit_stays_a_level_and_is_told(read):
    cohort = read(HEAD + DOSE + "1,1,0,.,0,.,.,.\n" + SECOND)
    np.testing.assert_array_equal(cohort[0].levels.value, [0])
    assert any("1 levels are 0 without a limit" in notice for notice in cohort.notices)


def test_an_infinite_level_cannot_be_dropped(problems):
    text = HEAD + DOSE + "1,1,0,.,-inf,.,.,.\n1,2,0,.,3,.,.,.\n" + SECOND
    assert "not finite" in problems(text, negative="drop")[0].found


def test_negative_levels_can_be_dropped_on_request(read):
    cohort = read(HEAD + DOSE + "1,1,0,.,-2,.,.,.\n1,2,0,.,3,.,.,.\n" + SECOND, negative="drop")
    np.testing.assert_array_equal(cohort[0].levels.value, [3])
    assert list(cohort[0].outputs.dv_text) == ["-2", "3"]
    assert any("1 negative levels" in notice for notice in cohort.notices)


@pytest.mark.parametrize(
    ("row", "column", "found"),
    [
        ("1,1,0,.,-2,.,.,.", "DV", "DV is '-2'"),
        ("1,1,0,.,<2,.,.,.", "DV", "'<2' is no number"),
        ("1,1,0,.,inf,.,.,.", "DV", "not finite"),
        ("1,1,0,.,NaN,.,.,.", "DV", "not finite"),
        ("1,1,0,.,5,0,.,.", "LLOQ", "LLOQ is '0'"),
        ("1,1,0,.,5,low,.,.", "LLOQ", "no number"),
        ("1,1,0,.,0,.,1,.", "DV", "has no limit"),
        ("1,1,0,.,5,2,-1,.", "CENS", "CENS is '-1'"),
        ("1,1,0,.,5,2,.,yes", "BLQ", "no number"),
    ],
)
def test_a_bad_level_is_named(problems, row, column, found):
    told = problems(HEAD + DOSE + row + "\n1,2,0,.,3,.,.,.\n" + SECOND)
    assert [p.where for p in told] == [f"subject 1, record 2 (line 3), column {column}"]
    assert found in told[0].found


@pytest.mark.parametrize(
    ("ties", "order"), [("file", [0, 2]), ("pre", [-np.inf] * 2), ("post", [np.inf] * 2)]
)
def test_ties_set_the_order_of_every_answered_row(read, ties, order):
    cohort = read(
        "ID,TIME,EVID,AMT,DV\n1,0,0,.,1\n1,0,1,10,.\n1,0,2,.,.\n2,0,1,10,.\n2,1,0,.,5\n", ties=ties
    )
    np.testing.assert_array_equal(cohort[0].outputs.order, order)
    np.testing.assert_array_equal(cohort[0].levels.order, order[:1])
    np.testing.assert_array_equal(cohort[0].doses.order, [1])
    assert any(notice.startswith("Equal times: ") for notice in cohort.notices)


def test_later_levels_are_answered_but_not_conditioned_on(read):
    text = (
        "ID,TIME,EVID,AMT,DV\n1,0,1,10,.\n1,2,0,.,5\n1,4,0,.,4\n1,6,0,.,3\n2,0,1,10,.\n2,1,0,.,5\n"
    )
    cohort = read(text, condition_until=4.0)
    np.testing.assert_array_equal(cohort[0].levels.time, [2, 4])
    np.testing.assert_array_equal(cohort[0].outputs.time, [2, 4, 6])
    np.testing.assert_array_equal(cohort[0].outputs.is_level, [True, True, True])
    assert any("1 levels later than 4 h" in notice for notice in cohort.notices)


def test_one_dvid_is_read(read):
    text = """
        ID,TIME,EVID,AMT,DV,DVID,CMT
        1,0,1,10,.,0,1
        1,1,0,.,5,1,2
        1,1,0,.,90,2,3
        1,2,2,.,.,1,2
        1,2,2,.,.,2,3
        1,3,2,.,.,.,2
        2,0,1,10,.,0,1
        2,1,0,.,5,1,2
        2,1,0,.,80,2,3
    """
    first, second = read(text), read(text, dvid=2)
    assert (first.dvid, second.dvid) == (1.0, 2.0)
    np.testing.assert_array_equal(first[0].levels.value, [5])
    np.testing.assert_array_equal(second[0].levels.value, [90])
    np.testing.assert_array_equal(first[0].outputs.row, [1, 3, 5])
    np.testing.assert_array_equal(first[0].outputs.cmt, [2, 2, 2])
    assert any("DVID 1 is taken; levels with DVID 2" in notice for notice in first.notices)


def test_an_unknown_dvid_is_a_problem(problems):
    told = problems("ID,TIME,AMT,DV,DVID\n1,0,10,.,1\n1,1,.,5,1\n2,0,10,.,1\n2,1,.,5,1\n", dvid=3)
    assert ("column DVID", "no level has DVID 3") in [(p.where, p.found) for p in told]


def test_an_exact_copy_of_a_level_is_a_problem(problems):
    told = problems(
        "ID,TIME,AMT,DV,WT\n1,0,10,.,70\n1,1,.,5,70\n1,1,.,5,70\n2,0,10,.,60\n2,1,.,5,60\n"
    )
    assert [p.where for p in told] == ["subject 1, record 3 (line 4), column DV"]
    assert "exact copy" in told[0].found


def test_replicates_and_equal_levels_of_two_subjects_are_none(read):
    cohort = read(
        "ID,TIME,AMT,DV,WT\n1,0,10,.,70\n1,1,.,5,70\n1,1,.,6,70\n1,1,.,5,71\n2,0,10,.,60\n2,1,.,5,70\n"
    )
    np.testing.assert_array_equal(cohort[0].levels.value, [5, 6, 5])
    assert any("1 levels repeat TIME and DV" in notice for notice in cohort.notices)
