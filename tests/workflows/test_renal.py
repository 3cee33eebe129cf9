"""A model trained on computed clearance reads later files in the same way."""

import polars as pl
import pytest

from latentpk import ProfileVAE, read_nonmem
from latentpk.errors import InputError
from latentpk.records.definition import RenalDefinition
from latentpk.workflows.card import identity

DERIVE = {"renal": "cockcroft-gault-total", "creatinine_floor": 0.6, "renal_cap": 140.0}
SETTINGS = {"decoder": "compartment", "structure": "1c-iv", "prior": "linear", "epochs": 2}


def with_creatinine(frame):
    number = pl.col("ID") % 7
    return frame.with_columns(AGE=40.0 + 5 * number, SEX=pl.col("ID") % 2, SCR=0.7 + 0.1 * number)


@pytest.fixture(scope="module")
def asked(patients):
    return with_creatinine(patients)


@pytest.fixture(scope="module")
def model(ward, tmp_path_factory):
    cohort = read_nonmem(with_creatinine(ward), covariates=["WT", "CRCL"], derive=DERIVE)
    folder = tmp_path_factory.mktemp("renal") / "ward.model"
    ProfileVAE(**SETTINGS).fit(cohort).save(folder)
    return ProfileVAE.load(folder)


@pytest.mark.long
def test_the_model_remembers_how_clearance_was_made(model, asked):
    assert model.reading()["derive"] == DERIVE
    assert model.predictor().domain.renal == RenalDefinition(
        "cockcroft-gault-total", floor=0.6, cap=140.0
    )
    assert "Cockcroft and Gault" in model.card()["data"]["computed"]
    cohort = read_nonmem(asked, **model.reading(), purpose="forecast")
    assert cohort.covariate_names == ("WT", "CRCL")
    assert not any("was computed by" in text for text in model.forecast(cohort)["REASON"])


@pytest.mark.long
def test_another_formula_is_a_caution(model, asked):
    reading = model.reading() | {"derive": {"renal": "ckd-epi-2021"}, "purpose": "forecast"}
    table = model.forecast(read_nonmem(asked, **reading))
    assert set(table["VERDICT"]) <= {"caution", "refuse"}
    assert all("CRCL was computed by CKD-EPI 2021" in text for text in table["REASON"])


def test_a_model_of_written_clearance_does_not_compute_it(fitted):
    assert "derive" not in fitted.reading()
    assert fitted.predictor().domain.renal is None


def test_a_changed_formula_does_not_resume_a_fit(model, ward):
    def of(derive):
        cohort = read_nonmem(with_creatinine(ward), covariates=["WT", "CRCL"], derive=derive)
        return identity(cohort, model.settings)

    assert of(DERIVE) == of(dict(DERIVE))
    assert of(DERIVE) != of(DERIVE | {"renal_cap": 120.0})


@pytest.mark.long
def test_without_creatinine_the_model_names_what_it_needs(model, asked):
    with pytest.raises(InputError, match="SCR or CREAT"):
        read_nonmem(asked.drop("SCR"), **model.reading(), purpose="forecast")
