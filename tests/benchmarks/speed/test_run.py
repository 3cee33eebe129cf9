import pytest
from benchmarks.harness.cells import Outcome
from benchmarks.speed.run import summarize


def record(what, n, **result):
    return {"settings": {"what": what, "n": n, "repeat": 0}, "result": result, "seconds": 1.0}


def spent(seconds, peak=0.5):
    return {"seconds": seconds, "peak_gb": peak}


def test_bars_are_judged_by_what_was_measured_and_growth_by_its_exponent():
    records = [
        record("fit", 500, cold=spent(70.0), warm=spent(30.0, peak=1.2)),
        record("forecast", 1000, cold=spent(9.0), warm=spent(4.0)),
        record("fit-growth", 100, cold=spent(3.0), warm=spent(2.0)),
        record("fit-growth", 1000, cold=spent(3.0), warm=spent(20.0)),
    ]
    outcome = Outcome({str(k): one for k, one in enumerate(records)}, {}, planned=9)
    found = summarize(outcome)
    met = {bar["what"]: bar["met"] for bar in found["bars"]}
    assert met == {
        "fit of 500, cold cache": False,
        "forecast of 1000, cold cache": True,
        "forecast of 1000, warm cache": True,
        "peak memory": True,
    }
    assert found["peak_gb"] == 1.2
    assert found["growth"]["fit-growth"]["exponents"] == [pytest.approx(1.0)]


def test_nothing_measured_is_no_bar_met():
    found = summarize(Outcome({}, {}, planned=9))
    assert (found["bars"], found["peak_gb"]) == ([], None)
