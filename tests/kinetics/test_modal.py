"""Derivatives: the rule against plain differentiation, and the branches it does not cover."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.modal import Places, modal_amounts
from latentpk.kinetics.response import Response
from latentpk.kinetics.superposition import concentration

PATHS = Paths(steady=False, release=False, overlap=False)
DOSES = Doses.of(
    [0.0, 2.0, 5.0, 9.0, 11.0],
    100.0,
    depot=[0, 1, 0, 1, 0],
    duration=[2, 0, 0, 0, 3],
)
QUERY = (jnp.array([0.5, 2.1, 6.0, 12.0]), jnp.full(4, jnp.inf))
PLACES = Places(jnp.array([0.7, 0.05]), jnp.array([1.1, 0.3]), jnp.array([0.2, 3.0]))


def along(function, *change):
    return jax.jit(lambda: jax.jvp(function, (PLACES,), change))()


def test_rule_equals_plain_forward_differentiation():
    change = Places(jnp.array([0.3, -0.2]), jnp.array([0.5, 0.1]), jnp.array([-0.4, 0.9]))
    ruled = along(lambda places: modal_amounts(PATHS, DOSES, QUERY, places), change)
    plain = along(lambda places: modal_amounts.fun(PATHS, DOSES, QUERY, places), change)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), ruled, plain)


def value(amount, time, response):
    doses = DOSES._replace(amount=amount)
    return concentration(doses, time, response=response, paths=PATHS)


def test_amounts_and_times_are_differentiated_too():
    response = Response(
        PLACES.rate, jnp.array([0.01, 0.02]), jnp.array([0.5, 0.3]), PLACES.ka, PLACES.alag
    )
    by_amount, by_time = jax.jit(jax.jacfwd(value, argnums=(0, 1)))(
        DOSES.amount, QUERY[0], response
    )
    whole = value(DOSES.amount, QUERY[0], response)
    np.testing.assert_allclose(by_amount @ DOSES.amount, whole, rtol=1e-12)  # linear
    step = 1e-5
    ahead, behind = (value(DOSES.amount, QUERY[0] + h, response) for h in (step, -step))
    np.testing.assert_allclose(jnp.diagonal(by_time), (ahead - behind) / (2 * step), rtol=1e-6)


def test_reverse_equals_forward_and_padding_gets_nothing():
    weight, share = jnp.array([0.01, 0.02]), jnp.array([0.5, 0.3])
    response = Response(PLACES.rate, weight, share, PLACES.ka, PLACES.alag)
    padded = jax.tree.map(lambda field: jnp.pad(field, (0, 8 - field.size)), DOSES)
    filled = padded._replace(amount=padded.amount.at[5:].set(0.0), time=padded.time.at[5:].set(3.0))

    def loss(response, doses):
        return jnp.sum(concentration(doses, QUERY[0], response=response, paths=PATHS) ** 2)

    both = jax.jit(lambda r, d: (jax.jacfwd(loss)(r, d), jax.grad(loss)(r, d)))
    forward, reverse = both(response, padded)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), forward, reverse)
    jax.tree.map(np.testing.assert_array_equal, both(response, filled)[1], reverse)


@pytest.mark.parametrize("count", [0, 1, 4, 5])
def test_every_dose_counts_once(count):
    doses = Doses.of(jnp.arange(float(count)), 2.0 ** jnp.arange(count))
    places = Places(jnp.zeros(1), jnp.zeros(0), jnp.zeros(0))
    amounts = modal_amounts(Paths.none(), doses, (jnp.array([9.0]), jnp.ones(1)), places)
    assert amounts.direct[0][0] == 2.0**count - 1
