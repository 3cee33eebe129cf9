import numpy as np
import pytest

from latentpk.errors import InputError
from latentpk.records import text as text_room
from latentpk.records.text import read_text


def _read(tmp_path, data, **options):
    path = tmp_path / "data.csv"
    path.write_bytes(data)
    return read_text(path, **options)


@pytest.mark.parametrize(
    ("data", "rows", "lines"),
    [
        (b"A,B\n1,2\n3,4\n", [("1", "2"), ("3", "4")], [2, 3]),
        (b"A,B\n1,2\n3,4", [("1", "2"), ("3", "4")], [2, 3]),
        (b"A,B\r\n1,2\r\n", [("1", "2")], [2]),
        (b"A;B\r1;2\r", [("1", "2")], [2]),
        (b"A\tB\n1\t\n", [("1", None)], [2]),
        (b"\xef\xbb\xbfA,B\n1,2\n", [("1", "2")], [2]),
        (b"# one\n\n# two\nA,B\n1,2\n\n#x\n3,4\n \n", [("1", "2"), ("3", "4")], [5, 8]),
        (b'A,B\n"1,5",2\n', [("1,5", "2")], [2]),
        (b"A,B\n", [], []),
        (b"A,B", [], []),
    ],
)
def test_cells_keep_their_line(tmp_path, data, rows, lines):
    found = _read(tmp_path, data)
    assert found.header == ("A", "B")
    assert found.frame.rows() == rows
    assert found.line is not None
    np.testing.assert_array_equal(found.line, lines)
    assert not found.problems


def test_a_line_break_inside_quotes_loses_the_lines_not_the_cells(tmp_path):
    found = _read(tmp_path, b'A,B\n1,"x\ny"\n')
    assert found.frame.rows() == [("1", "x\ny")]
    assert found.line is None


def test_comments_are_kept(tmp_path):
    found = _read(tmp_path, b"# units: DV=ug/L\nA\n1\n# end\n")
    assert found.comments == ("# units: DV=ug/L", "# end")


def test_ragged_lines_are_problems_with_their_line(tmp_path):
    found = _read(tmp_path, b"A,B\n1\n3,4\n5,6,7\n")
    assert [p.where for p in found.problems] == ["line 2", "line 4"]
    assert [p.found for p in found.problems] == ["1 field", "3 fields"]
    assert found.frame.rows() == [("3", "4")]


def test_ragged_lines_between_quotes_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read as a table"):
        _read(tmp_path, b'A,B\n"1","2"\n"1","2","3"\n')


def test_the_digest_is_of_the_bytes(tmp_path):
    first, second = _read(tmp_path, b"A\n1\n"), _read(tmp_path, b"A\n1 \n")
    assert len(first.digest) == 64
    assert first.digest != second.digest


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "empty"),
        (b" \n\n", "empty"),
        (b"# only\n#comments\n", "only comments"),
        (b"1,0,2.5\n1,1,.\n", "first line holds numbers"),
        ("ID,TIME\n".encode("utf-16"), "UTF-16"),
        (b"PK\x03\x04\x00\x00\x08\x00", "binary"),
        (b"ID,TIME\n1,\xe9\n", "0xE9 is not UTF-8"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, data, found):
    with pytest.raises(InputError, match=found) as caught:
        _read(tmp_path, data)
    problem = caught.value.problems[0]
    assert problem.where.startswith("file data.csv")
    assert problem.rule
    assert problem.mend


def test_the_line_of_a_wrong_byte_is_named(tmp_path):
    with pytest.raises(InputError, match="line 3"):
        _read(tmp_path, b"A,B\n1,2\n1,\xff\n")


def test_a_huge_line_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(text_room, "MAX_LINE", 100)
    with pytest.raises(InputError, match="line 2: a line of 101 bytes"):
        _read(tmp_path, b"A,B\n" + b"1" * 101 + b"\n1,2\n")


def test_a_large_file_is_not_read(tmp_path):
    with pytest.raises(InputError, match="larger than that"):
        _read(tmp_path, b"A,B\n1,2\n", max_bytes=5)


def test_absent_files_and_directories_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_text(tmp_path / "none.csv")
    with pytest.raises(InputError, match="is a directory"):
        read_text(tmp_path)
    with pytest.raises(InputError, match="cannot be opened"):
        read_text("a\0b")
