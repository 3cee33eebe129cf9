"""Regimens and doses in words."""

import numpy as np
import pytest

from latentpk.report.dose_words import doses_in_words, name_of
from latentpk.workflows.dose_curves import Given


@pytest.mark.parametrize(
    ("infusion", "loading", "said"),
    [
        (0.0, None, "500 mg every 12 h"),
        (2.0, 1000.0, "500 mg over 2 h every 12 h, the first dose 1000 mg"),
        (12.0, None, "500 mg as a continuous infusion, a new one every 12 h"),
    ],
)
def test_a_regimen_in_words(infusion, loading, said):
    one = {"amount": 500.0, "interval": 12.0, "infusion": infusion, "loading": loading}
    assert name_of(one, "mg") == said


@pytest.mark.parametrize(
    ("time", "amount", "said"),
    [
        ([], [], "none"),
        ([0.0, 12, 24], [5.0, 5, 5], "5 mg at 0 h and every 12 h until 24 h (3 doses)"),
        (
            [0.0, 12, 30],
            [5.0, 5, 5],
            "5 mg at 0 h and every 12 h until 12 h (2 doses); 5 mg at 30 h",
        ),
        ([0.0, 12], [5.0, 7], "5 mg at 0 h; 7 mg at 12 h"),
    ],
)
def test_equal_doses_at_equal_gaps_are_told_together(time, amount, said):
    given = Given(np.array(time), np.array(amount), np.zeros(len(time)))
    assert doses_in_words(given, "mg") == said
