import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk import precision
from latentpk.inference.elbo import Draws, make_draws, ridge, subject_terms
from latentpk.inference.sampling import base_draws
from latentpk.models.config import (
    CompartmentConfig,
    CovariateConfig,
    HybridConfig,
    ModelConfig,
    NeuralOdeConfig,
)
from latentpk.models.latent import build
from latentpk.models.record import take

MANY = 8192


@pytest.fixture(scope="module")
def model(start):
    """The start with an encoder far from the prior: mean, then factor by rows with log diagonal."""
    bias = jnp.array([0.4, -0.3, -0.3, 0.25, -0.4])
    return eqx.tree_at(lambda m: m.encoder.network.output.layers[-1].bias, start, bias)


@pytest.fixture(scope="module")
def terms(model, ward, quick):
    """Terms of one subject for many draws: with K samples, keeping some levels for the subset."""
    record = take(ward, 5)

    def every(record, draws):
        return jax.vmap(
            lambda d: [subject_terms(model, record, d, beta=beta) for beta in (1.0, 0.5)]
        )(draws)

    program = quick(every)

    def _terms(samples, keep):
        noise = base_draws(MANY, 4, 0).normal.reshape(MANY // samples, samples, 2, 2)
        kept = np.broadcast_to(np.asarray(keep), (MANY // samples, 4))
        return program(record, Draws(noise.swapaxes(1, 2), kept))

    return _terms


@pytest.fixture(scope="module")
def single(terms):
    return terms(1, np.ones(4, bool))


def test_with_one_sample_the_bound_is_the_elbo_in_expectation(single):
    (_, each), _ = single
    elbo = each.log_likelihood.mean() - each.kl[0]
    assert float(each.bound.mean()) == pytest.approx(float(elbo), abs=0.01)
    assert each.bound.std() > 0.05  # sample by sample it is not


def test_a_subset_of_all_levels_has_the_same_bound(single):
    (_, each), _ = single
    assert float(each.subset.mean()) == pytest.approx(float(each.bound.mean()), abs=0.01)
    assert np.isclose(each.subset, each.bound, rtol=1e-3).mean() < 0.1  # noise of its own


def test_the_loss_ascends_bound_and_subset(single):
    for loss, each in single:
        np.testing.assert_allclose(loss, -each.bound - each.subset, rtol=1e-12)
        np.testing.assert_array_equal(each.penalty, np.zeros(MANY))


def test_beta_weighs_the_divergence(single):
    (_, whole), (_, half) = single
    np.testing.assert_allclose(half.log_likelihood, whole.log_likelihood, rtol=1e-12)
    ratio = whole.bound - whole.log_likelihood
    np.testing.assert_allclose(half.bound, half.log_likelihood + 0.5 * ratio, rtol=1e-9)


@pytest.mark.long
def test_more_samples_raise_the_bound_towards_the_evidence(single, terms, evidence, ward):
    exact = evidence(ward)[5]
    elbo = float(single[0][1].bound.mean())
    tight = float(terms(64, np.ones(4, bool))[0][1].bound.mean())
    assert elbo < tight - 0.02
    assert tight < exact + 0.02
    assert exact - tight < 0.25 * (exact - elbo)


def test_a_subset_without_levels_teaches_nothing(terms):
    (_, each), _ = terms(64, np.zeros(4, bool))
    np.testing.assert_allclose(each.subset, np.zeros(MANY // 64), atol=1e-12)


def test_draws_are_single_precision_and_subsets_of_all_sizes_occur():
    draws = make_draws(np.random.default_rng(0), (300, 2), 6, 4, 3)
    assert draws.noise.shape == (300, 2, 2, 4, 3)
    assert draws.noise.dtype == np.float32
    assert draws.keep.shape == (300, 2, 6)
    share = np.bincount(draws.keep.sum(axis=-1).ravel(), minlength=7) / 600
    np.testing.assert_allclose(share, np.full(7, 1 / 7), atol=0.05)  # uniform, not binomial
    again = make_draws(np.random.default_rng(0), (300, 2), 6, 4, 3)
    np.testing.assert_array_equal(again.noise, draws.noise)


def test_the_ridge_weighs_slopes_correlations_and_network_weights():
    config = ModelConfig(
        covariates=(CovariateConfig(name="WT"),),
        knowledge=("allometric_volume",),
        decoder=CompartmentConfig(structure="1c-iv"),
    )
    model = build(config)
    assert float(ridge(model)) == pytest.approx(0.0)  # spreads of 40 %, as usual
    moved = eqx.tree_at(
        lambda m: (m.prior.slope, m.prior.factor),
        model,
        (jnp.array([[1.0], [0.5]]), jnp.array([[2.0, 9.0], [0.5, 1.0]])),
    )
    unusual = sum((log - np.log(0.4)) ** 2 for log in (2.0, 1.0)) / 0.75**2
    assert float(ridge(moved)) == pytest.approx(0.5 * ((1.25 + 0.25) / 0.25 + unusual))
    deep = build(config.model_copy(update={"prior": "multiview", "prior_width": 2}))
    leaves = jax.tree_util.tree_leaves(deep.prior.network)
    squares = sum(float(jnp.sum(leaf**2)) for leaf in leaves)
    assert float(ridge(deep)) == pytest.approx(0.5 * squares)


@pytest.mark.parametrize(
    ("decoder", "last"),
    [
        (HybridConfig(structure="1c-iv", width=2), lambda m: m.decoder.network.layers[-1].weight),
        (NeuralOdeConfig(width=2), lambda m: m.decoder.field.network.out.weight),
    ],
    ids=["hybrid", "neural-ode"],
)
def test_the_ridge_holds_what_is_learned_near_the_mechanism(decoder, last):
    model = build(ModelConfig(decoder=decoder))
    assert float(ridge(model)) == pytest.approx(0.0)
    moved = eqx.tree_at(last, model, jnp.full_like(last(model), 0.3))
    each = 0.3**2 / (decoder.spread**2 if decoder.name == "hybrid" else 1.0)
    assert float(ridge(moved)) == pytest.approx(0.5 * last(model).size * each)


def test_the_ridge_holds_a_peripheral_volume_near_the_central_one_and_moves_that_not():
    model = build(
        ModelConfig(covariates=(), knowledge=(), decoder=CompartmentConfig(structure="2c-iv"))
    )
    names = model.decoder.structure.names
    typical = jnp.array([{"cl": 1.0, "v1": 2.0, "q2": 1.7, "v2": 3.4}[name] for name in names])

    def at(values):
        return ridge(eqx.tree_at(lambda m: m.prior.typical, model, values))

    assert float(at(typical)) == pytest.approx(0.5 * (0.7**2 + 1.4**2) / 0.7**2)
    slope = dict(zip(names, np.asarray(jax.grad(at)(typical)), strict=True))
    assert slope["v2"] == pytest.approx(1.4 / 0.7**2)
    assert (slope["cl"], slope["v1"]) == (0, 0)


@pytest.fixture(scope="module")
def summed(divided, ward, quick):
    record = jax.tree.map(jnp.asarray, take(ward, 5))
    noise = base_draws(4096, 4, 0).normal.reshape(64, 64, 2, 2).swapaxes(1, 2)
    every = jax.vmap(lambda n, k: subject_terms(divided, record, Draws(n, k), beta=1.0))
    return quick(every)(jnp.asarray(noise), jnp.zeros((64, 4), bool))


class TestGroups:
    """A population of two groups: the group is summed out."""

    def test_the_bound_of_many_samples_is_the_evidence(self, summed, divided, ward, evidence):
        exact = evidence(ward, divided)[5]
        assert float(summed[1].bound.mean()) == pytest.approx(exact, abs=0.05)
        assert float(summed[1].bound.mean()) <= exact + 0.02

    def test_a_subset_of_no_levels_has_the_evidence_one(self, summed):
        np.testing.assert_allclose(summed[1].subset, np.zeros(64), atol=1e-9)

    def test_the_divergence_counts_the_groups_too(self, summed, divided, ward):
        assert (np.asarray(summed[1].kl) > 0).all()
        np.testing.assert_allclose(summed[0], -summed[1].bound - summed[1].subset, rtol=1e-12)

    @pytest.mark.long
    def test_training_moves_shares_places_and_widths_in_single_precision(self, divided, ward):
        light = precision.single(divided)
        record = jax.tree.map(jnp.asarray, precision.single(take(ward, 5)))
        draws = make_draws(np.random.default_rng(1), (), 4, 8, 2)

        def loss(prior):
            return subject_terms(light.with_prior(prior), record, draws, beta=1.0)[0]

        slopes = jax.tree.leaves(jax.grad(loss)(light.prior).groups)
        assert [leaf.shape for leaf in slopes] == [(1,), (1, 2), (1,)]
        assert all(leaf.dtype == jnp.float32 for leaf in slopes)
        assert all(np.abs(np.asarray(leaf)).min() > 1e-4 for leaf in slopes)

    def test_a_penalty_holds_groups_together_and_none_at_nothing(self, divided):
        groups = divided.prior.groups
        far = eqx.tree_at(lambda g: g.shift, groups, 3 * groups.shift)
        empty = eqx.tree_at(lambda g: g.odds, groups, groups.odds - 5)
        for other in (far, empty):
            assert ridge(divided.with_prior(divided.prior.divided(other))) > ridge(divided) + 1
