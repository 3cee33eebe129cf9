import io

import numpy as np
import polars as pl
import pytest

from latentpk.errors import InputError
from latentpk.library.catalog import list_models, read_model
from latentpk.workflows.simulate import simulate, simulate_truth

GOTI = "vancomycin-goti-2018"


def text(frame):
    buffer = io.BytesIO()
    frame.write_csv(buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def cohort():
    return simulate_truth(GOTI, 300, seed=7)


@pytest.mark.long
@pytest.mark.parametrize("name", list_models())
def test_every_model_gives_a_plausible_cohort(name):
    model = read_model(name)
    simulation = simulate_truth(name, 40, seed=3)
    records = simulation.records
    expected = ["ID", "TIME", "EVID", "MDV", "CMT", "AMT", "RATE", "DV"]
    assert records.columns[:8] == expected
    others = {covariate.name for covariate in model.covariates}
    others |= {"OCC"} if model.population.occasions else set()
    assert set(records.columns[8:]) == others
    assert records["ID"].unique(maintain_order=True).to_list() == list(range(1, 41))
    assert records["EVID"].equals(records["MDV"])
    levels = records.filter(pl.col("EVID") == 0)
    doses = records.filter(pl.col("EVID") == 1)
    assert (levels["DV"] >= 0).all()
    assert levels["DV"].is_finite().all()
    assert doses["DV"].is_null().all()
    assert (doses["AMT"] > 0).all()
    assert (levels["AMT"] == 0).all()
    assert records.group_by("ID").agg(pl.col("TIME").diff().min())["TIME"].min() >= 0
    assert levels.group_by("ID").len()["len"].min() >= 1
    for covariate in model.covariates:
        assert records[covariate.name].is_between(*covariate.soft).all()


def test_the_same_seed_gives_the_same_bytes_and_another_does_not():
    assert text(simulate(GOTI, 12, seed=5)) == text(simulate(GOTI, 12, seed=5))
    assert text(simulate(GOTI, 12, seed=5)) != text(simulate(GOTI, 12, seed=6))


def test_a_subject_does_not_depend_on_how_many_are_simulated():
    few, many = simulate(GOTI, 3, seed=1), simulate(GOTI, 290, seed=1)
    assert few.equals(many.filter(pl.col("ID") <= 3))


def test_true_parameters_follow_the_published_model(cohort):
    first = cohort.records.group_by("ID", maintain_order=True).first()
    dialysis = first["DIAL"].to_numpy()
    typical = 4.5 * (first["CRCL"].to_numpy() / 120) ** 0.8 * np.where(dialysis == 1, 0.7, 1)
    eta = np.log(cohort.parameters["CL"].to_numpy() / typical)
    assert eta.mean() == pytest.approx(0, abs=4 * np.sqrt(0.14705 / 300))
    assert eta.std() == pytest.approx(np.sqrt(0.14705), rel=0.15)
    assert (cohort.parameters["Q2"] - 6.5).abs().max() < 1e-12


def test_measurement_error_has_its_published_size(cohort):
    levels = cohort.records.filter(pl.col("EVID") == 0)
    assert levels["TIME"].equals(cohort.concentrations["TIME"])
    truth = cohort.concentrations["CONC"].to_numpy()
    z = (levels["DV"].to_numpy() - truth) / np.hypot(3.4, 0.227 * truth)
    high = truth > 12  # there the error is hardly ever drawn again for being negative
    assert z[high].std() == pytest.approx(1, abs=0.1)
    assert z[high].mean() == pytest.approx(0, abs=0.15)


def test_doses_are_practical(cohort):
    doses = cohort.records.filter(pl.col("EVID") == 1)
    assert (doses["AMT"] % 250 == 0).all()
    assert doses["AMT"].is_between(500, 3000).all()
    hours = doses["AMT"] / doses["RATE"]
    assert ((hours - (doses["AMT"] / 1000).clip(1, None)).abs() < 1e-12).all()
    gaps = doses.with_columns(gap=pl.col("TIME").diff().over("ID")).drop_nulls("gap")
    expected = (
        pl.when(pl.col("CRCL") >= 110)
        .then(8)
        .when(pl.col("CRCL") >= 50)
        .then(12)
        .when(pl.col("CRCL") >= 20)
        .then(24)
        .otherwise(48)
    )
    assert (gaps.select((pl.col("gap") - expected).abs() / expected).to_series() <= 0.5).all()


def test_levels_are_drawn_early_and_later_and_never_at_a_dose(cohort):
    levels = cohort.records.filter(pl.col("EVID") == 0)
    early = levels.filter(pl.col("TIME") <= 72).group_by("ID").len()
    late = levels.filter(pl.col("TIME") > 72).group_by("ID").len()
    assert early["len"].max() <= 4
    assert len(early) == 300
    assert len(late) == 300
    tied = cohort.records.group_by("ID", "TIME").len().filter(pl.col("len") > 1)
    assert tied.is_empty()


def test_dialysis_patients_have_little_renal_function(cohort):
    first = cohort.records.group_by("ID").first()
    assert 0 < first["DIAL"].sum() < 60
    assert first.filter(pl.col("DIAL") == 1)["CRCL"].max() <= 30


def test_below_the_assay_limit_levels_are_marked_not_lost():
    design = read_model(GOTI).design.model_copy(update={"lloq": 10.0})
    records = simulate(GOTI, 60, seed=2, design=design)
    levels = records.filter(pl.col("EVID") == 0)
    censored = levels.filter(pl.col("CENS") == 1)
    assert 0 < len(censored) < len(levels)
    assert (censored["DV"] == 10.0).all()
    assert (levels.filter(pl.col("CENS") == 0)["DV"] >= 10.0).all()
    assert (records["LLOQ"] == 10.0).all()


def test_another_design_leaves_the_patients_as_they_are():
    design = read_model(GOTI).design
    other = design.model_copy(
        update={"dosing": design.dosing.model_copy(update={"amounts": (30.0,)})}
    )
    assert simulate_truth(GOTI, 5, seed=4).parameters.equals(
        simulate_truth(GOTI, 5, seed=4, design=other).parameters
    )


@pytest.mark.long
def test_a_bolus_says_that_it_is_intravenous():
    design = read_model(GOTI).design
    bolus = design.model_copy(
        update={
            "dosing": design.dosing.model_copy(
                update={"infusion_per_gram": 0.0, "infusion_least": 0.0}
            )
        }
    )
    records = simulate(GOTI, 2, design=bolus)
    assert set(records["ROUTE"]) == {"iv"}
    assert "ROUTE" not in simulate(GOTI, 2).columns


def test_progress_reaches_the_end():
    seen = []
    simulate("theophylline", 300, progress=lambda done, total, label: seen.append((done, total)))
    assert seen == [(256, 300), (300, 300)]


@pytest.mark.parametrize(("subjects", "seed"), [(0, 1), (-3, 1), (5, -1)])
def test_senseless_numbers_are_refused(subjects, seed):
    with pytest.raises(InputError, match="subject"):
        simulate("theophylline", subjects, seed)


def test_an_unknown_model_is_refused():
    with pytest.raises(InputError, match="theophylline"):
        simulate("teophylline", 3)


@pytest.mark.long
def test_every_occasion_has_effects_of_its_own():
    name = "busulfan-mccune-2014"
    simulation = simulate_truth(name, 600, seed=9)
    drawn = simulation.parameters
    assert drawn.columns == ["ID", "TIME", "OCC", "CL", "V1", "Q2", "V2"]
    days = drawn.filter(pl.col("TIME") % 24 == 0).filter(pl.col("TIME") > 24)  # after the last step
    logs = days.filter(pl.col("OCC") < 5).with_columns(pl.col("CL", "V1", "V2").log())
    occasions = read_model(name).population.occasions
    for column, variance in zip(("CL", "V1"), occasions.variances, strict=True):
        within = logs.group_by("ID").agg(pl.col(column).var())[column].mean()
        assert within == pytest.approx(variance, rel=0.15), column  # 600 patients, 2 days: SE 6 %
    assert logs.group_by("ID").agg(pl.col("V2").max() - pl.col("V2").min())["V2"].max() < 1e-12
    wide = logs.pivot("OCC", index="ID", values="V1").drop("ID").to_numpy()
    centered = wide - np.log(typical_volume(simulation.records))[:, None]
    between = np.cov(centered.T)[0, 1]
    assert between == pytest.approx(0.152, rel=0.3)  # two occasions share what the patient has


def typical_volume(records):
    first = records.group_by("ID", maintain_order=True).first()
    lean, weight = first["FFM"].to_numpy(), first["WT"].to_numpy()
    woman = 1.07 ** (first["SEX"].to_numpy() == 0)
    return 13.9 * (lean + 0.203 * (weight - lean)) / 70 * woman


def test_a_simulated_file_numbers_the_occasions():
    records = simulate("busulfan-mccune-2014", 3, seed=2)
    expected = np.searchsorted([24, 48, 72, 96], records["TIME"], side="right") + 1
    np.testing.assert_array_equal(records["OCC"], expected)
    assert records["OCC"].n_unique() == 4
