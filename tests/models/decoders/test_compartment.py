import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.kinetics.doses import Doses, Paths
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


class TestPerDose:
    """Two tablets, the second one 1 h later with food: slower, later, less of it."""

    DOSES = Doses.of([0.0, 1.0, 0.0], [100.0, 100.0, 0.0], depot=[1.0, 1.0, 0.0])
    ROWS = np.log([[5.0, 50.0, 2.0, 0.1, 0.9], [5.0, 50.0, 0.3, 0.6, 0.5]])  # cl v1 ka alag f
    TIME = jnp.array([0.5, 1.0, 1.4, 2.0, 5.0, 12.0, 30.0])

    def predicted(self, rows, doses=DOSES, change=(0.0, 1.0), *, per_dose=True):
        decoder = CompartmentDecoder(Structure.parse("1c-oral-lag-f"), per_dose)
        order, paths = jnp.full(self.TIME.shape, jnp.inf), Paths.of(doses)
        place = jnp.asarray(rows), jnp.array(change)
        return decoder.concentration(*place, doses, self.TIME, order, paths=paths)

    def test_each_dose_keeps_the_absorption_it_began_with(self):
        alone = [
            self.predicted(row[None], Doses.of([time], 100.0, depot=1.0), (0.0,))
            for row, time in zip(self.ROWS, (0.0, 1.0), strict=True)
        ]
        np.testing.assert_allclose(self.predicted(self.ROWS), sum(alone), rtol=1e-9, atol=1e-12)
        shared = self.predicted(self.ROWS, per_dose=False)  # the rest of the first one slows down
        assert float(jnp.abs(shared / sum(alone) - 1).max()) > 0.05

    def test_clearance_still_changes_for_all_that_is_in_the_body(self):
        rows = self.ROWS + np.log([[1.0, 1, 1, 1, 1], [3.0, 1, 1, 1, 1]])
        alone = []
        for dose, own in ((0, 0), (1, 1)):
            held = rows.copy()
            held[:, 2:] = rows[own, 2:]
            one = Doses.of([float(dose)], 100.0, depot=1.0)
            alone.append(self.predicted(held, one, per_dose=False))
        np.testing.assert_allclose(self.predicted(rows), sum(alone), rtol=1e-9, atol=1e-12)

    def test_doses_that_are_alike_are_the_plain_decoder(self):
        rows = np.repeat(self.ROWS[:1], 2, axis=0)
        plain = self.predicted(rows, per_dose=False)
        np.testing.assert_allclose(self.predicted(rows), plain, rtol=1e-9, atol=1e-12)
