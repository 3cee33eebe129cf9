import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.networks.mlp import Linear, Mlp


def test_linear_is_the_affine_map_of_its_arrays():
    layer = Linear(3, 2, key=jax.random.key(0))
    assert layer.weight.shape == (2, 3)
    x = jnp.array([1.0, -2.0, 0.5])
    expected = np.asarray(layer.weight) @ np.asarray(x) + np.asarray(layer.bias)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-14)


@pytest.mark.parametrize("gain", [1.0, 2.0])
def test_weights_start_at_the_gain_over_the_root_of_the_inputs(gain):
    layer = Linear(400, 50, key=jax.random.key(1), gain=gain)
    assert np.std(layer.weight) == pytest.approx(gain / 20, rel=0.02)
    assert not layer.bias.any()


def test_a_linear_map_of_nothing_is_its_bias():
    assert Linear(0, 2, key=jax.random.key(0))(jnp.zeros(0)).shape == (2,)


def test_hidden_layers_pass_through_gelu_and_the_last_does_not():
    network = Mlp((2, 3, 1), key=jax.random.key(2))
    x = jnp.array([0.3, -1.2])
    expected = network.layers[1](jax.nn.gelu(network.layers[0](x)))
    np.testing.assert_allclose(network(x), expected, rtol=1e-14)
    assert [layer.weight.shape for layer in network.layers] == [(3, 2), (1, 3)]


def test_gain_zero_starts_as_the_zero_function():
    network = Mlp((2, 5, 3), key=jax.random.key(3), gain=0.0)
    np.testing.assert_array_equal(network(jnp.array([4.0, -7.0])), np.zeros(3))
    assert network.layers[0].weight.any()  # else it could never leave zero
