"""Every published model can be simulated from, read back and asked about a patient."""

import numpy as np
import polars as pl
import pytest

from latentpk import read_nonmem
from latentpk.library.catalog import list_models, read_model
from latentpk.units import PHYSICAL
from latentpk.workflows.predictor import open_predictor
from latentpk.workflows.simulate import simulate_truth


@pytest.mark.long
@pytest.mark.parametrize("name", list_models())
def test_a_cohort_is_positive_and_finite(name):
    simulation = simulate_truth(name, 50, seed=1)
    names = [parameter.upper() for parameter in read_model(name).population.names]
    for column in (simulation.concentrations["CONC"], *simulation.parameters[names]):
        assert column.is_finite().all()
        assert (column > 0).all()
    levels = simulation.records.filter(pl.col("EVID") == 0)["DV"]
    assert levels.is_finite().all()
    assert (levels > 0).all()


# A program to compile for each: of every kind of structure one is asked in the short tier.
QUICK = ("aminophylline", "gentamicin-hodiamont-2017", "vancomycin-goti-2018")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.long] * (name not in QUICK)) for name in list_models()],
)
def test_a_simulated_patient_gets_a_verdict_and_a_finite_forecast(name):
    predictor = open_predictor(name)
    records = simulate_truth(name, 1, seed=3).records
    cohort = read_nonmem(records, **predictor.reading, purpose="forecast")
    table = predictor.forecast(cohort, draws=256)
    assert len(table) == len(cohort[0].outputs) > 0
    assert set(table["VERDICT"]) <= {"ok", "caution"}
    for column in ("PRED", "IPRED", "LO", "HI", "PI_LO", "PI_HI"):
        assert table[column].is_finite().all(), column
    assert (table["LO"] > 0).all()
    assert (table["LO"] <= table["HI"]).all()


@pytest.mark.parametrize("name", list_models())
def test_a_cards_covariates_are_in_the_units_a_table_is_read_in(name):
    for covariate in read_model(name).required:
        if covariate.name in PHYSICAL:
            assert PHYSICAL[covariate.name].table[covariate.unit] == 1, covariate.name


@pytest.mark.parametrize("name", list_models())
def test_a_typical_patient_has_a_half_life(name):
    assert 0.5 < open_predictor(name).domain.half_life < 1000  # hours


def test_a_dose_of_a_salt_counts_by_what_it_holds():
    free, salt = (simulate_truth(name, 20, seed=2) for name in ("theophylline", "aminophylline"))
    assert free.parameters.equals(salt.parameters)
    predictor = open_predictor("aminophylline")
    patient = read_nonmem(salt.records, **predictor.reading, purpose="forecast")[0]
    given = predictor.dosed(patient).doses.amount
    np.testing.assert_allclose(given, 0.79 * patient.doses.amount)


def test_a_salt_gives_its_share_of_the_levels():
    design = read_model("theophylline").design
    free = simulate_truth("theophylline", 5, seed=2, design=design).concentrations
    salt = simulate_truth("aminophylline", 5, seed=2, design=design).concentrations
    np.testing.assert_allclose(salt["CONC"], 0.79 * free["CONC"], rtol=1e-12)
