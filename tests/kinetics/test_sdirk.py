import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.kinetics.sdirk import NODES, WEIGHTS, sdirk_step


def follow(rate, inflow, start, steps, end=2.0):
    """y' = -rate(t) y + inflow from y = 1, in equal steps; y and its integral at the end."""
    h = (end - start) / steps
    state, area = jnp.ones(1), jnp.zeros(1)
    for k in range(steps):
        state, more = sdirk_step(
            lambda t, c, r: r / (1 + c * rate(t)),
            jnp.array([inflow]),
            jnp.asarray(start + k * h),
            jnp.asarray(h),
            state,
        )
        area = area + more
    return float(state[0]), float(area[0])


def test_the_weights_are_those_of_a_mean():
    assert sum(WEIGHTS) == pytest.approx(1)
    assert np.dot(WEIGHTS, NODES) == pytest.approx(1 / 2)
    assert np.dot(WEIGHTS, np.square(NODES)) == pytest.approx(1 / 3)


@pytest.mark.parametrize("inflow", [0.0, 3.0])
def test_the_order_is_four(inflow):
    def rate(t):
        return 1 + jnp.sin(3 * t)

    truth = follow(rate, inflow, 0.0, 400)
    errors = [np.abs(np.subtract(follow(rate, inflow, 0.0, n), truth)) for n in (10, 20)]
    assert (np.log2(errors[0] / errors[1]) > 3.5).all()


def test_a_constant_rate_is_its_exponential():
    state, area = follow(lambda t: 0.7, 0.0, 0.0, 40)
    assert state == pytest.approx(np.exp(-1.4), rel=1e-7)
    assert area == pytest.approx((1 - np.exp(-1.4)) / 0.7, rel=1e-7)


def test_what_is_stiff_is_damped():
    state, _ = follow(lambda t: 1e9, 0.0, 0.0, 1)
    assert abs(state) < 1e-6


def test_an_infinite_slope_at_the_start_gives_finite_gradients():
    def end(n):
        state, _ = sdirk_step(
            lambda t, c, r: r / (1 + c * t**n),
            jnp.zeros(1),
            jnp.zeros(()),
            jnp.ones(()),
            jnp.ones(1),
        )
        return state[0]

    assert np.isfinite(jax.grad(end)(0.01))
