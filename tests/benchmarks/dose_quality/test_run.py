import numpy as np
import pytest
from benchmarks.dose_quality.run import plan, summarize


def cell(arm, *, seed="seed-1", row="adults", levels=1, **exposure):
    verdict = {"verdict": ["ok"] * 9 + ["refuse"]} if arm not in ("peers", "fit") else {}
    return {"row": row, "arm": arm, "levels": levels, "seed": seed, "exposure": exposure} | verdict


def hit(count):
    """Exposures of ten patients, the first `count` of them in the range."""
    return [500.0] * count + [700.0] * (10 - count)


@pytest.fixture
def found():
    return summarize(
        [
            cell("peers", label=hit(2), map=hit(7), best=hit(8)),
            cell("library", library=hit(8)),
            cell("trained", trained=hit(5)),
            {"row": "adults", "arm": "fit", "levels": -1, "seed": "seed-1", "chosen": "2c-iv"},
        ]
    )


def line(found, method, row="adults"):
    return next(one for one in found["table"] if (one["method"], one["row"]) == (method, row))


def test_shares_and_paired_differences(found):
    one = line(found, "library")
    assert one["attained"]["value"] == 0.8
    assert (one["toxic"], one["refused"], one["patients"]) == (0.2, 0.1, 10)
    assert one["minus_best"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert one["minus_map"]["value"] == pytest.approx(0.1)
    assert one["minus_map"]["low"] == 0.0
    assert line(found, "label")["minus_best"]["value"] == pytest.approx(-0.6)
    assert line(found, "library", "all rows")["attained"]["value"] == 0.8
    assert found["fits"] == [{"row": "adults", "seed": "seed-1", "chosen": "2c-iv"}]


def test_bars_are_judged_for_ours_alone(found):
    met = {bar["what"]: bar["met"] for bar in found["bars"] if bar["what"].startswith("adults")}
    assert list(met.values()) == [True, True, False, False]
    assert all("ours" in what for what in met)


def test_a_method_is_compared_on_the_patients_it_shares():
    """A second seed that only the peers have done counts for them alone."""
    results = [
        cell("peers", map=hit(7), best=hit(8)),
        cell("peers", seed="seed-2", map=hit(1), best=hit(1)),
        cell("library", library=hit(8)),
    ]
    found = summarize(results)
    assert line(found, "best")["patients"] == 20
    assert line(found, "library")["minus_best"]["value"] == 0.0


def test_nothing_done_is_nothing_told():
    assert summarize([]) == {"table": [], "fits": [], "bars": []}


def test_a_model_is_fitted_before_it_answers():
    names = [one.settings["arm"] for one in plan() if one.settings["row"] == "adults"]
    assert names.index("fit") < names.index("trained")
    assert len(plan()) == 3 * 5 * 13
    assert np.unique([one.name for one in plan()]).size == len(plan())
