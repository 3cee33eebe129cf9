"""`latentpk popfit`."""

import json
from pathlib import Path

import pytest

REFERENCE = Path(__file__).parents[1] / "reference"
DATA = REFERENCE / "popfit_simulated.csv"
FAST = ("--structure", "1c-oral", "--method", "focei", "--parameters", "ka,cl,v")


def test_it_writes_estimates_and_prints_them(latentpk, tmp_path):
    out = tmp_path / "fit.json"
    done = latentpk("popfit", DATA, *FAST, "--out", out, "--plots", tmp_path / "plots")
    assert done.exit_code == 0, done.stderr
    found = json.loads(out.read_text())
    minus2 = found["likelihood"]["minus2_log_likelihood"]
    assert minus2 == pytest.approx(192.1619455, abs=1e-4)
    assert f"-2 log likelihood {minus2:.3f}" in done.stderr + done.stdout
    for part in ("ka", "L/h", "SD of random effects", "sigma_prop", "RSE", "12 negative levels"):
        assert part in done.stderr + done.stdout
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"fit.png", "effects.png"}
    from latentpk import read_nonmem
    from latentpk.inference.estimation import EstimationSettings
    from latentpk.workflows.population.fit import PopfitSettings, fit_population
    from latentpk.workflows.population.outcome import describe

    settings = PopfitSettings(
        structure="1c-oral",
        parameters=("ka", "cl", "v"),
        estimation=EstimationSettings(method="focei"),
    )
    cohort = read_nonmem(DATA, covariates=[], negative="keep")
    own = describe(fit_population(cohort, settings))
    assert own["parameters"] == found["parameters"]


@pytest.mark.long
def test_a_model_folder_is_forecast_from_and_shown(latentpk, tmp_path, monkeypatch):
    model, out = tmp_path / "fit.model", tmp_path / "forecast.csv"
    fit = latentpk("popfit", DATA, *FAST, "--out", tmp_path / "fit.json", "--model", model)
    assert fit.exit_code == 0, fit.stderr
    assert str(model) in fit.stdout.splitlines()
    done = latentpk("forecast", model, DATA, "--out", out)
    assert done.exit_code == 0, done.stderr
    lines = out.read_text().splitlines()
    assert lines[0].startswith("ID,TIME,CMT,DVID,DV,PRED")
    assert len(lines) == 1 + 30 * 6
    shown = latentpk("show", model)
    assert shown.exit_code == 0
    assert "1c-oral" in shown.stdout
    assert "log likelihood" in shown.stdout


def test_a_model_needs_a_free_place(latentpk, tmp_path):
    taken = tmp_path / "file"
    taken.write_text("something else")
    done = latentpk("popfit", DATA, *FAST, "--out", tmp_path / "fit.json", "--model", taken)
    assert done.exit_code == 2
    assert "is a file" in " ".join(done.stderr.split())
    assert not (tmp_path / "fit.json").exists()


def test_no_evaluations_evaluate_what_was_given(latentpk, tmp_path):
    out = tmp_path / "fit.json"
    start = "ka=1.2,cl=3,v=20,om_ka=0.5,om_cl=0.25,om_v=0.2,sigma_add=0.15,sigma_prop=0.12"
    done = latentpk("popfit", DATA, *FAST, "--evaluations", "0", "--initial", start, "--out", out)
    assert done.exit_code == 0, done.stderr
    found = json.loads(out.read_text())
    assert found["likelihood"]["minus2_log_likelihood"] == pytest.approx(233.324002, abs=1e-4)
    assert "stopped early" in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--effects", "ka-WT,cl~WT:cubic"), "2 problems in the effects"),
        (("--effects", "cl~WT"), "WT"),
        (("--parameters", "ka,speed"), "speed"),
        (("--initial", "ka=x"), "NAME=NUMBER"),
        (("--structure", "9c"), "structure"),
        (("--error", "lognormal"), "negative"),
    ],
)
def test_bad_input_is_told_and_nothing_written(latentpk, tmp_path, more, said):
    out = tmp_path / "fit.json"
    done = latentpk("popfit", DATA, "--structure", "1c-oral", *more, "--out", out)
    assert done.exit_code == 2
    assert said in done.stderr + done.stdout
    assert list(tmp_path.iterdir()) == []
