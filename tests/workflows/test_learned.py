"""Models whose curve is partly learned answer like the others, from fit to dose."""

import numpy as np
import pytest

from latentpk import ProfileVAE, read_nonmem
from latentpk.dosing.metric import parse_metric
from latentpk.dosing.target import parse_target
from latentpk.models.bundle import to_arrays
from latentpk.workflows.dose_options import Wish
from latentpk.workflows.dosing import advise
from latentpk.workflows.exposure import Question, exposures

LEARNED = {"neural_ode": "auto", "hybrid": "1c-iv"}


@pytest.fixture(scope="module", params=LEARNED)
def learned(request, ward, tmp_path_factory):
    """A fitted model, and the same from its folder."""
    fixed = {"structure": LEARNED[request.param], "prior": "linear", "epochs": 3}
    model = ProfileVAE(decoder=request.param, **fixed).fit(read_nonmem(ward))
    folder = tmp_path_factory.mktemp("learned") / request.param
    model.save(folder)
    return model, ProfileVAE.load(folder)


@pytest.mark.long
def test_a_fit_forecasts_after_it_was_saved_as_before(learned, patients):
    model, again = learned
    assert type(again.model.decoder) is type(model.model.decoder)
    before, after = to_arrays(model.model), to_arrays(again.model)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    cohort = read_nonmem(patients, **model.reading(), purpose="forecast").subset(range(2))
    tables = [one.forecast(cohort, draws=128) for one in (model, again)]
    assert tables[0].equals(tables[1])
    assert np.isfinite(tables[0]["IPRED"].to_numpy()).all()
    assert (tables[0]["IPRED"].to_numpy() >= 0).all()
    assert again.card()["decoder"]["name"] == model.settings.decoder


@pytest.mark.long
def test_an_exposure_and_a_dose_are_told(learned, patients):
    """The area at steady state grows with the amount, and the regimen that is judged has it."""
    model, _ = learned
    predictor = model.predictor()
    cohort = read_nonmem(patients, **model.reading(), purpose="dose").subset(range(1))
    pairs = [(predictor, cohort)]
    found = exposures(pairs, Question(parse_metric("auc24"), "ss", None), draws=128)["subjects"][0]
    assert 0 < found["lo"] < found["median"] < found["hi"] < 1e4
    wish = Wish(amounts=(200.0, 400.0), intervals=(12.0,))
    value, _, _ = advise(pairs, parse_target("auc24=100:200"), wish, draws=128)
    middle = {a["amount"]: a["exposure"]["median"] for a in value["alternatives"]}
    assert 1.3 * middle[200.0] < middle[400.0] < 3.0 * middle[200.0]
