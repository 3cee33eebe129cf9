"""`distill` and `fit --start-from`, run for real on few patients."""

import json

import pytest
from typer.testing import CliRunner

from latentpk.cli.main import app
from latentpk.workflows.simulate import simulate

NAME = "vancomycin-buelga-2005"


def run(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("distill")


@pytest.fixture(scope="module")
def ten(place):
    path = place / "ten.csv"
    simulate(NAME, 10, seed=4).write_csv(path)
    return path


@pytest.fixture(scope="module")
def distilled(place):
    out = place / "buelga.model"
    result = run("distill", NAME, "--out", out, "--subjects", 16, "--epochs", 1, "--seed", 2)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[-1] == str(out)
    assert "16 patients simulated, seed 2" in result.stdout
    return out


@pytest.mark.long
def test_a_distilled_folder_answers_every_verb(distilled, ten, place):
    forecast = run("forecast", distilled, ten, "--out", place / "f.csv", "--draws", 256)
    assert forecast.exit_code == 0, forecast.stderr
    asked = ("exposure", distilled, ten, "--metric", "auc24", "--at", 24)
    exposure = run(*asked, "--draws", 256, "--out", place / "e.json")
    assert exposure.exit_code == 0, exposure.stderr
    model = json.loads((place / "e.json").read_text())["model"]
    assert model["citation"].startswith(f"distilled by latentpk from {NAME}; ")
    shown = run("show", distilled)
    assert shown.exit_code == 0
    assert "distilled from" in shown.stdout


@pytest.mark.long
def test_a_fit_starts_from_a_folder(distilled, ten, place):
    out = place / "ours.model"
    asked = ("fit", ten, "--start-from", distilled, "--out", out, "--epochs", 1)
    result = run(*asked)
    assert result.exit_code == 0, result.stderr
    assert "adapted to 10 local patients: cl x " in result.stdout
    assert "patients left out gain" in result.stdout
    assert result.stdout.splitlines()[-1] == str(out)
    assert not out.with_name("ours.model.partial").exists()
    assert "adapted from" in run("show", out).stdout


@pytest.mark.parametrize(
    "options",
    [
        ("--structure", "2c-iv"),
        ("--decoder", "kernel"),
        ("--covariates", "WT"),
        ("--route", "oral"),
    ],
)
def test_options_that_the_source_decides_are_refused_at_once(latentpk, clinic, tmp_path, options):
    asked = ("fit", clinic, "--start-from", NAME, "--out", tmp_path / "m")
    result = latentpk(*asked, *options)
    assert result.exit_code == 2
    assert f"{options[0]} beside --start-from" in result.stderr
    assert latentpk.asked() == {}


def test_a_source_that_is_none_is_bad_input(ten, tmp_path):
    for source in ("vancomicin", tmp_path):
        result = run("fit", ten, "--start-from", source, "--out", tmp_path / "m")
        assert result.exit_code == 2, result.stdout
        assert str(source) in result.stderr
    assert not (tmp_path / "m").exists()


def test_a_covariate_that_the_source_needs_is_named(tmp_path):
    path = tmp_path / "no-clearance.csv"
    simulate(NAME, 4, seed=4).drop("CRCL").write_csv(path)
    result = run("fit", path, "--start-from", NAME, "--out", tmp_path / "m")
    assert result.exit_code == 2
    assert "CRCL" in result.stderr


def test_only_a_name_is_distilled(distilled, tmp_path):
    result = run("distill", distilled, "--out", tmp_path / "m")
    assert result.exit_code == 2
    assert "published model is needed" in result.stderr
    occupied = tmp_path / "thesis"
    occupied.mkdir()
    (occupied / "chapter.txt").write_text("years of work")
    assert run("distill", NAME, "--out", occupied).exit_code == 2
