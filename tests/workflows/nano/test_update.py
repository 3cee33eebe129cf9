import numpy as np
import pytest

from latentpk.workflows.nano.evaluate import EvaluateSettings, evaluate
from latentpk.workflows.nano.model import ALONE
from latentpk.workflows.nano.table import read_library
from latentpk.workflows.nano.update import CARRIED, LATENT, Later, score_later


def test_scores_are_of_logs():
    later = Later(
        np.array([4, 4, 9]),
        np.log([1.0, 2.0, 4.0]),
        {"ours": np.log([1.0, 2.0, 8.0]), LATENT[2]: np.array([np.nan, np.log(4.0), np.log(4.0)])},
        np.log([0.5, 3.0, 1.0]),
        np.log([2.0, 4.0, 9.0]),
        np.array([1, 1, 2]),
        np.array([True, True, False]),
    )
    found = score_later(later)
    assert found["log_rmse"]["ours"] == pytest.approx(np.log(2) / np.sqrt(3))
    assert found["log_rmse"][LATENT[2]] == pytest.approx(np.log(2) / np.sqrt(2))
    assert found["coverage90_after_one"] == pytest.approx(2 / 3)
    assert (found["second_rung"], found["reliable"]) == (0.5, 0.5)
    assert (found["particles"], found["measurements"]) == (2, 3)


@pytest.fixture(scope="module")
def judged(nano_table, nano_courses, nano_studies, nano_settings, few_points):
    library = read_library(nano_table, timecourse=nano_courses, studies=nano_studies)
    from latentpk.inference.tumor_training import TumorSettings

    small = TumorSettings(folds=3, width=4, steps=25, decays=(0.03,))
    ensemble = nano_settings.model_copy(update={"tumor": small})
    settings = EvaluateSettings(scheme="study", folds=3, repeats=1, ensemble=ensemble)
    return evaluate(library, settings)


@pytest.mark.long
def test_one_measurement_is_worth_more_than_properties(judged):
    error = judged["update"]["log_rmse"]
    assert error[LATENT[1]] < error[LATENT[0]]
    assert error[LATENT[1]] < error[CARRIED]
    assert judged["update"]["measurements"] == 2 * judged["update"]["particles"] > 80


@pytest.mark.long
def test_courses_bring_the_latent_model_into_the_table(judged):
    models = judged["targets"]["DE24"]
    assert {"latent", ALONE, "ensemble"} <= models.keys()
    assert models["latent"]["r2"] is not None
    assert sum(judged["meta"]["latent"]["assay"].values()) == 3  # one choice a fold
