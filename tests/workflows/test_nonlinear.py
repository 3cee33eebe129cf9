"""Published models whose doses do not add up answer like the others."""

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from latentpk.dosing.exposure import areas
from latentpk.dosing.metric import parse_metric
from latentpk.dosing.patient import Patient
from latentpk.dosing.target import parse_target
from latentpk.errors import InputError
from latentpk.inference.posterior import PosteriorSettings, posteriors
from latentpk.models.record import stack_records, take
from latentpk.records import read_nonmem
from latentpk.report.dose_page import dose_page
from latentpk.workflows.dose_curves import curves_of
from latentpk.workflows.dose_options import Wish
from latentpk.workflows.dosing import advise
from latentpk.workflows.exposure import Question, exposures
from latentpk.workflows.predictor import open_predictor
from latentpk.workflows.simulate import simulate

NAMES = ("voriconazole-friberg-2012", "omalizumab-hayashi-2007", "mycophenolate-dewinter-2009")


def first_patient(name, predictor):
    records = simulate(name, 1, seed=3)
    return read_nonmem(records.filter(pl.col("ID") == 1), **predictor.reading, purpose="forecast")


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_a_patient_gets_a_finite_posterior_curve_and_area(name):
    predictor = open_predictor(name)
    subject = predictor.dosed(first_patient(name, predictor).subjects[0])
    records = stack_records([subject], undecided=predictor.undecided)
    settings = PosteriorSettings(draws=64, ladder=False, begin="prior")
    found = posteriors(predictor.model, records, settings)
    assert found.ess[0] > 3
    assert found.objective[0] < objective_at_origin(predictor.model, take(records, 0))
    patient = Patient(predictor.model, take(records, 0), found.eps[0], found.weight[0])
    area = areas(patient, 24.0, 48.0)
    assert np.isfinite(area).all()
    assert (area >= 0).all()  # a far draw may have a lag beyond the window
    assert area @ patient.weight > 0


def objective_at_origin(model, record):
    origin = jnp.zeros(model.effects)
    record = jax.tree_util.tree_map(jnp.asarray, record)
    return -float(model.log_likelihood(origin, model.location(record), record))


@pytest.mark.long
def test_a_predictor_gives_a_profile_with_its_parameters_by_name():
    predictor = open_predictor("omalizumab-hayashi-2007")
    cohort = first_patient("omalizumab-hayashi-2007", predictor)
    posterior = predictor.posterior(cohort.subjects[0], draws=64, least_ess=0.0)
    assert posterior.parameters.columns == list(predictor.model.decoder.structure.names)
    assert np.isfinite(posterior.parameters.to_numpy()).all()
    profile = posterior.predict(np.linspace(0.0, 2000.0, 16))
    assert np.isfinite(profile.ipred).all()
    assert (profile.lo <= profile.hi).all()


@pytest.mark.long
def test_a_patient_gets_an_exposure_at_steady_state_and_a_dose():
    """The regimen that `dose` judges has the exposure that `exposure` gives to who takes it."""
    predictor = open_predictor(NAMES[0])
    rows = {"ID": 1, "WT": 70.0, "CYP2C19_IM": 0, "CYP2C19_PM": 0}
    events = [{"TIME": 12.0 * k, "EVID": 1, "AMT": 200.0, "DV": None, "MDV": 1} for k in range(6)]
    events.append({"TIME": 71.5, "EVID": 0, "AMT": 0.0, "DV": 0.9, "MDV": 0})
    table = pl.DataFrame([event | rows for event in events])
    cohort = read_nonmem(table, **predictor.reading, purpose="dose")
    target = parse_target("trough=1:5.5")
    wish = Wish(amounts=(200.0, 300.0), intervals=(12.0,))
    pairs = [(predictor, cohort)]
    seen = []
    value, answer, average = advise(
        pairs, target, wish, draws=512, progress=lambda *step: seen.append(step)
    )
    courses = [done for done, total, label in seen if label == "courses simulated"]
    assert courses == sorted(courses)
    assert len(courses) > 2 * len(wish.amounts)
    assert value["recommended"] == 0
    assert value["inputs"]["draws that regimens were judged by"] == answer.draws == 256
    assert value["posterior"]["parameters"]["vmax"]["unit"] == "mg/h"
    assert 100 < value["optimal_amount"][0]["amount"] < 1000
    taken = next(one for one in value["alternatives"] if one["amount"] == 200.0)
    question = Question(parse_metric("trough"), "ss", (1.0, 5.5))
    found = exposures(pairs, question, draws=512)["subjects"][0]
    assert found["median"] == pytest.approx(taken["exposure"]["median"], rel=0.05)
    assert found["p"] == pytest.approx(taken["probability"], abs=0.06)
    assert found["lo"] < found["map"] < found["hi"]
    page = dose_page(value, curves_of(pairs, answer, average))
    assert "voriconazole" in page


def test_a_dose_at_steady_state_is_refused_with_a_way_out():
    predictor = open_predictor(NAMES[0])
    rows = simulate(NAMES[0], 1, seed=3).with_columns(II=pl.lit(12.0), SS=pl.col("EVID"))
    cohort = read_nonmem(rows, **predictor.reading, purpose="forecast")
    with pytest.raises(InputError, match="ADDL"):
        predictor.posterior(cohort.subjects[0], draws=64)
