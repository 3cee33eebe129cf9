import pytest
from benchmarks.dosing_speed.run import summarize
from benchmarks.dosing_speed.warm import TARGETS


def recommendation(**parts):
    return {"what": "recommendation", "peak_gb": 0.6} | {
        f"{model}, {target}": parts for model, target in TARGETS
    }


def test_bars_are_medians_over_patients_and_processes():
    found = summarize(
        [
            recommendation(posterior=[0.01], recommendation=[0.08], both=[0.09]),
            recommendation(posterior=[0.01] * 2, recommendation=[0.08] * 2, both=[0.12] * 2),
            {
                "what": "10000 patients",
                "peak_gb": 0.9,
                "posteriors": [12.0],
                "posteriors with the rivals of gate C": [30.0],
                "rungs": {"is": 1.0},
            },
            {"what": "peers", "peak_gb": 0.5, "scipy MAP": [0.003]},
        ]
    )
    assert found["seconds"]["vancomycin-auc24: both"]["median"] == pytest.approx(0.12)
    assert found["seconds"]["peer: scipy MAP"]["median"] == 0.003
    assert (found["peak_gb"], found["rungs"]) == (0.9, {"is": 1.0})
    met = {bar["what"]: bar["met"] for bar in found["bars"]}
    assert met["vancomycin-auc24: recommendation"]
    assert not met["vancomycin-auc24: both"]
    assert met["10000 patients, ladder included: posteriors"]
    assert len(met) == 2 * len(TARGETS) + 1


def test_nothing_measured_is_no_bar_met():
    found = summarize([])
    assert (found["bars"], found["seconds"], found["peak_gb"]) == ([], {}, None)
