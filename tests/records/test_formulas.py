"""Truth: values worked by hand from the printed formulas, or published beside them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentpk.records import formulas as f


@pytest.mark.parametrize(
    ("found", "value"),
    [
        # (140 - 65) 80 / (72 1.2) = 6000 / 86.4
        (f.cockcroft_gault(age=65, weight=80, creatinine=1.2, female=0), 69.444444),
        (f.cockcroft_gault(age=65, weight=80, creatinine=1.2, female=1), 59.027778),
        (f.cockcroft_gault(age=150, weight=80, creatinine=1.2, female=1), 0.0),
        (f.schwartz(height=140, creatinine=0.7), 82.6),
        # National Kidney Foundation's calculator: 92, 84, 133 and 35 mL/min/1.73m2
        (f.ckd_epi_2021(age=50, creatinine=1.0, female=0), 91.6915),
        (f.ckd_epi_2021(age=60, creatinine=0.8, female=1), 84.2998),
        (f.ckd_epi_2021(age=30, creatinine=0.6, female=0), 133.1799),
        (f.ckd_epi_2021(age=70, creatinine=2.0, female=0), 35.2430),
        (f.deindexed(100.0, surface=1.73), 100.0),
        (f.ideal_weight(height=177.8, female=0), 73.0),  # 70 inches
        (f.ideal_weight(height=162.56, female=1), 54.7),  # 64 inches
        (f.ideal_weight(height=120.0, female=1), 45.5),
        (f.adjusted_weight(weight=150, ideal=70), 102.0),
        # 927000 / (8780 + 244 34.602) and 927000 / (6680 + 216 34.602)
        (f.fat_free_mass(weight=100, height=170, female=1), 53.8236),
        (f.fat_free_mass(weight=100, height=170, female=0), 65.4931),
        (f.body_mass_index(weight=100, height=170), 34.6021),
        (f.body_surface(weight=70, height=170), 1.81812),
        (f.body_surface_dubois(weight=70, height=170), 1.80971),
        (f.postmenstrual_age(gestation=28, age=14 / 365.25), 30.0),
    ],
)
def test_worked_values(found, value):
    assert float(found) == pytest.approx(value, rel=2e-5)


def test_arrays_broadcast_and_nan_stays():
    creatinine = np.array([1.0, np.nan, 2.0])
    found = f.cockcroft_gault(age=40, weight=72, creatinine=creatinine, female=0)
    np.testing.assert_allclose(found, [100.0, np.nan, 50.0])


@given(
    st.floats(18, 100),
    st.floats(0.2, 10),
    st.floats(0, 1).map(round),
)
def test_more_creatinine_is_never_more_clearance(age, creatinine, female):
    pair = np.array([creatinine, 1.1 * creatinine])
    for found in (
        f.cockcroft_gault(age=age, weight=70, creatinine=pair, female=female),
        f.ckd_epi_2021(age=age, creatinine=pair, female=female),
        f.schwartz(height=120, creatinine=pair),
    ):
        assert found[0] > found[1] > 0
