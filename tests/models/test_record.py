import jax
import numpy as np
import polars as pl
import pytest

from latentpk.models.record import (
    group_by_length,
    padded_size,
    stack_queries,
    stack_records,
    take,
    told_occasions,
)
from latentpk.records import read_nonmem

ROWS = [
    (1, 0, 100, 1, None, 2, 70, 1),
    (1, 2, 0, 0, 5.0, 2, 70, 1),
    (1, 12, 50, 0, None, 2, 70, 1),
    (1, 12, 0, 0, 4.0, 2, 70, 1),
    (1, 24, 50, 0, None, 2, 72, 1),  # after the last level, with a new weight
    (2, 0, 200, 0, None, 2, 50, 0),
    (2, 5, 0, 0, 7.0, 2, 50, 0),
    (3, 0, 20, 0, None, 2, 60, 0),  # no level at all
    (3, 6, 20, 0, None, 2, 60, 0),
]


@pytest.fixture(scope="module")
def cohort(cohort_of):
    return cohort_of(ROWS)


@pytest.mark.parametrize(
    ("count", "size"), [(0, 4), (1, 4), (4, 4), (5, 16), (17, 64), (256, 256), (257, 512)]
)
def test_sizes_are_rounded_up_to_compiled_ones(count, size):
    assert padded_size(count) == size


def test_records_are_padded_and_stacked(cohort):
    record = stack_records(cohort.subjects, until_last_level=False)
    assert record.doses.time.shape == (3, 4)
    np.testing.assert_array_equal(record.doses.amount[0], [100, 50, 50, 0])
    np.testing.assert_array_equal(record.doses.time[1], np.zeros(4))
    np.testing.assert_array_equal(record.mask.sum(axis=1), [2, 1, 0])
    np.testing.assert_array_equal(record.value[0], [5, 4, 1, 1])
    np.testing.assert_array_equal(record.time[0], [2, 12, 0, 0])
    assert record.mask.dtype == record.censored.dtype == bool
    assert not record.censored.any()


def test_doses_after_the_last_level_are_trimmed_and_those_at_its_time_are_not(cohort):
    record = stack_records(cohort.subjects)
    np.testing.assert_array_equal(record.doses.amount[0], [100, 50, 0, 0])
    np.testing.assert_array_equal(record.doses.amount[1], [200, 0, 0, 0])
    assert not record.doses.amount[2].any()


def test_pieces_of_covariates_are_held_to_the_end(cohort):
    record = stack_records(cohort.subjects)
    assert record.covariates.shape == (3, 4, 2)
    np.testing.assert_array_equal(record.covariates[0, :, 0], [70, 72, 72, 72])
    np.testing.assert_array_equal(record.change[0], [0, 24, 24, 24])
    np.testing.assert_array_equal(record.covariates[1, :, 0], np.full(4, 50.0))


def test_constant_covariates_are_one_piece(cohort):
    assert stack_records(cohort.subjects[1:]).covariates.shape == (2, 1, 2)


def test_paths_are_those_the_doses_need(cohort):
    assert stack_records(cohort.subjects).paths.infusion
    assert not stack_records(cohort.subjects[1:]).paths.infusion
    assert not stack_records(cohort.subjects).paths.depot


def test_undecided_doses_go_where_they_are_told(cohort_of):
    rows = [(1, 0, 100, 0, None, None, 70, 1), (1, 2, 0, 0, 5.0, None, 70, 1)]
    subjects = cohort_of(rows).subjects
    assert np.isnan(subjects[0].doses.depot).all()
    central, depot = stack_records(subjects), stack_records(subjects, undecided=1.0)
    assert central.paths.central
    assert not central.paths.depot
    assert depot.paths.depot
    assert depot.doses.depot[0, 0] == 1.0


def test_tight_records_are_padded_to_multiples_of_four(cohort_of):
    rows = [(1, t, 10, 0, None, 2, 70, 1) for t in range(5)] + [(1, 9, 0, 0, 1.0, 2, 70, 1)]
    subjects = cohort_of(rows).subjects
    assert stack_records(subjects).doses.time.shape == (1, 16)
    assert stack_records(subjects, tight=True).doses.time.shape == (1, 8)


def test_queries_are_the_output_rows(cohort_of):
    rows = [*ROWS[:6], (2, 5, 0, 0, None, 2, 50, 0)]  # a time to predict, without a level
    time, order = stack_queries(cohort_of(rows).subjects)
    assert time.shape == order.shape == (2, 4)
    np.testing.assert_array_equal(time, [[2, 12, 0, 0], [5, 0, 0, 0]])
    np.testing.assert_array_equal(order[0, :2], [1, 3])


def test_take_selects_subjects_of_every_array(cohort):
    record = stack_records(cohort.subjects)
    two = take(record, np.array([2, 0]))
    np.testing.assert_array_equal(two.time, record.time[[2, 0]])
    np.testing.assert_array_equal(two.doses.amount, record.doses.amount[[2, 0]])
    one = take(record, 1)
    for single, whole in zip(
        jax.tree_util.tree_leaves(one), jax.tree_util.tree_leaves(record), strict=True
    ):
        np.testing.assert_array_equal(single, whole[1])


def test_occasions_are_padded_and_those_no_level_tells_of_are_left_out():
    frame = pl.DataFrame(
        {
            "ID": [1] * 5 + [2] * 2,
            "TIME": [0.0, 2, 24, 26, 48, 0, 2],
            "AMT": [10.0, 0, 10, 0, 10, 10, 0],
            "DV": [None, 5.0, None, 5, None, None, 5],
            "OCC": [1, 1, 2, 2, 3, 1, 1],
        }
    )
    subjects = read_nonmem(frame, covariates=[], occasions=(), purpose="forecast").subjects
    assert [told_occasions(s) for s in subjects] == [2, 1]
    whole, told = stack_records(subjects, until_last_level=False), stack_records(subjects)
    assert (whole.occasions, told.occasions) == (4, 2)
    np.testing.assert_array_equal(whole.occasion, [[0, 1, 2, 2], [0, 0, 0, 0]])
    np.testing.assert_array_equal(told.occasion, [[0, 1, 1, 1], [0, 0, 0, 0]])
    assert stack_records(subjects, spare=2).occasions == 4
    assert stack_records(subjects[1:]).occasions == 1


def test_without_occasions_everything_is_one(cohort):
    record = stack_records(cohort.subjects)
    assert record.occasions == 1
    assert not record.occasion.any()


def _ragged(cohort_of, *counts):
    """Stacked records of subjects with so many doses and levels each."""
    rows = []
    for who, (doses, levels) in enumerate(counts, start=1):
        rows += [(who, 8 * k, 100 + k, 0, None, 2, 70, 1) for k in range(doses)]
        rows += [(who, 8 * doses - 7 + k, 0, 0, who + k, 2, 70, 1) for k in range(levels)]
    return stack_records(cohort_of(rows).subjects, tight=True)


def test_groups_by_length_hold_everybody_and_all_that_was_given_and_measured(cohort_of):
    record = _ragged(cohort_of, (9, 1), (1, 2), (2, 6), (5, 6), (1, 1))
    whole = group_by_length(record, worth=np.inf)
    assert [group.tolist() for group, _ in whole] == [[0, 1, 2, 3, 4]]
    groups = group_by_length(record, worth=1)
    assert sorted(np.concatenate([group for group, _ in groups]).tolist()) == [0, 1, 2, 3, 4]
    sizes = {tuple(g.tolist()): (r.doses.time.shape, r.mask.shape) for g, r in groups}
    assert sizes[1, 4] == ((2, 4), (2, 4))
    for group, own in groups:
        for place, who in enumerate(group):
            assert own.doses.amount[place].sum() == record.doses.amount[who].sum()
            np.testing.assert_array_equal(
                own.value[place][own.mask[place]], record.value[who][record.mask[who]]
            )


def test_a_group_is_divided_only_where_that_saves_enough(cohort_of):
    record = _ragged(cohort_of, (1, 1), (8, 1))
    assert len(group_by_length(record, worth=16)) == 2  # (8 - 4) doses x 4 levels
    assert len(group_by_length(record, worth=17)) == 1
