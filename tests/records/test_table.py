import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest

from latentpk.errors import InputError
from latentpk.records.table import SHOWN, read_table

DATA = {
    "ID": [1, 1, 2],
    "TIME": [0.0, 1.5, 0.0],
    "AMT": [10.0, None, 10.0],
    "DV": [None, 2.5, None],
}


def test_subjects_are_runs_of_one_id():
    table = read_table(pl.DataFrame(DATA))
    assert table.ids == ("1", "2")
    np.testing.assert_array_equal(table.start, [0, 2, 3])
    np.testing.assert_array_equal(table.order, [0, 1, 0])


@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame(DATA),
        pl.DataFrame(DATA).lazy(),
        pd.DataFrame(DATA),
        pd.DataFrame(DATA).astype({"ID": float}),
        pl.DataFrame(DATA).to_arrow,
    ],
    ids=["polars", "lazy", "pandas", "pandas-float-id", "arrow"],
)
def test_any_frame_gives_the_same_table(frame):
    if callable(frame):
        pytest.importorskip("pyarrow")
        frame = frame()
    table = read_table(frame)
    assert table.ids == ("1", "2")
    assert table.frame["AMT"].to_list() == [10.0, None, 10.0]
    assert table.written["DV"].to_list() == ["", "2.5", ""]


def test_a_pandas_frame_of_mixed_cells_is_read_as_text():
    frame = pd.DataFrame(
        {
            "ID": pd.Series([1, 1, "b"], dtype=object),
            "TIME": pd.Series([0, 1, 2], dtype="Int64"),
            "AMT": [10, "", None],
            "DV": pd.Categorical([".", "5", None]),
            7: [1, 2, 3],
        }
    )
    table = read_table(frame)
    assert table.ids == ("1", "b")
    assert table.frame["AMT"].to_list() == ["10", None, None]
    assert table.frame["DV"].to_list() == [None, "5", None]
    assert table.written["TIME"].to_list() == ["0", "1", "2"]


def test_columns_of_lists_are_left_out():
    table = read_table(pl.DataFrame(DATA | {"NOTES": [[1], [2], []]}))
    assert "NOTES" not in table.frame.columns
    assert "NOTES" in table.notices[0]


def test_a_frame_with_equal_names_is_refused():
    frame = pd.DataFrame([[1, 2]], columns=["ID", "ID"])
    with pytest.raises(InputError, match="Give every column its own name"):
        read_table(frame)


def test_equal_frames_have_equal_digests():
    assert read_table(pl.DataFrame(DATA)).digest == read_table(pl.DataFrame(DATA)).digest
    other = pl.DataFrame(DATA | {"DV": [None, 2.6, None]})
    assert read_table(other).digest != read_table(pl.DataFrame(DATA)).digest


def test_dots_blanks_and_na_are_missing_but_written_as_they_were(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("ID,TIME,AMT,DV\n1, 0 ,10,.\n1,1,NA, 2.50\n1,2,, \n")
    table = read_table(path)
    assert table.frame["DV"].to_list() == [None, "2.50", None]
    assert table.frame["AMT"].to_list() == ["10", None, None]
    assert table.written["DV"].to_list() == [".", "2.50", ""]


def test_small_letters_are_read_with_a_notice():
    table = read_table(pl.DataFrame({k.lower(): v for k, v in DATA.items()}))
    assert table.frame.columns == ["ID", "TIME", "AMT", "DV"]
    assert "capitals: id, time, amt, dv" in table.notices[0]


def test_an_unnamed_column_and_empty_records_are_left_out(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("ID,TIME,AMT,DV,\n1,0,10,.,\n,,,,\n1,1,.,3,\n")
    table = read_table(path)
    assert table.frame.columns == ["ID", "TIME", "AMT", "DV"]
    assert table.line is not None
    np.testing.assert_array_equal(table.line, [2, 4])
    assert len(table.notices) == 2


def test_a_units_line_is_found(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("# a comment\n#Units: DV=ug/L\nID,TIME,AMT,DV\n1,0,10,.\n")
    assert read_table(path).units == "DV=ug/L"


def test_dates_become_iso_text():
    frame = pl.DataFrame(DATA).with_columns(DATE=pl.Series([datetime.datetime(2024, 2, 29, 7)] * 3))
    assert read_table(frame).frame["DATE"].to_list() == ["2024-02-29"] * 3


@pytest.mark.parametrize("name", ["id", "ID"])
def test_missing_columns_are_problems(name):
    frame = pl.DataFrame({name: [1], "TIME": [0]})
    assert [p.where for p in read_table(frame).problems] == ["column AMT", "column DV"]


def test_without_id_or_records_nothing_can_be_said():
    with pytest.raises(InputError, match="column ID: it is missing"):
        read_table(pl.DataFrame({"TIME": [0], "AMT": [1], "DV": [1]}))
    with pytest.raises(InputError, match="there are none"):
        read_table(pl.DataFrame(DATA).clear())


def test_a_repeated_name_is_a_problem(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("ID,TIME,AMT,DV,dv\n1,0,10,.,.\n")
    assert [p.where for p in read_table(path).problems] == ["column DV"]


def test_a_subject_that_comes_back_and_a_missing_id_are_problems():
    frame = pl.DataFrame({"ID": ["a", "b", "a", None], "TIME": 0, "AMT": 1, "DV": 1})
    found = read_table(frame).problems
    assert [p.where for p in found] == [
        "subject a, record 1, column ID",
        "subject (missing), record 1, column ID",
    ]


def test_a_table_sorted_by_time_is_not_blamed_record_by_record():
    frame = pl.DataFrame({"ID": ["a", "b"] * 1000, "TIME": 0, "AMT": 1, "DV": 1})
    assert len(read_table(frame).problems) == SHOWN + 1


def test_what_is_no_frame_is_refused():
    with pytest.raises(InputError, match="it is a int"):
        read_table(3)


def test_a_place_names_subject_record_and_line(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("# c\nID,TIME,AMT,DV\n7,0,10,.\n9,0,10,.\n9,1,10,long" + "g" * 50 + "\n")
    table = read_table(path)
    assert table.place(2) == "subject 9, record 2 (line 5)"
    assert table.cell(2, "DV").endswith("...")
    assert table.cell(0, "DV") == ""
