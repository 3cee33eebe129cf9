"""`latentpk complexity`; models are stood in for, since a folder would have to be trained."""

import json

import pytest
from typer.testing import CliRunner

from latentpk.cli.main import app
from latentpk.workflows.profile import ProfileVAE


@pytest.fixture
def run(monkeypatch, mixed_models, tmp_path):
    """Run the verb; folders called free and one hold the two models."""
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("free", "one"):
        (tmp_path / name).mkdir()
    folders = dict(zip(("free", "one"), mixed_models, strict=True))
    monkeypatch.setattr(ProfileVAE, "load", staticmethod(lambda folder: folders[folder.name]))

    def _run(*arguments):
        return CliRunner().invoke(app, ["complexity", *map(str, arguments)])

    return _run


@pytest.fixture
def table(mixed, tmp_path):
    path = tmp_path / "mixed.csv"
    mixed[0].write_csv(path, null_value=".")
    return path


@pytest.mark.long
def test_it_writes_json_and_pictures_and_says_who_is_complex(run, table, tmp_path):
    out, plots = tmp_path / "found.json", tmp_path / "plots"
    done = run(
        tmp_path / "free", table, "--rival", tmp_path / "one", "--out", out, "--plots", plots,
        "--draws", 256,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = json.loads(out.read_text())
    assert set(found) == {"meta", "population", "dimension", "subjects", "residual"}
    assert found["population"]["sentence"] in done.output
    assert found["residual"]["sentence"] in done.output
    assert sum(1 for _ in plots.iterdir()) == 3


@pytest.mark.parametrize(
    ("model", "more", "said"),
    [
        ("absent", (), "is no folder"),
        ("one", (), "itself a compartment model"),
        ("free", ("--rival", "free"), "The rival is a compartment model"),
    ],
)
def test_models_that_cannot_be_compared_are_refused(run, table, tmp_path, model, more, said):
    out = tmp_path / "found.json"
    more = [tmp_path / one if one == "free" else one for one in more]
    done = run(tmp_path / model, table, *more, "--out", out)
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())
    assert not out.exists()


def test_data_without_the_models_covariates_or_with_few_patients_is_refused(run, mixed, tmp_path):
    bare, few = tmp_path / "bare.csv", tmp_path / "few.csv"
    mixed[0].drop("WT").write_csv(bare, null_value=".")
    mixed[0].filter(mixed[0]["ID"] <= 4).write_csv(few, null_value=".")
    for path, said in ((bare, "WT"), (few, "4 subjects with 2 levels or more")):
        done = run(tmp_path / "free", path, "--out", tmp_path / "found.json")
        assert done.exit_code == 2
        assert said in done.output


def test_help_shows_examples(run):
    done = run("--help")
    assert "Example: latentpk complexity" in " ".join(done.output.split())
