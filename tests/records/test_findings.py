import numpy as np
import polars as pl
import pytest

from latentpk.errors import InputError
from latentpk.records.findings import Findings
from latentpk.records.table import SHOWN, read_table


def _findings(size=3):
    frame = pl.DataFrame({"ID": ["a"] * size, "TIME": 0, "AMT": 1.5, "DV": 1})
    return Findings(read_table(frame))


def test_a_problem_names_record_and_cell():
    findings = _findings()
    findings.flag(np.array([False, True, False]), "AMT", "AMT is {}", "rule", "mend")
    assert str(findings.problems[0]) == "subject a, record 2, column AMT: AMT is '1.5'. rule. mend."


def test_a_cell_is_blamed_once():
    findings = _findings()
    findings.flag(np.array([False, True, False]), "AMT", "first", "rule", "mend")
    findings.flag(np.array([True, True, False]), "AMT", lambda row: f"second {row}", "rule", "mend")
    assert [p.found for p in findings.problems] == ["first", "second 0"]
    np.testing.assert_array_equal(findings.blamed("AMT"), [True, True, False])
    assert not findings.blamed("DV").any()


def test_many_records_are_counted_after_the_first():
    findings = _findings(SHOWN + 7)
    findings.flag(np.ones(SHOWN + 7, bool), "AMT", "wrong", "rule", "mend")
    assert len(findings.problems) == SHOWN + 1
    assert findings.problems[-1].found == "7 more such records"


def test_settle_raises_everything_at_once():
    findings = _findings()
    findings.settle()
    findings.add("column X", "found", "rule", "mend")
    findings.add("column Y", "found", "rule", "mend")
    with pytest.raises(InputError, match="2 problems in the data frame"):
        findings.settle()
