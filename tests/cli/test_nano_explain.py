"""`latentpk nano explain`, run on a small model."""

import json

import polars as pl
import pytest
from typer.testing import CliRunner

from latentpk.cli.main import app
from latentpk.workflows.nano.explain import ExplainSettings, explain


def run(*arguments):
    result = CliRunner().invoke(app, ["nano", *map(str, arguments)], env={"COLUMNS": "120"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def table(nano_table, tmp_path):
    path = tmp_path / "particles.csv"
    nano_table.head(4).write_csv(path)
    return path


@pytest.fixture
def studies(nano_studies, tmp_path):
    path = tmp_path / "studies.csv"
    nano_studies.write_csv(path)
    return path


@pytest.mark.long
def test_the_file_is_what_python_says(nano_folder, nano_model, table, studies, tmp_path):
    out = tmp_path / "explain.json"
    result = run("explain", nano_folder, table, "--studies", studies, "--out", out, "--seed", 3)
    assert result.exit_code == 0, result.stderr
    found = json.loads(out.read_text())
    wanted = explain(nano_model, table, studies=studies, settings=ExplainSettings(seed=3))
    for key in ("global", "particles", "units", "warnings"):
        assert found[key] == wanted[key]
    assert "Rank in the prediction" in result.stdout
    assert "the table does not do for a fit" in result.stdout
    assert "not what happens in a tumor" in result.stdout
    assert result.stdout.splitlines()[-1] == str(out)


@pytest.mark.long
def test_a_whole_table_is_compared_with_chance(nano_folder, nano_table, studies, tmp_path):
    path, out = tmp_path / "all.csv", tmp_path / "explain.json"
    nano_table.write_csv(path)
    chance = ("--permutations", 20)
    result = run("explain", nano_folder, path, "--studies", studies, "--out", out, *chance)
    assert result.exit_code == 0, result.stderr
    assert "Knowledge says that size matters" in result.stdout
    assert "21 comparisons" in result.stdout
    assert json.loads(out.read_text())["global"]["null"]["permutations"] == 20


@pytest.mark.long
def test_pictures_are_drawn_and_counted(nano_folder, table, tmp_path, monkeypatch):
    from latentpk.report import nano

    monkeypatch.setattr(nano, "PICTURES", 1)
    plots = tmp_path / "plots"
    out = ("--out", tmp_path / "explain.json")
    result = run("explain", nano_folder, table, *out, "--plots", plots)
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in plots.iterdir()) == [
        "attention.png", "importance.png", "particle-1000.png",
    ]  # fmt: skip
    assert "pictures of the first 1 of 4 particles" in result.stdout
    assert result.stdout.splitlines()[-1] == str(plots)


def test_quiet_says_nothing(nano_folder, table, tmp_path):
    result = run("explain", nano_folder, table, "--out", tmp_path / "e.json", "--quiet")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (("--permutations", 5), "Ask for 20 or more"),
        (("--units", "HD=um"), "HD is read in nm"),
    ],
)
def test_what_cannot_be_asked_is_exit_2(nano_folder, table, tmp_path, options, match):
    out = tmp_path / "e.json"
    result = run("explain", nano_folder, table, "--out", out, *options)
    assert result.exit_code == 2
    assert match in result.stderr
    assert not out.exists()


def test_files_in_the_wrong_place_are_exit_2(nano_folder, table, tmp_path):
    out = ("--out", tmp_path / "e.json")
    assert "a table of particles is needed" in run("explain", nano_folder, *out).stderr
    assert "one table" in run("explain", nano_folder, table, table, *out).stderr
    assert "is the input itself" in run("explain", nano_folder, table, "--out", table).stderr
    plots = run("explain", nano_folder, table, *out, "--plots", table)
    assert plots.exit_code == 2
    assert "is a file" in plots.stderr
    empty = tmp_path / "no.csv"
    pl.DataFrame({"ID": ["1"]}).write_csv(empty)
    assert "column HD: absent" in run("explain", nano_folder, empty, *out).stderr
