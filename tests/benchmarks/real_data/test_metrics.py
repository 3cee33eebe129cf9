import numpy as np
import pytest
from benchmarks.real_data.metrics import NAMES, compare, errors, summarize

SUBJECTS = ["a", "a", "b", "c"]
OBSERVED = np.array([10.0, 20.0, 10.0, 5.0])


def test_metrics_of_figures_worked_out_by_hand():
    predicted = np.array([9.0, 25.0, 10.0, 6.0])
    found = errors(SUBJECTS, OBSERVED, predicted, ["a", "b", "c"])
    metrics = dict(zip(NAMES, found.metrics(np.arange(3)), strict=True))
    assert metrics["mpe"] == pytest.approx((0.1 - 0.25 + 0 - 0.2) / 4)
    assert metrics["mape"] == pytest.approx((0.1 + 0.25 + 0 + 0.2) / 4)
    assert metrics["rmse"] == pytest.approx(np.sqrt((1 + 25 + 0 + 1) / 4))
    assert metrics["within20"] == 0.75
    logs = np.log(OBSERVED / predicted)
    assert metrics["log_rmse"] == pytest.approx(np.sqrt(np.mean(logs**2)))


def test_a_method_equals_itself_and_a_worse_one_is_worse_in_every_bootstrap_draw():
    order = [f"{k}" for k in range(30)]
    observed = np.linspace(5, 10, 30)
    good, bad = (errors(order, observed, observed * factor, order) for factor in (1.05, 1.5))
    assert compare([good], [good])["mape"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    worse = compare([bad, bad], [good, good])
    assert worse["log_rmse"]["low"] > 0
    assert summarize([good])["mape"]["value"] == pytest.approx(0.05, abs=1e-6)


def test_a_forecast_of_nothing_counts_as_the_floor():
    found = errors(["a"], np.array([10.0]), np.array([0.0]), ["a"])
    assert np.isfinite(found.sums).all()
