import numpy as np

TEXT = """
    ID,TIME,EVID,AMT,DV,WT
    1,0,0,.,5,70
    1,1,1,10,.,70
    1,9,1,10,.,75
    1,40,0,.,5,75
    2,0,1,10,.,50
    2,5,0,.,5,50
"""


def test_hours_since_the_first_dose_step_between_records_too(read):
    cohort = read(TEXT, covariates=["WT"], elapsed=(6, 36), purpose="forecast")
    one, two = cohort
    assert cohort.covariate_names == ("WT", "TAFD")
    assert cohort.covariate_kinds == ("continuous", "continuous")
    np.testing.assert_array_equal(one.covariate_time, [0, 7, 9, 37])
    np.testing.assert_array_equal(one.covariates, [[70, 0], [70, 6], [75, 6], [75, 36]])
    # beyond the record's end too: a forecast asks there
    np.testing.assert_array_equal(two.covariate_time, [0, 6, 36])
    assert "TAFD, hours since the first dose, is counted in steps: 6, 36 h." in cohort.notices


def test_it_goes_with_occasions(read):
    cohort = read(TEXT, covariates=["WT"], elapsed=(6,), occasions=(24,), purpose="forecast")
    one = cohort[0]
    np.testing.assert_array_equal(one.covariate_time, [0, 7, 9, 25])
    np.testing.assert_array_equal(one.occasion, [0, 0, 0, 1])
    np.testing.assert_array_equal(one.covariates[:, 1], [0, 6, 6, 6])


def test_a_subject_without_a_dose_counts_from_its_first_record(read):
    text = "ID,TIME,AMT,DV\n1,3,.,.\n1,5,.,.\n"
    cohort = read(text, elapsed=(6,), purpose="dose")
    np.testing.assert_array_equal(cohort[0].covariate_time, [3, 9])
