"""A population fit as a model: kept, opened, asked about patients."""

import json

import numpy as np
import polars as pl
import pytest
from tests.workflows.population.conftest import REFERENCE

from latentpk import read_nonmem
from latentpk.errors import ArtifactError, InputError
from latentpk.inference.estimation import EstimationSettings
from latentpk.models.bundle import to_arrays
from latentpk.workflows.population.fit import (
    PopfitSettings,
    fit_population,
    fit_structure,
    read_cohort,
)
from latentpk.workflows.population.fitted import FittedPopulation
from latentpk.workflows.population.outcome import individual_predictions
from latentpk.workflows.predictor import open_predictor
from latentpk.workflows.profile import ProfileVAE

pytestmark = pytest.mark.long  # what all of them share takes half a minute

QUICK = EstimationSettings(method="focei")


@pytest.fixture(scope="module")
def folder(focei, tmp_path_factory):
    place = tmp_path_factory.mktemp("models") / "fit.model"
    FittedPopulation.of(focei).save(place)
    return place


@pytest.fixture(scope="module")
def predictor(folder):
    return open_predictor(folder)


@pytest.mark.long
def test_the_population_comes_back_bit_for_bit(focei, folder):
    back = FittedPopulation.load(folder)
    before, after = to_arrays(focei.model), to_arrays(back.model)
    assert before.keys() == after.keys()
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])
    assert back.kept.config == focei.config


def test_a_patients_mode_is_the_one_the_fit_found(focei, simulated, predictor):
    cohort = read_nonmem(
        REFERENCE / "popfit_simulated.csv", **predictor.reading, purpose="forecast"
    )
    assert cohort.subjects[3].id == simulated.subjects[3].id
    found = predictor.posterior(cohort.subjects[3])
    np.testing.assert_allclose(found.found.mode[0], focei.found.modes[3], atol=2e-3)
    curve = individual_predictions(focei.model, focei.records, focei.found.modes)[3]
    times = cohort.subjects[3].levels.time
    middle = found.predict(times).ipred
    np.testing.assert_allclose(middle, curve[: len(times)], rtol=0.15)


@pytest.mark.long
def test_ranges_are_those_of_the_data(tmp_path):
    rng = np.random.default_rng(1)
    rows = []
    for number in range(1, 25):
        weight = float(rng.uniform(50, 90))
        cl, v = 4 * (weight / 70) * np.exp(0.3 * rng.standard_normal()), 40 * weight / 70
        rows.append((number, 0.0, 1, 100.0, 1, None, weight))
        for t in (1.0, 6.0, 20.0):
            level = 100 / v * np.exp(-cl / v * t) * np.exp(0.1 * rng.standard_normal())
            rows.append((number, t, 0, 0.0, 1, level, weight))
    names = ["ID", "TIME", "EVID", "AMT", "CMT", "DV", "WT"]
    table = pl.DataFrame(rows, schema=names, orient="row")
    settings = PopfitSettings(
        structure="1c-iv", effects="cl~WT,v~WT", error="proportional", estimation=QUICK
    )
    fit = fit_population(table, settings, units="WT=kg", route="iv")
    FittedPopulation.of(fit, route="iv").save(tmp_path / "m")
    predictor = open_predictor(tmp_path / "m")
    assert predictor.covariates == ("WT",)
    assert predictor.usual_dose == 100

    def verdict(weight, dose=100.0):
        own = table.filter(pl.col("ID") == 1).with_columns(
            WT=pl.lit(weight), AMT=pl.when(pl.col("EVID") == 1).then(dose).otherwise(0.0)
        )
        cohort = read_nonmem(own, **predictor.reading, purpose="forecast")
        gates = predictor.posterior(cohort.subjects[0]).gates
        return gates[1].verdict

    assert verdict(70.0) == "ok"
    assert verdict(95.0) == "caution"
    assert verdict(400.0) == "refuse"
    assert verdict(70.0, dose=100 * 3 * 25) == "refuse"
    half_life = np.log(2) * 40 / 4
    assert predictor.domain.half_life == pytest.approx(half_life, rel=0.3)
    card = FittedPopulation.load(tmp_path / "m").card()
    assert "power" in card["population"]["cl~WT"]
    assert card["covariates"][0]["name"] == "WT"


@pytest.mark.long
def test_occasions_are_looked_for_where_patients_vary_between_them(tmp_path):
    table = pl.read_csv(REFERENCE / "popfit_simulated.csv").with_columns(
        OCC=(pl.col("TIME") > 6).cast(int) + 1
    )
    settings = PopfitSettings(
        structure="1c-oral",
        iov=("cl",),
        estimation=EstimationSettings(method="focei", evaluations=0),
        initial="ka=1.2,cl=3,v=20",
    )
    fit = fit_structure(read_cohort(table, settings), settings, hessian=False)
    FittedPopulation.of(fit).save(tmp_path / "m")
    predictor = open_predictor(tmp_path / "m")
    assert predictor.model.kappas == 1
    predictor.check(read_nonmem(table, **predictor.reading, purpose="forecast"))
    unasked = predictor.reading | {"occasions": None}
    with pytest.raises(InputError, match="occasions"):
        predictor.check(read_nonmem(table, **unasked, purpose="forecast"))


@pytest.mark.long
def test_covariates_of_doses_are_kept_and_asked_for(tmp_path):
    doses = pl.col("EVID") == 1
    table = pl.read_csv(REFERENCE / "popfit_simulated.csv").with_columns(
        FED=pl.when(doses).then(pl.col("ID") % 2)
    )
    settings = PopfitSettings(
        structure="1c-oral",
        effects="ka~FED",
        dose_covariates=("FED",),
        estimation=EstimationSettings(method="focei", evaluations=0),
        initial="ka=1.2,cl=3,v=20,ka~FED=1=-0.5",
    )
    fit = fit_structure(read_cohort(table, settings), settings, hessian=False)
    FittedPopulation.of(fit).save(tmp_path / "m")
    predictor = open_predictor(tmp_path / "m")
    assert predictor.dose_covariates == ("FED",)
    assert predictor.reading["dose_covariates"] == ["FED"]
    cohort = read_nonmem(table, **predictor.reading, purpose="forecast")
    predictor.check(cohort)
    posterior = predictor.posterior(cohort[0])
    np.testing.assert_array_equal(posterior.said, cohort[0].doses.state[-1])
    assert predictor.model.prior.reference_dose == (0.0,)
    silent = {name: how for name, how in predictor.reading.items() if name != "dose_covariates"}
    unasked = read_nonmem(table.drop("FED"), **silent, purpose="forecast")
    with pytest.raises(InputError, match="covariates of doses"):
        predictor.check(unasked)


class TestRefused:
    def test_a_damaged_folder(self, folder, tmp_path):
        broken = tmp_path / "m"
        broken.mkdir()
        for path in folder.iterdir():
            (broken / path.name).write_bytes(path.read_bytes())
        manifest = broken / "manifest.json"
        document = json.loads(manifest.read_text())
        manifest.write_text(json.dumps(document).replace("1c-oral", "1c-iv"))
        with pytest.raises(ArtifactError):
            open_predictor(broken)

    def test_another_kind_of_model_is_told_from_it(self, folder):
        with pytest.raises(ArtifactError, match="population-model"):
            ProfileVAE.load(folder)
