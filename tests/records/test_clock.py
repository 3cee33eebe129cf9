import numpy as np
import pytest


def _times(cohort):
    return [subject.outputs.time for subject in cohort]


def test_a_decimal_time_is_taken_as_it_is(read):
    cohort = read("""
        ID,TIME,AMT,DV
        1,-0.5,.,0.1
        1,0,10,.
        1,2.25,.,3
        2,0,10,.
        2,1,.,3
    """)
    np.testing.assert_array_equal(_times(cohort)[0], [-0.5, 2.25])
    assert list(cohort[0].outputs.time_text) == ["-0.5", "2.25"]


def test_the_unit_of_time_is_applied(read):
    cohort = read("ID,TIME,AMT,DV\n1,0,10,.\n1,90,.,3\n2,0,10,.\n2,30,.,3\n", units="TIME=min")
    np.testing.assert_allclose([t[0] for t in _times(cohort)], [1.5, 0.5])


@pytest.mark.parametrize(
    ("order", "first", "second"),
    [
        ("Y-M-D", "2024-02-28", "2024-03-01"),
        ("Y-M-D", "2024/2/28", "2024/3/1"),
        ("M/D/Y", "2/28/2024", "3/1/2024"),
        ("D/M/Y", "28.02.2024", "01.03.2024"),
    ],
)
def test_dates_and_clock_times_count_from_the_first_record(read, order, first, second):
    cohort = read(
        f"""
        ID,DATE,TIME,AMT,DV
        1,{first},23:30,10,.
        1,{second},00:15:36,.,3
        2,{first},08:00,10,.
        2,{first},9:30,.,3
        """,
        units=f"DATE={order}",
    )
    np.testing.assert_allclose(_times(cohort)[0], [24.76], rtol=1e-14)  # 2024 had a 29 February
    np.testing.assert_allclose(_times(cohort)[1], [1.5], rtol=1e-14)
    assert any("since the subject's first record" in notice for notice in cohort.notices)
    assert any(order in notice for notice in cohort.notices)


def test_day_numbers_and_decimal_hours_are_dates_too(read):
    cohort = read("ID,DATE,TIME,AMT,DV\n1,1,6,10,.\n1,2,7.5,.,3\n2,1,0,10,.\n2,1,1,.,3\n")
    np.testing.assert_array_equal(_times(cohort)[0], [25.5])


def test_clock_times_alone_count_from_the_first_record(read):
    cohort = read("ID,TIME,AMT,DV\n1,08:00,10,.\n1,32:30,.,3\n2,08:00,10,.\n2,09:00,.,3\n")
    np.testing.assert_array_equal(_times(cohort)[0], [24.5])


def test_a_reset_restarts_time_but_not_the_running_clock(read):
    cohort = read("""
        ID,TIME,EVID,AMT,DV
        1,0,1,10,.
        1,5,0,.,3
        1,0,3,.,.
        1,0,1,10,.
        1,2,0,.,4
        1,1,4,20,.
        1,3,0,.,5
        2,0,1,10,.
        2,1,0,.,3
    """)
    subject = cohort[0]
    np.testing.assert_array_equal(subject.outputs.time, [5, 7, 9])
    assert list(subject.outputs.time_text) == ["5", "2", "3"]
    np.testing.assert_array_equal(subject.doses.time, [0, 5, 7])
    np.testing.assert_array_equal(subject.doses.until, [5, 7, np.inf])
    assert any("2 resets" in notice for notice in cohort.notices)


@pytest.mark.parametrize(
    ("rows", "where", "found"),
    [
        ("1,2,10,.\n1,1,.,3", "record 2 (line 3), column TIME", "TIME 1 is before"),
        ("1,.,10,.\n1,1,.,3", "record 1 (line 2), column TIME", "TIME is missing"),
        ("1,2,10,.\n1,soon,.,3", "record 2 (line 3), column TIME", "'soon' is no number"),
        ("1,0,10,.\n1,inf,.,3", "record 2 (line 3), column TIME", "'inf' is not finite"),
        ("1,08:00,10,.\n1,08:60,.,3", "record 2 (line 3), column TIME", "TIME is '08:60'"),
    ],
)
def test_a_bad_time_is_named(problems, rows, where, found):
    told = problems(f"ID,TIME,AMT,DV\n{rows}\n", purpose="forecast")
    assert len(told) == 1
    assert where in told[0].where
    assert found in told[0].found


@pytest.mark.parametrize("date", ["2024-02-30", "3/1/2024", "24-03-01", "."])
def test_a_bad_date_is_named(problems, date):
    told = problems(
        f"ID,DATE,TIME,AMT,DV\n1,2024-02-28,8:00,10,.\n1,{date},9:00,.,3\n2,2024-02-28,8:00,10,.\n2,2024-02-28,9:00,.,1\n"
    )
    assert [p.where for p in told] == ["subject 1, record 2 (line 3), column DATE"]


def test_a_missing_time_does_not_hide_a_later_decrease(problems):
    told = problems("ID,TIME,AMT,DV\n1,5,10,.\n1,.,.,3\n1,4,.,3\n2,0,10,.\n2,1,.,3\n")
    assert len(told) == 2
