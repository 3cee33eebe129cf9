"""Doses that are absorbed each in its own way: a contract of every decoder that adds doses up."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.errors import InputError
from latentpk.kinetics.doses import Doses, Own, Paths
from latentpk.models.config import (
    ADDING,
    CompartmentConfig,
    CovariateConfig,
    EncoderConfig,
    GridConfig,
    HybridConfig,
    KernelConfig,
    MechanisticConfig,
    ModelConfig,
    NeuralOdeConfig,
)
from latentpk.models.latent import build, build_decoder
from latentpk.models.record import take

DOSES = Doses.of([0.0, 6.0, 6.0], [100.0, 60.0, 40.0], depot=[1.0, 1.0, 0.0])
PATHS = Paths.of(DOSES)
FACTORS = np.array([[1.0, 0.3, 5.0], [1.0, 4.0, 5.0], [1.0, 1.5, 5.0]])  # of ka, alag, f
TIME = np.array([0.5, 3.0, 6.0, 7.0, 12.0, 30.0])
CONFIGS = {
    "compartment": CompartmentConfig(structure="2c-oral-lag"),
    "kernel": KernelConfig(modes=2, sites=2, disposition=2, absorption=2, hidden=4),
    "hybrid": HybridConfig(structure="1c-oral-lag", width=3, level_scale=2.0),
}
FED = CovariateConfig(name="FED", kind="binary", high=1.0)


def test_these_are_all():
    assert set(CONFIGS) == set(ADDING)


@cache
def decoder_of(name):
    start = build_decoder(CONFIGS[name], jax.random.key(1))
    rng = np.random.default_rng(4)
    return jax.tree.map(lambda x: x + 0.2 * rng.standard_normal(x.shape), start)


def own(factors):
    return Own(*(jnp.asarray(row) for row in factors))


@eqx.filter_jit
def curve(decoder, z, doses, time=TIME):
    place, order = jnp.zeros(1), jnp.full(time.size, jnp.inf)
    return decoder.concentration(z[None], place, doses, jnp.asarray(time), order, paths=PATHS)


def z_of(decoder):
    return jnp.linspace(0.2, -0.3, decoder.latent)


@pytest.mark.parametrize("name", CONFIGS)
def test_one_dose_is_changed_and_the_others_are_not(name):
    decoder = decoder_of(name)
    fed = np.asarray(curve(decoder, z_of(decoder), DOSES._replace(own=own(FACTORS))))
    plain = np.asarray(curve(decoder, z_of(decoder), DOSES))
    assert np.isfinite(fed).all()
    assert (fed >= 0).all()
    np.testing.assert_allclose(fed[:2], plain[:2], rtol=1e-10)  # before the second dose
    assert np.abs(fed[3:] / plain[3:] - 1).max() > 0.05


@pytest.mark.parametrize("name", ["compartment", "kernel"])
def test_the_course_is_the_sum_of_each_dose_alone(name):
    decoder = decoder_of(name)
    together = curve(decoder, z_of(decoder), DOSES._replace(own=own(FACTORS)))
    parts = [
        curve(decoder, z_of(decoder), take(DOSES._replace(own=own(FACTORS)), np.array([k])))
        for k in range(3)
    ]
    np.testing.assert_allclose(together, sum(parts), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", CONFIGS)
def test_areas_are_those_of_the_curve(name):
    decoder, doses = decoder_of(name), DOSES._replace(own=own(FACTORS))
    z, still = z_of(decoder)[None], jnp.zeros(1)
    node, weight = np.polynomial.legendre.leggauss(60)
    edges = np.unique(np.asarray(decoder.corners(z, still, doses)).clip(0, 20.0))
    edges = np.unique(np.r_[0.0, edges, 20.0])
    half, middle = np.diff(edges) / 2, (edges[1:] + edges[:-1]) / 2
    time = jnp.array((middle[:, None] + half[:, None] * node).ravel())
    height = curve(decoder, z[0], doses, time)
    truth = np.sum(half[:, None] * weight * np.asarray(height).reshape(half.size, -1))
    found = eqx.filter_jit(decoder.auc)(
        z, still, doses, jnp.array(0.0), jnp.array(20.0), paths=PATHS
    )
    np.testing.assert_allclose(found, truth, rtol=3e-3)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_effect_of_a_dose_has_a_finite_gradient(name):
    said = ModelConfig(
        dose_covariates=(FED,), decoder=CONFIGS[name], encoder=EncoderConfig(hidden=3)
    )
    model = build(said, jax.random.key(2))
    model = eqx.tree_at(lambda m: m.decoder, model, decoder_of(name))
    state = jnp.array([[0.0], [1.0], [0.0]])

    def total(slope):
        prior = eqx.tree_at(lambda p: p.dose_slope, model.prior, slope)
        doses = DOSES._replace(own=Own(*jnp.exp(prior.own(state)).T))
        return jnp.sum(curve(model.decoder, z_of(model.decoder), doses))

    slope = np.asarray(jax.grad(total)(jnp.full((3, 1), 0.1)))
    assert np.isfinite(slope).all()
    assert (np.abs(slope) > 1e-8).all()


@pytest.mark.parametrize(
    "config",
    [
        MechanisticConfig(structure="1c-mm-oral"),
        NeuralOdeConfig(depot=True),
        GridConfig(horizon=24.0),
    ],
    ids=lambda config: config.name,
)
def test_a_decoder_that_follows_no_dose_alone_is_refused(config):
    with pytest.raises(ValueError, match="covariates of doses"):
        ModelConfig(dose_covariates=(FED,), decoder=config)


def test_one_depot_for_all_doses_is_refused_where_they_are_followed_too():
    decoder = build_decoder(NeuralOdeConfig(depot=True), jax.random.key(0))
    with pytest.raises(InputError, match="one depot"):
        curve(decoder, z_of(decoder), DOSES._replace(own=own(FACTORS)))
