from benchmarks.complex_profiles.run import PROTOCOL, carried


def row(cohort, value, *seeds):
    return {"cohort": cohort, "method": "auto", "regimen": "known", "seeds": seeds, "value": value}


def cost(cohort, seed):
    return {"cohort": cohort, "method": "auto", "seed": seed}


def test_a_figure_outlives_its_cell_until_as_many_seeds_are_run_again():
    before = {
        "protocol": PROTOCOL,
        "table": [row("a", 1, 1), row("b", 2, 1, 2), row("c", 3, 1)],
        "costs": [cost("a", 1), cost("b", 1), cost("b", 2), cost("c", 1)],
    }
    table, costs = carried(before, [row("a", 10, 1), row("b", 20, 1)], [cost("a", 1), cost("b", 1)])
    assert {one["cohort"]: one["value"] for one in table} == {"a": 10, "b": 2, "c": 3}
    assert [one["cohort"] for one in table if one.get("carried")] == ["b", "c"]
    assert len(costs) == 4


def test_figures_of_another_protocol_are_not_carried():
    before = {"protocol": {"version": 0}, "table": [row("a", 1, 1)], "costs": []}
    assert carried(before, [], []) == ([], [])
