"""Training the general model: it learns, and goes on where it was cut off."""

import numpy as np
import pytest

from latentpk.models.bundle import to_arrays
from latentpk.workflows import checkpoint
from latentpk.workflows.general import pretrain as module
from latentpk.workflows.general.pretrain import PretrainSettings, pretrain
from latentpk.workflows.general.studies import simulate_studies

SMALL = PretrainSettings(studies=3, floors=3, epochs=3, free=1, width=4, hidden=8)


@pytest.fixture(scope="module")
def studies():
    return simulate_studies(3, seed=3)  # without a stiff system: those compile longest


@pytest.fixture
def simulated(studies, monkeypatch):
    monkeypatch.setattr(module, "simulate_studies", lambda *_, **__: studies)


@pytest.mark.long
def test_a_run_that_was_cut_off_ends_with_the_same_bits(simulated, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    whole = pretrain(SMALL)

    def cut(done, _, label):
        if label == "training" and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(SMALL, progress=cut, checkpoint=tmp_path / "g.partial")
    again = pretrain(SMALL, checkpoint=tmp_path / "g.partial")
    before, after = to_arrays(whole.model), to_arrays(again.model)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    np.testing.assert_array_equal(whole.floors.within, again.floors.within)
    assert whole.card["training"]["epochs"] == 3
    for covariance in (whole.floors.between, whole.floors.within):
        assert np.linalg.eigvalsh(covariance).min() > 0
