import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.views.patient import BY_NAME, FEATURES, available, knowledge_view

# each value worked out from the published formula with a calculator
KNOWN = [
    ("allometric_clearance", {"WT": 35.0}, -0.5198603854),
    ("allometric_volume", {"WT": 35.0}, -0.6931471806),
    ("renal_function", {"CRCL": 50.0}, -0.6931471806),
    ("cockcroft_gault", {"AGE": 60.0, "WT": 80.0, "SCR": 1.2, "SEX": 1.0}, -0.3001045925),
    ("cockcroft_gault", {"AGE": 60.0, "WT": 80.0, "SCR": 1.2, "SEX": 0.0}, -0.4626235220),
    ("body_surface", {"WT": 80.0, "HT": 180.0}, 0.1450257721),
    ("fat_free_mass", {"WT": 80.0, "HT": 180.0, "SEX": 1.0}, 0.1154596849),
    ("fat_free_mass", {"WT": 80.0, "HT": 180.0, "SEX": 0.0}, -0.0934672852),
    ("renal_maturation", {"PMA": 40.0}, -1.0365691608),
    ("ageing", {"AGE": 80.0}, -1.0292490685),
    ("albumin", {"ALB": 3.0}, -0.2876820724),
]
ADULT = {"WT": 70.0, "HT": 176.0, "AGE": 40.0, "SEX": 1.0, "SCR": 0.9, "CRCL": 100.0}
ADULT |= {"ALB": 4.0, "PMA": 2120.0}


def view(features, covariates, dtype=jnp.float64):
    return knowledge_view(features, list(covariates), jnp.array(list(covariates.values()), dtype))


@pytest.mark.parametrize(("name", "covariates", "expected"), KNOWN)
def test_each_feature_has_its_published_value(name, covariates, expected):
    assert float(view([name], covariates)[0]) == pytest.approx(expected, abs=5e-10)


def test_every_feature_is_tested_and_cited():
    assert {feature.name for feature in FEATURES} == {name for name, _, _ in KNOWN}
    assert len(BY_NAME) == len(FEATURES)
    for feature in FEATURES:
        assert feature.needs
        assert feature.formula
        assert feature.source[-4:].isdigit()  # names and a year


@pytest.mark.parametrize("feature", FEATURES, ids=lambda f: f.name)
def test_it_reads_what_it_needs_and_nothing_else(feature):
    slopes = jax.grad(lambda x: view([feature.name], x)[0])(ADULT)
    moved = view([feature.name], ADULT | {"SEX": 0.0}) != view([feature.name], ADULT)
    read = {name for name, slope in slopes.items() if slope != 0} | ({"SEX"} if moved else set())
    assert read == set(feature.needs)


def test_available_are_those_whose_covariates_are_there():
    assert available([]) == ()
    assert available(["HT", "SEX"]) == ()
    assert available(["HT", "WT"]) == ("allometric_clearance", "allometric_volume", "body_surface")
    assert available(list(ADULT)) == tuple(feature.name for feature in FEATURES)


def test_values_follow_their_names_not_their_places():
    names = available(list(ADULT))
    turned = dict(reversed(ADULT.items()))
    np.testing.assert_array_equal(view(names, turned), view(names, ADULT))
    np.testing.assert_array_equal(view(names[::-1], ADULT), view(names, ADULT)[::-1])


def test_a_reference_adult_is_near_zero():
    names = [n for n in available(list(ADULT)) if n != "ageing"]
    np.testing.assert_allclose(view(names, ADULT), np.zeros(len(names)), atol=0.15)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("value", [0.0, 1e4])
def test_impossible_covariates_stay_finite_in_either_precision(value, dtype):
    names = available(list(ADULT))
    values = view(names, dict.fromkeys(ADULT, value), dtype)
    assert values.dtype == dtype
    assert np.isfinite(values).all()
