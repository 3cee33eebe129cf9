import dataclasses

import numpy as np
import pytest
from PIL import Image

from latentpk.report.plots import Curve, HeldOut, cohort_figure, forecast_figure, save_figure


@pytest.fixture
def curve():
    time = np.linspace(0, 60, 50)
    middle = 20 * np.exp(-0.1 * (time % 12))
    return Curve(
        id="7",
        time=time,
        pred=0.8 * middle,
        ipred=middle,
        band=(0.9 * middle, 1.1 * middle),
        interval=(0.5 * middle, 1.5 * middle),
        dose_time=np.arange(0, 60, 12.0),
        dose_amount=np.full(5, 1000.0),
        dose_duration=np.full(5, 1.0),
        level_time=np.array([11.0, 30.0, 50.0]),
        level=np.array([8.0, 15.0, 11.0]),
        used=np.array([True, True, False]),
        censored=np.array([False, False, False]),
        verdict="caution",
        reason="the levels are few",
        unit="ng/mL",
    )


def texts(figure):
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def test_a_picture_says_whose_which_unit_and_the_verdict(curve):
    shown = texts(forecast_figure(curve))
    assert "Subject 7" in shown
    assert "concentration [ng/mL]" in shown
    assert "time [h]" in shown
    assert "dose [mg]" in shown
    assert "verdict caution: the levels are few" in shown
    assert {"level, used", "level, not used", "population"} <= set(shown)


def test_levels_used_are_filled_and_new_ones_open(curve):
    main = forecast_figure(curve).axes[0]
    filled, hollow = (
        c for c in main.collections if c.get_label() in ("level, used", "level, not used")
    )
    assert len(filled.get_offsets()) == 2
    assert len(hollow.get_offsets()) == 1
    assert tuple(hollow.get_facecolor()[0][:3]) == (1, 1, 1)
    assert tuple(filled.get_facecolor()[0][:3]) != (1, 1, 1)


def test_every_level_is_inside_the_picture_however_wide_the_interval(curve):
    wide = dataclasses.replace(curve, interval=(0 * curve.ipred, 100 * curve.ipred))
    assert forecast_figure(wide).axes[0].get_ylim()[1] < 100
    high = dataclasses.replace(curve, level=np.array([8.0, 500.0, 11.0]))
    assert forecast_figure(high).axes[0].get_ylim()[1] > 500


def test_a_subject_without_levels_or_doses_is_drawn(curve, tmp_path):
    none = np.empty(0)
    bare = dataclasses.replace(
        curve,
        level_time=none,
        level=none,
        used=none.astype(bool),
        censored=none.astype(bool),
        dose_time=none,
        dose_amount=none,
        dose_duration=none,
    )
    save_figure(forecast_figure(bare), tmp_path / "bare.png")
    with Image.open(tmp_path / "bare.png") as picture:
        assert picture.size[0] > 1000


def test_an_id_with_dollars_or_foreign_letters_is_no_formula(curve, tmp_path):
    odd = dataclasses.replace(curve, id=r"$\frac{1$ 患者", reason="$x")
    save_figure(forecast_figure(odd), tmp_path / "odd.png")
    assert (tmp_path / "odd.png").stat().st_size > 10_000


def test_a_level_below_the_limit_has_its_own_mark(curve):
    censored = dataclasses.replace(curve, censored=np.array([True, False, False]))
    assert "below the assay's limit" in texts(forecast_figure(censored))


def held_out(count, inside):
    predicted = np.linspace(5, 50, count)
    observed = predicted * np.where(np.arange(count) < inside, 1.05, 3.0)
    return HeldOut(observed, predicted, 0.8 * predicted, 1.2 * predicted)


def test_coverage_is_counted_and_printed(curve):
    levels = held_out(200, 180)
    assert levels.inside.sum() == 180
    shown = texts(cohort_figure([curve] * 4, levels, title="A clinic"))
    assert "90 % of 200 new levels inside their 90 % interval" in shown
    assert "A clinic" in shown
    assert "outside (20)" in shown


@pytest.mark.parametrize(("curves", "levels"), [(0, 0), (1, 2), (3, 50), (6, 0), (0, 50)])
def test_any_number_of_subjects_and_levels_is_drawn(curve, curves, levels, tmp_path):
    figure = cohort_figure([curve] * curves, held_out(levels, levels))
    save_figure(figure, tmp_path / "cohort.png")
    with Image.open(tmp_path / "cohort.png") as picture:
        assert picture.format == "PNG"
