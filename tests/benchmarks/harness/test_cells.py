import json

import pytest
from benchmarks.harness.cells import Cell, Ledger, run_cells, write_json
from benchmarks.harness.command import Choice

CELLS = [Cell({"n": n, "seed": seed}) for n in (100, 500) for seed in (1, 2)]

NONE = Choice(budget=0)


def product(cell):
    return {"product": cell.settings["n"] * cell.settings["seed"]}


def refuse(cell):
    raise AssertionError(f"{cell.name} was run again")


def test_finished_cells_are_not_run_again(tmp_path):
    ledger = Ledger(tmp_path, {"version": 1})
    run_cells(CELLS[:2], product, ledger=ledger)
    half = run_cells(CELLS, product, ledger=ledger, choice=NONE)
    assert (len(half.records), half.planned) == (2, 4)
    run_cells(CELLS, product, ledger=ledger)
    outcome = run_cells(CELLS, refuse, ledger=ledger)
    assert [one["product"] for one in outcome.results()] == [100, 200, 500, 1000]
    assert outcome.head()["cells_done"] == 4
    assert not outcome.failed


def test_only_chosen_cells_are_run_and_the_others_still_counted(tmp_path):
    ledger = Ledger(tmp_path, {})
    run_cells(CELLS, product, ledger=ledger, choice=Choice(only=("1",)))
    outcome = run_cells(CELLS, product, ledger=ledger, choice=Choice(only=("500", "2,3")))
    assert sorted(outcome.records) == ["100_1", "500_1", "500_2"]


def test_finished_cells_are_run_again_on_demand(tmp_path):
    ledger, runs = Ledger(tmp_path, {}), []
    for again in (False, True, False):
        run_cells(
            CELLS, lambda cell: runs.append(1) or {}, ledger=ledger, choice=Choice(again=again)
        )
    assert len(runs) == 2 * len(CELLS)


def test_another_protocol_makes_cells_stale(tmp_path):
    run_cells(CELLS, product, ledger=Ledger(tmp_path, {"version": 1}))
    outcome = run_cells(CELLS, product, ledger=Ledger(tmp_path, {"version": 2}), choice=NONE)
    assert not outcome.records


@pytest.mark.filterwarnings("ignore")
def test_a_failing_cell_is_reported_and_the_others_go_on(tmp_path, capsys):
    def work(cell):
        if cell.settings["seed"] == 1:
            raise ValueError("a wall")
        return product(cell)

    outcome = run_cells(CELLS, work, ledger=Ledger(tmp_path, {}))
    assert outcome.failed == {"100_1": "ValueError: a wall", "500_1": "ValueError: a wall"}
    assert sorted(outcome.records) == ["100_2", "500_2"]
    assert "FAILED" in capsys.readouterr().out


def test_a_half_written_cell_is_run_again(tmp_path):
    ledger = Ledger(tmp_path, {})
    run_cells(CELLS, product, ledger=ledger)
    ledger.path(CELLS[0]).write_text('{"fingerprint": "')
    outcome = run_cells(CELLS, product, ledger=ledger)
    assert len(outcome.records) == 4


def test_a_file_that_is_no_json_number_is_refused_and_the_old_one_stays(tmp_path):
    path = tmp_path / "results.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [found.name for found in tmp_path.iterdir()] == ["results.json"]
