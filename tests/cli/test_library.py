import re

import pytest

from latentpk.cli.main import LIBRARY
from latentpk.dosing.target import list_targets
from latentpk.library.catalog import list_models


@pytest.fixture(autouse=True)
def wide(latentpk, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")


def lines(result):
    assert result.exit_code == 0, result.stderr
    return [re.sub(r"[\s│]+", " ", line).strip() for line in result.stdout.splitlines()]


def test_every_published_model_has_a_line_with_what_it_needs(latentpk):
    shown = lines(latentpk("library"))
    assert [line for line in shown if line in list_models()] == list(list_models())
    goti = shown.index("vancomycin-goti-2018")
    assert shown[goti + 1] == "vancomycin, 2c-iv; needs CRCL [mL/min], DIAL [0/1], WT [kg]"
    assert shown[goti + 2].startswith("Adults with or without")
    warfarin = shown.index("warfarin-savic-2011")
    assert shown[warfarin + 1] == "warfarin, 1c-oral-lag; needs no covariate"
    assert shown[warfarin + 2].startswith("Healthy adults")


def test_every_target_has_a_line_with_its_range_and_source(latentpk):
    shown = lines(latentpk("library", "targets"))
    for target in list_targets():
        assert shown[shown.index(target.name) + 1] == f"{target.drug}: {target.describe()}"
    vancomycin = shown.index("vancomycin-auc24")
    assert shown[vancomycin + 1] == "vancomycin: auc24 400 to 600 mg h/L"
    assert shown[vancomycin + 2].startswith("Rybak")


def test_names_are_whole_on_a_narrow_screen(latentpk, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert set(list_models()) <= set(lines(latentpk("library")))


def test_a_card_is_the_one_that_show_prints(latentpk):
    name = "vancomycin-colin-2019"
    assert latentpk("library", "show", name).stdout == latentpk("show", name).stdout


def test_a_salt_factor_is_on_the_card(latentpk):
    assert "salt factor 0.79" in " ".join(lines(latentpk("library", "show", "aminophylline")))
    assert "salt factor" not in latentpk("library", "show", "theophylline").stdout


def test_an_unknown_name_is_bad_input_that_names_the_known_ones(latentpk):
    result = latentpk("library", "show", "vancomycin-goti-2081")
    assert result.exit_code == 2
    assert "vancomycin-goti-2018" in result.stderr


@pytest.mark.parametrize("verb", [(), ("targets",), ("show", "theophylline")])
def test_quiet_prints_nothing_and_units_are_checked(latentpk, verb):
    quiet = latentpk("library", *verb, "--quiet")
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (0, "", "")
    assert latentpk("library", *verb, "--units", "TIME=min", "--seed", 4).exit_code == 0
    refused = latentpk("library", *verb, "--units", "TIME=furlong")
    assert refused.exit_code == 2
    assert "'furlong' is not a known unit" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show",), "latentpk library show NAME"),
        (("targets", "theophylline"), "latentpk library show theophylline"),
        (("theophylline",), "'theophylline' is not one of"),
    ],
)
def test_what_is_asked_wrongly_is_bad_input_with_its_mend(latentpk, arguments, said):
    refused = latentpk("library", *arguments)
    assert refused.exit_code == 2
    assert said in refused.stderr


def test_help_shows_all_three_ways(latentpk):
    shown = re.sub(r"\x1b\[[0-9;]*m", "", latentpk("library", "--help").stdout)
    assert f"Example: {LIBRARY}" in shown


def test_a_card_says_what_varies_between_occasions(latentpk):
    shown = " ".join(lines(latentpk("library", "show", "busulfan-mccune-2014")))
    assert "omega^2 between occasions: cl 0.012769, v1 0.050176 (omega^2 = CV^2" in shown
    assert "in a file without OCC it begins 24, 48, 72, 96 h after the first dose" in shown
    assert "between occasions" not in latentpk("library", "show", "busulfan-paci-2012").stdout


def test_the_general_model_is_listed_with_what_to_do_with_it(latentpk):
    shown = lines(latentpk("library"))
    place = shown.index("general")
    assert "latentpk fit DATA.csv --start-from general --out MODEL" in shown[place + 2]
    assert "training" in latentpk("library", "show", "general").stdout


@pytest.mark.parametrize("verb", ["forecast", "simulate"])
def test_the_general_model_answers_for_no_drug(latentpk, verb, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("ID,TIME,EVID,AMT,DV\n1,0,1,100,\n1,2,0,0,3\n")
    given = ("general", table) if verb == "forecast" else ("general",)
    result = latentpk(verb, *given, "--out", tmp_path / "out.csv")
    assert result.exit_code == 2
    assert "--start-from general" in " ".join(result.stderr.split())
