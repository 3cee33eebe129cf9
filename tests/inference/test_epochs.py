"""Adam's steps, and the gradient of a step made by several threads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk import compilation
from latentpk.inference.epochs import Epochs, adam, begin_at, lanes_of
from latentpk.models.config import CompartmentConfig, EncoderConfig, MechanisticConfig, ModelConfig
from latentpk.models.latent import build


def test_adam_is_the_published_step():
    state = begin_at(jnp.array([1.0, -2.0], jnp.float32))
    grad = jnp.array([0.5, -0.1], jnp.float32)
    rate = jnp.array([0.01, 0.1], jnp.float32)
    once = adam(state, grad, rate, 0.9)
    np.testing.assert_allclose(once.params, [1 - 0.01, -2 + 0.1], rtol=1e-5)
    twice = adam(once, 2 * grad, rate, 0.9)
    mean = (0.9 * 0.1 + 2 * 0.1) / (1 - 0.9**2)
    square = (0.99 * 0.01 + 4 * 0.01) / (1 - 0.99**2)
    move = mean / np.sqrt(square) * np.array([0.01, -0.1])
    np.testing.assert_allclose(twice.params, once.params - move, rtol=1e-4)


def test_a_gradient_that_is_not_finite_is_no_step():
    state = begin_at(jnp.array([1.0, -2.0], jnp.float32))
    after = adam(state, jnp.array([jnp.nan, 1.0], jnp.float32), jnp.ones(2, jnp.float32), 0.9)
    np.testing.assert_array_equal(after.params, state.params)


def squares(params, fixed, rows):
    """Mean squared distance to lines; each row's own is its term."""
    x, y = rows

    def loss(p):
        each = (p[0] + p[1] * x - fixed * y) ** 2
        return jnp.mean(each), each

    return jax.grad(loss, has_aux=True)(params)


def test_lanes_take_the_steps_of_one_lane():
    rng = np.random.default_rng(1)
    rows = tuple(rng.standard_normal((2, 5, 12)).astype(np.float32))
    begun, rate = begin_at(jnp.array([1.0, -2.0], jnp.float32)), np.float32(0.05)
    ends, terms = zip(
        *(
            Epochs(squares, decay=0.9, lanes=lanes).run(begun, rate, np.float32(2), rows)
            for lanes in (1, 3)
        ),
        strict=True,
    )
    for one, three in zip(*ends, strict=True):
        np.testing.assert_allclose(three, one, rtol=1e-5)
    np.testing.assert_allclose(terms[1], terms[0], rtol=1e-5)
    assert terms[0].shape == (5, 12)
    assert int(ends[1].step) == 5


def test_a_lane_that_is_not_finite_is_a_step_not_taken():
    rows = tuple(np.ones((2, 1, 4), np.float32))
    rows[0][0, 3] = np.nan
    begun = begin_at(jnp.array([1.0, -2.0], jnp.float32))
    after, _ = Epochs(squares, decay=0.9, lanes=2).run(begun, np.float32(0.1), 1.0, rows)
    np.testing.assert_array_equal(after.params, begun.params)


@pytest.mark.parametrize(
    ("decoder", "batch", "lanes"),
    [
        (MechanisticConfig(structure="1c-mm-iv"), 64, 4),
        (MechanisticConfig(structure="1c-mm-iv"), 27, 3),
        (MechanisticConfig(structure="1c-mm-iv"), 14, 1),
        (MechanisticConfig(structure="1c-mm-iv"), 61, 1),
        (CompartmentConfig(structure="1c-iv"), 64, 1),  # a step is too quick to be shared
    ],
)
def test_only_dear_steps_are_shared_and_evenly(decoder, batch, lanes, monkeypatch):
    monkeypatch.setenv("NPROC", "4")
    assert compilation.threads() == 4
    encoder = EncoderConfig(level_scale=1.0, time_scale=1.0, dose_scale=1.0)
    assert lanes_of(build(ModelConfig(decoder=decoder, encoder=encoder)), batch) == lanes
