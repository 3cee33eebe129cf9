import polars as pl
import pytest


def test_rows_are_written_and_outputs_named_last(latentpk, model, clinic, tmp_path):
    out = tmp_path / "forecast.csv"
    result = latentpk("forecast", model, clinic, "--out", out, "--draws", 500, "--seed", 9)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[-1] == str(out)
    table = pl.read_csv(out)
    assert table["REASON"].unique().to_list() == ["'=cmd"]
    (call,) = latentpk.asked()["forecasts"]
    assert (call["subjects"], call["seed"], call["draws"]) == (3, 9, 500)


def test_condition_until_and_the_models_covariates_reach_the_reader(
    latentpk, model, clinic, tmp_path
):
    out = tmp_path / "f.csv"
    assert latentpk("forecast", model, clinic, "--out", out, "--condition-until", 48).exit_code == 0
    (call,) = latentpk.asked()["forecasts"]
    cohort = call["cohort"]
    assert cohort.covariate_names == ("WT", "CRCL", "DIAL")
    assert all((subject.levels.time <= 48).all() for subject in cohort)
    assert any((subject.outputs.time > 48).any() for subject in cohort)


def test_a_picture_for_each_subject(latentpk, model, clinic, tmp_path):
    out, plots = tmp_path / "f.csv", tmp_path / "plots"
    result = latentpk("forecast", model, clinic, "--out", out, "--plots", plots)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[-2:] == [str(out), str(plots)]
    assert sorted(path.name for path in plots.iterdir()) == [
        "subject-1.png",
        "subject-2.png",
        "subject-3.png",
    ]


def test_pictures_stop_at_a_number_that_is_told(latentpk, model, clinic, tmp_path, monkeypatch):
    monkeypatch.setattr("latentpk.cli.forecast.PLOTTED", 1)
    plots = tmp_path / "plots"
    result = latentpk("forecast", model, clinic, "--out", tmp_path / "f.csv", "--plots", plots)
    assert "first 1 of 3 subjects" in result.stdout
    assert len(list(plots.iterdir())) == 1


@pytest.mark.parametrize("damage", ["absent", "damaged"])
def test_a_bad_model_is_bad_input(latentpk, model, clinic, tmp_path, damage):
    named = {"absent": tmp_path / "no.model", "damaged": model}[damage]
    (model / "manifest.json").write_text("garbage")
    result = latentpk("forecast", named, clinic, "--out", tmp_path / "f.csv")
    assert result.exit_code == 2
    assert str(named) in result.stderr
    assert not (tmp_path / "f.csv").exists()


def test_the_input_is_never_overwritten(latentpk, model, clinic):
    before = clinic.read_bytes()
    result = latentpk("forecast", model, clinic, "--out", clinic)
    assert result.exit_code == 2
    assert "input" in result.stderr
    assert clinic.read_bytes() == before


def test_quiet_prints_nothing(latentpk, model, clinic, tmp_path):
    result = latentpk("forecast", model, clinic, "--out", tmp_path / "f.csv", "-q")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
