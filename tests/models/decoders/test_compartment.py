from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from latentpk.kinetics.doses import Doses, Own, Paths
from latentpk.kinetics.structure import Structure
from latentpk.models.decoders.compartment import CompartmentDecoder
from latentpk.models.record import take

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


class TestDosesOfTheirOwn:
    """Two tablets, the second one 1 h later with food: slower, later, less of it."""

    DOSES = Doses.of([0.0, 1.0, 0.0], [100.0, 100.0, 0.0], depot=[1.0, 1.0, 0.0])
    Z = np.log([5.0, 50.0, 2.0, 0.1])  # cl v1 ka alag
    FED = np.array([0.15, 6.0, 0.6])  # of ka, alag, f
    TIME = jnp.array([0.5, 1.0, 1.4, 2.0, 5.0, 12.0, 30.0])

    def predicted(self, z, doses, change=(0.0,), name="1c-oral-lag"):
        decoder = CompartmentDecoder(Structure.parse(name))
        order, paths = jnp.full(self.TIME.shape, jnp.inf), Paths.of(doses)
        z, change = jnp.atleast_2d(z), jnp.array(change)
        return np.asarray(decoder.concentration(z, change, doses, self.TIME, order, paths=paths))

    def owned(self):
        factors = np.stack([np.ones(3), self.FED, np.ones(3)], axis=1)
        return self.DOSES._replace(own=Own(*map(jnp.asarray, factors)))

    def alone(self, start, *, fed, later=None):
        """One tablet by scipy; `later` multiplies clearance from 1 h on."""
        cl, v1, ka, alag = np.exp(self.Z) * (np.r_[1, 1, self.FED[:2]] if fed else 1.0)
        found = []
        for time in self.TIME:
            begin = start + alag

            def slope(now, y, ka=ka):
                clearance = cl * (later if later is not None and now >= 1 else 1.0)
                return [-ka * y[0], ka * y[0] - clearance / v1 * y[1]]

            if time <= begin:
                found.append(0.0)
                continue
            stops = sorted({begin, float(time), *([1.0] if begin < 1 < time else [])})
            y = [100.0 * (self.FED[2] if fed else 1.0), 0.0]
            for a, b in pairwise(stops):
                y = solve_ivp(slope, (a, b - 1e-12), y, rtol=1e-10, atol=1e-12).y[:, -1]
            found.append(y[1] / v1)
        return np.array(found)

    def test_the_course_is_the_sum_of_courses_with_an_absorption_each(self):
        found = self.predicted(self.Z, self.owned())
        truth = self.alone(0.0, fed=False) + self.alone(1.0, fed=True)
        np.testing.assert_allclose(found, truth, rtol=1e-7, atol=1e-9)
        assert np.abs(self.predicted(self.Z, self.DOSES) - found).max() > 0.1

    @pytest.mark.long
    def test_clearance_still_changes_for_all_that_is_in_the_body(self):
        rows = np.stack([self.Z, self.Z + np.log([3.0, 1, 1, 1])])
        found = self.predicted(rows, self.owned(), (0.0, 1.0))
        truth = self.alone(0.0, fed=False, later=3.0) + self.alone(1.0, fed=True, later=3.0)
        np.testing.assert_allclose(found, truth, rtol=1e-7, atol=1e-9)

    def test_pieces_that_are_equal_are_the_closed_form(self):
        rows = np.stack([self.Z, self.Z])
        found = self.predicted(rows, self.owned(), (0.0, 1.0))
        np.testing.assert_allclose(found, self.predicted(self.Z, self.owned()), rtol=1e-9)

    def test_doses_that_differ_by_nothing_are_the_plain_ones(self):
        one = jnp.ones(3)
        same = self.DOSES._replace(own=Own(one, one, one))
        plain = self.predicted(self.Z, self.DOSES)
        np.testing.assert_allclose(self.predicted(self.Z, same), plain, rtol=1e-12)

    def test_the_share_acts_where_f_is_no_parameter_and_on_no_infusion(self):
        doses = self.DOSES._replace(depot=jnp.array([0.0, 1.0, 0.0]))
        half = jnp.full(3, 0.5)
        less = doses._replace(own=Own(jnp.ones(3), jnp.ones(3), half))
        whole = [take(doses, np.array([k])) for k in (0, 1)]
        vein, tablet = (self.predicted(self.Z, one) for one in whole)
        np.testing.assert_allclose(self.predicted(self.Z, less), vein + tablet / 2, rtol=1e-12)
