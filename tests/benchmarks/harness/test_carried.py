import json

from benchmarks.harness.carried import carried, stored

AT = {"row_at": ("cohort", "method"), "cost_at": ("cohort", "method", "seed")}


def row(cohort, value, *seeds):
    return {"cohort": cohort, "method": "auto", "seeds": seeds, "value": value}


def cost(cohort, seed):
    return {"cohort": cohort, "method": "auto", "seed": seed}


def test_a_figure_outlives_its_cell_until_as_many_seeds_are_run_again():
    before = {
        "table": [row("a", 1, 1), row("b", 2, 1, 2), row("c", 3, 1)],
        "costs": [cost("a", 1), cost("b", 1), cost("b", 2), cost("c", 1)],
    }
    new = [row("a", 10, 1), row("b", 20, 1)], [cost("a", 1), cost("b", 1)]
    table, costs = carried(before, *new, **AT)
    assert {one["cohort"]: one["value"] for one in table} == {"a": 10, "b": 2, "c": 3}
    assert [one["cohort"] for one in table if one.get("carried")] == ["b", "c"]
    assert len(costs) == 4


def test_figures_of_another_protocol_are_not_carried(tmp_path):
    path = tmp_path / "results.json"
    assert stored(path, {"version": 1}) == {}
    path.write_text(json.dumps({"protocol": {"version": 0}, "table": [1], "costs": []}))
    assert stored(path, {"version": 1}) == {}
    assert stored(path, {"version": 0})["table"] == [1]
    assert carried({}, [], [], **AT) == ([], [])
