import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.networks.pooling import SetEncoder


@pytest.fixture(scope="module")
def network():
    return SetEncoder(3, 8, 4, context=2, key=jax.random.key(0))


@pytest.fixture(scope="module")
def encode(network):
    return eqx.filter_jit(lambda *inputs: network(*inputs))


TOKENS = np.random.default_rng(0).standard_normal((6, 3))
MASK = np.array([True, True, False, True, False, True])
CONTEXT = np.array([0.4, -1.0])


def test_the_order_of_tokens_does_not_matter(encode):
    order = np.array([5, 3, 0, 1, 4, 2])
    code = encode(TOKENS, MASK, CONTEXT)
    assert code.shape == (4,)
    np.testing.assert_allclose(encode(TOKENS[order], MASK[order], CONTEXT), code, rtol=1e-12)
    assert not np.allclose(encode(TOKENS[order], MASK, CONTEXT), code)


def test_masked_tokens_are_not_read(encode):
    other = TOKENS.copy()
    other[~MASK] = 1e6
    code = encode(TOKENS, MASK, CONTEXT)
    np.testing.assert_array_equal(encode(other, MASK, CONTEXT), code)
    other[0] += 0.1
    assert not np.allclose(encode(other, MASK, CONTEXT), code)


def test_it_sees_how_many_tokens_there_are(encode):
    same = np.broadcast_to(TOKENS[0], (6, 3))
    once = encode(same, np.arange(6) < 1, CONTEXT)
    assert not np.allclose(encode(same, np.arange(6) < 4, CONTEXT), once, rtol=1e-3)


def test_it_reads_the_context_and_nothing_else_of_an_empty_set(encode):
    none = np.zeros(6, bool)
    empty = encode(TOKENS, none, CONTEXT)
    assert np.isfinite(empty).all()
    np.testing.assert_array_equal(encode(2 * TOKENS, none, CONTEXT), empty)
    assert not np.allclose(encode(TOKENS, none, 2 * CONTEXT), empty)


def test_every_parameter_has_a_gradient(network):
    slope = eqx.filter_jit(eqx.filter_grad(lambda n, inputs: jnp.sum(n(*inputs) ** 2)))
    leaves = jax.tree_util.tree_leaves(slope(network, (TOKENS, MASK, CONTEXT)))
    assert len(leaves) == 10
    assert all(np.isfinite(leaf).all() and leaf.any() for leaf in leaves)
