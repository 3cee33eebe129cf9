import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.inference.modes import find_modes, local, newton_mode, starts
from latentpk.models.record import take


@pytest.fixture(scope="module")
def found(reference, quick):
    """Modes of the twelve patients from every start, as for their posteriors."""

    model = reference.model

    def every(records):
        begin = starts(jnp.zeros(3), 3)
        return jax.vmap(lambda r: find_modes(model, r, model.location(r), begin))(records)

    return quick(every)(reference.records)


@pytest.fixture(scope="module")
def polished(reference, found, quick):
    """The best mode after Newton's steps, its objective, and the concentrations there."""

    model = reference.model

    def every(records, begin):
        def one(record, eps):
            eps = newton_mode(model, record, eps)
            location = model.location(record)
            objective = 0.5 * jnp.sum(eps**2) - model.log_likelihood(eps, location, record)
            time = record.time
            return eps, objective, model.concentration(eps, location, record, time, record.order)

        return jax.vmap(one)(records, begin)

    return [np.asarray(x) for x in quick(every)(reference.records, found.eps[:, 0])]


def ofv(reference, objective):
    """The tables' objective leaves out the constant of each level."""
    return 2 * objective - reference.records.mask.sum(axis=1) * np.log(2 * np.pi)


def test_map_estimates_are_those_of_the_reference(reference, polished):
    rows = reference.table("map.csv")
    eta = np.array([[float(r[k]) for k in ("ETA_CL", "ETA_V1", "ETA_V2")] for r in rows])
    expected = np.array([float(row["OFV"]) for row in rows])
    np.testing.assert_allclose(polished[0] @ reference.to_eta.T, eta, atol=1e-4)
    np.testing.assert_allclose(ofv(reference, polished[1]), expected, atol=1e-6)


def test_concentrations_at_the_mode_are_those_of_the_reference(reference, polished):
    rows = reference.table("map_ipred.csv")
    mask = reference.records.mask
    assert len(rows) == mask.sum()
    expected = np.array([float(row["IPRED"]) for row in rows])
    np.testing.assert_allclose(polished[2][mask], expected, rtol=1e-4)


def test_gauss_newton_comes_close_enough_to_build_a_proposal_on(reference, found):
    rows = reference.table("map.csv")
    eta = np.array([[float(r[k]) for k in ("ETA_CL", "ETA_V1", "ETA_V2")] for r in rows])
    width = np.array([[float(r[f"LAPLACE_SD_{k}"]) for k in ("CL", "V1", "V2")] for r in rows])
    gap = np.asarray(found.eps[:, 0]) @ reference.to_eta.T - eta
    assert (np.abs(gap) < 0.1 * width).all()


def test_patient_eight_has_two_modes_and_both_are_found(reference, found):
    row = reference.table("map.csv")[7]
    objective = 2 * np.asarray(found.objective[7]) - 2 * np.log(2 * np.pi)
    assert (np.asarray(found.weight[7]) > 0.05).sum() == 2
    assert objective[0] == pytest.approx(float(row["OFV"]), abs=1e-4)
    assert objective[1] == pytest.approx(float(row["OFV_2ND_MINIMUM"]), abs=1e-4)
    second = reference.to_eta @ np.asarray(found.eps[7, 1])
    np.testing.assert_allclose(second, [0.224, 1.333, 0.113], atol=0.01)


def test_patients_with_one_mode_get_one(reference, found):
    weight = np.asarray(found.weight)
    np.testing.assert_allclose(weight.sum(axis=1), np.ones(12), rtol=1e-12)
    one = [int(row["N_LOCAL_MINIMA"]) == 1 for row in reference.table("map.csv")]
    np.testing.assert_allclose(weight[one, 0], np.ones(11), atol=1e-3)


def test_the_laplace_scale_is_the_factor_of_the_inverse_curvature(found):
    for scale, precision in zip(found.scale[:, 0], found.precision[:, 0], strict=True):
        np.testing.assert_allclose(scale @ precision, np.eye(3), atol=1e-9)


def test_the_slope_of_the_objective_is_its_gradient_also_below_quantification(reference, quick):
    record = take(reference.records, 9)
    record = eqx.tree_at(lambda r: r.censored, record, np.array([False, True, False, True]))

    model = reference.model

    def both(record, eps):
        location = model.location(record)

        def objective(e):
            return 0.5 * jnp.sum(e**2) - model.log_likelihood(e, location, record)

        return local(model, record, location, eps), *jax.value_and_grad(objective)(eps)

    program = quick(both)
    for eps in ([0.0, 0.0, 0.0], [0.8, -1.2, 0.5]):
        here, value, slope = program(record, jnp.array(eps))
        assert float(here.objective) == pytest.approx(float(value), rel=1e-12)
        np.testing.assert_allclose(here.gradient, slope, rtol=1e-9)
        assert np.linalg.eigvalsh(here.curvature).min() >= 1.0  # the prior's own curvature


def test_starts_are_the_prior_the_encoder_and_both_sides_of_every_axis():
    places = np.asarray(starts(jnp.array([0.3, -0.2]), 2))
    expected = [[0, 0], [0.3, -0.2], [1.5, 0], [0, 1.5], [-1.5, 0], [0, -1.5]]
    np.testing.assert_allclose(places, expected)
