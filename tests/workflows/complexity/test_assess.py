"""Simple or complex, on patients whose kind is known."""

from dataclasses import replace

import numpy as np
import pytest

from latentpk import read_nonmem
from latentpk.errors import InputError
from latentpk.workflows.complexity.assess import assess

pytestmark = pytest.mark.long  # what all of them share takes half a minute


@pytest.mark.long
def test_patients_with_two_exponentials_are_told_from_those_with_one(assessed, mixed):
    complex_ = mixed[1]
    assert assessed.presence > 0.95
    assert assessed.parted > 0.95
    assert np.mean(assessed.probability[complex_]) > 0.85
    assert np.mean(assessed.probability[~complex_]) < 0.15
    assert assessed.verdicts.share == pytest.approx(0.5, abs=0.15)


def test_the_trained_model_forecasts_held_out_levels_of_complex_patients_better(assessed, mixed):
    complex_ = mixed[1]
    one, other = (
        np.nanmean(judged.left_out.log_density, axis=1)
        for judged in (assessed.trained, assessed.compartment)
    )
    assert np.mean((one - other)[complex_]) > 0.3


@pytest.mark.long
def test_patients_of_one_kind_are_not_called_complex(assessed, mixed_models, mixed_of):
    model, rival = mixed_models
    table, _ = mixed_of(30, seed=4, complex_every=0)
    cohort = read_nonmem(table, **model.reading(), purpose="forecast")
    found = assess(model, cohort, rival=rival, settings=assessed.settings)  # programs are there
    assert found.presence < 0.5
    assert found.parted < 0.5
    assert np.mean(found.probability >= 0.8) <= 0.1


@pytest.mark.long
def test_unseen_patients_are_judged_by_kinds_found_in_others(
    assessed, mixed_models, mixed, mixed_of
):
    model, rival = mixed_models
    table, complex_ = mixed_of(8, seed=9)
    train = read_nonmem(mixed[0], **model.reading(), purpose="forecast")
    cohort = read_nonmem(table, **model.reading(), purpose="forecast")
    lonely = replace(cohort[0].after(1), id="lonely")  # too few levels: left aside, no error
    cohort = replace(cohort, subjects=(*cohort.subjects, lonely))
    found = assess(model, cohort, train=train, rival=rival, settings=assessed.settings)
    assert found.index.tolist() == list(range(8))
    assert np.array_equal(found.probability >= 0.5, complex_)


def test_every_reason_not_to_compare_is_told_at_once(mixed_models, mixed_of):
    model, rival = mixed_models
    cohort = read_nonmem(mixed_of(5, seed=1)[0], **model.reading(), purpose="forecast")
    with pytest.raises(InputError) as caught:
        assess(rival, cohort, rival=model)
    said = str(caught.value)
    assert "itself a compartment model (1c-iv)" in said
    assert "--decoder compartment" in said
    assert "5 subjects with 2 levels or more" in said
    assert len(caught.value.problems) == 3
