"""A population model whose numbers are to be estimated."""

import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError

from latentpk.models.population import (
    PopulationConfig,
    PopulationPrior,
    Term,
    build_population,
)


def term(shape="power", parameter="cl", covariate="WT", **more):
    return Term(
        parameter=parameter, covariate=covariate, shape=shape, **({"reference": 70.0} | more)
    )


def config(**more):
    base = {"structure": "1c-iv", "parameters": ("cl", "v1"), "varying": ("cl", "v1")}
    return PopulationConfig(**(base | more))


def prior_of(config, coefficient=(), below=()):
    model = build_population(config, np.arange(1.0, 1.0 + len(config.parameters)))
    prior = model.prior
    assert isinstance(prior, PopulationPrior)
    return PopulationPrior(
        prior.log_typical,
        jnp.asarray(coefficient, float),
        jnp.log(jnp.arange(1.0, 1 + len(config.varying)) / 4),
        jnp.asarray(below, float),
        prior.log_within,
        config,
    )


@pytest.mark.parametrize(
    ("shape", "x", "coefficient", "factor"),
    [
        ("power", 35.0, 0.75, 0.5**0.75),
        ("exponential", 80.0, 0.02, np.exp(0.2)),
        ("linear", 80.0, 0.01, 1.1),
        ("linear", 0.0, 0.1, 0.05),  # 1 - 7 would be negative
    ],
)
def test_effects_are_their_formulas(shape, x, coefficient, factor):
    prior = prior_of(config(terms=(term(shape),), covariates=("AGE", "WT")), [coefficient])
    found = np.exp(prior.location(jnp.array([30.0, x])))
    np.testing.assert_allclose(found, [factor, 2.0])
    np.testing.assert_allclose(np.exp(prior.location(jnp.array([1.0, 70.0]))), [1.0, 2.0])


def test_a_category_has_a_coefficient_for_each_code_but_the_first():
    effect = term("category", covariate="SEX", reference=0.0, codes=(1.0, 2.0))
    assert effect.names == ("cl~SEX=1", "cl~SEX=2")
    prior = prior_of(config(terms=(effect,), covariates=("SEX",)), [0.3, -0.4])
    for code, expected in ((0.0, 1.0), (1.0, np.exp(0.3)), (2.0, np.exp(-0.4))):
        assert np.exp(prior.location(jnp.array([code])))[0] == pytest.approx(expected)


def test_a_full_omega_is_its_factor_times_its_transpose():
    own = config(
        structure="2c-iv",
        parameters=("cl", "v1", "q2", "v2"),
        varying=("cl", "v1", "v2"),
        omega="full",
    )
    prior = prior_of(own, below=[0.5, -0.2, 0.9])
    low = np.asarray(prior.factor())
    np.testing.assert_allclose(np.diag(low), [0.25, 0.5, 0.75])
    assert not np.triu(low, 1).any()
    chol = np.asarray(prior.chol())
    np.testing.assert_allclose(chol[[0, 1, 3]], low)
    assert not chol[2].any()  # q2 does not vary


def test_effects_of_rate_constants_move_every_parameter_they_make():
    own = config(
        structure="1c-oral", parameters=("ka", "ke", "v1"), varying=("ke", "v1"), within=("ka",)
    )
    prior = prior_of(own)
    np.testing.assert_allclose(np.exp(prior.location(jnp.zeros(0))), [2.0 * 3.0, 3.0, 1.0])
    np.testing.assert_allclose(prior.chol(), [[0.25, 0.5], [0.0, 0.5], [0.0, 0.0]])
    np.testing.assert_allclose(prior.occasion_chol(), [[0.0], [0.0], [0.2]])


def test_it_widens_and_shifts():
    prior = prior_of(config(omega="full"), below=[0.7])
    np.testing.assert_allclose(prior.widened(3.0).chol(), 3 * prior.chol())
    moved = prior.shifted(jnp.array([0.5, -1.0]))
    none = jnp.zeros(0)
    np.testing.assert_allclose(moved.location(none) - prior.location(none), [0.5, -1.0])


def test_it_stretches_where_each_parameter_has_an_effect_of_its_own():
    own = config(
        structure="1c-oral", parameters=("ka", "cl", "v1"), varying=("ka", "v1"), omega="full"
    )
    prior, by = prior_of(own, below=[0.7]), jnp.array([0.3, -0.5, 1.0])  # cl, v1, ka
    np.testing.assert_allclose(prior.stretched(by).chol(), np.exp(by)[:, None] * prior.chol())
    rates = config(parameters=("ke", "v1"), varying=("ke",))
    with pytest.raises(ValueError, match="given by ke, v1"):
        prior_of(rates).stretched(jnp.zeros(2))


@pytest.mark.parametrize(
    "wrong",
    [
        {"varying": ("ka",)},
        {"varying": ()},
        {"varying": ("cl", "cl")},
        {"within": ("ka",)},
        {"terms": (term(parameter="ka"),), "covariates": ("WT",)},
        {"terms": (term(),)},
        {"parameters": ("cl",)},
    ],
)
def test_what_does_not_fit_together_is_refused(wrong):
    with pytest.raises((ValidationError, ValueError)):
        config(**wrong)
