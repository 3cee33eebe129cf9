"""Cholesky factors of small matrices as plain array operations.

Batched library calls cost about a microsecond each, more than the arithmetic for a handful of
random effects; written out they vectorize over patients and draws.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from latentpk import precision  # noqa: F401  (sets x64 before any array)


def cholesky(a: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Lower factor of a positive definite matrix.

    A squared pivot is held above 1e-12, so a singular matrix gets a finite factor that is not its
    own: with 1 added to every curvature here, only rounding comes near.
    """
    size = a.shape[0]
    columns: list[Array] = []
    for j in range(size):
        column = a[:, j]
        for done in columns:
            column = column - done * done[j]
        column = column / jnp.sqrt(jnp.maximum(column[j], 1e-12))
        columns.append(jnp.where(jnp.arange(size) >= j, column, 0.0))
    return jnp.stack(columns, axis=1)


def inverse_lower(low: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Inverse of a lower triangular matrix by forward substitution on the identity."""
    size = low.shape[0]
    rows: list[Array] = []
    unit = jnp.eye(size, dtype=low.dtype)
    for i in range(size):
        row = unit[i]
        for j, done in enumerate(rows):
            row = row - low[i, j] * done
        rows.append(row / low[i, i])
    return jnp.stack(rows)


def solve_positive(a: Float[Array, "n n"], b: Float[Array, " n"]) -> Float[Array, " n"]:
    """Solve a x = b for a positive definite a."""
    inverse = inverse_lower(cholesky(a))
    return inverse.T @ (inverse @ b)
