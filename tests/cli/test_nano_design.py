"""`latentpk nano design`, run on a small model."""

import json

import polars as pl
import pytest
from typer.testing import CliRunner

from latentpk.cli.main import app
from latentpk.workflows.nano.design import design
from latentpk.workflows.nano.grid import make_grid


def run(*arguments):
    result = CliRunner().invoke(app, ["nano", *map(str, arguments)], env={"COLUMNS": "120"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def table(nano_model, nano_table, tmp_path):
    path = tmp_path / "particles.csv"
    inside = nano_table.filter(nano_model.predict(nano_table)["VERDICT"] == "ok").head(2)
    inside.write_csv(path)
    return path


def test_the_file_is_what_python_says(nano_folder, nano_model, table, nano_studies, tmp_path):
    out, studies = tmp_path / "design.json", tmp_path / "studies.csv"
    nano_studies.write_csv(studies)
    options = ("--target", "DEmax", "--size", "30:90:30", "--charge", "negative,positive")
    more = ("--shape", "all", "--targeting", "Active", "--studies", studies)
    result = run("design", nano_folder, table, "--out", out, *options, *more)
    assert result.exit_code == 0, result.stderr
    grid = make_grid("30:90:30", "negative,positive", "all", "active")
    wanted = design(nano_model, table, grid, target="DEmax", studies=studies)
    found = json.loads(out.read_text())
    assert found["particles"] == wanted["particles"]
    assert found["meta"]["grid"]["TS"] == ["Active"]
    assert "claims no cause" in result.stdout
    assert "with a chance of" in result.stdout
    assert result.stdout.splitlines()[-1] == str(out)


def test_outside_the_domain_nothing_is_recommended_and_the_exit_is_0(
    nano_folder, nano_table, tmp_path
):
    far, out = tmp_path / "far.csv", tmp_path / "design.json"
    moved = (pl.lit(9.0).alias("TSz"), pl.lit(10.8).alias("TW"))
    nano_table.head(1).with_columns(*moved).write_csv(far)
    result = run("design", nano_folder, far, "--out", out)
    assert result.exit_code == 0, result.stderr
    (one,) = json.loads(out.read_text())["particles"]
    assert one["recommended"] is None
    assert one["alternatives"] == []
    assert one["reasons"]
    assert "no design is recommended" in result.stdout
    assert "No design lies inside the data's domain." in result.stdout


def test_pictures_are_drawn(nano_folder, table, tmp_path):
    plots = tmp_path / "plots"
    out = ("--out", tmp_path / "d.json", "--size", "40,80")
    result = run("design", nano_folder, table, *out, "--plots", plots)
    assert result.exit_code == 0, result.stderr
    assert len(list(plots.glob("design-*.png"))) == 2
    assert result.stdout.splitlines()[-1] == str(plots)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (("--size", "200:10:10"), "low not above high"),
        (("--size", ""), "numbers in nm"),
        (("--charge", "minus"), "negative, neutral or positive"),
        (("--shape", "ball"), "Spherical"),
        (("--targeting", "both"), "Passive, Active"),
        (("--size", "1:9000:0.1"), "20,000"),
        (("--size", "50", "--charge", "neutral"), "Two designs or more"),
        (("--target", "DE99"), "DE99"),
        (("--units", "HD=um"), "HD is read in nm"),
    ],
)
def test_a_grid_that_is_none_is_exit_2(nano_folder, table, tmp_path, options, match):
    out = tmp_path / "d.json"
    result = run("design", nano_folder, table, "--out", out, *options)
    assert result.exit_code == 2
    assert match in result.stderr
    assert not out.exists()


def test_quiet_says_nothing(nano_folder, table, tmp_path):
    short = ("--out", tmp_path / "d.json", "--size", "40,80", "--quiet")
    result = run("design", nano_folder, table, *short)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
