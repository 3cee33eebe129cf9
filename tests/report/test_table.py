import polars as pl
import pytest

from latentpk.report.table import csv_text


@pytest.mark.parametrize(
    "cell", ["=1+1", "+SUM(A1)", "@cmd", "-cmd|' /C calc'!A0", "\t=1", "+", "-"]
)
def test_a_cell_that_a_spreadsheet_would_run_is_disarmed(cell):
    read = pl.read_csv(csv_text(pl.DataFrame({"ID": [cell]})).encode(), infer_schema=False)
    assert read["ID"][0] == f"'{cell}"


@pytest.mark.parametrize("cell", ["-1", "+2.5", "-1e-3", ".5", "-.5", "P-17", "12", "a=b", ""])
def test_numbers_and_plain_text_are_left_alone(cell):
    read = pl.read_csv(
        csv_text(pl.DataFrame({"ID": [cell], "X": [1]})).encode(), infer_schema=False
    )
    assert (read["ID"][0] or "") == cell


def test_numbers_stay_numbers():
    table = pl.DataFrame({"A": [-1.5, None], "B": [3, -4], "T": ["x,y", 'say "hi"']})
    assert pl.read_csv(csv_text(table).encode()).equals(table)


def test_empty_text_is_an_empty_cell():
    table = pl.DataFrame({"A": ["", None, "x"], "B": [1, 2, 3]})
    assert csv_text(table) == "A,B\n,1\n,2\nx,3\n"
