import numpy as np
import pytest

from latentpk.dosing.regimen import Practice, Regimen, parse_amounts, schedule
from latentpk.errors import InputError


def test_amounts_as_a_list_or_a_range():
    assert parse_amounts("750,500") == (500, 750)
    assert parse_amounts("500:2000:500") == (500, 1000, 1500, 2000)
    assert parse_amounts("0.1:0.3:0.1") == (0.1, 0.2, 0.3)


@pytest.mark.parametrize(
    "text", ["", "a", "500:2000", "2000:500:250", "1:2:0", "1:1e6:1e-3", "nan"]
)
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(InputError):
        parse_amounts(text)


def test_the_grid_keeps_within_the_limits():
    practice = Practice(
        amounts=(500, 1000, 1500), intervals=(8, 12, 24), most_daily=3000, most_single=1250
    )
    found = {(r.amount, r.interval) for r in practice.grid()}
    assert found == {(500, 8), (500, 12), (500, 24), (1000, 8), (1000, 12), (1000, 24)}
    assert max(r.daily for r in practice.grid()) == 3000


def test_amounts_are_rounded_to_whole_vials():
    assert Practice(amounts=(300, 480, 600), intervals=(24,), vial=250).rounded() == (250, 500)


def test_a_continuous_infusion_is_an_infusion_of_its_interval():
    assert Practice(amounts=(2000,), intervals=(24,), infusions=(24,)).grid() == [
        Regimen(2000, 24, 24)
    ]
    with pytest.raises(InputError, match="empty"):
        Practice(amounts=(2000,), intervals=(8,), infusions=(24,)).grid()


def test_every_problem_is_told_at_once():
    with pytest.raises(InputError) as told:
        Practice(amounts=(), intervals=(0,), infusions=(-1,)).grid()
    assert len(told.value.problems) == 3
    with pytest.raises(InputError, match="empty"):
        Practice(amounts=(500,), intervals=(8,), most_daily=100).grid()


def test_a_schedule_begins_with_the_loading_dose():
    doses = schedule(Regimen(500, 12, 1, loading=1500), 40.0, 76.0, 0.0)
    np.testing.assert_array_equal(doses.time, [40, 52, 64])
    np.testing.assert_array_equal(doses.amount, [1500, 500, 500])
    np.testing.assert_array_equal(doses.duration, 1)
