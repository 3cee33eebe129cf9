import numpy as np
import pytest

LEVEL = "1,9,0,2,.,.,.,.,3\n"
HEAD = "ID,TIME,EVID,CMT,AMT,RATE,DUR,ROUTE,DV\n"


@pytest.mark.parametrize(
    ("dose", "route", "depot"),
    [
        ("1,0,1,2,10,5,.,.,.", "auto", 0),
        ("1,0,1,1,10,5,.,.,.", "auto", 0),
        ("1,0,1,2,10,.,2,.,.", "auto", 0),
        ("1,0,1,2,10,.,.,IV,.", "auto", 0),
        ("1,0,1,1,10,.,.,iv,.", "auto", 0),
        ("1,0,1,2,10,.,.,oral,.", "auto", 1),
        ("1,0,1,2,10,.,.,PO,.", "auto", 1),
        ("1,0,1,2,10,.,.,sc,.", "auto", 1),
        ("1,0,1,2,10,.,.,Im,.", "auto", 1),
        ("1,0,1,1,10,.,.,.,.", "auto", 1),
        ("1,0,1,2,10,.,.,.,.", "auto", np.nan),
        ("1,0,1,.,10,.,.,.,.", "auto", np.nan),
        ("1,0,1,2,10,.,.,.,.", "iv", 0),
        ("1,0,1,2,10,.,.,.,.", "oral", 1),
        ("1,0,1,1,10,.,.,.,.", "iv", 1),
        ("1,0,1,2,10,5,.,.,.", "oral", 0),
        ("1,0,1,2,10,5,.,sc,.", "auto", 1),
        ("1,0,1,2,10,5,.,oral,.", "auto", 0),
    ],
)
def test_route_by_infusion_then_name_then_compartment(read, dose, route, depot):
    cohort = read(HEAD + dose + "\n" + LEVEL, purpose="forecast", route=route)
    np.testing.assert_array_equal(cohort[0].doses.depot, [depot])
    assert any(notice.startswith("Route of the doses: 1 ") for notice in cohort.notices)


def test_without_levels_the_prediction_times_tell_the_compartment(read):
    cohort = read(HEAD + "1,0,1,1,10,.,.,.,.\n1,9,2,2,.,.,.,.,.\n", purpose="forecast")
    np.testing.assert_array_equal(cohort[0].doses.depot, [1])


def test_conflicts_are_told(read):
    pump = read(HEAD + "1,0,1,2,10,5,.,sc,.\n" + LEVEL, purpose="forecast")
    denied = read(HEAD + "1,0,1,2,10,5,.,oral,.\n" + LEVEL, purpose="forecast")
    assert any("1 infusions go into the site" in notice for notice in pump.notices)
    assert any("taken as intravenous infusions" in notice for notice in denied.notices)


def test_an_unknown_route_is_named(problems):
    told = problems(HEAD + "1,0,1,2,10,.,.,nasal,.\n" + LEVEL, purpose="forecast")
    assert [p.where for p in told] == ["subject 1, record 1 (line 2), column ROUTE"]
    assert "nasal" in told[0].found
