import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.inference.small_matrix import cholesky, inverse_lower, solve_positive


def positive(size):
    root = np.random.default_rng(size).standard_normal((size, size + 2))
    return root @ root.T + 0.1 * np.eye(size)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_factor_inverse_and_solution_are_numpys(size):
    a, b = positive(size), np.arange(1.0, size + 1)
    low = np.asarray(jax.jit(cholesky)(a))
    np.testing.assert_allclose(low, np.linalg.cholesky(a), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(jax.jit(inverse_lower)(low), np.linalg.inv(low), atol=1e-10)
    np.testing.assert_allclose(jax.jit(solve_positive)(a, b), np.linalg.solve(a, b), rtol=1e-9)


def test_the_upper_triangle_is_exactly_zero():
    low = np.asarray(cholesky(jnp.asarray(positive(3))))
    assert not np.triu(low, 1).any()
    assert not np.triu(inverse_lower(jnp.asarray(low)), 1).any()


def test_a_singular_matrix_has_a_finite_factor():
    low = np.asarray(cholesky(jnp.ones((3, 3))))
    np.testing.assert_allclose(low @ low.T, np.ones((3, 3)), atol=1e-12)
