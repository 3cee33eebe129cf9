import numpy as np
import pytest
from benchmarks.forecast_oracle import cohorts
from benchmarks.forecast_oracle.populations import POPULATIONS

torch = pytest.importorskip("torch")


def test_the_peer_learns_repeats_itself_and_never_forecasts_below_zero():
    from benchmarks.forecast_oracle import pkvae

    train = cohorts.training(POPULATIONS["vancomycin-2c-infusion"], 60, seed=1)
    unseen = cohorts.unseen(POPULATIONS["vancomycin-2c-infusion"], 30, seed=1)
    short = pkvae.Training(epochs=150)
    found, again = (
        pkvae.forecast(pkvae.fit(train, seed=1, training=short), unseen) for _ in range(2)
    )
    untrained = pkvae.fit(train, seed=1, training=pkvae.Training(epochs=0))
    np.testing.assert_array_equal(found, again)
    assert found.min() > 0
    error, before = (
        np.mean((one - unseen.truth) ** 2) for one in (found, pkvae.forecast(untrained, unseen))
    )
    assert error < 0.8 * before
