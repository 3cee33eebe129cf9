"""Exact steps against the matrix exponential of SciPy, and what must hold of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from latentpk.kinetics.exponential import exponential_steps

RNG = np.random.default_rng(4)


def flows(size, pace):
    """Random rates between compartments, with elimination, as the matrix of dA/dt = K A."""
    rates = pace * np.exp(RNG.normal(size=(size, size)))
    matrix = rates * (1 - np.eye(size))
    return matrix - np.diag(matrix.sum(axis=0) + rates.diagonal())


@pytest.mark.parametrize("pace", [1e-3, 0.3, 5.0])
def test_steps_are_the_exponential_and_its_integral(pace):
    length = np.array([0.0, 1e-6, 0.7, 12.0])
    matrix = np.stack([flows(3, pace) for _ in length], axis=-1)
    inflow = RNG.uniform(0, 5, (3, length.size))
    moved, entered = exponential_steps(*map(jnp.asarray, (matrix, length, inflow)))
    alone, nothing = exponential_steps(jnp.asarray(matrix), jnp.asarray(length), None)
    assert nothing is None
    assert entered is not None
    for k, hours in enumerate(length):
        fed = np.zeros((4, 4))
        fed[:3, :3], fed[:3, 3] = matrix[..., k], inflow[:, k]
        truth = scipy.linalg.expm(fed * hours)
        np.testing.assert_allclose(moved[..., k], truth[:3, :3], rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(alone[..., k], truth[:3, :3], rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(entered[:, k], truth[:3, 3], rtol=1e-8, atol=1e-12)


def test_no_flow_is_too_fast():
    """A depot that empties at once feeds the next state whole, with finite slopes."""

    def after(fast):
        matrix = jnp.stack([jnp.stack([-fast, 0 * fast]), jnp.stack([fast, 0 * fast - 0.1])])
        return exponential_steps(matrix[..., None], jnp.array([24.0]), None)[0][..., 0]

    for fast in (1e2, 1e4, 1e9):
        found = after(jnp.array(fast))
        assert float(found[0, 0]) == pytest.approx(0.0, abs=1e-12)
        assert float(found[1, 0]) == pytest.approx(np.exp(-2.4), rel=5e-3)
        assert bool(jnp.all(jnp.isfinite(jax.jacfwd(after)(jnp.array(fast)))))


def test_slopes_are_those_of_finite_differences():
    matrix, inflow = flows(3, 0.3), RNG.uniform(0, 5, 3)

    @jax.jit
    def value(scale):
        fed = jnp.asarray(inflow)[:, None]
        moved, entered = exponential_steps(scale * matrix[..., None], jnp.array([3.0]), fed)
        return jnp.sum(jnp.sin(moved)) + jnp.sum(entered)

    truth = (value(jnp.array(1 + 1e-6)) - value(jnp.array(1 - 1e-6))) / 2e-6
    for slope in (jax.grad(value), jax.jacfwd(value)):
        assert float(slope(jnp.array(1.0))) == pytest.approx(float(truth), rel=1e-7)
