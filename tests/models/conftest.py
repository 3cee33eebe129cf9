"""Records of a few patients, small enough to be checked by hand."""

import polars as pl
import pytest

# The package is imported inside the fixtures: this file is read before the hook that checks types.

COLUMNS = ("ID", "TIME", "AMT", "DUR", "DV", "CMT", "WT", "SEX")


@pytest.fixture(scope="session")
def cohort_of():
    """Subjects from rows of (ID, TIME, AMT, DUR, DV, CMT, WT, SEX); CMT 1 is the depot."""
    from latentpk.records import read_nonmem

    def _cohort_of(rows, **options):
        frame = pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.Float64), orient="row")
        settings = {"covariates": ["WT", "SEX"], "purpose": "forecast", **options}
        return read_nonmem(frame, **settings)

    return _cohort_of


@pytest.fixture(scope="session")
def record_of(cohort_of):
    """The padded record of the only subject of such rows."""
    from latentpk.models.record import stack_records, take

    def _record_of(rows, **options):
        return take(stack_records(cohort_of(rows).subjects, **options), 0)

    return _record_of


def rows_of(cmt, duration, wt=85.0):
    """Two doses and three levels of one patient."""
    return [
        (1, 0, 100, duration, None, cmt, wt, 1),
        (1, 2, 0, 0, 1.9, 2, wt, 1),
        (1, 9, 0, 0, 0.8, 2, wt, 1),
        (1, 12, 80, duration, None, cmt, wt, 1),
        (1, 15, 0, 0, 2.1, 2, wt, 1),
    ]


@pytest.fixture(scope="session")
def infused(record_of):
    """One patient's record, two infusions of 1 h."""
    return record_of(rows_of(2, 1.0))


@pytest.fixture(scope="session")
def swallowed(record_of):
    """One patient's record, two oral doses."""
    return record_of(rows_of(1, 0.0))
