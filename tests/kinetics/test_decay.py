"""Divided differences of the exponential against exact arithmetic, where nodes coincide."""

from decimal import Decimal, localcontext

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.kinetics.decay import decay_area, decay_convolution, decay_difference, mean_decay


def exact(rates, time):
    """Newton's table in 250 digits; equal rates are told apart by 1e-25."""
    with localcontext() as context:
        context.prec = 250
        nodes = [Decimal(float(r)) + i * Decimal("1e-25") for i, r in enumerate(rates)]
        row = [(-node * Decimal(float(time))).exp() for node in nodes]
        for k in range(1, len(nodes)):
            row = [(row[i] - row[i + 1]) / (nodes[i + k] - nodes[i]) for i in range(len(row) - 1)]
        return float(row[0])


def draws(size):
    """Rates that are equal, nearly equal, or orders of magnitude apart, some of them 0."""
    rng = np.random.default_rng(size)
    base = 10 ** rng.uniform(-3, 2, (120, 1))
    near = base * (1 + 10 ** rng.uniform(-9, 0, (120, 1)) * rng.uniform(-1, 1, (120, size)))
    apart = 10 ** rng.uniform(-4, 4, (120, size))
    rates = np.concatenate([base * np.ones(size), near, apart])
    rates[::4, 0] = 0.0
    return rates, 10 ** rng.uniform(-3, 1.5, 360)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_convolutions_are_exact_where_rates_coincide(size):
    rates, time = draws(size)
    program = jax.jit(jax.vmap(lambda r, t: decay_convolution(tuple(r), t)))
    found = program(jnp.array(rates), jnp.array(time))
    expected = np.array([exact(*row) for row in zip(rates, time, strict=True)])
    seen = expected > 1e-200
    np.testing.assert_allclose(found[seen], expected[seen], rtol=2e-12)
    assert jnp.all(found >= 0)


@pytest.mark.parametrize("size", [2, 3])
def test_derivatives_are_exact_where_rates_coincide(size):
    """The derivative by a rate is minus the convolution with that rate once more."""
    rates, time = draws(size)
    slope = jax.jit(jax.vmap(jax.grad(lambda r, t: decay_convolution(tuple(r), t))))
    found = slope(jnp.array(rates), jnp.array(time))
    for i in range(size):
        more = np.concatenate([rates, rates[:, i : i + 1]], axis=1)
        expected = -np.array([exact(np.sort(r), t) for r, t in zip(more, time, strict=True)])
        seen = (np.abs(expected) > 1e-200) & (np.diff(np.sort(rates)).min(1) > 0)
        np.testing.assert_allclose(found[seen, i], expected[seen], rtol=1e-10)


@pytest.mark.parametrize("x", [0.0, 1e-300, 1e-9, 0.1249, 0.125, 0.1251, 3.0, 700.0, 1e9])
def test_mean_decay_is_exact(x):
    expected = 1.0 if x == 0 else -np.expm1(-x) / x
    np.testing.assert_allclose(mean_decay(jnp.array(x)), expected, rtol=2e-15)
    np.testing.assert_allclose(
        decay_area(jnp.array(x), jnp.array(0.0), jnp.array(1.0)), expected, rtol=2e-15
    )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_no_derivative_is_nan(dtype):
    rates = jnp.array([0.0, 1e-8, 0.1, 0.1, 1e4, 1e4], dtype)
    a, b, t = (x.ravel() for x in jnp.meshgrid(rates, rates, jnp.array([0, 1e-6, 1, 1e4], dtype)))
    slope = jax.jit(jax.vmap(jax.grad(decay_difference, argnums=(0, 1, 2))))
    assert all(jnp.all(jnp.isfinite(s)) for s in slope(a, b, t))
    triple = jax.jit(jax.vmap(jax.grad(lambda r, t: decay_convolution(tuple(r), t), (0, 1))))
    assert all(jnp.all(jnp.isfinite(s)) for s in triple(jnp.stack([a, b, 0 * a], 1), t))
