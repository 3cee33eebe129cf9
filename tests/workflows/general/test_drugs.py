"""Drugs that do not exist lie where published ones do."""

import numpy as np
import pytest

from latentpk.kinetics.structure import Structure
from latentpk.kinetics.systems import is_system
from latentpk.workflows.general.drugs import LOG_KA, LOG_KE, LOG_V, WEIGHTS, draw_drug


def many(mechanism=None, count=300):
    rng = np.random.default_rng(7)
    return [draw_drug(rng, mechanism) for _ in range(count)]


@pytest.mark.parametrize("mechanism", WEIGHTS)
def test_rates_and_volumes_are_in_the_published_ranges(mechanism):
    for drug in many(mechanism):
        assert LOG_V[0] <= np.log(drug.typical["v1"]) <= LOG_V[1]
        assert LOG_KE[0] - 1e-9 <= np.log(np.log(2) / drug.half_life) <= LOG_KE[1] + 1e-9
        if "ka" in drug.typical:
            assert LOG_KA[0] <= np.log(drug.typical["ka"]) <= LOG_KA[1]


@pytest.mark.parametrize("mechanism", WEIGHTS)
def test_every_parameter_of_the_structure_has_a_value_and_a_spread(mechanism):
    for drug in many(mechanism, 60):
        assert set(drug.names) == set(drug.typical) == set(drug.spread)
        assert all(0 < value < 1e6 for value in drug.typical.values())
        assert all(0.05 < value < 0.5 for value in drug.spread.values())
        assert set(drug.weight) | set(drug.renal) <= set(drug.typical)


def test_mechanisms_occur_as_often_as_they_are_to():
    drugs = many(count=3000)
    for mechanism, share in WEIGHTS.items():
        found = np.mean([drug.mechanism == mechanism for drug in drugs])
        assert abs(found - share) < 4 * np.sqrt(share / 3000)
    assert sum(WEIGHTS.values()) == pytest.approx(1.0)


def test_a_drug_of_one_route_is_simulated_by_a_structure_that_has_it():
    for drug in many():
        if not is_system(drug.structure):
            assert Structure.parse(drug.structure).oral == (drug.route == "oral")


def test_the_same_seed_gives_the_same_drug():
    assert draw_drug(np.random.default_rng(5)) == draw_drug(np.random.default_rng(5))
