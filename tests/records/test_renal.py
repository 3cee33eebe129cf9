import numpy as np
import pytest

from latentpk.records.renal import RenalState

TEXT = """
    ID,TIME,AMT,DV,CREAT,HD
    1,0,10,.,88.4,0
    1,2,.,5,x,1
    1,30,.,5,176.8,.
    2,0,10,.,-1,0
    2,1,.,5,.,0
"""


@pytest.mark.parametrize(
    ("time", "creatinine", "leap"),
    [
        ([], [], None),
        ([0.0], [1.0], None),
        ([0, 24, 40], [1.0, 1.2, 1.29], None),
        ([0, 48], [1.0, 1.3], (1.0, 1.3, 48.0)),  # 26.52 umol/L
        ([0, 49], [1.0, 3.0], None),
        ([0, 49, 90], [1.0, 3.0, 2.0], (3.0, 2.0, 41.0)),  # a fall is as unsteady as a rise
        ([0, 24], [0.4, 0.61], (0.4, 0.61, 24.0)),  # by half, though by less than 26.5
        ([0, 24], [0.4, 0.59], None),
        ([0, 20, 40], [1.0, 1.2, 1.4], (1.0, 1.4, 40.0)),  # neither step alone
    ],
)
def test_a_leap_of_creatinine(time, creatinine, leap):
    assert RenalState(np.array(time, float), np.array(creatinine, float)).leap() == leap


def test_the_state_is_read_though_no_covariate(read):
    first, second = read(TEXT, covariates=[], units="CREAT=umol/L")
    np.testing.assert_array_equal(first.renal.time, [0, 30])
    np.testing.assert_allclose(first.renal.creatinine, [1, 2])
    assert (first.renal.dialysis, second.renal.dialysis) == (True, False)
    assert second.renal.time.size == 0  # a cell that is no creatinine is not looked at


def test_what_comes_later_is_not_looked_at(read):
    first, _ = read(TEXT, covariates=[], units="CREAT=umol/L", condition_until=1.0)
    np.testing.assert_array_equal(first.renal.time, [0])
    assert not first.renal.dialysis
