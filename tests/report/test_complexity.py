"""Pictures of an assessment."""

from dataclasses import replace

import numpy as np
import pytest

from latentpk.report.complexity import (
    complexity_figure,
    draw_complexity,
    residual_figure,
    subjects_figure,
)
from latentpk.workflows.complexity.residual import residual_model

pytestmark = pytest.mark.long  # what all of them share takes half a minute


@pytest.fixture(scope="module")
def residual(assessed):
    return residual_model(assessed)


def said(figure):
    axes = [a for a in figure.axes if a.get_visible()]
    return " ".join([a.get_xlabel() + a.get_ylabel() + a.get_title(loc="left") for a in axes])


@pytest.mark.long
def test_every_axis_has_its_unit(assessed, residual):
    words = said(residual_figure(assessed, residual))
    assert "time after dose [h]" in words
    assert "compartment model's concentration [mg/L]" in words
    assert "WT; mean of each subject" in words
    assert "probability of being complex" in said(complexity_figure(assessed))
    assert "concentration [mg/L]" in said(subjects_figure(assessed, residual))


def test_three_of_either_kind_are_shown(assessed, residual):
    figure = subjects_figure(assessed, residual)
    titles = [a.get_title(loc="left") for a in figure.axes if a.get_visible()]
    assert len(titles) == 6
    shares = [float(title.rsplit(" ", 1)[1]) for title in titles]
    assert min(shares[:3]) > 0.9
    assert max(shares[3:]) < 0.1


def test_the_pictures_are_written(assessed, residual, tmp_path):
    paths = draw_complexity(assessed, residual, tmp_path / "new")
    assert [path.name for path in paths] == ["complexity.png", "residual.png", "subjects.png"]
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in paths)


def test_nobody_complex_and_nothing_to_bin_is_drawn_too(assessed, residual):
    nobody = replace(assessed, presence=0.0, probability=np.zeros(len(assessed.index)))
    bare = residual_model(nobody)
    few = {name: replace_empty(one) for name, one in bare.bands.items()}
    figure = residual_figure(nobody, replace(bare, bands=few))
    assert any("too few subjects" in t.get_text() for a in figure.axes for t in a.texts)
    assert "(0)" in " ".join(
        t.get_text() for t in complexity_figure(nobody).axes[0].get_legend().get_texts()
    )


def replace_empty(one):
    return type(one)(*(np.zeros(0) for _ in vars(one)))
