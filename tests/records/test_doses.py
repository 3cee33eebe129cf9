import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentpk.records import doses as doses_room
from latentpk.records import read_nonmem
from latentpk.records.subject import DoseTable

FIELDS = list(DoseTable.__dataclass_fields__)
TAIL = "1,99,0,.,0,0,0,0,0,0,5\n2,0,1,.,10,0,0,0,0,0,.\n2,1,0,.,0,0,0,0,0,0,5\n"
HEAD = "ID,TIME,EVID,CMT,AMT,RATE,DUR,ADDL,II,SS,DV\n"


def _doses(read, *rows):
    return read(HEAD + "\n".join(rows) + "\n" + TAIL)[0].doses


@pytest.mark.parametrize(
    ("row", "duration", "rate"),
    [
        ("1,0,1,.,100,0,0,0,0,0,.", 0, 0),
        ("1,0,1,.,100,50,0,0,0,0,.", 2, 50),
        ("1,0,1,.,100,0,4,0,0,0,.", 4, 0),
        ("1,0,1,.,100,-2,4,0,0,0,.", 4, 0),
        ("1,0,1,.,100,50,2,0,0,0,.", 2, 50),
    ],
)
def test_rate_and_duration_of_an_infusion(read, row, duration, rate):
    doses = _doses(read, row)
    np.testing.assert_array_equal(doses.duration, [duration])
    np.testing.assert_array_equal(doses.rate, [rate])


def test_units_reach_rate_and_duration(read):
    text = HEAD + "1,0,1,.,100,50,0,0,0,0,.\n" + TAIL
    doses = read(text, units="TIME=min,AMT=g")[0].doses
    np.testing.assert_allclose(doses.duration, [2 / 60])
    np.testing.assert_allclose(doses.amount, [100e3])


def test_addl_becomes_single_doses_and_ss_stays_with_the_first(read):
    doses = _doses(read, "1,0,1,.,100,0,0,3,12,1,.", "1,20,1,.,50,0,0,0,0,0,.")
    np.testing.assert_array_equal(doses.time, [0, 12, 20, 24, 36])
    np.testing.assert_array_equal(doses.amount, [100, 100, 50, 100, 100])
    np.testing.assert_array_equal(doses.order, [0, 0, 1, 0, 0])
    np.testing.assert_array_equal(doses.steady, [1, 0, 0, 0, 0])


def test_a_constant_infusion_at_steady_state(read):
    doses = _doses(read, "1,0,1,.,0,50,0,0,0,1,.")
    assert (doses.steady[0], doses.rate[0], doses.amount[0], doses.duration[0]) == (3, 50, 0, 0)


@pytest.mark.parametrize(
    "cancel",
    [
        "1,20,3,.,0,0,0,0,0,0,.",
        "1,20,1,.,7,0,0,0,12,1,.",
        "1,20,1,.,0,5,0,0,0,1,.",
        "1,20,4,.,7,0,0,0,0,0,.",
    ],
)
def test_reset_and_steady_state_cancel_what_came_before(read, cancel):
    doses = _doses(read, "1,0,1,.,100,0,0,3,12,0,.", cancel, "1,30,1,.,9,0,0,0,0,0,.")
    before = doses.order == 0
    np.testing.assert_array_equal(doses.time[before], [0, 12])  # 24 and 36 never come
    np.testing.assert_array_equal(doses.until[before], [20, 20])
    np.testing.assert_array_equal(doses.until_order[before], [1, 1])
    assert np.isinf(doses.until[~before]).all()
    assert np.isinf(doses.until_order[~before]).all()


def test_ss_2_cancels_nothing(read):
    doses = _doses(read, "1,0,1,.,100,0,0,0,0,0,.", "1,20,1,.,7,0,0,0,12,2,.")
    np.testing.assert_array_equal(doses.until, [np.inf, np.inf])
    np.testing.assert_array_equal(doses.steady, [0, 2])


def test_a_reset_stays_within_its_subject(read):
    cohort = read(
        HEAD + "0,0,1,.,5,0,0,0,0,0,.\n0,1,0,.,0,0,0,0,0,0,3\n1,0,4,.,10,0,0,0,0,0,.\n" + TAIL
    )
    assert np.isinf(cohort[0].doses.until).all()


def test_repeated_doses_are_doses(read):
    text = HEAD + "1,0,1,.,100,0,0,0,0,0,.\n1,0,1,.,100,0,0,0,0,0,.\n" + TAIL
    cohort = read(text)
    np.testing.assert_array_equal(cohort[0].doses.amount, [100, 100])
    assert any("1 dose records repeat" in notice for notice in cohort.notices)


@pytest.mark.parametrize(
    ("row", "column", "found"),
    [
        ("1,0,1,.,-100,0,0,0,0,0,.", "AMT", "AMT is '-100'"),
        ("1,0,1,.,inf,0,0,0,0,0,.", "AMT", "not finite"),
        ("1,0,1,.,nan,0,0,0,0,0,.", "AMT", "not finite"),
        ("1,0,1,.,1e999,0,0,0,0,0,.", "AMT", "no"),
        ("1,0,1,.,10mg,0,0,0,0,0,.", "AMT", "'10mg' is no number"),
        ("1,0,1,.,.,0,0,0,0,0,.", "AMT", "AMT is missing"),
        ("1,0,1,.,100,-1,0,0,0,0,.", "RATE", "to be modeled"),
        ("1,0,1,.,100,-2,0,0,0,0,.", "RATE", "without DUR"),
        ("1,0,1,.,100,-3,0,0,0,0,.", "RATE", "RATE is '-3'"),
        ("1,0,1,.,100,fast,0,0,0,0,.", "RATE", "no number"),
        ("1,0,1,.,100,0,-4,0,0,0,.", "DUR", "DUR is '-4'"),
        ("1,0,1,.,100,50,3,0,0,0,.", "DUR", "AMT/RATE is 2 h"),
        ("1,0,1,.,100,0,0,3,0,0,.", "ADDL", "'3' without II"),
        ("1,0,1,.,100,0,0,3,.,0,.", "ADDL", "'3' without II"),
        ("1,0,1,.,100,0,0,-3,12,0,.", "ADDL", "ADDL is '-3'"),
        ("1,0,1,.,100,0,0,2.5,12,0,.", "ADDL", "ADDL is '2.5'"),
        ("1,0,1,.,100,0,0,99999,12,0,.", "ADDL", "ADDL is '99999'"),
        ("1,0,1,.,100,0,0,0,-12,0,.", "II", "II is '-12'"),
        ("1,0,1,.,100,0,0,0,0,1,.", "SS", "with II 0"),
        ("1,0,1,.,100,0,0,0,12,3,.", "SS", "SS is '3'"),
        ("1,0,1,.,0,50,0,0,12,1,.", "SS", "constant infusion"),
        ("1,0,1,.,100,5,0,0,12,1,.", "II", "20 h is repeated every 12 h"),
        ("1,0,1,.,100,0,13,2,12,0,.", "II", "13 h is repeated every 12 h"),
    ],
)
def test_a_bad_dose_is_named(problems, row, column, found):
    told = problems(HEAD + row + "\n" + TAIL)
    assert [p.where for p in told] == [f"subject 1, record 1 (line 2), column {column}"]
    assert found in told[0].found
    assert told[0].rule
    assert told[0].mend


def test_an_infusion_as_long_as_its_interval_is_legal(read):
    doses = _doses(read, "1,0,1,.,120,10,0,2,12,0,.")
    np.testing.assert_array_equal(doses.duration, [12, 12, 12])


def test_the_number_of_doses_is_bounded(problems, monkeypatch):
    monkeypatch.setattr(doses_room, "MAX_DOSES", 100)
    told = problems(HEAD + "1,0,1,.,100,0,0,100,12,0,.\n" + TAIL)
    assert [p.where for p in told] == ["column ADDL"]


@given(
    start=st.lists(st.integers(0, 40), min_size=1, max_size=4).map(sorted),
    addl=st.integers(0, 5),
    interval=st.integers(1, 30),
    duration=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_addl_equals_explicit_rows(start, addl, interval, duration):
    columns = ("TIME", "AMT", "DUR", "ADDL", "II", "DV")
    short = [
        (float(t), 10.0 + i, duration, addl, float(interval), None) for i, t in enumerate(start)
    ]
    explicit = [
        (t + k * interval, amount, duration, 0, 0.0, None)
        for t, amount, *_ in short
        for k in range(addl + 1)
    ]
    level = (500.0, None, None, 0, 0.0, 3.0)
    cohorts = [
        read_nonmem(
            pl.DataFrame(
                [(1, *row) for row in (*sorted(rows), level)], schema=("ID", *columns), orient="row"
            ),
            purpose="forecast",
        )
        for rows in (short, explicit)
    ]
    made, written = (cohort[0].doses for cohort in cohorts)
    for field in FIELDS:
        if field not in ("order", "interval"):
            a, b = getattr(made, field), getattr(written, field)
            by_a, by_b = (np.lexsort((d.amount, d.time)) for d in (made, written))
            np.testing.assert_array_equal(a[by_a], b[by_b], err_msg=field)
