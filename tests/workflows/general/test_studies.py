"""Simulated studies: their courses are right, and a seed gives the same ones."""

import numpy as np
import pytest

from latentpk.workflows.general.designs import Schedule
from latentpk.workflows.general.studies import follow, simulate_studies


def test_a_course_is_the_closed_form():
    """Two boluses into one compartment, by hand; before a dose there is nothing of it."""
    drawn = np.array([0.5, 4.0, 8.5, 30.0])
    schedule = Schedule(np.array([0.0, 8.0]), np.array([100.0, 50.0]), 0.0, drawn)
    cl, v = 5.0, 50.0
    found = follow("1c-iv", [(schedule, np.log([cl, v]))], "iv")[0, :4]
    one = 100 / v * np.exp(-cl / v * drawn)
    two = np.where(drawn > 8, 50 / v * np.exp(-cl / v * (drawn - 8)), 0.0)
    np.testing.assert_allclose(found, one + two, rtol=1e-10)


@pytest.mark.long
def test_a_nonlinear_course_is_its_system():
    """Far below Km a saturable drug is a linear one with CL = Vmax / Km."""
    drawn = np.array([0.5, 4.0, 12.0])
    schedule = Schedule(np.zeros(1), np.array([1.0]), 1.0, drawn)
    slow = follow("1c-mm-iv", [(schedule, np.log([5000.0, 1000.0, 50.0]))], "iv")[0, :3]
    linear = follow("1c-iv", [(schedule, np.log([5.0, 50.0]))], "iv")[0, :3]
    np.testing.assert_allclose(slow, linear, rtol=1e-3)


@pytest.fixture(scope="module")
def studies():
    return simulate_studies(3, seed=3)


@pytest.mark.long
def test_levels_are_positive_and_every_subject_has_some(studies):
    for study in studies:
        assert (study.concentrations > 0).all()
        levels = study.records.filter(study.records["EVID"] == 0)
        assert (levels["DV"].to_numpy() > 0).all()
        assert np.isfinite(levels["DV"].to_numpy()).all()
        assert len(levels) == len(study.concentrations)
        assert all(len(subject.levels) > 0 for subject in study.cohort)
        error = np.log(levels["DV"].to_numpy() / study.concentrations)
        assert np.std(error) < 6 * study.drug.proportional


@pytest.mark.long
def test_a_study_does_not_depend_on_how_many_there_are(studies):
    fewer = simulate_studies(2, seed=3)
    for one, other in zip(fewer, studies, strict=False):
        assert one.drug == other.drug
        assert one.records.equals(other.records)


def test_another_seed_gives_other_drugs(studies):
    assert simulate_studies(1, seed=4)[0].drug != studies[0].drug
