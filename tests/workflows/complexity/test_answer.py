"""What an assessment says, as JSON and in sentences."""

import json
from dataclasses import replace

import numpy as np
import pytest

from latentpk.workflows.complexity.answer import told
from latentpk.workflows.complexity.residual import residual_model

pytestmark = pytest.mark.long  # what all of them share takes half a minute


@pytest.fixture(scope="module")
def residual(assessed):
    return residual_model(assessed)


@pytest.mark.long
def test_the_answer_is_json_without_nan_and_counts_everybody(assessed, residual):
    answer = json.loads(json.dumps(told(assessed, residual), allow_nan=False))
    assert sum(answer["population"]["counts"].values()) == len(assessed.cohort)
    assert answer["population"]["class"] == "mixed"
    share = answer["population"]["share_complex"]
    assert share["low"] < share["value"] < share["high"]
    assert "% of the subjects" in answer["population"]["sentence"]


def test_classes_follow_from_probabilities(assessed, residual):
    for one in told(assessed, residual)["subjects"]:
        p = one["probability"]
        assert one["class"] == ("complex" if p >= 0.8 else "simple" if p <= 0.2 else "undecided")
        assert one["class"] in one["sentence"]
        assert "%" in one["sentence"]


def test_a_subject_with_one_level_is_undecided_and_told_why(assessed, residual):
    lonely = replace(assessed.cohort.subjects[0].after(1), id="lonely")
    cohort = replace(assessed.cohort, subjects=(*assessed.cohort.subjects, lonely))
    last = told(replace(assessed, cohort=cohort), residual)["subjects"][-1]
    assert (last["class"], last["probability"]) == ("undecided", None)
    assert "1 level, and it takes 2" in last["sentence"]


@pytest.mark.parametrize(
    ("presence", "parted", "kind", "said"),
    [
        (0.01, 0.0, "simple", "will do"),
        (0.5, 0.1, "undecided", "left open"),
        (0.99, 0.1, "undecided", "everybody is a little"),
        (0.99, 0.99, "mixed", "are complex"),
    ],
)
def test_the_population_is_named_by_whether_complex_people_exist(
    assessed, residual, presence, parted, kind, said
):
    found = told(replace(assessed, presence=presence, parted=parted), residual)["population"]
    assert found["class"] == kind
    assert said in found["sentence"]


def test_held_out_errors_are_larger_than_fitted_ones(assessed, residual):
    for one in told(assessed, residual)["population"]["held_out"].values():
        if "fitted_log_rmse" in one:
            assert one["fitted_log_rmse"] < one["log_rmse"]


def test_the_dimension_falls_behind_when_directions_are_switched_off(assessed, residual):
    found = told(assessed, residual)["dimension"]
    held = found["held_out_log_density_of_a_level"]
    assert len(held) == found["latent"] + 1
    assert held[0] < held[found["by_held_out"]]
    assert 1 <= found["by_criterion"] <= found["latent"]
    assert np.all(np.diff(found["variance_of_posterior_means"]) <= 0)
