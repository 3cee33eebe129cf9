"""Flows between compartments against closed forms and Diffrax, and what no rates may break."""

from dataclasses import dataclass
from functools import partial

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from latentpk.errors import InputError
from latentpk.kinetics.compartmental import Compartmental, compartmental_step, flow_matrix
from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.ode import course
from latentpk.kinetics.piecewise import Pieces, piecewise_concentration
from latentpk.kinetics.structure import Structure
from latentpk.kinetics.system import Site

RATES = np.array([[0.1, 0.5, 0.02], [0.2, 0.01, 0.03], [0.05, 0.1, 0.0]])
STATE, INFLOW = np.array([1.0, 0.2, 0.3]), np.array([2.0, 0.0, 0.5])


@dataclass(frozen=True)
class Three(Compartmental):
    """Central, peripheral, depot; elimination saturates where `km` is finite."""

    names = ("out", "there", "back", "ka", "v", "km")
    size, central, oral, shortest = 3, 0, True, 2.0

    def rates(self, state, p):
        zero = 0.0 * p["out"]
        out = p["out"] / (1 + state[0] / (p["v"] * p["km"]))
        rows = [[out, p["there"], zero], [p["back"], zero, zero], [p["ka"], zero, zero]]
        return jnp.stack([jnp.stack(row) for row in rows])

    def concentration(self, state, p):
        return state[0] / p["v"]

    def sites(self, p):
        return (Site(2, jnp.ones_like(p["v"]), jnp.zeros_like(p["v"])),)


SYSTEM = Three()
LINEAR = (0.1, 0.3, 0.15, 0.8, 20.0, 1e12)
SATURATED = (0.4, 0.3, 0.15, 0.8, 20.0, 3.0)
CHANGES = jnp.zeros(1)


@partial(jax.jit, static_argnames=("paths", "steps"))
def follow(parameters, doses, time, paths, steps=16):
    pieces = Pieces(CHANGES, parameters[None])
    return course(doses, time, system=SYSTEM, pieces=pieces, paths=paths, area=True, steps=steps)


def followed(parameters, doses, time, **options):
    time, paths = jnp.asarray(time, float), Paths.of(doses)
    return follow(jnp.array(parameters), doses, time, paths, **options)


class TestStep:
    @pytest.mark.parametrize(("length", "tolerance"), [(0.1, 1e-5), (1.0, 2e-3), (10.0, 2e-3)])
    def test_with_constant_rates_it_is_the_matrix_exponential(self, length, tolerance):
        whole = np.zeros((7, 7))  # amounts, the inflow's 1, areas
        whole[:3, :3], whole[:3, 3], whole[4:, :3] = (
            flow_matrix(jnp.array(RATES)),
            INFLOW,
            np.eye(3),
        )
        truth = expm(whole * length) @ np.r_[STATE, 1.0, np.zeros(3)]
        found, area = compartmental_step(
            lambda _: jnp.array(RATES), jnp.array(STATE), jnp.array(INFLOW), jnp.array(length)
        )
        np.testing.assert_allclose(found, truth[:3], rtol=tolerance)
        np.testing.assert_allclose(area, truth[4:], rtol=tolerance)

    def test_a_step_of_no_length_changes_nothing(self):
        found, area = compartmental_step(
            lambda _: jnp.array(RATES), jnp.array(STATE), jnp.array(INFLOW), jnp.array(0.0)
        )
        np.testing.assert_allclose(found, STATE, rtol=1e-14)
        np.testing.assert_array_equal(area, 0.0)

    @pytest.mark.long
    def test_halving_the_steps_quarters_the_error(self):
        rates = lambda y: jnp.array(RATES) / (1 + y[:, None])  # noqa: E731

        def after(count):
            state = jnp.array(STATE)
            for _ in range(count):
                state, _ = compartmental_step(rates, state, None, jnp.array(8.0 / count))
            return np.asarray(state)

        truth = after(512)
        errors = [np.abs(after(count) - truth).max() for count in (16, 32, 64)]
        assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.35)
        assert errors[1] / errors[2] == pytest.approx(4.0, rel=0.35)

    @settings(max_examples=100, deadline=None)
    @given(
        seed=st.integers(0, 2**32 - 1), size=st.floats(-6, 4), spread=st.floats(0, 4),
        length=st.floats(0, 1e3), closed=st.booleans(),
    )  # fmt: skip
    def test_amounts_stay_positive_and_none_is_made(self, seed, size, spread, length, closed):
        rng = np.random.default_rng(seed)
        rates = 10 ** (size + spread * rng.standard_normal((3, 3)))
        if closed:
            np.fill_diagonal(rates, 0.0)
        state = rng.exponential(size=3) * rng.integers(0, 2, 3)
        inflow = rng.exponential(size=3) * rng.integers(0, 2, 3)
        after, area = map(np.asarray, stepped(rates, state, inflow, length))
        assert np.isfinite(np.r_[after, area]).all()
        assert (after >= 0).all()
        assert (area >= 0).all()
        given_ = state.sum() + length * inflow.sum()
        assert after.sum() <= given_ * (1 + 1e-12)
        if closed and rates.max() * length < 1e6:  # beyond, rounding tells
            assert after.sum() == pytest.approx(given_, rel=1e-6, abs=1e-12)


@jax.jit
def stepped(rates, state, inflow, length):
    return compartmental_step(lambda _: rates, state, inflow, length)


class TestCourse:
    TIME = np.array([0.2, 1.0, 3.0, 8.0, 12.0, 12.5, 20.0, 36.0])

    @pytest.mark.long
    @pytest.mark.parametrize("fields", [{"depot": 1.0}, {"duration": 2.0}, {}])
    def test_constant_rates_are_a_compartment_model(self, fields):
        doses = Doses.of([0.0, 12.0], [100.0, 50.0], **fields)
        found = followed(LINEAR, doses, self.TIME, steps=64)
        out, there, back, ka, v, _ = LINEAR
        theta = jnp.array([[out * v, v, there * v, there / back * v, ka]])
        structure = Structure.parse("2c-oral")
        truth = piecewise_concentration(
            doses, jnp.array(self.TIME), structure=structure, change=CHANGES, parameters=theta,
            paths=Paths.of(doses),
        )  # fmt: skip
        np.testing.assert_allclose(found.concentration, truth, rtol=5e-4)

    @pytest.mark.long
    @pytest.mark.parametrize(("steps", "tolerance"), [(16, 2e-2), (256, 1e-3)])
    def test_a_saturated_course_agrees_with_an_adaptive_solver(self, steps, tolerance):
        doses = Doses.of([0.0, 12.0], [300.0, 300.0], depot=1.0)
        found = followed(SATURATED, doses, self.TIME, steps=steps)
        np.testing.assert_allclose(found.concentration, adaptive(self.TIME), rtol=tolerance)

    def test_what_was_given_is_in_the_body_or_has_left_it(self):
        doses = Doses.of([0.0, 6.0], [100.0, 60.0], duration=[0.0, 3.0], depot=[1.0, 0.0])
        found = followed(LINEAR, doses, [5.0, 9.0, 30.0], steps=64)
        inside = np.asarray(found.state).sum(axis=1)
        left = LINEAR[0] * LINEAR[4] * np.asarray(found.area)  # CL x AUC
        np.testing.assert_allclose(inside + left, [100.0, 160.0, 160.0], rtol=1e-9)

    def test_an_infusion_in_two_halves_is_the_same_infusion(self):
        whole = Doses.of([0.0], 200.0, duration=4.0)
        halves = Doses.of([0.0, 2.0], 100.0, duration=2.0)
        courses = [followed(SATURATED, d, self.TIME, steps=128) for d in (whole, halves)]
        np.testing.assert_allclose(*(c.concentration for c in courses), rtol=1e-3)

    def test_a_bolus_enters_at_its_time_and_whole(self):
        doses = Doses.of([0.0, 12.0], [100.0, 50.0])
        found = followed(SATURATED, doses, [12.0, np.nextafter(12.0, 0)])
        assert float(found.state[0, 0] - found.state[1, 0]) == pytest.approx(50.0, rel=1e-9)

    def test_a_reset_empties_the_body(self):
        doses = Doses.of([0.0], 100.0, until=5.0)
        assert followed(SATURATED, doses, [4.9, 5.1]).concentration[1] == 0

    def test_steady_state_is_refused(self):
        with pytest.raises(InputError, match="SS"):
            followed(LINEAR, Doses.of([0.0], 100.0, steady=1.0, interval=12.0), [1.0])


def adaptive(time):
    """Two oral doses of 300 mg by an adaptive solver."""
    p = SYSTEM.named(jnp.array(SATURATED))
    field = lambda t, y, _: flow_matrix(SYSTEM.rates(y, p)) @ y  # noqa: E731
    state, begin, found = jnp.array([0.0, 0.0, 300.0]), 0.0, []
    for end in sorted({*time, 12.0}):
        if begin == 12.0:
            state = state.at[2].add(300.0)
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(field), diffrax.Tsit5(), begin, end, 0.01, state,
            stepsize_controller=diffrax.PIDController(rtol=1e-9, atol=1e-10), max_steps=4000,
        )  # fmt: skip
        state, begin = solution.ys[-1], end
        found.append(float(state[0]) / SATURATED[4])
    return np.array(found)
