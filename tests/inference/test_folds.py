"""Folds of rows that keep groups together."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from latentpk.inference.folds import ALWAYS, make_folds

GROUPS = st.lists(st.integers(0, 12), min_size=1, max_size=60)


@given(groups=GROUPS, count=st.integers(2, 6), seed=st.integers(0, 99))
def test_a_group_is_never_on_both_sides(groups, count, seed):
    groups = np.array(groups)
    fold = make_folds(groups, count, seed=seed)
    assert set(fold) <= set(range(count))
    for group in np.unique(groups):
        assert len(np.unique(fold[groups == group])) == 1


@given(groups=GROUPS, count=st.integers(2, 6), seed=st.integers(0, 99))
def test_folds_are_as_balanced_as_the_largest_group_allows(groups, count, seed):
    groups = np.array(groups)
    sizes = np.bincount(make_folds(groups, count, seed=seed), minlength=count)
    assert sizes.max() - sizes.min() <= np.bincount(groups).max()


@given(groups=GROUPS, count=st.integers(2, 6), seed=st.integers(0, 99))
def test_no_fold_is_empty_where_there_are_groups_enough(groups, count, seed):
    groups = np.array(groups)
    used = len(np.unique(make_folds(groups, count, seed=seed)))
    assert used == min(count, len(np.unique(groups)))


def test_single_rows_are_dealt_evenly():
    fold = make_folds(np.arange(103), 5, seed=1)
    assert sorted(np.bincount(fold)) == [20, 20, 21, 21, 21]


def test_rows_that_are_not_scored_go_with_their_group_or_always_train():
    groups = np.array([0, 0, 1, 1, 2, 2, 3])
    scored = np.array([True, False, True, True, False, False, True])
    fold = make_folds(groups, 3, scored=scored, seed=0)
    assert fold[0] == fold[1] != ALWAYS
    assert fold[4:6].tolist() == [ALWAYS, ALWAYS]
    assert np.bincount(fold[scored], minlength=3).max() <= 2  # balanced by what is scored


def test_the_seed_decides():
    groups = np.arange(50)
    one, again, other = (make_folds(groups, 5, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


@pytest.mark.parametrize("seed", range(5))
def test_which_folds_a_group_meets_is_drawn(seed):
    together = [
        make_folds(np.arange(20), 4, seed=10 * seed + k)[:2].tolist().count(0) for k in range(40)
    ]
    assert len(set(together)) == 3  # both, one or none of the first two rows in fold 0
