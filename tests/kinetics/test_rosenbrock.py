import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.kinetics.rosenbrock import rosenbrock_step


def logistic(time, state):
    return state * (1 - state) * (1 + time)


def logistic_after(steps):
    """y(1) of y' = y (1 - y) (1 + t), y(0) = 0.2, whose integral of (1 + t) is t + t^2 / 2."""
    length, state = jnp.array(1.0 / steps), jnp.array([0.2])
    for k in range(steps):
        state, _ = rosenbrock_step(logistic, k * length, state, length)
    return float(state[0])


def test_the_error_falls_with_the_fifth_power_of_the_step():
    exact = 1 / (1 + 4 * np.exp(-1.5))
    coarse, fine = (abs(logistic_after(n) - exact) for n in (4, 8))
    assert 4.5 < np.log2(coarse / fine) < 6
    assert fine < 1e-7


def test_the_estimate_is_of_the_size_of_the_step_s_own_error():
    length = jnp.array(0.5)
    state, wrong = rosenbrock_step(logistic, jnp.array(0.0), jnp.array([0.2]), length)
    exact = 1 / (1 + 4 * np.exp(-0.625))
    assert abs(float(state[0]) - exact) < abs(float(wrong[0])) < 1e-3


@pytest.mark.parametrize("rate", [1e2, 1e6, 1e12])
def test_a_fast_decay_is_damped_in_one_long_step(rate):
    state, _ = rosenbrock_step(lambda t, y: -rate * y, jnp.array(0.0), jnp.ones(1), jnp.array(1.0))
    assert abs(float(state[0])) < 0.1 if rate < 1e3 else abs(float(state[0])) < 1e-4


def test_a_step_of_no_length_changes_nothing():
    state = jnp.array([0.3, 2.0])
    after, wrong = jax.jit(lambda h: rosenbrock_step(logistic, jnp.array(0.0), state, h))(0.0)
    np.testing.assert_array_equal(after, state)
    np.testing.assert_array_equal(wrong, 0)
