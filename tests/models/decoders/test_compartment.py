import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.kinetics.structure import Structure
from latentpk.models.decoders.compartment import CompartmentDecoder

DECODER = CompartmentDecoder(Structure.parse("1c-iv"))


@pytest.fixture(scope="module")
def predict(infused):
    """Concentrations at given times for rows of z that hold from `change`."""

    @jax.jit
    def curve(z, change, doses, time):
        order = jnp.full(time.shape, jnp.inf)
        return DECODER.concentration(z, change, doses, time, order, paths=infused.paths)

    return lambda z, change, time: np.asarray(curve(z, change, infused.doses, time))


def test_z_is_the_logarithm_of_the_parameters(predict):
    z = np.log([[5.0, 50.0]])
    # 100 mg in 1 h, CL 5, V 50: the textbook's formula during and after the infusion
    expected = [100 / 5 * (1 - np.exp(-0.05)), 100 / 5 * (1 - np.exp(-0.1)) * np.exp(-0.4)]
    np.testing.assert_allclose(predict(z, np.zeros(1), np.array([0.5, 5.0])), expected, rtol=1e-12)


def test_pieces_that_are_equal_are_the_constant_case(predict):
    z, time = np.log([[5.0, 50.0]]), np.array([0.5, 6.0, 12.5, 30.0])
    four = predict(np.repeat(z, 4, axis=0), np.array([0.0, 3.0, 12.2, 12.2]), time)
    np.testing.assert_allclose(four, predict(z, np.zeros(1), time), rtol=1e-10)


def test_a_change_acts_from_its_time_on(predict):
    z = np.log([[5.0, 50.0], [15.0, 50.0], [15.0, 50.0], [15.0, 50.0]])
    change, time = np.array([0.0, 6.0, 6.0, 6.0]), np.array([2.0, 6.0, 8.0, 11.0])
    found = predict(z, change, time)
    constant = predict(z[:1], np.zeros(1), time)
    np.testing.assert_allclose(found[:2], constant[:2], rtol=1e-10)
    expected = constant[1] * np.exp(-0.3 * (time[2:] - 6.0))
    np.testing.assert_allclose(found[2:], expected, rtol=1e-10)


@pytest.mark.parametrize("name", ["1c-iv", "2c-oral-lag", "3c-iv"])
def test_a_latent_dimension_is_a_parameter(name):
    structure = Structure.parse(name)
    assert CompartmentDecoder(structure).latent == len(structure.names)
