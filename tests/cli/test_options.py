"""Texts of options that more than one verb reads."""

import pytest

from latentpk.cli.options import values_of
from latentpk.errors import InputError


def test_values_of_doses_are_numbers_by_upper_case_name():
    assert values_of("fed=1, FAT=2.5,") == {"FED": 1.0, "FAT": 2.5}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("FED=1,FED=0", ["FED=0"]),
        ("=1,FED,FAT=much", ["=1", "FED", "FAT=much"]),
        (" , ", ["empty"]),
    ],
)
def test_every_part_that_is_no_value_is_named(text, found):
    with pytest.raises(InputError) as refused:
        values_of(text)
    assert [problem.found for problem in refused.value.problems] == found
