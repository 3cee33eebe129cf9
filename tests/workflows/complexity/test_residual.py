"""What the trained model adds to the compartment model."""

from dataclasses import replace

import numpy as np
import pytest

from latentpk.evaluate.hints import FAINT, PLAIN
from latentpk.evaluate.pattern import Hint
from latentpk.kinetics.systems import is_system, parse_system
from latentpk.workflows.complexity.residual import _advice, residual_model

pytestmark = pytest.mark.long  # what all of them share takes half a minute


def test_a_deep_compartment_that_the_rival_lacks_is_named(assessed):
    found = residual_model(assessed)
    assert found.clear
    assert found.of_whom == "of the subjects that may be complex"
    bend = next(hint for hint in found.hints if hint.sign == "bend")
    assert "deeper compartment" in bend.sentence
    assert found.explained["time_after_dose"] > 0.2


def test_levels_held_out_lie_where_the_trained_model_does(assessed):
    found = residual_model(assessed)
    over, seen = found.bands["time_after_dose"], found.observed
    added = np.interp(seen.at, over.at, over.median)
    assert np.corrcoef(added, seen.median)[0, 1] > 0.6


def test_nothing_is_missing_where_both_forecast_alike(assessed):
    same = residual_model(replace(assessed, trained=assessed.compartment, model=assessed.rival))
    assert not same.clear
    assert same.sentence == PLAIN
    assert same.hints == []
    assert np.abs(same.bands["time_after_dose"].median).max() < 1e-9


def test_saturation_is_told_by_its_own_equations(assessed):
    saturates = [Hint("dose", "Clearance falls.", -0.4, saturates=True)]
    said = _advice(assessed, saturates)
    assert said is not None
    name = said.split("--structure ")[1].split()[0]
    assert is_system(name)
    assert parse_system(name).oral == assessed.rival.model.decoder.structure.oral
    assert _advice(assessed, [Hint("dose", "Absorption falls.", -0.4)]) is None
    assert residual_model(assessed).advice is None  # a deeper compartment saturates nothing


def test_a_little_better_without_complex_people_is_no_mechanism(assessed):
    found = residual_model(replace(assessed, presence=0.1))
    assert (found.clear, found.hints, found.sentence) == (False, [], FAINT)
