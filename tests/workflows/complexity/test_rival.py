"""The compartment model to compare with, and what cannot be compared."""

from dataclasses import replace

import equinox as eqx
import pytest

from latentpk import ProfileVAE, read_nonmem
from latentpk.errors import InputError
from latentpk.models.groups import Groups
from latentpk.workflows.complexity import rival as made
from latentpk.workflows.complexity.assess import assess
from latentpk.workflows.complexity.rival import (
    FOLDED,
    SEEN,
    UNSEEN,
    check_input,
    told,
    trained_on,
)


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


@pytest.fixture
def fits(monkeypatch, mixed_models):
    """What is fitted, instead of fitting: settings, and the subjects."""
    asked = []

    class StandIn:
        def __init__(self, **settings):
            self.settings = settings

        def fit(self, cohort, *, progress):
            asked.append((self.settings, {subject.id for subject in cohort}))
            return mixed_models[1]

    monkeypatch.setattr(made, "ProfileVAE", StandIn)
    return asked


@pytest.mark.long
def test_a_file_the_model_has_not_seen_is_judged_by_folds(cohort, mixed_models, assessed, fits):
    other = replace(cohort, source_hash="another")
    found = assess(mixed_models[0], other, settings=assessed.settings)
    assert found.seen == FOLDED
    (first, everybody), *folds = fits
    assert first["decoder"] == "compartment"
    assert first["structure"] == "auto"
    assert first["residual"] == mixed_models[0].model.residual.kind
    assert everybody == {subject.id for subject in cohort}
    assert [settings["structure"] for settings, _ in folds] == ["1c-iv"] * 3
    held = [everybody - ids for _, ids in folds]
    assert set.union(*held) == everybody
    assert sum(map(len, held)) == len(everybody)


def test_the_models_own_file_and_new_subjects_need_no_folds(cohort, mixed_models, assessed, fits):
    assert assess(mixed_models[0], cohort, settings=assessed.settings).seen == SEEN
    assert len(fits) == 1
    new = replace(cohort.subset(range(8)), source_hash="new")
    found = assess(mixed_models[0], new, train=cohort, settings=assessed.settings)
    assert found.seen == UNSEEN
    assert len(fits) == 2


def test_a_model_of_groups_is_refused(cohort, mixed_models):
    model, rival = mixed_models
    grouped = eqx.tree_at(
        lambda m: m.prior.groups,
        model.model,
        Groups.alike(2, model.model.decoder.latent),
        is_leaf=lambda x: x is None,
    )
    with pytest.raises(InputError, match="knows groups of people itself"):
        check_input(ProfileVAE.assembled(grouped, model.fitted), cohort, None, rival)
