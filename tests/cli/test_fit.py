import sys

import pytest

from latentpk.errors import ConvergenceError
from latentpk.workflows.profile import ProfileSettings


def test_settings_reach_the_model_and_the_folder_is_named_last(latentpk, clinic, tmp_path):
    out = tmp_path / "clinic.model"
    result = latentpk(
        *("fit", clinic, "--out", out, "--covariates", "WT, CRCL", "--decoder", "compartment"),
        *("--structure", "2c-iv", "--route", "iv", "--epochs", 7, "--seed", 3),
    )
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[-1] == str(out)
    assert "decoder compartment chosen" in result.stdout
    asked = latentpk.asked()
    assert asked["settings"] == {
        "decoder": "compartment",
        "structure": "2c-iv",
        "route": "iv",
        "epochs": 7,
        "seed": 3,
    }
    assert asked["subjects"] == 3
    assert asked["cohort"].covariate_names == ("WT", "CRCL")
    assert asked["checkpoint"] == tmp_path / "clinic.model.partial"


def test_a_nonlinear_structure_begins_where_it_is_told(latentpk, clinic, tmp_path):
    what = ("--decoder", "mechanistic", "--structure", "1c-mm-iv", "--initial", "vmax=20,km=5,V=40")
    assert latentpk("fit", clinic, "--out", tmp_path / "m", *what).exit_code == 0
    settings = latentpk.asked()["settings"]
    assert settings["structure"] == "1c-mm-iv"
    assert settings["initial"] == {"vmax": 20.0, "km": 5.0, "v1": 40.0}


MEALS = """ID,TIME,EVID,CMT,AMT,DV,FED
1,0,1,1,100,.,0
1,2,0,2,0,1.2,0
1,12,1,1,100,.,{}
1,15,0,2,0,1.0,1
2,0,1,1,100,.,1
2,5,0,2,0,0.9,1
"""


def test_covariates_of_doses_reach_the_reading(latentpk, tmp_path):
    data = tmp_path / "meals.csv"
    data.write_text(MEALS.format(1))
    result = latentpk("fit", data, "--out", tmp_path / "m", "--dose-covariates", "FED")
    assert result.exit_code == 0, result.stderr
    cohort = latentpk.asked()["cohort"]
    assert cohort.dose_covariates == ("FED",)
    assert cohort.covariate_names == ()
    plain = latentpk("fit", data, "--out", tmp_path / "m")
    assert "--dose-covariates FED" in " ".join(plain.stdout.split())  # it is proposed, not taken
    assert latentpk.asked()["cohort"].dose_covariates == ()


def test_all_that_is_wrong_with_covariates_of_doses_is_bad_input(latentpk, tmp_path):
    data = tmp_path / "meals.csv"
    data.write_text(MEALS.format("."))
    what = ("--covariates", "FED", "--dose-covariates", "FED,MEAL")
    result = latentpk("fit", data, "--out", tmp_path / "m", *what)
    assert result.exit_code == 2
    said = " ".join(result.stderr.split())
    assert "covariate of the patient, too" in said
    assert "MEAL" in said
    missing = latentpk("fit", data, "--out", tmp_path / "m", "--dose-covariates", "FED")
    assert missing.exit_code == 2
    assert "FED is missing" in " ".join(missing.stderr.split())
    start = ("--start-from", "vancomycin-goti-2018", "--dose-covariates", "FED")
    adapted = latentpk("fit", data, "--out", tmp_path / "m", *start)
    assert adapted.exit_code == 2
    assert "--dose-covariates beside --start-from" in " ".join(adapted.stderr.split())


@pytest.mark.parametrize(("given", "asked"), [("2", 2), ("auto", "auto")])
def test_groups_of_people_reach_the_model(latentpk, clinic, tmp_path, given, asked):
    result = latentpk("fit", clinic, "--out", tmp_path / "m", "--components", given)
    assert result.exit_code == 0, result.stderr
    assert latentpk.asked()["settings"]["components"] == asked


@pytest.mark.parametrize("given", ["0", "-1", "5", "two", "1.5", ""])
def test_an_impossible_number_of_groups_is_bad_input(latentpk, clinic, tmp_path, given):
    result = latentpk("fit", clinic, "--out", tmp_path / "m", "--components", given)
    assert result.exit_code == 2
    assert "--components" in result.stderr
    assert "1 to 4 groups" in " ".join(result.stderr.split())
    assert not (tmp_path / "m").exists()


def test_groups_are_the_sources_where_there_is_one(latentpk, clinic, tmp_path):
    what = ("--start-from", "vancomycin-goti-2018", "--components", "2")
    result = latentpk("fit", clinic, "--out", tmp_path / "m", *what)
    assert result.exit_code == 2
    assert "--components beside --start-from" in " ".join(result.stderr.split())


def test_defaults_leave_the_choices_to_the_model(latentpk, clinic, tmp_path):
    assert latentpk("fit", clinic, "--out", tmp_path / "m").exit_code == 0
    assert latentpk.asked()["settings"] == {
        "decoder": "auto",
        "structure": "auto",
        "route": "auto",
        "seed": 0,
    }


@pytest.mark.parametrize(
    "name", ["auto", "compartment", "mechanistic", "kernel", "neural-ode", "hybrid", "grid"]
)
def test_every_decoder_can_be_asked_for(latentpk, clinic, tmp_path, name):
    assert latentpk("fit", clinic, "--out", tmp_path / "m", "--decoder", name).exit_code == 0
    asked = latentpk.asked()["settings"]["decoder"]
    assert asked == name.replace("-", "_")
    assert ProfileSettings(decoder=asked).decoder == asked


def test_quiet_prints_nothing(latentpk, clinic, tmp_path):
    result = latentpk("fit", clinic, "--out", tmp_path / "m", "--quiet")
    assert result.exit_code == 0
    assert (result.stdout, result.stderr) == ("", "")


def test_a_folder_with_something_else_in_it_is_left_alone(latentpk, clinic, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("years of work")
    for out in (tmp_path / "thesis", clinic, tmp_path / "no" / "where"):
        result = latentpk("fit", clinic, "--out", out)
        assert result.exit_code == 2
        assert "--out" in result.stderr
    assert latentpk.asked() == {}


def test_a_model_that_will_be_replaced_is_named(latentpk, clinic, tmp_path):
    first = latentpk("fit", clinic, "--out", tmp_path / "m")
    (tmp_path / "m").mkdir(exist_ok=True)
    (tmp_path / "m" / "manifest.json").write_text("{}")
    again = latentpk("fit", clinic, "--out", tmp_path / "m")
    assert "which replaces it" not in first.stdout
    assert f"{tmp_path / 'm'} holds a model" in again.stdout


def test_a_missing_file_is_bad_input(latentpk, tmp_path):
    result = latentpk("fit", tmp_path / "none.csv", "--out", tmp_path / "m")
    assert result.exit_code == 2
    assert "none.csv" in result.stderr
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    "option", [("--decoder", "magic"), ("--route", "nose"), ("--epochs", "0"), ("--impute", "mean")]
)
def test_unknown_choices_are_bad_input(latentpk, clinic, tmp_path, option):
    result = latentpk("fit", clinic, "--out", tmp_path / "m", *option)
    assert result.exit_code == 2
    assert option[0] in result.stderr


def test_a_failure_that_is_not_the_users_is_exit_1(latentpk, clinic, tmp_path, monkeypatch):
    profile = sys.modules["latentpk.workflows.profile"]  # the stand-in, not the package's attribute

    def fail(self, *_, **__):
        raise ConvergenceError("The loss is not finite after epoch 3.")

    monkeypatch.setattr(profile.ProfileVAE, "fit", fail)
    result = latentpk("fit", clinic, "--out", tmp_path / "m")
    assert result.exit_code == 1
    assert "not finite after epoch 3" in result.stderr


def test_clearance_is_computed_for_a_fit(latentpk, tmp_path):
    data = tmp_path / "creatinine.csv"
    rows = [
        f"{i},0,10,.,{50 + i},70,{i % 2},0.8\n{i},2,.,5,{50 + i},70,{i % 2},1.{i}\n"
        for i in range(1, 4)
    ]
    data.write_text("ID,TIME,AMT,DV,AGE,WT,SEX,SCR\n" + "".join(rows))
    asked = ("fit", data, "--out", tmp_path / "m", "--covariates", "IBW,CRCL")
    result = latentpk(*asked, "--renal", "cockcroft-gault-total", "--renal-cap", 90)
    assert result.exit_code == 2
    assert "HT or HEIGHT" in result.stderr
    asked = (*asked[:-1], "CRCL")
    result = latentpk(*asked, "--renal", "cockcroft-gault-total", "--renal-cap", 90)
    assert result.exit_code == 0, result.stderr
    cohort = latentpk.asked()["cohort"]
    assert cohort.covariate_names == ("CRCL",)
    assert cohort.derive.to_dict() == {"renal": "cockcroft-gault-total", "renal_cap": 90}
    result = latentpk(*asked, "--renal", "card")
    assert result.exit_code == 2
    assert "no card yet" in result.stderr


@pytest.mark.parametrize(
    "options",
    [
        ("--structure", "2c-iv"),
        ("--decoder", "kernel"),
        ("--components", "2"),
        ("--initial", "cl=5"),
        ("--renal", "card"),
    ],
)
def test_what_the_general_model_has_decided_is_refused_at_once(latentpk, clinic, tmp_path, options):
    result = latentpk("fit", clinic, "--start-from", "general", "--out", tmp_path / "m", *options)
    assert result.exit_code == 2
    assert options[0] in result.stderr
    assert latentpk.asked() == {}
    assert not (tmp_path / "m").exists()
