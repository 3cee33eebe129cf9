import copy

import numpy as np
import polars as pl
import pytest
from PIL import Image

from latentpk.report import nano
from latentpk.report.nano import (
    attention_figure,
    design_figure,
    draw_designs,
    draw_explained,
    importance_figure,
    particle_figure,
    plain,
)
from latentpk.workflows.nano.design import design
from latentpk.workflows.nano.explain import ExplainSettings, explain
from latentpk.workflows.nano.grid import make_grid


@pytest.fixture(scope="module")
def told(nano_model, nano_table):
    settings = ExplainSettings(permutations=0, background=1)
    return explain(nano_model, nano_table.head(3), settings=settings)


@pytest.fixture
def explained(told):
    """With a null, as an answer to a table with targets has one."""
    found = copy.deepcopy(told)
    for judged in found["global"]["ranks"].values():
        for one in judged.values():
            one.update(importance=0.1, null_95=0.2, p=0.5)
    exchanged = "between whole studies"
    found["global"]["null"] = {"permutations": 49, "exchanged": exchanged, "reason": ""}
    return found


@pytest.fixture(scope="module")
def designed(nano_model, nano_table):
    inside = nano_table.filter(nano_model.predict(nano_table)["VERDICT"] == "ok").head(2)
    far = nano_table.head(1).with_columns(
        pl.lit("far").alias("ID"), pl.lit(9.0).alias("TSz"), pl.lit(10.8).alias("TW")
    )
    nameless = inside.head(1).with_columns(
        pl.lit("a/../b").alias("ID"), pl.lit(None).cast(pl.Float64).alias("HD")
    )
    table = pl.concat([inside, far, nameless])
    return design(nano_model, table, make_grid("20:200:20"), target="DE168")


def texts(figure):
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def bars(axes):
    """Lengths of bars by property, the first of them on top."""
    names = [label.get_text() for label in axes.get_yticklabels()]
    found = {name: [] for name in names}
    for bar in sorted(axes.patches, key=lambda bar: -bar.get_y()):
        found[names[round(bar.get_y() + bar.get_height() / 2)]].append(bar.get_width())
    return found


def test_importance_has_a_panel_for_each_target(explained):
    figure = importance_figure(explained)
    shown = texts(figure)
    for word in (*explained["units"], "mean absolute contribution [log10 units]", "tumor size"):
        assert word in shown
    assert "XGBoost: 95 % quantile by chance" in shown
    assert any("exchanged between" in text for text in shown)
    axes = figure.axes[0]
    assert axes.get_title(loc="left") == "KTRESmax"
    for name, lengths in bars(axes).items():
        wanted = [
            explained["global"]["importance"][method]["properties"]["KTRESmax"][name]
            for method in ("prediction", "xgboost", "network")
        ]
        assert lengths == pytest.approx(wanted)
    ticks = [line for line in axes.lines if list(line.get_xdata()) == [0.2, 0.2]]
    assert len(ticks) == 3  # size, charge, tumor size
    assert axes.get_xlim()[1] > 0.2


def test_importance_without_a_null_says_so(told):
    figure = importance_figure(told)
    shown = texts(figure)
    assert "XGBoost: 95 % quantile by chance" not in shown
    assert any("Not compared with chance" in text for text in shown)
    assert not figure.axes[0].lines


def test_attention_names_its_features_and_how_even_it_is(told):
    figure = attention_figure(told)
    shown = texts(figure)
    assert {"HD", "MAT", "f_size", "unround_size"} <= set(shown)
    assert "share of attention, times the even share" in shown
    even = copy.deepcopy(told)
    even["global"]["attention"]["entropy"] = 1.0
    even["global"]["attention"]["map"] = {"DE24": np.full((14, 16), 1 / 224).tolist()}
    figure = attention_figure(even)
    assert np.allclose(figure.axes[0].images[0].get_array(), 1)
    assert any("nearly uniform" in text.replace("\n", " ") for text in texts(figure))


def test_a_particle_is_drawn_with_its_largest_contributions(told):
    particle = told["particles"][0]
    figure = particle_figure(particle)
    shown = texts(figure)
    assert f"Particle {particle['id']}" in shown
    assert any(text.startswith(f"verdict {particle['verdict']}") for text in shown)
    assert "factor on the prediction" in shown
    one = particle["targets"]["DE24"]
    said = f"{plain(one['prediction'])} %ID ({plain(one['lo'])} to {plain(one['hi'])})"
    assert said in shown
    axes = figure.axes[4]
    added = one["methods"]["prediction"]["properties"]
    largest = sorted(added, key=lambda name: -abs(added[name]))[: nano.LARGEST]
    found = bars(axes)
    assert list(found) == largest[::-1]
    for name in largest:
        assert found[name][0] == pytest.approx(added[name])
    low, high = axes.get_xlim()
    assert low == -high
    assert high > max(abs(value) for lengths in found.values() for value in lengths)


def test_delivery_against_size_for_each_charge(designed):
    particle = designed["particles"][0]
    figure = design_figure(particle, "DE168")
    shown = texts(figure)
    assert {"DE168 [%ID]", "hydrodynamic diameter [nm]", "current design", "median"} <= set(shown)
    assert "90 % interval" in shown
    assert len(figure.axes) == 3
    for axes, curve in zip(figure.axes, particle["curves"], strict=True):
        assert axes.get_title(loc="left").startswith(curve["CHARGE"])
        median = next(line for line in axes.lines if line.get_label() == "median")
        np.testing.assert_allclose(median.get_ydata(), curve["median"])
        grey = sum(patch.get_width() for patch in axes.patches)
        outside = np.sum(~np.array(curve["inside"]))
        assert grey == pytest.approx(20 * outside, abs=21)
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    assert figure.axes[0].get_yscale() == "log"


def test_nothing_inside_is_drawn_grey_with_the_reasons(designed):
    figure = design_figure(designed["particles"][2], "DE168")
    shown = texts(figure)
    assert any("No design lies inside the data's domain." in text for text in shown)
    assert "outside the domain: left out" in shown
    assert "highest median of the grid" not in shown


def test_a_current_design_without_size_is_a_line(designed):
    shown = texts(design_figure(designed["particles"][3], "DE168"))
    assert "current design, size unknown" in shown
    assert any(text.startswith("Particle a/../b: DE168 against size") for text in shown)


def test_one_size_is_drawn(nano_model, nano_table):
    grid = make_grid("60", "negative,positive", "all")
    found = design(nano_model, nano_table.head(1), grid)
    assert len(design_figure(found["particles"][0], "DE24").axes) == 2


def test_pictures_stay_in_their_folder(explained, designed, tmp_path, monkeypatch):
    explained["particles"][1]["id"] = "../$up"
    explained["particles"][2]["id"] = ".._$UP"
    told = []
    paths = draw_explained(
        explained, tmp_path / "plots", progress=lambda done, total, label: told.append(done)
    )
    names = [path.name for path in paths]
    assert names[:2] == ["importance.png", "attention.png"]
    assert len({name.lower() for name in names}) == 5
    assert {path.parent for path in paths} == {tmp_path / "plots"}
    assert told == [1, 2, 3, 4, 5]
    for path in paths:
        with Image.open(path) as picture:
            assert min(picture.size) > 600
    monkeypatch.setattr(nano, "PICTURES", 2)
    assert len(draw_designs(designed, tmp_path / "designs")) == 2


def test_networks_that_do_not_attend_have_no_map(told, tmp_path, monkeypatch):
    found = {**told, "global": {**told["global"], "attention": None}, "particles": []}
    assert [path.name for path in draw_explained(found, tmp_path)] == ["importance.png"]
