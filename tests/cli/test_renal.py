"""Files with creatinine instead of clearance, answered by a published model."""

import json

import pytest
from typer.testing import CliRunner

from latentpk.cli.main import app
from latentpk.cli.patients import _merged

PATIENT = """ID,TIME,EVID,AMT,RATE,DV,MDV,WT,AGE,SEX,SCR,DIAL
7,0,1,1000,1000,,1,72,60,1,0.8,0
7,12,1,1000,1000,,1,72,60,1,0.8,0
7,24,1,1000,1000,,1,72,60,1,0.8,0
7,36,1,1000,1000,,1,72,60,1,1.0,0
7,39,0,0,0,27.0,0,72,60,1,1.0,0
7,47.5,0,0,0,14.0,0,72,60,1,1.0,0
"""
TOTAL = ("--renal", "cockcroft-gault-total")
LIMITS = ("--creatinine-floor", "1@65", "--renal-cap", "150")


@pytest.fixture
def patient(tmp_path):
    path = tmp_path / "patient.csv"
    path.write_text(PATIENT)
    return path


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def exposure(path, *options, model="vancomycin-goti-2018"):
    out = path.with_suffix(".json")
    asked = ("--metric", "auc24", "--at", "24", "--draws", "1000", "--out", out)
    result = run("exposure", model, path, *asked, *options)
    return result, json.loads(out.read_text()) if out.exists() else None


def test_clearance_is_computed_printed_and_answered(patient):
    result, found = exposure(patient, *TOTAL, *LIMITS)
    assert result.exit_code == 0, result.stderr
    assert "CRCL is computed by Cockcroft-Gault with total weight" in result.stdout
    assert "creatinine at least 1 mg/dL above 65 y, at most 150" in found["computed"][0]
    assert found["subjects"][0]["verdict"] == "ok"


def test_the_computed_clearance_is_the_written_one(patient):
    _, computed = exposure(patient, *TOTAL)
    written = PATIENT.replace("SCR", "CRCL").replace(",0.8,", ",100,").replace(",1.0,", ",80,")
    patient.write_text(written)
    result, found = exposure(patient)
    assert result.exit_code == 0, result.stderr
    assert found["computed"] == []
    for key in ("lo", "median", "hi"):
        assert computed["subjects"][0][key] == pytest.approx(found["subjects"][0][key])


def test_the_card_brings_its_own_definition(patient):
    _, named = exposure(patient, *TOTAL, *LIMITS)
    _, card = exposure(patient, "--renal", "card")
    assert card == named


def test_without_the_option_the_error_names_it(patient):
    result, found = exposure(patient)
    assert (result.exit_code, found) == (2, None)
    assert "column CRCL" in result.stderr
    assert "--renal cockcroft-gault-total" in result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--renal", "card", "--renal-cap", "100"), "own floor and cap"),
        ((*TOTAL, "--creatinine-floor", "low"), "Write 0.8, or 1@65"),
        ((*TOTAL, "--renal-cap", "-1"), "renal_cap"),
        (("--renal-cap", "100"), "goes with renal"),
        (("--renal", "schwartz"), "HT or HEIGHT"),
        (("--renal", "gault"), "cockcroft-gault-total"),
    ],
)
def test_an_option_that_cannot_be_is_bad_input(patient, options, words):
    result, found = exposure(patient, *options)
    assert (result.exit_code, found) == (2, None)
    assert words in " ".join(result.stderr.replace("\u2502", " ").split())


def test_a_card_without_a_definition_has_none_to_bring(patient):
    result, _ = exposure(patient, "--renal", "card", model="theophylline")
    assert result.exit_code == 2
    assert "theophylline states no definition" in result.stderr


@pytest.mark.long
def test_gate_b_speaks_of_formula_creatinine_and_dialysis(patient):
    patient.write_text(PATIENT.replace(",1.0,", ",1.7,"))
    _, found = exposure(patient, *TOTAL)
    (one,) = found["subjects"]
    assert one["verdict"] == "caution"
    said = " ".join(one["reasons"])
    assert "the model was built on Cockcroft-Gault with total weight, creatinine at least" in said
    assert "Creatinine moved from 0.8 to 1.7 mg/dL" in said
    patient.write_text(PATIENT.replace(",0\n", ",1\n"))
    _, found = exposure(patient, *TOTAL, model="vancomycin-thomson-2009")
    assert "on dialysis" in " ".join(found["subjects"][0]["reasons"])


@pytest.mark.long
def test_a_dose_carries_the_formula(patient):
    out = patient.with_suffix(".json")
    grid = ("--doses", "500:1500:500", "--intervals", "12", "--infusion", "1", "--draws", "1000")
    asked = ("--target", "auc24=400:600", "--renal", "card", "--out", out)
    result = run("dose", "vancomycin-goti-2018", patient, *asked, *grid)
    assert result.exit_code == 0, result.stderr
    assert "Cockcroft and Gault" in json.loads(out.read_text())["inputs"]["computed"][0]


@pytest.mark.long
def test_a_forecast_computes_too(patient):
    out = patient.with_suffix(".out.csv")
    result = run("forecast", "vancomycin-goti-2018", patient, "--out", out, "--renal", "card")
    assert result.exit_code == 0, result.stderr
    assert "Cockcroft and Gault" in result.stdout


def test_the_users_formula_goes_over_what_a_model_remembers():
    known = {"renal": "schwartz", "renal_cap": 100.0, "female": 1}
    assert _merged(known, {"renal": "ckd-epi-2021"}) == {"renal": "ckd-epi-2021", "female": 1}
    assert _merged(known, {"renal_cap": 90.0}) == known | {"renal_cap": 90.0}


def test_a_card_shows_what_can_be_computed():
    result = run("show", "vancomycin-goti-2018")
    assert "--renal card" in result.stdout
