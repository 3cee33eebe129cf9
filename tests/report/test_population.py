"""Pictures of a population fit."""

from dataclasses import replace

import numpy as np
import pytest

from latentpk.inference.estimation import EstimationSettings
from latentpk.report.population import _running, draw_population, effects_figure, fit_figure
from latentpk.workflows.population.fit import PopfitSettings, fit_population

pytestmark = pytest.mark.long  # what all of them share takes half a minute


@pytest.fixture(scope="module")
def fit(ward):
    settings = PopfitSettings(
        structure="1c-iv",
        effects="cl~WT",
        error="lognormal",
        estimation=EstimationSettings(method="focei", evaluations=3),
    )
    return fit_population(ward, settings)


@pytest.mark.long
def test_every_level_is_in_every_panel_of_the_fit(fit):
    figure = fit_figure(fit)
    levels = int(fit.records.mask.sum())
    for axes in figure.axes:
        assert len(axes.collections[0].get_offsets()) == levels
        assert axes.get_xlabel()
        assert axes.get_ylabel()
    x, y = np.asarray(figure.axes[0].collections[0].get_offsets()).T
    np.testing.assert_allclose(np.sort(y), np.sort(fit.records.value[np.asarray(fit.records.mask)]))
    assert x.min() > 0


def test_effects_have_a_panel_each_and_one_for_each_covariate(fit):
    figure = effects_figure(fit)
    labels = [axes.get_xlabel() for axes in figure.axes if axes.get_visible()]
    assert labels == ["effect on log cl", "effect on log v1", "WT", "WT"]


def test_a_parameter_that_does_not_vary_is_said_not_to(fit):
    place = fit.found.names.index("log sd v1")
    value = fit.found.value.copy()
    value[place] = np.log(1e-7)
    figure = effects_figure(replace(fit, found=replace(fit.found, value=value)))
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_ylabel() for axes in shown[2:]] == ["effect on log cl"]
    assert [text.get_text() for text in shown[1].texts] == [
        "v1 does not vary\nbetween these subjects"
    ]


def test_files_are_written(fit, tmp_path):
    paths = draw_population(fit, tmp_path / "new" / "plots")
    assert [path.name for path in paths] == ["fit.png", "effects.png"]
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in paths)


def test_running_medians_are_of_neighbours():
    x = np.arange(80.0)
    centres, medians = _running(x[::-1], 2 * x[::-1])
    assert len(centres) == 10
    np.testing.assert_allclose(medians, 2 * np.asarray(centres))
    assert _running(np.array([1.0]), np.array([3.0])) == ([1.0], [3.0])
