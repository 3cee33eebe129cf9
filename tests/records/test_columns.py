import numpy as np
import polars as pl

from latentpk.records.columns import missing, numbers, parsed, whole
from latentpk.records.findings import Findings
from latentpk.records.table import read_table


def _findings(cells):
    frame = pl.DataFrame({"ID": "1", "TIME": 0, "AMT": 0, "DV": cells}, strict=False)
    return Findings(read_table(frame))


def test_numbers_are_read_and_the_rest_is_blamed():
    findings = _findings(["1", " 2.5 ", "1e-3", ".", "", "NA", "x", "inf", "nan"])
    values = numbers(findings, "DV", default=-1.0)
    np.testing.assert_array_equal(values, [1, 2.5, 1e-3, -1, -1, -1, -1, -1, -1])
    assert [p.found for p in findings.problems] == [
        "'inf' is not finite", "'nan' is not finite", "'x' is no number",
    ]  # fmt: skip


def test_cells_outside_are_not_looked_at():
    findings = _findings(["x", "2"])
    within = np.array([False, True])
    np.testing.assert_array_equal(numbers(findings, "DV", within=within), [np.nan, 2])
    assert not findings.problems


def test_an_absent_column_is_missing_throughout():
    findings = _findings(["1", "2"])
    np.testing.assert_array_equal(numbers(findings, "RATE", default=0.0), [0, 0])
    np.testing.assert_array_equal(parsed(findings, "RATE"), [np.nan, np.nan])
    assert missing(findings, "RATE").all()
    assert not missing(findings, "DV").any()


def test_codes_are_of_a_list():
    findings = _findings(["0", "1", "3", None])
    codes = whole(findings, "DV", (0, 1), rule="0 or 1", mend="use one")
    np.testing.assert_array_equal(codes, [0, 1, np.nan, np.nan])
    assert [p.found for p in findings.problems] == ["DV is '3'"]
