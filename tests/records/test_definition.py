import pytest

from latentpk.errors import InputError
from latentpk.records import read_nonmem
from latentpk.records.definition import Derive, RenalDefinition, parse_derive

WHOLE = {
    "renal": "schwartz", "creatinine_floor": 0.3, "creatinine_floor_age": 2.0,
    "renal_cap": 200.0, "female": 1.0,
}  # fmt: skip


def test_settings_survive_their_mapping():
    derive = parse_derive(WHOLE)
    assert derive == Derive(RenalDefinition("schwartz", 0.3, 2.0, 200.0), 1.0)
    assert derive.to_dict() == WHOLE
    assert parse_derive(derive) is derive
    assert parse_derive({}) == Derive()
    assert parse_derive(None) is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"renal": "gault"}, "cockcroft-gault-total"),
        ({"creatinine_floor": 1.0}, "goes with renal"),
        ({"renal": "schwartz", "renal_cap": -1}, "above 0"),
        ({"renal": "schwartz", "renal_cap": float("inf")}, "above 0"),
        ({"renal": "schwartz", "creatinine_floor": "1"}, "above 0"),
        ({"renal": "schwartz", "creatinine_floor_age": 65}, "goes with creatinine_floor"),
        ({"female": 3}, "0, 1 or 2"),
        ({"renel": "schwartz"}, "The keys are renal"),
    ],
)
def test_a_setting_that_there_is_not(given, words):
    with pytest.raises(InputError, match="argument derive") as caught:
        parse_derive(given)
    assert words in str(caught.value)


def test_all_settings_are_judged_at_once_and_before_the_file(tmp_path):
    bad = {"renal": "x", "female": 9}
    with pytest.raises(InputError) as caught:
        read_nonmem(tmp_path / "none.csv", condition_until=float("nan"), derive=bad)
    assert len(caught.value.problems) == 3
