"""The verbs that answer with exposures and doses, run on a published model without a stand-in."""

import html
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from latentpk.cli.main import app
from latentpk.report.words import percent

PATIENT = """ID,TIME,EVID,AMT,RATE,DV,MDV,WT,CRCL,DIAL
7,0,1,1000,1000,,1,70,90,0
7,12,1,1000,1000,,1,70,90,0
7,24,1,1000,1000,,1,70,90,0
7,36,1,1000,1000,,1,70,90,0
7,39,0,0,0,27.0,0,70,90,0
7,47.5,0,0,0,14.0,0,70,90,0
"""
GRID = ("--doses", "500:2000:500", "--intervals", "12,24", "--infusion", "1", "--draws", "2048")


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


def dose(path, *options, target="auc24=400:600", model="vancomycin-goti-2018"):
    out = path.with_suffix(".json")
    result = run("dose", model, path, "--target", target, "--out", out, *GRID, *options)
    return result, out


def test_a_dose_with_all_it_rests_on(patient):
    result, out = dose(patient)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[-1] == str(out)
    found = json.loads(out.read_text())
    assert found["verdict"] == "ok"
    assert [gate["gate"] for gate in found["gates"]] == ["A computation", "B domain", "C fit"]
    assert found["recommended"] == 0
    assert len(found["alternatives"]) == 8
    best = found["alternatives"][0]
    assert best["exposure"]["lo"] < best["exposure"]["median"] < best["exposure"]["hi"]
    assert {one["interval"] for one in found["optimal_amount"]} == {12, 24}
    assert len(found["model"]["sha256"]) == 64
    assert found["posterior"]["parameters"]["cl"]["map"] == pytest.approx(3.585082, rel=1e-4)
    assert any("next one is due" in default for default in found["inputs"]["defaults"])


def test_a_refusal_gives_reasons_and_no_dose_and_exits_with_0(patient):
    patient.write_text(PATIENT.replace(",70,90,0", ",20,90,0"))  # 20 kg: not an adult
    result, out = dose(patient)
    assert result.exit_code == 0, result.stderr
    found = json.loads(out.read_text())
    assert (found["verdict"], found["recommended"], found["alternatives"]) == ("refuse", None, [])
    assert any("WT is 20 kg" in reason for reason in found["reasons"])
    assert "No dose is recommended" in result.stdout


@pytest.mark.long
def test_a_dose_before_the_first_level_and_the_first_dose(patient):
    head = PATIENT.splitlines()[0]
    patient.write_text(f"{head}\n7,0,2,,,,1,70,90,0\n")
    result, out = dose(patient)
    assert result.exit_code == 0, result.stderr
    assert json.loads(out.read_text())["inputs"]["start [h]"] == 0


def test_units_carry_through(patient):
    """The same patient in grams and ng/mL gets the same dose."""
    dose(patient)
    usual = json.loads(patient.with_suffix(".json").read_text())
    rows = PATIENT.replace("1000,1000", "1,1").replace("27.0", "27000").replace("14.0", "14000")
    patient.write_text(rows)
    out = patient.with_suffix(".json")
    arguments = ("--units", "AMT=g,DV=ng/mL", "--target", "auc24=400000:600000", "--out", out)
    grid = ("--doses", "0.5:2:0.5", "--intervals", "12,24", "--infusion", "1", "--draws", "2048")
    result = run("dose", "vancomycin-goti-2018", patient, *arguments, *grid)
    assert result.exit_code == 0, result.stderr
    found = json.loads(out.read_text())
    assert found["units"] == {"amount": "g", "time": "h", "exposure": "ng/mL h"}
    for one, other in zip(usual["alternatives"], found["alternatives"], strict=True):
        assert other["amount"] == pytest.approx(one["amount"] / 1000)
        assert other["probability"] == pytest.approx(one["probability"], abs=1e-6)
        assert other["exposure"]["median"] == pytest.approx(1000 * one["exposure"]["median"])


def test_a_named_target_is_the_same_in_every_unit(patient):
    dose(patient, target="vancomycin-auc24")
    usual = json.loads(patient.with_suffix(".json").read_text())
    patient.write_text(PATIENT.replace("27.0", "27000").replace("14.0", "14000"))
    dose(patient, "--units", "DV=ng/mL", target="vancomycin-auc24")
    found = json.loads(patient.with_suffix(".json").read_text())
    assert found["inputs"]["target"]["says"] == "auc24 400000 to 600000 ng/mL h"
    one, other = usual["alternatives"][0], found["alternatives"][0]
    assert other["probability"] == pytest.approx(one["probability"], abs=1e-6)
    assert other["probability"] > 0.3


@pytest.mark.long
def test_a_report_beside_the_answer(patient):
    patient.write_text(PATIENT.replace("7,", "<script>7,"))
    page = patient.with_suffix(".html")
    result, out = dose(patient, "--report", page, "--loading", target="trough=10:15")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[-2:] == [str(out), str(page)]
    text, found = page.read_text(), json.loads(out.read_text())
    assert "Dose for patient &lt;script&gt;7" in text
    assert "<script" not in text
    for said in (*found["inputs"]["defaults"], *found["inputs"]["reading"], *found["reasons"]):
        assert html.escape(said) in text
    for one in found["alternatives"]:
        assert f"<td>{one['amount']:g}</td><td>{one['interval']:g}</td>" in text
    assert found["model"]["sha256"] in text
    assert text.count("<svg") == 2


def test_a_refused_answer_has_a_report_without_a_dose(patient):
    patient.write_text(PATIENT.replace(",70,90,0", ",20,90,0"))
    page = patient.with_suffix(".html")
    result, _ = dose(patient, "--report", page)
    assert result.exit_code == 0, result.stderr
    text = page.read_text()
    assert "WT is 20 kg" in text
    assert "No dose is recommended" in text
    assert text.count("<svg") == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("patient.csv", "is the input itself"),
        ("patient.json", "is the file of --out"),
        ("absent/page.html", "does not exist"),
        (".", "is a folder"),
    ],
)
def test_a_report_that_cannot_be_written_is_bad_input(patient, name, said):
    result, out = dose(patient, "--report", patient.parent / name)
    assert result.exit_code == 2
    assert "--report" in result.stderr
    assert said in result.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--doses", "0:100"), "a range"),
        (("--max-daily", "100"), "The grid of regimens is empty"),
        (("--target", "auc24=600:400"), "not below the upper end"),
        (("--at", "later"), "--at"),
        (("--at", "0"), "ends at 24 h, and the first new dose comes at 48 h"),
        (("--start", "40"), "before a level at 47.5 h"),
        (("--target", "gentamicin-auc24"), "a target of gentamicin"),
        (("--mic", "2"), "belong to ft_mic alone"),
        (("--start", "nan"), "--start"),
        (("--start", "1e9"), "at most 1e+06 h"),
        (("--max-daily", "nan", "--vial", "inf"), "2 problems in the options"),
        (("--max-single", "-1"), "above 0 mg"),
        (("--at", "-5"), "begins at 0 h or later"),
        (("--intervals", "1e-6", "--infusion", "0"), "Intervals are above 0.1 h"),
        (("--infusion", "48"), "longer than every interval"),
        (("--max-single", "100"), "the smallest amount, 500 mg, is above"),
        (("--vial", "5000"), "a vial holds 5000 mg"),
        (("--target", "ft_mic=150@2"), "at most 100 %"),
        (("--target", "ft_mic=50@2", "--mic", "8"), "name the MIC once"),
    ],
)
def test_bad_wishes_are_bad_input(patient, options, said):
    result, out = dose(patient, *options)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not out.exists()


@pytest.mark.parametrize("target", ["trough=0:0.3", "auc24=1:8", "ft_mic=100@0.2"])
def test_a_target_below_the_assays_limit_is_bad_input(patient, target):
    rows = [line + (",LLOQ" if i == 0 else ",0.5") for i, line in enumerate(PATIENT.splitlines())]
    patient.write_text("\n".join(rows) + "\n")
    result, out = dose(patient, target=target)
    assert result.exit_code == 2
    assert "limit of quantification, 0.5" in result.stderr
    assert not out.exists()


def test_creatinine_in_another_unit_is_refused_though_the_card_caps_what_comes_of_it(patient):
    rows = PATIENT.replace("CRCL", "SCR,AGE,SEX").replace(",90,0\n", ",1.1,60,1,0\n")
    patient.write_text(rows)
    result, out = dose(patient, "--renal", "card", "--units", "SCR=umol/L")
    assert result.exit_code == 0, result.stderr
    found = json.loads(out.read_text())
    assert (found["verdict"], found["recommended"]) == ("refuse", None)
    assert any("Creatinine is 0.0124 mg/dL" in reason for reason in found["reasons"])


@pytest.mark.long
def test_of_doses_that_all_reach_the_target_the_smallest_is_taken(tmp_path):
    path = tmp_path / "meropenem.csv"
    path.write_text(
        "ID,TIME,EVID,AMT,RATE,DV,MDV,WT,AGE,CRCL\n1,0,2,0,0,.,1,70,50,60\n", encoding="utf-8"
    )
    out = tmp_path / "m.json"
    options = ("--doses", "1000,2000", "--intervals", "8", "--infusion", "8", "--draws", "1024")
    target = ("--target", "ft_mic=100@0.25")
    result = run("dose", "meropenem-li-2006", path, *target, "--out", out, *options)
    assert result.exit_code == 0, result.stderr
    found = json.loads(out.read_text())
    assert min(one["probability"] for one in found["alternatives"]) > 0.999
    assert max(one["probability"] for one in found["alternatives"]) <= 1
    assert found["alternatives"][0]["amount"] == 1000
    assert found["optimal_amount"][0]["amount"] <= 2000  # "more" has no end


@pytest.mark.long
def test_why_new_doses_begin_when_they_do_is_told(patient):
    def reason(text):
        patient.write_text(text)
        result, out = dose(patient)
        assert result.exit_code == 0, result.stderr
        told = json.loads(out.read_text())["inputs"]["defaults"]
        return next(one for one in told if "(--start)" in one)

    assert "when the next one is due" in reason(PATIENT)
    high = PATIENT.replace("27.0", "60.0").replace("14.0", "48.0")
    assert "when the concentration has fallen" in reason(high)
    head, *rows = PATIENT.splitlines(keepends=True)
    assert "no interval is known" in reason("".join([head, *rows[3:]]))


def test_planned_doses_of_the_file_are_said_to_be_replaced(patient):
    patient.write_text(PATIENT + "7,60,1,1000,1000,,1,70,90,0\n")
    result, out = dose(patient, "--start", "48")
    assert result.exit_code == 0, result.stderr
    assert "1 dose of the file from 48 h on is replaced" in result.stdout
    given = json.loads(out.read_text())["inputs"]
    assert (given["doses given"], given["doses replaced"]) == (4, 1)


def test_the_share_above_the_limit_is_told(patient):
    result, out = dose(patient)
    best = json.loads(out.read_text())["alternatives"][0]
    assert f", above the limit {percent(best['probability_toxic'])}, " in result.stdout


def test_two_patients_are_one_too_many(patient):
    patient.write_text(PATIENT + PATIENT.split("\n", 1)[1].replace("7,", "8,", 6))
    result, out = dose(patient)
    assert result.exit_code == 2
    assert "2 subjects" in result.stderr
    assert not out.exists()


@pytest.mark.long
def test_exposures_of_a_file(patient):
    out = patient.with_suffix(".json")
    options = ("--metric", "auc24", "--at", "24", "--range", "400:600", "--out", out)
    result = run("exposure", "vancomycin-goti-2018", patient, *options)
    assert result.exit_code == 0, result.stderr
    found = json.loads(out.read_text())
    assert (found["metric"], found["unit"], found["at"]) == ("auc24", "mg h/L", 24.0)
    (one,) = found["subjects"]
    assert one["id"] == "7"
    assert one["map"] == pytest.approx(448.515263475437, rel=1e-6)  # reference/map.csv
    assert one["median"] == pytest.approx(444.865, rel=0.005)
    assert one["p"] == pytest.approx(0.7013, abs=0.02)
    assert one["ess"] > 4000


def test_an_unknown_metric_is_bad_input(patient):
    out = patient.with_suffix(".json")
    result = run("exposure", "theophylline", patient, "--metric", "depth", "--out", out)
    assert result.exit_code == 2
    assert "not known" in result.stderr
    assert not out.exists()


@pytest.mark.long
def test_a_published_model_forecasts_without_training(patient):
    out = patient.with_suffix(".out.csv")
    result = run("forecast", "vancomycin-goti-2018", patient, "--out", out)
    assert result.exit_code == 0, result.stderr
    assert len(out.read_text().splitlines()) == 3


@pytest.mark.long
def test_an_average_over_models_shows_each(patient):
    out = patient.with_suffix(".json")
    names = "vancomycin-goti-2018+vancomycin-buelga-2005"
    options = ("--metric", "auc24", "--each-level", "--draws", "1024", "--out", out)
    result = run("exposure", names, patient, *options)
    assert result.exit_code == 0, result.stderr
    (one,) = json.loads(out.read_text())["subjects"]
    assert "+".join(model["name"] for model in one["models"]) == names
    assert [step["levels"] for step in one["sequence"]] == [0, 1, 2]
    for said in ("vancomycin-buelga-2005 (weight ", "after 1 level: "):
        assert said in result.stdout
    assert result.stdout.count("Equal times") == 1


def test_what_each_model_lacks_is_said_at_once(patient):
    out = patient.with_suffix(".json")
    names = "vancomycin-colin-2019+vancomycin-goti-2018+nothing+busulfan-choe-2012"
    result = run("exposure", names, patient, "--metric", "auc24", "--out", out)
    assert result.exit_code == 2
    for said in ("vancomycin-colin-2019: ", "PMA", "nothing: ", "busulfan-choe-2012: ", "SEX"):
        assert said in result.stderr
    assert not out.exists()


@pytest.mark.parametrize("weight", ["0", "1.5", "nan"])
def test_a_prior_weight_out_of_range_is_bad_input(patient, weight):
    out = patient.with_suffix(".json")
    options = ("--metric", "auc24", "--prior-weight", weight, "--out", out)
    result = run("exposure", "vancomycin-goti-2018", patient, *options)
    assert result.exit_code == 2
    assert "prior's weight" in result.stderr
    assert not out.exists()


@pytest.mark.long
def test_a_dose_by_several_models(patient):
    page = patient.with_suffix(".html")
    names = "vancomycin-goti-2018+vancomycin-buelga-2005"
    result, out = dose(patient, "--report", page, model=names)
    assert result.exit_code == 0, result.stderr
    found = json.loads(out.read_text())
    weights = [one["weight"] for one in found["posterior"]["models"]]
    assert sum(weights) == pytest.approx(1)
    for one in found["alternatives"]:
        chances = [said["probability"] for said in one["models"]]
        assert one["probability"] == pytest.approx(np.dot(weights, chances), abs=1e-9)
    text = page.read_text()
    assert "What each model says" in text
    assert text.count("vancomycin-buelga-2005") > 1
    assert "another model of the same drug may say otherwise" not in text
    assert "vancomycin-buelga-2005: weight 0." in result.stdout


def test_a_bad_occasion_is_bad_input_where_the_model_asks(tmp_path):
    rows = ("1,0,20,2,,1,14,20,300,1,2", "1,12,0,0,0.5,0,14,20,300,1,1")
    path = tmp_path / "patient.csv"
    path.write_text("\n".join(("ID,TIME,AMT,DUR,DV,EVID,FFM,WT,PMA,SEX,OCC", *rows)) + "\n")
    result, out = dose(path, target="auc24=15:25", model="busulfan-mccune-2014")
    assert result.exit_code == 2
    assert "subject 1, record 2 (line 3), column OCC: OCC 1 follows OCC 2" in result.stderr
    assert "does not decrease" in result.stderr
    assert not out.exists()
