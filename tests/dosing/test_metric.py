import pytest

from latentpk.dosing.metric import Metric, parse_at, parse_metric, parse_range
from latentpk.errors import InputError


@pytest.mark.parametrize(
    ("text", "kind", "hours", "unit"),
    [
        ("auc24", "auc", 24.0, "mg h/L"),
        ("AUC12", "auc", 12.0, "mg h/L"),
        ("auc_cum", "auc_cum", 24.0, "mg h/L"),
        ("trough", "trough", 24.0, "mg/L"),
        ("peak", "peak", 24.0, "mg/L"),
        ("average", "average", 24.0, "mg/L"),
        ("ft_mic@2", "ft_mic", 24.0, "%"),
    ],
)
def test_names(text, kind, hours, unit):
    found = parse_metric(text)
    assert (found.kind, found.hours, found.unit) == (kind, hours, unit)
    assert parse_metric(found.name, mic=found.mic) == found


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("auc", {}, "not known"),
        ("auc0", {}, "no length"),
        ("ft_mic", {}, "needs a MIC"),
        ("ft_mic@0", {}, "needs a MIC"),
        ("ft_mic@nan", {}, "no finite number"),
        ("ft_mic@2", {"unbound": 0.0}, "above 0 and at most 1"),
        ("ft_mic@2", {"unbound": 1.1}, "above 0 and at most 1"),
    ],
)
def test_what_is_no_metric_is_refused(text, options, said):
    with pytest.raises(InputError, match=said):
        parse_metric(text, **options)


def test_every_window_is_said_in_words():
    assert parse_metric("auc24").describe(24.0) == "area from 24 to 48 h"
    assert parse_metric("auc24").describe("ss") == "area over 24 h at steady state"
    assert "0.5 x concentration exceeds 2" in Metric("ft_mic", mic=2.0, unbound=0.5).describe("ss")


def test_when():
    assert parse_at("ss") == "ss"
    assert parse_at(" 36.5 ") == 36.5
    with pytest.raises(InputError, match="--at: 'soon' is no finite number"):
        parse_at("soon")


def test_ranges():
    assert parse_range("400:600") == (400, 600)
    assert parse_range("10:") == (10, float("inf"))
    for wrong in ("400", "600:400", "a:b", "5:5"):
        with pytest.raises(InputError, match="range"):
            parse_range(wrong)
