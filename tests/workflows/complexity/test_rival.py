"""The compartment model to compare with, and what cannot be compared."""

from dataclasses import replace

import pytest

from latentpk import read_nonmem
from latentpk.errors import InputError
from latentpk.workflows.complexity.rival import check_input, told, trained_on


@pytest.fixture
def cohort(mixed, mixed_models):
    return read_nonmem(mixed[0], **mixed_models[0].reading(), purpose="forecast")


def test_only_subjects_with_two_levels_are_judged(cohort):
    few = cohort.subset([0, 1, 2])
    few = replace(few, subjects=(few[0], few[1].after(1), few[2].after(0)))
    assert told(few).tolist() == [0]


def test_a_model_knows_the_file_it_was_fitted_to(cohort, mixed_models):
    assert trained_on(mixed_models[0], cohort)
    assert not trained_on(mixed_models[0], replace(cohort, source_hash="other"))


def test_what_can_be_compared_passes(cohort, mixed_models):
    check_input(mixed_models[0], cohort, None, mixed_models[1])


def test_a_rival_of_other_covariates_is_refused(cohort, mixed_models):
    other = replace(cohort, covariate_names=("AGE",))
    with pytest.raises(InputError, match="--covariates AGE"):
        check_input(mixed_models[0], other, None, mixed_models[1])


def test_others_without_levels_are_refused(cohort, mixed_models):
    bare = replace(cohort, subjects=tuple(s.after(1) for s in cohort))
    with pytest.raises(InputError, match="no subject with as many levels"):
        check_input(mixed_models[0], bare, cohort, mixed_models[1])
