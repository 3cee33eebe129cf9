import re


def test_a_trained_models_card_is_printed_whole(latentpk, model):
    result = latentpk("show", model)
    assert result.exit_code == 0, result.stderr
    for text in ("yesterday", "subjects", "12", "ab[c]", "WT", "40", "120", "CRCL", "one", "two"):
        assert text in result.stdout
    assert "nothing" not in result.stdout


def test_a_published_models_card_has_its_source_and_formulas(latentpk):
    shown = re.sub(r"[\s│]+", " ", latentpk("show", "vancomycin-goti-2018").stdout)
    assert "Goti V" in shown
    assert "cl = 4.5 x (CRCL/120)^0.8 x 0.7 if DIAL = 1 [L/h]" in shown
    assert "InsightRX/PKPDsim inst/models/pk_vanco_goti.json5" in shown
    assert "sd = sqrt(3.4^2 + (0.227 f)^2) mg/L" in shown
    assert "30 to 250" in shown


def test_a_damaged_or_unknown_model_is_bad_input(latentpk, model, tmp_path):
    (model / "manifest.json").write_text("garbage")
    damaged = latentpk("show", model)
    assert damaged.exit_code == 2
    assert "damaged" in damaged.stderr
    unknown = latentpk("show", tmp_path / "nothing")
    assert unknown.exit_code == 2
    assert "theophylline" in unknown.stderr


def test_quiet_prints_nothing(latentpk, model):
    result = latentpk("show", model, "--quiet")
    assert (result.exit_code, result.stdout) == (0, "")


def test_units_are_checked(latentpk):
    assert latentpk("show", "theophylline", "--units", "TIME=min").exit_code == 0
    refused = latentpk("show", "theophylline", "--units", "TIME=furlong")
    assert refused.exit_code == 2
    assert "'furlong' is not a known unit" in refused.stderr
