"""The mechanism times a bounded factor: the mechanism where the factor is silent or faded."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentpk.kinetics.doses import Doses, Paths
from latentpk.models.config import HybridConfig
from latentpk.models.decoders.hybrid import HybridDecoder

CONFIG = HybridConfig(structure="2c-oral-lag", residual=2, width=4, horizon=30.0, level_scale=2.0)
PATHS = Paths(steady=True, release=False, overlap=False, reset=False)
TIME = np.array([0.6, 3.0, 11.0, 13.0, 29.0])
Z = np.r_[np.log([2.0, 20.0, 1.0, 10.0, 0.8, 0.3]), 0.4, -0.7]
ONE, TWO = Doses.of([0.0], 100.0, depot=1.0), Doses.of([0.0, 12.0], [100.0, 60.0], depot=1.0)


@pytest.fixture(scope="module")
def silent():
    return HybridDecoder(CONFIG, key=jax.random.key(0))


@pytest.fixture(scope="module")
def speaking(silent):
    rng = np.random.default_rng(5)
    return jax.tree_util.tree_map(lambda x: x + rng.standard_normal(x.shape), silent)


@eqx.filter_jit
def curve(decoder, z, change, doses, time):
    order = jnp.full_like(time, jnp.inf)
    return decoder.concentration(z, change, doses, time, order, paths=PATHS)


def predicted(decoder, z=(Z,), doses=TWO, time=TIME, change=(0.0,)):
    return np.asarray(curve(decoder, jnp.array(z), jnp.array(change), doses, jnp.array(time)))


def mechanism(doses=TWO, z=(Z,), time=TIME, change=(0.0,)):
    skeleton = HybridDecoder(CONFIG, key=jax.random.key(0)).skeleton
    return predicted(skeleton, np.array(z)[:, :6], doses, time, change)


@pytest.mark.parametrize(
    ("z", "change"), [((Z,), (0.0,)), ((Z, Z + 0.2), (0.0, 12.5))], ids=["steady", "changing"]
)
def test_a_silent_factor_leaves_the_mechanism_to_rounding(silent, z, change):
    np.testing.assert_allclose(
        predicted(silent, z, change=change), mechanism(z=z, change=change), rtol=1e-12
    )


def test_the_factor_stays_within_its_bound_and_uses_it(speaking):
    ratio = np.abs(np.log(predicted(speaking) / mechanism()))
    assert ratio.max() <= CONFIG.bound * (1 + 1e-12)
    assert ratio.max() > 0.1


def test_far_outside_the_trained_times_the_mechanism_is_back(speaking):
    time = np.array([29.9, 60.0, 150.0])
    ratio = predicted(speaking, doses=ONE, time=time) / mechanism(ONE, time=time)
    assert np.abs(np.log(ratio[0])) > 0.1
    assert np.abs(np.log(ratio[1])) < 0.5 * np.abs(np.log(ratio[0]))
    assert ratio[2] == pytest.approx(1.0, abs=1e-5)


def test_a_further_oral_dose_does_not_make_the_level_jump(speaking):
    at = 12.0 + np.exp(Z[5])  # when it begins to enter
    time = np.array([11.9999, 12.0001, at - 1e-4, at + 1e-4])
    before, after, early, late = predicted(speaking, time=time)
    assert after == pytest.approx(before, rel=1e-3)
    assert late == pytest.approx(early, rel=1e-3)


def test_doses_do_not_add_up_once_the_factor_speaks(silent, speaking):
    twice = ONE._replace(amount=2 * ONE.amount)
    ratio = [predicted(d, doses=twice) / predicted(d, doses=ONE) for d in (silent, speaking)]
    np.testing.assert_allclose(ratio[0], 2.0, rtol=1e-12)
    assert np.abs(ratio[1] - 2.0).max() > 0.01
    assert (speaking.linear, speaking.simulated) == (False, True)


def test_a_dose_at_steady_state_is_the_mechanisms_times_a_factor(speaking):
    doses = Doses.of([0.0], 100.0, depot=1.0, interval=12.0, steady=1.0)
    ratio = np.abs(np.log(predicted(speaking, doses=doses) / mechanism(doses)))
    assert (ratio <= CONFIG.bound).all()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), wild=st.floats(0, 40), amount=st.floats(0, 1e6))
def test_levels_and_slopes_are_finite_and_never_negative(speaking, seed, wild, amount):
    z = wild * np.random.default_rng(seed).standard_normal((1, 8))
    doses = Doses.of([0.0, 5.0], amount, depot=[1.0, 0.0], duration=[0.0, 2.0])
    value, slope = curve_and_slope(speaking, jnp.asarray(z), doses, jnp.array([1.0, 6.0, 300.0]))
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


def test_a_silent_factor_costs_nothing_and_a_loud_one_does(silent, speaking):
    assert float(silent.penalty()) == 0
    assert float(speaking.penalty()) > 1


def test_an_unknown_mechanism_is_refused():
    with pytest.raises(ValueError, match="4c"):
        HybridConfig(structure="4c-iv")
