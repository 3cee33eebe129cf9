"""What pharmacology guarantees, at parameters and doses drawn to be awkward."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.structure import Structure
from latentpk.kinetics.superposition import auc, concentration

STRUCTURE = Structure.parse("2c-oral-lag-f")  # degenerate third modes: test_modes
PATHS = Paths(release=False, overlap=False)
TIMES = [0.0, 1e-6, 0.5, 2.0, 7.5, 24.0, 300.0]
rate = st.one_of(st.sampled_from([0.1, 0.1, 1e-8, 1e4]), st.floats(1e-3, 50.0))
exchange = st.one_of(st.just(0.0), rate)
hours = st.one_of(st.sampled_from([0.0, 0.5, 2.0]), st.floats(0.0, 12.0))


@st.composite
def bodies(draw):
    """CL, V1, Q2, V2, KA, ALAG, F; volumes of 1 make rate constants meet exactly."""
    volume = st.sampled_from([1.0, 1.0, 30.0])
    return [
        draw(rate), draw(volume), draw(exchange), draw(volume),
        draw(rate), draw(hours), draw(st.floats(0.0, 1.0)),
    ]  # fmt: skip


@st.composite
def regimens(draw):
    rows = []
    for _ in range(4):
        interval = draw(st.sampled_from([6.0, 12.0]))
        depot = draw(st.booleans())
        duration = 0.0 if depot else draw(st.one_of(st.just(0.0), st.floats(1e-6, 6.0)))
        steady = draw(st.sampled_from([0.0, 0.0, 1.0]))
        amount = draw(st.sampled_from([0.0, 1.0, 500.0]))
        rows.append((draw(hours), amount, depot, duration, interval, steady))
    return rows


def doses_of(rows):
    time, amount, depot, duration, interval, steady = np.array(rows, float).T
    zero = np.zeros(4)
    return Doses(
        time, np.arange(4.0), amount, zero, duration, depot, interval, steady, zero + np.inf, zero
    )


def value(doses, parameters, time):
    return concentration(doses, time, response=STRUCTURE.response(parameters), paths=PATHS)


@cache
def programs():
    def total(doses, parameters, time):
        return jnp.sum(value(doses, parameters, time))

    def area(doses, parameters, start, end):
        return auc(doses, start, end, response=STRUCTURE.response(parameters), paths=PATHS)

    slope = jax.grad(total, argnums=1)
    return jax.jit(lambda d, p, t: (value(d, p, t), slope(d, p, t))), jax.jit(area)


@pytest.mark.long
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@given(parameters=bodies(), rows=regimens())
def test_never_negative_never_nan(dtype, parameters, rows):
    parameters = jnp.array(parameters, dtype)
    doses = jax.tree.map(lambda x: x.astype(dtype), doses_of(rows))
    times = jnp.sort(jnp.append(jnp.array(TIMES, dtype), parameters[5]))  # a query at a lag
    found, slope = programs()[0](doses, parameters, times)
    assert found.dtype == slope.dtype == dtype
    assert jnp.all(found >= 0)
    assert jnp.all(jnp.isfinite(found))
    assert jnp.all(jnp.isfinite(slope))


@given(parameters=bodies(), rows=regimens(), factor=st.sampled_from([1 / 60, 24.0, 7.0]))
def test_the_unit_of_time_does_not_matter(parameters, rows, factor):
    doses = doses_of(rows)
    scale = jnp.array([1 / factor, 1, 1 / factor, 1, 1 / factor, factor, 1])
    times, parameters = jnp.array([*TIMES, 9.0]), jnp.array(parameters)
    other = doses._replace(
        time=doses.time * factor, duration=doses.duration * factor, interval=doses.interval * factor
    )
    found = programs()[0](doses, parameters, times)[0]
    # rounding of time x rate at the edge of an event may move a query across it: stay off edges
    inside = jnp.all(jnp.abs(times[:, None] - doses.time - parameters[5]) > 1e-9, axis=1)
    inside &= jnp.all(jnp.abs(times[:, None] - doses.time) > 1e-9, axis=1)
    again = programs()[0](other, parameters * scale, times * factor)[0]
    np.testing.assert_allclose(found[inside], again[inside], rtol=1e-9, atol=1e-13 * found.max())


@given(parameters=bodies(), rows=regimens())
def test_doses_add_and_scale(parameters, rows):
    doses = doses_of(rows)
    run, times, parameters = programs()[0], jnp.array([*TIMES, 9.0]), jnp.array(parameters)
    one = doses._replace(amount=doses.amount * np.array([1, 0, 1, 0]))
    rest = doses._replace(amount=doses.amount * np.array([0, 1, 0, 1]))
    both = run(one, parameters, times)[0] + run(rest, parameters, times)[0]
    whole = run(doses, parameters, times)[0]
    np.testing.assert_allclose(both, whole, rtol=1e-12)
    triple = run(doses._replace(amount=3 * doses.amount), parameters, times)[0]
    np.testing.assert_allclose(triple, 3 * whole, rtol=1e-12)
    backwards = run(jax.tree.map(lambda x: x[::-1], doses), parameters, times)[0]
    np.testing.assert_allclose(backwards, whole, rtol=1e-12)


@given(parameters=bodies(), rows=regimens())
def test_mass_balance(parameters, rows):
    """All that enters leaves by CL: the area to the end is dose F / CL, and areas add."""
    parameters = jnp.array(parameters).at[0].set(2.0)  # something must leave
    parameters = parameters.at[2].max(0.5).at[4].max(1e-3)
    doses = doses_of(rows)._replace(steady=np.zeros(4))
    area = programs()[1]
    split, end = jnp.array(9.3), jnp.array(1e6)
    whole = area(doses, parameters, jnp.array(-1.0), end)
    entered = jnp.sum(doses.amount * jnp.where(doses.depot != 0, parameters[6], 1.0))
    np.testing.assert_allclose(whole, entered / 2.0, rtol=1e-9, atol=1e-12)
    parts = area(doses, parameters, jnp.array(-1.0), split) + area(doses, parameters, split, end)
    np.testing.assert_allclose(parts, whole, rtol=1e-10, atol=1e-14)
