import numpy as np
import polars as pl
from benchmarks.real_data import peer_nlme

LOGS = np.log([0.08, 1.5, 2.8])


def test_map_lies_between_the_population_and_the_subject(monkeypatch):
    monkeypatch.setattr(
        peer_nlme, "population", lambda train: (LOGS, np.array([0.1, 0.6, 0.3]), 0.5)
    )
    own = LOGS + np.array([0.0, 0.0, 0.6])
    time = np.array([1.0, 2.0, 4.0, 8.0, 24.0])
    level = peer_nlme.concentration(own, time, 320.0)
    kinds = np.array([0, 0, 0, 0, 2])
    subject = pl.DataFrame(
        {
            "ID": 1,
            "TIME": [0.0, *time],
            "EVID": [1, *kinds],
            "AMT": [320.0] + [0.0] * 5,
            "DV": [None, *level],
        }
    )
    mode, centre = peer_nlme.forecast(subject, subject)
    assert level[-1] < mode[0] < centre[0]
    assert abs(mode[0] - level[-1]) < 0.5 * abs(centre[0] - level[-1])


def test_equal_rates_are_no_singularity():
    found = peer_nlme.concentration(np.log([0.5, 0.5, 2.0]), np.array([2.0]), 100.0)
    np.testing.assert_allclose(found, 100 * 0.25 / 2 * 2 * np.exp(-1.0), rtol=1e-6)
