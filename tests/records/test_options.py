import pytest

from latentpk.errors import InputError
from latentpk.records import read_nonmem
from latentpk.records.options import Options

GOOD = {
    "covariates": None, "interpolation": "locf", "ties": "file", "impute": None, "medians": None,
    "dvid": None, "route": "auto", "blq": "M3", "negative": "refuse", "condition_until": None,
    "purpose": "fit",
}  # fmt: skip


def test_every_choice_is_checked_at_once():
    Options(**GOOD).check()
    bad = GOOD | {"interpolation": "spline", "ties": "both", "condition_until": float("nan")}
    with pytest.raises(InputError) as caught:
        Options(**bad).check()
    assert [p.where for p in caught.value.problems] == [
        "argument interpolation", "argument ties", "argument condition_until",
    ]  # fmt: skip
    assert "locf, nocb, linear" in caught.value.problems[0].rule


def test_choices_are_checked_before_the_file(tmp_path):
    with pytest.raises(InputError, match="condition_until"):
        read_nonmem(tmp_path / "none.csv", condition_until=float("nan"))
