import numpy as np

from latentpk.library.catalog import read_model
from latentpk.workflows.course import changes, kappa_shape, latent_in_course, occasion_at

MCCUNE = read_model("busulfan-mccune-2014").population
PACI = read_model("busulfan-paci-2012").population


def test_parameters_change_where_an_occasion_or_a_step_begins():
    np.testing.assert_array_equal(changes(MCCUNE), [0, 6, 24, 36, 48, 72, 96])
    np.testing.assert_array_equal(occasion_at(MCCUNE, changes(MCCUNE)), [0, 0, 1, 1, 2, 3, 4])
    assert kappa_shape(MCCUNE) == (5, 2)
    np.testing.assert_array_equal(changes(PACI), [0])
    assert kappa_shape(PACI) == (0, 0)


def test_a_patient_moves_by_the_steps_and_by_the_occasions_effects():
    patient = {"FFM": 50.0, "WT": 70.0, "PMA": 2000.0, "SEX": 1.0}
    kappas = np.zeros((1, 5, 2))
    kappas[0, 1] = 1.0, -2.0
    found = np.exp(latent_in_course(MCCUNE, [patient], np.zeros((1, 4)), kappas)[0])
    assert found.shape == (7, 4)
    course = np.array([1, 0.932, 0.932, 0.919, 0.919, 0.919, 0.919])
    day = np.array([0, 0, 1, 1, 0, 0, 0])
    np.testing.assert_allclose(found[:, 0] / found[0, 0], course * np.exp(0.113 * day))
    np.testing.assert_allclose(found[:, 1] / found[0, 1], np.exp(-2 * 0.224 * day))
    np.testing.assert_allclose(found[:, 3], found[0, 3])


def test_without_either_there_is_one_piece():
    effects = np.array([[1.0, -1.0]])
    found = np.exp(latent_in_course(PACI, [{"WT": 9.0}], effects, np.zeros((1, 0, 0))))
    expected = [[2.18 * np.exp(np.sqrt(0.051548)), 6.6 * np.exp(-np.sqrt(0.047265))]]
    np.testing.assert_allclose(found, [expected])
