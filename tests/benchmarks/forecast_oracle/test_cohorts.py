import numpy as np
import polars as pl
import pytest
from benchmarks.forecast_oracle import cohorts
from benchmarks.forecast_oracle.populations import POPULATIONS

NAMES = sorted(POPULATIONS)


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_gives_the_same_cohort_and_another_seed_another(name):
    first, again, other = (cohorts.unseen(POPULATIONS[name], 20, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.level, again.level)
    assert not np.array_equal(first.truth, other.truth)


@pytest.mark.parametrize("name", NAMES)
def test_unseen_patients_have_one_to_four_levels_and_only_early_ones(name):
    patients = cohorts.unseen(POPULATIONS[name], 60, seed=3)
    design = POPULATIONS[name].design
    counts = patients.measured.sum(axis=1)
    assert set(counts) == {1, 2, 3, 4}
    assert patients.level_time.max() <= design.split < patients.later.min()


@pytest.mark.parametrize("name", NAMES)
def test_training_patients_are_measured_over_the_whole_record(name):
    patients = cohorts.training(POPULATIONS[name], 60, seed=3)
    design = POPULATIONS[name].design
    counts = patients.measured.sum(axis=1)
    assert (counts.min(), counts.max()) == design.whole
    assert patients.level_time.max() > design.split
    assert patients.level[patients.measured].min() > 0


@pytest.mark.parametrize("name", NAMES)
def test_the_forecast_table_tells_nothing_of_the_truth(name, tmp_path):
    patients = cohorts.unseen(POPULATIONS[name], 15, seed=4)
    table = pl.read_csv(cohorts.write_forecast(patients, tmp_path / "unseen.csv"))
    asked = table.filter(pl.col("EVID") == 2)
    assert asked.height == patients.later.size
    assert asked["DV"].null_count() == asked.height
    assert set(asked["MDV"]) == {1}
    np.testing.assert_array_equal(asked["TIME"], patients.later.ravel())
    for _, subject in table.group_by("ID", maintain_order=True):
        assert subject["TIME"].is_sorted()


@pytest.mark.parametrize("name", NAMES)
def test_the_training_table_holds_every_dose_and_level_exactly(name, tmp_path):
    patients = cohorts.training(POPULATIONS[name], 15, seed=5)
    table = pl.read_csv(cohorts.write_training(patients, tmp_path / "train.csv"))
    given, measured = table.filter(pl.col("EVID") == 1), table.filter(pl.col("EVID") == 0)
    dosed = patients.doses.amount > 0
    np.testing.assert_array_equal(given["AMT"], patients.doses.amount[dosed])
    np.testing.assert_array_equal(measured["DV"], patients.level[patients.measured])
    if not patients.population.oral:
        duration = given["AMT"] / given["RATE"]
        np.testing.assert_allclose(duration, patients.doses.duration[dosed], rtol=1e-14)


def test_the_truth_table_is_in_the_forecast_tables_order(tmp_path):
    patients = cohorts.unseen(POPULATIONS["oral-1c"], 10, seed=6)
    asked = pl.read_csv(cohorts.write_forecast(patients, tmp_path / "unseen.csv"))
    truth = pl.read_csv(cohorts.write_truth(patients, tmp_path / "truth.csv"))
    asked = asked.filter(pl.col("EVID") == 2)
    assert asked.select("ID", "TIME").equals(truth.select("ID", "TIME"))
    assert truth["C_TRUE"].min() > 0
