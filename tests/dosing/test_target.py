import pytest

from latentpk.dosing.target import list_targets, parse_target
from latentpk.errors import InputError


@pytest.mark.parametrize(
    ("text", "low", "high", "aim", "limit"),
    [
        ("auc24=400:600", 400, 600, 500, 600),
        ("auc24=400:600~450", 400, 600, 450, 600),
        ("trough=:1", 0, 1, 0.5, 1),
        ("peak=20:", 20, None, 20, None),
        ("ft_mic=100@2", 100, None, 100, None),
        ("vancomycin-auc24", 400, 600, 500, 600),
    ],
)
def test_ranges_and_names(text, low, high, aim, limit):
    target = parse_target(text)
    assert (target.low, target.high, target.aim, target.limit) == (low, high, aim, limit)


def test_time_above_a_mic_keeps_the_mic():
    target = parse_target("ft_mic=100@2", unbound=0.8)
    assert (target.measure.mic, target.measure.unbound, target.unit) == (2.0, 0.8, "%")
    assert parse_target("meropenem-ft-mic", mic=8.0).measure.mic == 8.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("vancomycin", "neither a range such as auc24=400:600 nor a name"),
        ("auc24=400", "a range has two ends"),
        ("auc24=600:400", "the lower end 600 is not below the upper end 400"),
        ("auc24=:", "needs a lower or an upper end"),
        ("auc24=a:b", "'a' is no finite number"),
        ("auc24=-5:10", "greater than or equal to 0"),
        ("auc24=400:600~700", "best value 700 lies outside"),
        ("depth=1:2", "not known"),
        ("ft_mic=100", "needs a MIC"),
    ],
)
def test_what_is_no_target_is_refused(text, said):
    with pytest.raises(InputError, match=said):
        parse_target(text)


def test_every_named_target_can_be_read_and_is_cited():
    for target in list_targets():
        assert parse_target(target.name) == target
        assert target.unit == target.measure.unit
        assert target.citation
        assert target.drug
    assert len({target.name for target in list_targets()}) == len(list_targets())
