"""`latentpk covariates`."""

import json

import pytest


@pytest.fixture(scope="module")
def table(ward, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "ward.csv"
    ward.write_csv(path, null_value=".")
    return path


@pytest.mark.long
def test_it_writes_what_was_found_and_prints_it(latentpk, table, tmp_path):
    out = tmp_path / "found.json"
    done = latentpk(
        "covariates", table, "--structure", "1c-iv", "--error", "lognormal", "--resamples", "4",
        "--out", out, "--plots", tmp_path / "plots",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    found = json.loads(out.read_text())
    assert {(one["parameter"], one["covariate"]) for one in found["effects"]} == {("v1", "WT")}
    said = done.stderr + done.stdout
    assert "WT acts on v1" in said
    assert "resamples" in said
    names = {path.name for path in (tmp_path / "plots").iterdir()}
    assert names == {"before.png", "after.png", "fit.png"}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--structure", "9c"), "structure"),
        (("--covariates", "CRCL"), "CRCL"),
        (("--parameters", "speed"), "speed"),
    ],
)
def test_bad_input_is_told_and_nothing_written(latentpk, table, tmp_path, more, said):
    out = tmp_path / "found.json"
    done = latentpk("covariates", table, "--structure", "1c-iv", *more, "--out", out)
    assert done.exit_code == 2
    assert said in done.stderr + done.stdout
    assert list(tmp_path.iterdir()) == []


GENTAMICIN = "gentamicin-hodiamont-2017"  # knows no covariate


@pytest.mark.long
def test_a_model_is_asked_for_its_directions(latentpk, table, tmp_path):
    out = tmp_path / "found.json"
    done = latentpk(
        "covariates", table, "--model", GENTAMICIN, "--resamples", "0", "--out", out,
        "--plots", tmp_path / "plots",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    found = json.loads(out.read_text())
    assert found["meta"]["parameters"] == ["cl", "v1"]
    assert ("v1", "WT") in {(one["parameter"], one["covariate"]) for one in found["effects"]}
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"directions.png"}


def test_options_of_a_fit_beside_a_model_are_refused(latentpk, table, tmp_path):
    out = tmp_path / "found.json"
    done = latentpk(
        "covariates", table, "--model", GENTAMICIN, "--structure", "1c-iv", "--error",
        "lognormal", "--out", out,
    )  # fmt: skip
    assert done.exit_code == 2
    assert "--structure, --error beside --model" in done.stderr
    assert list(tmp_path.iterdir()) == []
