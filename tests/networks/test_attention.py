import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax

from latentpk.networks.attention import CrossAttention, FeatureTokens, MultiViewNetwork

RAW, KNOWLEDGE, TARGETS, WIDTH, ROWS = 3, 5, 2, 4, 6
RNG = np.random.default_rng(0)
VIEWS = RNG.standard_normal((ROWS, RAW)), RNG.standard_normal((ROWS, KNOWLEDGE))


@pytest.fixture(scope="module")
def attention():
    return CrossAttention(RAW, KNOWLEDGE, TARGETS, WIDTH, key=jax.random.key(0))


@pytest.fixture(scope="module")
def attended(attention):
    return jax.jit(jax.vmap(attention))(*VIEWS)


@pytest.fixture(scope="module")
def network():
    """A network as after training: every weight moved, so that the last layer is not zero."""
    start = MultiViewNetwork((RAW, KNOWLEDGE), TARGETS, WIDTH, key=jax.random.key(1))
    rng = np.random.default_rng(1)
    return jax.tree_util.tree_map(lambda x: x + 0.5 * rng.standard_normal(x.shape), start)


def by_hand(attention, raw, knowledge):
    """The published form with numpy: scores (knowledge, raw), softmax over knowledge."""

    def tokens(own, values):
        return values[:, None] * np.asarray(own.direction) + np.asarray(own.embedding)

    def mapped(own, rows):
        return rows @ np.asarray(own.weight).T + np.asarray(own.bias)

    rows = tokens(attention.knowledge, knowledge)
    keys = mapped(attention.key_map, tokens(attention.raw, raw))
    scores = mapped(attention.query_map, rows) @ keys.T / np.sqrt(WIDTH)
    assert scores.shape == (KNOWLEDGE, RAW)
    share = softmax(scores, axis=0)
    read = share.T @ mapped(attention.value_map, rows)
    pool = softmax(np.asarray(attention.target) @ read.T / np.sqrt(WIDTH), axis=1)
    return pool @ read, np.einsum("tr,kr->trk", pool, share)


def test_a_token_is_its_value_times_a_direction_plus_the_features_embedding():
    tokens = FeatureTokens(2, 3, key=jax.random.key(0))
    np.testing.assert_allclose(tokens(jnp.zeros(2)), tokens.embedding)
    step = tokens(jnp.array([2.0, 0.0])) - tokens.embedding
    np.testing.assert_allclose(step, np.asarray(tokens.direction) * [[2.0], [0.0]], atol=1e-15)


def test_attention_is_the_published_formula(attention, attended):
    for row in range(ROWS):
        code, read = by_hand(attention, VIEWS[0][row], VIEWS[1][row])
        np.testing.assert_allclose(attended[0][row], code, rtol=1e-12)
        np.testing.assert_allclose(attended[1][row], read, rtol=1e-12)


def test_the_map_sums_to_one_over_raw_and_knowledge(attended):
    assert attended[1].shape == (ROWS, TARGETS, RAW, KNOWLEDGE)
    assert (np.asarray(attended[1]) > 0).all()
    np.testing.assert_allclose(attended[1].sum((2, 3)), np.ones((ROWS, TARGETS)), rtol=1e-13)


def test_it_starts_as_the_zero_function():
    start = MultiViewNetwork((RAW, KNOWLEDGE), TARGETS, WIDTH, key=jax.random.key(1))
    assert start.attentions[0].target.any()  # else it could never leave zero
    np.testing.assert_array_equal(jax.jit(jax.vmap(start))(*VIEWS), np.zeros((ROWS, TARGETS)))


def test_a_rows_prediction_does_not_change_with_the_other_rows(network):
    predict = jax.jit(jax.vmap(network))
    before = predict(*VIEWS)
    others = [np.concatenate([view[:1], 9.0 + view[1:]]) for view in VIEWS]
    after = predict(*others)
    np.testing.assert_array_equal(after[0], before[0])
    assert not np.isclose(after[1:], before[1:]).any()


@pytest.mark.parametrize("view", [0, 1])
def test_both_views_are_read(network, view):
    predict = jax.jit(jax.vmap(network))
    changed = list(VIEWS)
    changed[view] = changed[view] + 1.0
    assert not np.isclose(predict(*changed), predict(*VIEWS)).any()


def test_every_parameter_has_a_gradient(network):
    loss = eqx.filter_grad(lambda n, views: jnp.sum(jax.vmap(n)(*views) ** 2))
    slopes = eqx.filter_jit(loss)(network, VIEWS)
    found = {
        jax.tree_util.keystr(path): np.abs(leaf).max()
        for path, leaf in jax.tree_util.tree_leaves_with_path(slopes)
    }
    # a shift common to all queries cancels in the softmax over the knowledge axis
    assert found.pop(".attentions[0].query_map.bias") < 1e-12
    assert len(found) == 18
    assert min(found.values()) > 1e-6
    assert np.isfinite(list(found.values())).all()
