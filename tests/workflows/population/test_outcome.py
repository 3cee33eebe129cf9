"""What a population fit says."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

from latentpk.inference.estimation import Estimate
from latentpk.models.population import PopulationConfig
from latentpk.workflows.population.outcome import (
    describe,
    individual_effects,
    individual_predictions,
    numbers_of,
    typical_predictions,
)


@pytest.fixture(scope="module")
def told(exact):
    return describe(exact)


def test_it_is_json_with_units(told):
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    units = {name: one["unit"] for name, one in told["parameters"].items()}
    assert units == {"ka": "1/h", "cl": "L/h", "v1": "L"}
    assert told["residual"]["sigma_add"]["unit"] == "mg/L"
    assert told["meta"]["error"] == "sd = sqrt(a^2 + b^2 f^2)"
    assert told["meta"]["subjects"] == 30
    assert told["meta"]["levels"] == 180
    assert told["warnings"] == []


def test_criteria_are_their_definitions(told, exact):
    found = told["likelihood"]
    minus2 = found["minus2_log_likelihood"]
    assert found["estimated_numbers"] == 8
    assert found["aic"] == pytest.approx(minus2 + 16)
    assert found["bic"] == pytest.approx(minus2 + 8 * np.log(180))
    assert found["bicc"] == pytest.approx(minus2 + 6 * np.log(30) + 2 * np.log(180))
    assert found["without_n_log_2pi"] == pytest.approx(minus2 - 180 * np.log(2 * np.pi))
    assert sum(one["minus2_log_likelihood"] for one in told["subjects"]) == pytest.approx(minus2)


def test_standard_errors_are_those_of_the_information(told, exact):
    """The log scale's, from the inverse of half the curvature, times the value."""
    covariance = np.linalg.inv(0.5 * exact.found.hessian)
    own = np.sqrt(np.diag(covariance)) * np.exp(exact.found.value)
    parts = ("parameters", "random_effects", "residual")
    found = [one["se"] for part in parts for one in told[part].values()]
    np.testing.assert_allclose(found, own)
    # and of the same size as the outer product of the subjects' scores says
    scores = exact.found.scores / 2
    np.testing.assert_allclose(
        np.sqrt(np.diag(np.linalg.inv(scores.T @ scores))),
        np.sqrt(np.diag(covariance)),
        rtol=0.6,
    )


def test_intervals_hold_the_estimate_and_stay_positive(told):
    for part in ("parameters", "random_effects", "residual"):
        for one in told[part].values():
            assert 0 < one["lo"] < one["value"] < one["hi"]


def test_shrinkage_is_its_definition(told, exact):
    eta = individual_effects(exact)
    sd = np.exp(exact.found.value[3:6])
    expected = 1 - eta.std(axis=0, ddof=1) / sd
    np.testing.assert_allclose(list(told["shrinkage"]["eta"].values()), expected)
    assert 0 < told["shrinkage"]["epsilon"] < 0.5


def test_predictions_are_the_closed_form(exact):
    ka, cl, v = np.exp(exact.found.value[:3])
    time = np.asarray(exact.records.time)
    k = cl / v
    curve = 100 * ka / v / (ka - k) * (np.exp(-k * time) - np.exp(-ka * time))
    mask = np.asarray(exact.records.mask)
    typical = typical_predictions(exact.model, exact.records)
    np.testing.assert_allclose(typical[mask], curve[mask], rtol=1e-9)
    own = individual_predictions(exact.model, exact.records, exact.found.modes)
    value = np.asarray(exact.records.value)
    assert np.abs(own - value)[mask].mean() < 0.5 * np.abs(typical - value)[mask].mean()


def test_correlations_and_sds_come_from_the_factor():
    config = PopulationConfig(
        structure="2c-iv", parameters=("cl", "v1", "q2", "v2"), varying=("cl", "v1", "v2"),
        omega="full", residual="additive",
    )  # fmt: skip
    flat = np.array([0.0, 1.0, 2.0, 3.0, -1.0, -0.5, 0.2, 0.7, -0.3, 0.4, -2.0])
    found = {name: np.asarray(x) for name, x in numbers_of(config, flat).items()}
    low = np.array([[1, 0, 0], [0.7, 1, 0], [-0.3, 0.4, 1.0]]) * np.exp([-1, -0.5, 0.2])[:, None]
    omega = low @ low.T
    sd = np.sqrt(np.diag(omega))
    np.testing.assert_allclose(found["sd"], sd)
    np.testing.assert_allclose(
        found["correlation"], (omega / np.outer(sd, sd))[[1, 2, 2], [0, 0, 1]]
    )
    np.testing.assert_allclose(found["typical"], np.exp([0.0, 1.0, 2.0, 3.0]))
    np.testing.assert_allclose(found["residual"], np.exp(-2.0))


def changed(exact, **fields):
    found = exact.found
    own = {name: getattr(found, name) for name in Estimate.__dataclass_fields__}
    return replace(exact, found=Estimate(**(own | fields)))


def test_a_descent_that_stopped_early_is_told(exact):
    early = changed(exact, arrived=False, stopped="Maximum number of iterations")
    assert any("stopped early" in text for text in describe(early)["warnings"])


def test_a_flat_direction_is_named(exact):
    """cl and v may change together: their curvature along (1, 1) is taken away."""
    along = np.zeros(8)
    along[[1, 2]] = np.sqrt(0.5)
    hessian = exact.found.hessian
    hessian = hessian - np.outer(along, along) @ hessian
    hessian = hessian - hessian @ np.outer(along, along) + 1e-6 * np.outer(along, along)
    told = describe(changed(exact, hessian=hessian))
    assert any("cannot tell log cl and log v1" in text for text in told["warnings"])
    assert told["parameters"]["ka"]["se"] is not None


def test_an_effect_that_went_to_nothing_is_named_and_leaves_other_errors(exact):
    value = exact.found.value.copy()
    value[4] = np.log(1e-4)
    hessian = exact.found.hessian.copy()
    hessian[4] = hessian[:, 4] = 0.0
    told = describe(changed(exact, value=value, hessian=hessian))
    assert any(text.startswith("cl does not vary") for text in told["warnings"])
    assert told["random_effects"]["cl"]["se"] is None
    assert told["parameters"]["cl"]["se"] > 0


def test_without_curvature_there_are_no_standard_errors(exact):
    told = describe(changed(exact, hessian=None))
    assert told["parameters"]["cl"]["se"] is None
    assert told["parameters"]["cl"]["value"] > 0


def test_the_model_at_the_estimates_is_a_latent_model(exact):
    record = jax.tree_util.tree_map(lambda x: x[0], exact.records)
    location = exact.model.location(record)
    np.testing.assert_allclose(np.sort(np.asarray(location[0])), np.sort(exact.found.value[:3]))
