import numpy as np
import pytest

TEXT = """
    ID,TIME,AMT,DV,WT
    a,0,10,.,70
    a,1,.,5,70
    b,0,20,.,80
    b,1,.,6,80
    b,2,.,7,80
    c,0,30,.,90
    c,1,.,8,90
"""


def test_a_cohort_is_a_sequence_of_subjects(read):
    cohort = read(TEXT)
    assert len(cohort) == 3
    assert [subject.id for subject in cohort] == ["a", "b", "c"]
    assert cohort[-1].id == "c"
    assert [subject.id for subject in cohort[1:]] == ["b", "c"]


def test_a_subset_keeps_all_but_the_other_subjects(read):
    cohort = read(TEXT)
    part = cohort.subset(np.array([2, 0]))
    assert [subject.id for subject in part] == ["c", "a"]
    assert part[0] is cohort[2]
    assert (part.units, part.notices, part.source_hash) == (
        cohort.units,
        cohort.notices,
        cohort.source_hash,
    )


def test_each_subject_holds_its_own_rows(read):
    first, second, third = read(TEXT)
    np.testing.assert_array_equal(second.levels.value, [6, 7])
    np.testing.assert_array_equal(second.levels.row, [3, 4])
    np.testing.assert_array_equal(second.levels.order, [1, 2])
    assert (len(first.doses), len(second.outputs), len(third.levels)) == (1, 2, 1)
    np.testing.assert_array_equal(third.covariates, [[90]])
    assert first.doses.amount.dtype == second.levels.order.dtype == np.float64


def test_arrays_cannot_be_changed(read):
    subject = read(TEXT)[0]
    for array in (subject.doses.amount, subject.levels.value, subject.covariates):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
