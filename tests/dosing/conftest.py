"""A patient of the published vancomycin model, with levels, and its posterior."""

import io

import polars as pl
import pytest

GOLDEN = """ID,TIME,EVID,AMT,RATE,DV,MDV,WT,CRCL,DIAL
1,0,1,1000,1000,,1,70,90,0
1,12,1,1000,1000,,1,70,90,0
1,24,1,1000,1000,,1,70,90,0
1,36,1,1000,1000,,1,70,90,0
1,39,0,0,0,27.0,0,70,90,0
1,47.5,0,0,0,14.0,0,70,90,0
"""


@pytest.fixture(scope="session")
def predictor():
    from latentpk.workflows.predictor import open_predictor

    return open_predictor("vancomycin-goti-2018")


@pytest.fixture(scope="session")
def read(predictor):
    from latentpk import read_nonmem

    def _read(text, **options):
        return read_nonmem(
            pl.read_csv(io.StringIO(text)), **predictor.reading | {"purpose": "dose"} | options
        )

    return _read


@pytest.fixture(scope="session")
def posterior(predictor, read):
    """Of the golden patient, 8192 draws; never change it."""
    return predictor.posterior(read(GOLDEN)[0], draws=8192, least_ess=0.5)


@pytest.fixture(scope="session")
def patient(posterior):
    return posterior.patient()
