import json

import pytest
from pydantic import ValidationError

from latentpk.errors import ArtifactError, InputError
from latentpk.library import catalog
from latentpk.library.card import LibraryModel, Renal
from latentpk.library.catalog import list_models, open_model, read_model

PROMISED = {
    "vancomycin-goti-2018",
    "vancomycin-thomson-2009",
    "theophylline",
    "warfarin-savic-2011",
}


def test_the_promised_models_are_there():
    assert set(list_models()) >= PROMISED


@pytest.mark.parametrize("name", list_models())
def test_every_card_is_whole(name):
    model = read_model(name)
    assert model.name == name
    assert len(model.source.citation) > 30
    assert model.source.link.startswith("https://")
    assert model.source.encoded_in
    for covariate in model.covariates:
        assert covariate.unit
        assert covariate.definition
        assert getattr(covariate.sample, "low", 0) >= covariate.soft[0], covariate.name
        assert getattr(covariate.sample, "high", 1) <= covariate.soft[1], covariate.name
    counted = {"TAFD"} if model.population.hours else set()  # no column: a reading counts it
    read = {covariate.name for covariate in model.required}
    assert read | counted == set(model.population.covariates)
    assert set(model.source.variants) <= set(list_models())
    assert any("omega^2" in line for line in model.formulas())


def test_the_card_prints_formulas_with_units():
    lines = read_model("vancomycin-goti-2018").formulas()
    assert lines[0] == "cl = 4.5 x (CRCL/120)^0.8 x 0.7 if DIAL = 1 [L/h]"
    assert lines[-1] == "residual combined2: sd = sqrt(3.4^2 + (0.227 f)^2) mg/L"


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match=r"vancomycin-goti-2018") as caught:
        open_model("vancomycin-goti-2081")
    assert "vancomycin-goti-2081" in str(caught.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("vancomycin", "vancomycin-goti-2018"), ("Theophyline", "mean theophylline")],
)
def test_a_name_nearly_right_gets_those_it_may_mean(written, meant):
    with pytest.raises(InputError, match="Did you mean") as caught:
        open_model(written)
    assert meant in str(caught.value)


def test_a_folder_goes_to_the_loader_and_a_library_name_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "theophylline").mkdir()  # a folder that happens to bear a library name
    assert open_model("mine", load=lambda folder: folder.name) == "mine"
    assert open_model(tmp_path / "mine", load=lambda folder: folder.name) == "mine"
    assert isinstance(open_model("theophylline", load=lambda folder: folder), LibraryModel)
    assert open_model("./theophylline", load=lambda folder: folder.name) == "theophylline"


def test_a_folder_is_refused_where_a_published_model_is_needed(tmp_path):
    with pytest.raises(InputError, match="published model is needed"):
        open_model(tmp_path)


def test_a_damaged_library_file_is_said_to_be_damaged(tmp_path, monkeypatch):
    (tmp_path / "broken.json").write_text('{"name": "broken"}')
    (tmp_path / "other.json").write_text(read_model("theophylline").model_dump_json())
    monkeypatch.setattr(catalog, "_FOLDER", tmp_path)
    catalog.list_models.cache_clear()
    try:
        for name in ("broken", "other"):
            with pytest.raises(ArtifactError, match=name):
                read_model(name)
    finally:
        catalog.list_models.cache_clear()


def _card(**changes):
    card = json.loads(read_model("vancomycin-goti-2018").model_dump_json())
    return LibraryModel.model_validate(card | changes)


def test_a_covariate_used_but_not_described_is_refused():
    with pytest.raises(ValidationError, match="used but not described"):
        _card(covariates=[])


def test_unknown_keys_and_nan_are_refused():
    with pytest.raises(ValidationError):
        _card(surprise=1)
    with pytest.raises(ValidationError):
        _card(molar_mass=float("nan"))


@pytest.mark.parametrize("name", list_models())
def test_a_definition_of_renal_function_is_also_in_words(name):
    model = read_model(name)
    if model.renal_definition is None:
        return
    assert model.renal
    plain = model.renal_definition.plain
    assert plain.recipe.name.split(" with ")[0] in model.renal
    covariates = {covariate.name for covariate in model.required}
    assert covariates & {"CRCL", "CLCR", "EGFR", "GFR"}


def test_the_definition_of_a_card_has_its_floor_and_cap():
    plain = read_model("vancomycin-goti-2018").renal_definition.plain
    assert plain.describe() == (
        "Cockcroft-Gault with total weight, creatinine at least 1 mg/dL above 65 y, at most 150"
    )


def test_a_floor_by_age_needs_a_floor():
    with pytest.raises(ValidationError, match="needs a floor"):
        Renal(formula="schwartz", floor_age=65)
