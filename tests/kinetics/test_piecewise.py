"""Changing parameters: against the reference where they do not change, an ODE where they do."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.piecewise import Pieces, piecewise_amounts, piecewise_concentration
from latentpk.kinetics.structure import Structure
from latentpk.kinetics.superposition import concentration

CHANGE = jnp.array([0.0, 5.0, 20.0])


@cache
def amounts_program(structure, paths):
    def run(doses, parameters, time, order):
        pieces = Pieces(CHANGE, jnp.broadcast_to(parameters, (3, parameters.size)))
        return piecewise_amounts(
            doses, time, order, structure=structure, pieces=pieces, paths=paths
        )

    return jax.jit(run)


@cache
def superposed(structure, paths):
    def run(doses, parameters, time):
        return concentration(doses, time, response=structure.response(parameters), paths=paths)

    return jax.jit(run)


@pytest.mark.parametrize("number", range(1, 37))
def test_constant_parameters_agree_with_the_reference(scenarios, widest, pad, number):
    scenario = scenarios[number]
    run = amounts_program(widest, Paths())
    inputs = pad(scenario.doses), scenario.widest, scenario.time
    for column, order in (("CONC", jnp.inf), ("CONC_BEFORE", -1.0)):
        found = run(*inputs, jnp.full_like(scenario.time, order))
        central = found.central[: scenario.count] / scenario.parameters[1]
        np.testing.assert_allclose(central, scenario.expected[column], rtol=1e-10, atol=1e-13)
    found = run(*inputs, jnp.full_like(scenario.time, jnp.inf))
    for name, amount in zip(("A_PERIPH1", "A_PERIPH2"), found.peripheral, strict=False):
        expected = scenario.expected[name]
        np.testing.assert_allclose(amount[: scenario.count], expected, rtol=1e-10, atol=1e-12)
    depot, expected = found.depot[: scenario.count], scenario.expected["A_DEPOT"]
    entry = np.asarray(scenario.doses.time)[:, None] + (0.4, 0.5, 0.75)
    sure = ~np.isclose(np.asarray(scenario.time)[: scenario.count, None], entry.ravel()).any(1)
    np.testing.assert_allclose(depot[sure], expected[sure], rtol=1e-10, atol=1e-12)


def ode(structure, pieces, inputs, time):
    """Amounts by DOP853, restarted at every event; `inputs`: (start, stop, compartment, amount)."""
    flows = [row for row in inputs if row[1] > row[0]]
    jumps = [row for row in inputs if row[1] == row[0]]
    edges = {0.0, float(time[-1]), *CHANGE.tolist(), *time.tolist()}
    edges |= {x for row in inputs for x in row[:2]}
    state, found = np.zeros(4), {}
    for a, b in zip(sorted(edges), [*sorted(edges)[1:], None], strict=True):
        for start, _, place, amount in jumps:
            if start == a:
                state = np.zeros(4) if place is None else state + amount * np.eye(4)[place]
        found[a] = state
        if b is None:
            break
        index = max(int((np.asarray(CHANGE) <= a).sum()) - 1, 0)
        p = dict(zip(structure.names, np.asarray(pieces[index]), strict=True))
        v1, v2, v3 = p["v1"], p.get("v2", 1.0), p.get("v3", 1.0)
        q2, q3, ka = p.get("q2", 0.0), p.get("q3", 0.0), p.get("ka", 0.0)
        flow = np.zeros(4)
        for start, stop, place, amount in flows:
            if start <= a and stop >= b:
                flow[place] += amount / (stop - start)
        matrix = np.array(
            [
                [-ka, 0, 0, 0],
                [ka, -(p["cl"] + q2 + q3) / v1, q2 / v2, q3 / v3],
                [0, q2 / v1, -q2 / v2, 0],
                [0, q3 / v1, 0, -q3 / v3],
            ]
        )
        state = solve_ivp(
            lambda _, y, m=matrix, u=flow: m @ y + u,
            (a, b),
            state,
            method="DOP853",
            rtol=1e-12,
            atol=1e-13,
        ).y[:, -1]
    return np.array([found[t] for t in time.tolist()])


@pytest.mark.long
def test_changing_parameters_agree_with_an_ode():
    structure = Structure.parse("3c-oral-lag-f")
    first = np.array([6.0, 12.0, 9.0, 25.0, 1.5, 90.0, 1.3, 0.5, 0.6])
    pieces = first * np.array([np.ones(9), np.linspace(0.6, 1.7, 9), np.linspace(1.5, 0.5, 9)])
    lags, f = pieces[:, 7], pieces[:, 8]
    doses = Doses.of(
        [0.0, 1.0, 4.8, 18.0, 21.0, 24.0],
        [400.0, 300.0, 200.0, 500.0, 100.0, 250.0],
        depot=[1, 0, 1, 0, 1, 0],
        duration=[0, 6, 0, 4.5, 2, 0],
        until=[23, 23, 23, 23, 23, np.inf],
    )
    inputs = [
        (lags[0], lags[0], 0, f[0] * 400.0),
        (1.0, 7.0, 1, 300.0),  # across a change
        (4.8 + lags[0], 4.8 + lags[0], 0, f[0] * 200.0),  # the change comes within the lag
        (18.0, 22.5, 1, 500.0),
        (21.0 + lags[2], 23.0 + lags[2], 0, f[2] * 100.0),
        (23.0, 23.0, None, 0.0),  # a reset
        (24.0, 24.0, 1, 250.0),
    ]
    inputs[4] = (21.0 + lags[2], 23.0, 0, f[2] * 100.0 * (2.0 - lags[2]) / 2.0)  # cut by it
    time = np.array([0.5, 1.5, 4.0, 5.0, 6.0, 10.0, 20.0, 21.5, 22.9, 23.0, 25.0, 40.0])
    paths = Paths.of(doses)

    @jax.jit
    def run(time, parameters):
        return piecewise_amounts(
            doses, time, structure=structure, pieces=Pieces(CHANGE, parameters), paths=paths
        )

    found, expected = run(jnp.array(time), jnp.array(pieces)), ode(structure, pieces, inputs, time)
    amounts = (found.depot, found.central, *found.peripheral)
    for amount, column in zip(amounts, expected.T, strict=True):
        np.testing.assert_allclose(amount, column, rtol=1e-8, atol=1e-9)


@pytest.mark.long
def test_steady_state_takes_the_parameters_of_its_time():
    """Before the change as with constant parameters; after it as an ODE from that content."""
    structure = Structure.parse("2c-oral-lag")
    before, after = np.array([4.0, 20.0, 3.0, 30.0, 0.9, 1.5]), np.array([8, 25, 2, 35, 0.5, 0.2])
    doses = Doses.of([6.0, 6.0], [100.0, 0.0], depot=1.0, interval=8.0, steady=[1.0, 0.0])
    time = jnp.array([6.0, 7.0, 9.0, 20.0, 22.0, 30.0])
    paths = Paths.of(doses)

    @jax.jit
    def run(parameters):
        return piecewise_amounts(
            doses, time, structure=structure, pieces=Pieces(CHANGE, parameters), paths=paths
        )

    found = run(jnp.stack([before, before, after]))
    steady = superposed(structure, paths)(doses, jnp.array(before), time)
    np.testing.assert_allclose(found.central[:4] / before[1], steady[:4], rtol=1e-10)
    start = [
        (20.0, 20.0, i, float(x[3]))
        for i, x in enumerate((found.depot, found.central, found.peripheral[0]))
    ]
    expected = ode(structure, np.stack([before, before, after]), start, np.asarray(time[3:]))
    np.testing.assert_allclose(found.central[3:], expected[:, 1], rtol=1e-9)


LONG = {
    "lag over the interval": {"depot": 1.0, "lag": 11.0},
    "infusion over the interval": {"depot": 0.0, "duration": 14.0, "lag": 0.3},
    "release over the interval": {"depot": 1.0, "duration": 9.0, "lag": 0.3},
    "constant infusion into the site": {"depot": 1.0, "steady": 3.0, "rate": 20.0, "lag": 2.0},
}


@pytest.mark.parametrize("case", LONG)
def test_long_steady_states_equal_superposition(widest, pad, case):
    fields = {"steady": 1.0, **LONG[case]}
    parameters = jnp.array([4.0, 20.0, 3.0, 30.0, 0.0, 1.0, 0.9, fields.pop("lag"), 1.0])
    doses = pad(Doses.of([0.0], 100.0 * (fields["steady"] == 1), interval=8.0, **fields))
    time = [0.0, 0.2, 1.0, 2.5, 5.9, 6.1, 8.0, 10.9, 12.0, 14.1, 30.0]
    time = jnp.array(np.pad(time, (0, 20 - len(time)), mode="edge"))
    found = amounts_program(widest, Paths())(doses, parameters, time, time * 0 + jnp.inf)
    expected = superposed(widest, Paths())(doses, parameters, time)
    np.testing.assert_allclose(found.central / 20.0, expected, rtol=1e-10)


def test_too_many_pending_doses_are_not_guessed():
    structure = Structure.parse("1c-oral-lag")
    doses = Doses.of([0.0], 100.0, depot=1.0, interval=2.0, steady=1.0)
    model = {"structure": structure, "change": jnp.zeros(1), "paths": Paths.of(doses)}
    run = jax.jit(lambda p: piecewise_concentration(doses, jnp.ones(1), parameters=p, **model))
    assert jnp.isnan(run(jnp.array([[5.0, 50.0, 1.0, 7.0]]))[0])
    assert jnp.isfinite(run(jnp.array([[5.0, 50.0, 1.0, 5.0]]))[0])


@pytest.mark.long
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_gradients_are_finite_where_things_coincide(dtype):
    """ka = CL/V, Q = 0, a query at a lag's end, a change at a dose, all at once."""
    structure = Structure.parse("2c-oral-lag")
    base = jnp.array([5.0, 50.0, 0.0, 30.0, 0.1, 1.0], dtype)
    doses = Doses.of(jnp.array([0.0, 4.0, 5.0], dtype), 100.0, depot=[1, 0, 1], duration=[0, 2, 0])
    time = jnp.array([0.0, 1.0, 5.0, 6.0], dtype)

    model = {"structure": structure, "change": CHANGE.astype(dtype), "paths": Paths.of(doses)}

    def total(parameters):
        value = piecewise_concentration(doses, time, parameters=parameters, **model)
        return value, value

    slope, value = jax.jit(jax.jacrev(total, has_aux=True))(jnp.stack([base, base, base]))
    assert value.dtype == dtype
    assert jnp.all(value >= 0)
    assert jnp.all(jnp.isfinite(slope))
    assert jnp.any(slope[:, 1] != 0)
    assert jnp.all(slope[:, 2] == 0)  # not yet in force
