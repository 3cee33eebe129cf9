"""The truths are written apart from the package; here they meet."""

import jax.numpy as jnp
import numpy as np
import pytest
from benchmarks.dose_quality.patients import draw, records
from benchmarks.dose_quality.rows import ROWS, card

from latentpk.dosing.target import parse_target
from latentpk.kinetics.doses import Doses
from latentpk.kinetics.structure import Structure
from latentpk.kinetics.superposition import concentration
from latentpk.models.published import loading, log_typical


@pytest.fixture(scope="module", params=sorted(ROWS))
def patients(request):
    return draw(ROWS[request.param], 6, seed=3)


def test_the_truth_is_the_card(patients):
    row, population = patients.row, card(patients.row.name).population
    rows = np.array([[patients.covariates[n][k] for n in population.covariates] for k in range(6)])
    typical = np.array([log_typical(population)(jnp.asarray(one)) for one in rows])
    np.testing.assert_allclose(row.typical(patients.covariates), typical, rtol=1e-6)
    np.testing.assert_allclose(row.loading, loading(population), atol=1e-9)
    residual = population.residual
    assert (row.additive, row.proportional) == (residual.additive, residual.proportional)


def test_the_target_is_the_named_one(patients):
    target = parse_target(patients.row.target)
    assert (target.low, target.high, target.aim) == (
        patients.row.low,
        patients.row.high,
        patients.row.aim,
    )


def test_levels_lie_around_the_packages_curve(patients):
    row, structure = patients.row, Structure.parse(card(patients.row.name).population.structure)
    clean = row.concentration(patients.theta[:, None], patients.time, patients.doses)[:, 0]
    for k in range(6):
        time, amount, duration = (field[k] for field in patients.doses[:3])
        doses = Doses.of(time, amount, duration=duration, depot=float(row.oral))
        response = structure.response(jnp.asarray(patients.theta[k]))
        curve = concentration(doses, jnp.asarray(patients.time[k]), response=response)
        np.testing.assert_allclose(clean[k], curve, rtol=1e-6)


def test_records_hold_two_doses_the_known_levels_and_the_next_dose(patients):
    for levels in (0, 1, 2):
        table = records(patients, levels)
        counts = table.group_by("EVID").len().sort("EVID").rows()
        assert dict(counts) == {1: 12, 2: 6} | ({0: 6 * levels} if levels else {})
        last = table.filter(table["ID"] == 1)["TIME"].max()
        assert last == 2 * patients.label.interval[0]


def test_patients_are_the_same_whatever_is_known_of_them(patients):
    again = draw(patients.row, 6, seed=3)
    np.testing.assert_array_equal(again.level, patients.level)
    one, two = patients.known(1)[1], patients.known(2)[1]
    np.testing.assert_array_equal(one[:, 0], two[:, 1])
