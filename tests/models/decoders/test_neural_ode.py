"""The learned field: a compartment model where its network is silent, saturable where it speaks."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentpk.errors import InputError
from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.structure import Structure
from latentpk.kinetics.superposition import concentration
from latentpk.models.config import CovariateConfig, ModelConfig, NeuralOdeConfig
from latentpk.models.decoders.neural_ode import NeuralOdeDecoder
from latentpk.models.latent import build
from latentpk.models.record import Record

ORAL = NeuralOdeConfig(hidden=1, depot=True, free=1, width=3, level_scale=2.0, shortest=1.0)
PATHS = Paths(steady=False, overlap=False, reset=False)
TIME = np.array([0.5, 3.0, 11.0, 13.0, 30.0])
NEVER = -60.0  # log rate: bounded, so that next to nothing flows


@pytest.fixture(scope="module")
def silent():
    """CL 2 L/h, V1 20 L, Q 1 L/h, V2 10 L, ka 0.8 1/h; the network adds nothing."""
    decoder = NeuralOdeDecoder(ORAL, key=jax.random.key(0))
    base = np.full((3, 3), NEVER)
    base[0, 0], base[0, 1], base[1, 0], base[2, 0] = np.log([0.1, 0.05, 0.1, 0.8])
    inverse = 7.0 * np.arctanh(np.clip((base + np.log(24.0)) / 7.0, -0.999, 0.999)) - np.log(24.0)
    return eqx.tree_at(lambda d: d.field.usual, decoder, jnp.asarray(inverse))


def speaking(decoder, by=0.5):
    out = np.random.default_rng(1).standard_normal(decoder.field.network.out.weight.shape)
    return eqx.tree_at(lambda d: d.field.network.out.weight, decoder, jnp.asarray(by * out))


@eqx.filter_jit
def curve(decoder, z, doses, time):
    order = jnp.full_like(time, jnp.inf)
    return decoder.concentration(z, jnp.zeros(1), doses, time, order, paths=PATHS)


def predicted(decoder, z, doses, time=TIME):
    return np.asarray(curve(decoder, jnp.asarray(z)[None], doses, jnp.asarray(time)))


Z = np.array([np.log(20.0), 0.0, 0.0, 0.0, 0.0])


@pytest.mark.parametrize("shift", [np.zeros(4), np.array([0.3, -0.4, 0.5, 1.0])])
def test_a_silent_network_leaves_a_compartment_model(silent, shift):
    rates = np.log(24.0 * np.array([0.1, 0.05, 0.1, 0.8]))
    bent = 7.0 * np.tanh(np.arctanh(rates / 7.0) + shift[[0, 1, 1, 2]] / 7.0)
    out, there, back, ka = np.exp(bent) / 24.0
    doses = Doses.of([0.0, 12.0], [100.0, 60.0], depot=[1.0, 0.0], duration=[0.0, 2.0])
    theta = jnp.array([20.0 * out, 20.0, 20.0 * there, 20.0 * there / back, ka])
    response = Structure.parse("2c-oral").response(theta)
    truth = concentration(doses, jnp.asarray(TIME), response=response, paths=PATHS)
    found = predicted(silent, Z + np.r_[0.0, shift], doses)
    np.testing.assert_allclose(found, truth, rtol=4e-3)


def test_doses_do_not_add_up_once_the_network_speaks(silent):
    one, two = (Doses.of([0.0], amount, depot=1.0) for amount in (100.0, 200.0))
    ratio = predicted(silent, Z, two) / predicted(silent, Z, one)
    np.testing.assert_allclose(ratio, 2.0, rtol=1e-9)
    loud = speaking(silent)
    ratio = predicted(loud, Z, two) / predicted(loud, Z, one)
    assert np.abs(ratio - 2).max() > 0.05
    assert (loud.linear, loud.simulated) == (False, True)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), wild=st.floats(0, 40), amount=st.floats(0, 1e6),
    late=st.floats(0.1, 1e4),
)  # fmt: skip
def test_levels_and_slopes_are_finite_and_never_negative(silent, seed, wild, amount, late):
    rng = np.random.default_rng(seed)
    z = jnp.asarray(wild * rng.standard_normal((1, 5)))
    doses = Doses.of([0.0, 5.0], amount, depot=[1.0, 0.0], duration=[0.0, 2.0])
    value, slope = curve_and_slope(speaking(silent, 2.0), z, doses, jnp.array([1.0, 6.0, late]))
    assert np.isfinite(value).all()
    assert (np.asarray(value) >= 0).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))


@eqx.filter_jit
def curve_and_slope(decoder, z, doses, time):
    params, static = eqx.partition((decoder, z), eqx.is_inexact_array)

    def total(params):
        own, place = eqx.combine(params, static)
        order = jnp.full_like(time, jnp.inf)
        found = own.concentration(place, jnp.zeros(1), doses, time, order, paths=PATHS)
        return jnp.sum(jnp.log1p(found)), found

    slope, value = jax.grad(total, has_aux=True)(params)
    return value, slope


def test_no_more_is_in_the_body_than_was_given(silent):
    doses = Doses.of([0.0, 5.0], 100.0, depot=1.0)
    z, time = jnp.asarray(Z)[None], jnp.array([4.9, 5.1, 20.0, 80.0])
    found = speaking(silent).followed(z, jnp.zeros(1), doses, time, paths=PATHS)
    inside = np.asarray(found.state).sum(axis=1)
    assert (inside <= np.array([100.0, 200.0, 200.0, 200.0])).all()
    assert inside[1] - inside[0] > 90.0
    assert inside[3] < inside[2] < inside[1]


def test_share_of_a_depot_dose_is_its_bioavailability(silent):
    config = ORAL.model_copy(update={"bioavailability": True})
    decoder = NeuralOdeDecoder(config, key=jax.random.key(0))
    z = np.array([np.log(20.0), 0.0, 0.0, 0.0, -1.2, 0.0])
    doses, time = Doses.of([0.0], 100.0, depot=1.0), jnp.array([1e-9])
    found = decoder.followed(jnp.asarray(z)[None], jnp.zeros(1), doses, time, paths=PATHS)
    assert float(found.state.sum()) == pytest.approx(100.0 / (1 + np.exp(1.2)), rel=1e-6)


def test_a_target_level_enters_the_field_and_no_effect_moves_it():
    covariates = (CovariateConfig(name="TARGET", log=True, center=1.0, scale=0.5),)
    config = ModelConfig(
        covariates=covariates, decoder=ORAL.model_copy(update={"target": "TARGET"})
    )
    model = build(config)
    model = eqx.tree_at(lambda m: m.decoder, model, speaking(model.decoder, 2.0))
    model = eqx.tree_at(lambda m: m.prior.typical, model, jnp.asarray(Z))
    doses = Doses.of([0.0], 100.0, depot=1.0)

    def level(target):
        record = Record(
            doses=doses, time=TIME, order=np.full(5, np.inf), value=np.ones(5),
            censored=np.zeros(5, bool), mask=np.ones(5, bool), change=np.zeros(1),
            covariates=np.array([[target]]), occasion=jnp.zeros(1, int), paths=PATHS, occasions=1,
        )  # fmt: skip
        record = jax.tree.map(jnp.asarray, record)
        location = model.location(record)
        eps = 0.7 * jnp.ones(model.effects)
        z = model.latent(eps, location, record.occasion)
        assert float(z[0, -1]) == pytest.approx((np.log(target) - 1.0) / 0.5)
        return np.asarray(model.concentration(eps, location, record, record.time, record.order))

    assert np.abs(np.log(level(2.0) / level(8.0))).max() > 0.02


def test_a_target_that_is_no_covariate_is_refused():
    with pytest.raises(ValueError, match="TARGET"):
        ModelConfig(decoder=ORAL.model_copy(update={"target": "TARGET"}))


def test_doses_at_steady_state_are_refused(silent):
    doses = Doses.of([0.0], 100.0, interval=12.0, steady=1.0)
    paths = Paths.of(doses)
    with pytest.raises(InputError, match="SS"):
        silent.followed(jnp.asarray(Z)[None], jnp.zeros(1), doses, jnp.ones(1), paths=paths)
