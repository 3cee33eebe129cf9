import polars as pl
import pytest
from benchmarks.real_data import data


def frame(levels_by_subject):
    rows = []
    for subject, levels in levels_by_subject.items():
        rows.append((subject, 0.0, 1, 1, 100.0, 0.0))
        rows += [(subject, float(k), 0, 0, 0.0, 10.0 + k) for k in range(levels)]
    return pl.DataFrame(rows, schema=["ID", "TIME", "EVID", "MDV", "AMT", "DV"], orient="row")


@pytest.mark.parametrize(("levels", "given"), [(2, 1), (3, 2), (7, 4), (30, 4)])
def test_half_of_the_levels_are_given_at_most_four(levels, given):
    asked = data.ask(frame({1: levels}))
    assert data.given(levels) == given
    assert (asked["EVID"] == 0).sum() == given
    assert (asked["EVID"] == 2).sum() == levels - given


def test_what_is_asked_is_hidden_and_kept_aside_in_order():
    asked = data.ask(frame({1: 4, 2: 1}))
    assert asked["ID"].unique().to_list() == [1]
    later = asked.filter(pl.col("EVID") == 2)
    assert later["DV"].null_count() == 2
    assert later["OBSERVED"].to_list() == [12.0, 13.0]
    assert set(later["MDV"]) == {1}


def test_folds_hold_every_subject_once_and_repeats_differ():
    table = frame(dict.fromkeys(range(1, 13), 2))
    first, second = data.folds(table, 0), data.folds(table, 1)
    assert sorted(first) == list(range(1, 13))
    assert first != second
    sizes = [list(first.values()).count(fold) for fold in range(data.FOLDS)]
    assert max(sizes) - min(sizes) <= 1


def test_levels_that_no_logarithm_takes_are_left_out(tmp_path):
    table = frame({1: 3}).with_columns(DV=pl.Series([0.0, 0.0, 2.0, 0.0]))
    table.write_csv(tmp_path / "theophylline.csv")
    kept = data.load(data.DATASETS["theophylline"], tmp_path)
    assert kept.filter(pl.col("EVID") == 0)["DV"].to_list() == [2.0]
    assert kept.filter(pl.col("EVID") == 1).height == 1
