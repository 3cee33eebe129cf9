"""Courses that their equations do not allow are told, and only those."""

import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from latentpk import UserSystem, read_nonmem, register_system
from latentpk.inference.estimation import EstimationSettings
from latentpk.models.population import PopulationConfig, build_population
from latentpk.models.record import stack_records
from latentpk.workflows.doubts import doubtful_courses
from latentpk.workflows.population.fit import PopfitSettings, fit_structure
from latentpk.workflows.population.outcome import describe


def constant(states, p, inputs):
    """Leaves at one pace, whether there is something or not."""
    return {"central": -p["k0"] * jnp.ones_like(states["central"])}


@pytest.fixture(scope="module")
def cohort():
    """100 mg each; the first patient is looked at after 10 h, the second after 30 h."""
    rows = [
        {"ID": i, "TIME": t, "EVID": e, "MDV": e, "AMT": 100.0 * e, "DV": None if e else 1.0}
        for i, last in ((1, 10.0), (2, 30.0))
        for t, e in ((0.0, 1), (1.0, 0), (last, 0))
    ]
    return read_nonmem(pl.DataFrame(rows), covariates=[])


@pytest.fixture(scope="module")
def structure():
    slow = {"k0": 1e-3, "v1": 1.0}  # too slow for the trial courses to find out
    return UserSystem(
        "constant",
        constant,
        tuple(slow),
        ("central",),
        "central",
        typical=slow,
        units={"k0": "mg/h"},
    )


@pytest.mark.long
def test_a_state_below_0_is_named_with_subject_and_time(cohort, structure):
    names = ("k0", "v1")
    config = PopulationConfig(structure=register_system(structure), parameters=names, varying=names)
    model = build_population(config, np.array([5.0, 50.0]))
    records = stack_records(cohort.subjects, undecided=1.0, tight=True)
    (told,) = doubtful_courses(model, records, np.zeros((2, 2)), ["1", "2"])
    assert told.startswith("NegativeState: state 'central' of user:constant")
    assert "1 of 2 subjects (subject 2 at 20" in told
    slow = build_population(config, np.array([0.5, 50.0]))
    assert doubtful_courses(slow, records, np.zeros((2, 2)), ["1", "2"]) == []


@pytest.mark.long
@pytest.mark.parametrize("kon", [0.8, 800.0])
def test_a_stiff_course_is_no_negative_state(cohort, kon):
    names = ("cl", "v1", "q2", "v2", "ka", "f", "kon", "koff", "ksyn", "kdeg", "kint")
    config = PopulationConfig(structure="tmdd", parameters=names, varying=names[:2])
    values = np.array([0.2, 3, 0.5, 3, 0.25, 0.6, kon, 0.4, 1, 0.5, 0.1])
    records = stack_records(cohort.subjects, undecided=0.0, tight=True)
    told = doubtful_courses(build_population(config, values), records, np.zeros((2, 2)), ["1", "2"])
    assert not any("NegativeState" in one for one in told)


@pytest.mark.long
def test_a_fit_tells_it(cohort, structure):
    settings = PopfitSettings(
        structure=structure,
        initial={"k0": 5, "v1": 50},
        varying=("v1",),
        estimation=EstimationSettings(method="focei", evaluations=0),
    )
    fit = fit_structure(cohort, settings, hessian=False)
    found = describe(fit)
    assert sum("NegativeState" in told for told in found["warnings"]) == 1
    assert [found["parameters"][name]["unit"] for name in ("k0", "v1")] == ["mg/h", None]
