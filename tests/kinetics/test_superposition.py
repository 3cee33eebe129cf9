"""Concentrations against the reference tables and an ODE; areas against quadrature."""

import threading
from functools import cache

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.polynomial.legendre import leggauss

from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.structure import Structure
from latentpk.kinetics.superposition import auc, concentration

SCENARIOS = range(1, 37)


@cache
def program(structure, paths):
    def run(doses, parameters, time, order):
        response = structure.response(parameters)
        return concentration(doses, time, order, response=response, paths=paths)

    return jax.jit(run)


@cache
def area_program(structure):
    def run(doses, parameters, start, end):
        return auc(doses, start, end, response=structure.response(parameters))

    return jax.jit(jax.vmap(run, in_axes=(None, None, 0, 0)))


def close(found, expected, tolerance=1e-10):
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=1e-300)


def run(scenario, doses, order, structure=None):
    """With every branch in the largest structure, or with what is needed in its own."""
    time, order = scenario.time, jnp.full_like(scenario.time, order)
    if structure is None:
        needed = program(scenario.structure, Paths.of(scenario.doses))
        return needed(doses, scenario.parameters, time, order)[: scenario.count]
    return program(structure, Paths())(doses, scenario.widest, time, order)[: scenario.count]


@pytest.mark.parametrize("number", SCENARIOS)
def test_every_branch_together_agrees_with_the_reference(scenarios, widest, pad, number):
    scenario = scenarios[number]
    doses = pad(scenario.doses)
    close(run(scenario, doses, jnp.inf, widest), scenario.expected["CONC"])
    close(run(scenario, doses, -1.0, widest), scenario.expected["CONC_BEFORE"])


@pytest.mark.parametrize("number", SCENARIOS)
def test_the_needed_branches_alone_agree_with_the_reference(scenarios, pad, number):
    scenario = scenarios[number]
    doses = pad(scenario.doses)
    close(run(scenario, doses, jnp.inf), scenario.expected["CONC"])
    close(run(scenario, doses, -1.0), scenario.expected["CONC_BEFORE"])


def test_a_fresh_thread_computes_in_the_same_precision(scenarios, pad):
    scenario, found = scenarios[23], []

    def work():
        found.append(run(scenario, pad(scenario.doses), jnp.inf))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    close(found[0], scenario.expected["CONC"])


def test_order_resolves_equal_times():
    body = Structure.parse("1c-iv").response(jnp.array([5.0, 50.0]))
    doses = Doses.of([0.0, 0.0], 100.0, order=[1.0, 3.0], until=[0.0, jnp.inf], until_order=2.5)
    order = jnp.array([0.5, 1.0, 2.0, 2.5, 2.8, 4.0])
    found = concentration(doses, jnp.zeros(6), order, response=body)
    close(found, [0.0, 0.0, 2.0, 2.0, 0.0, 2.0])


def test_three_compartments_agree_with_an_ode():
    structure = Structure.parse("3c-oral-lag-f")
    cl, v1, q2, v2, q3, v3, ka, alag, f = 6.0, 12.0, 9.0, 25.0, 1.5, 90.0, 1.3, 0.5, 0.6
    doses = Doses.of([0.0, 2.0], [400.0, 300.0], depot=[1.0, 0.0], duration=[0.0, 1.5])
    time = jnp.array([1.0, 2.5, 3.0, 4.0, 8.0, 24.0, 48.0])

    def field(t, y, _):
        site, c, p, s = y
        flow = jnp.where((t > 2.0) & (t < 3.5), 200.0, 0.0)
        leave = (cl + q2 + q3) / v1 * c
        inside = ka * site + flow - leave + q2 / v2 * p + q3 / v3 * s
        there = q2 / v1 * c - q2 / v2 * p
        return jnp.array([-ka * site, inside, there, q3 / v1 * c - q3 / v3 * s])

    start = jnp.array([f * 400.0, 0.0, 0.0, 0.0])  # the lag is over at alag
    control = diffrax.ClipStepSizeController(
        diffrax.PIDController(rtol=1e-10, atol=1e-10), jump_ts=jnp.array([2.0, 3.5])
    )
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        diffrax.Dopri8(),
        alag,
        48.0,
        None,
        start,
        saveat=diffrax.SaveAt(ts=time),
        stepsize_controller=control,
        max_steps=10000,
    )
    body = structure.response(jnp.array([cl, v1, q2, v2, q3, v3, ka, alag, f]))
    found = concentration(doses, time, response=body)
    close(found, solution.ys[:, 1] / v1, 1e-7)


def quadrature(scenario, structure, doses, windows):
    """Gauss-Legendre between all kinks, cumulated."""
    lag = scenario.widest[structure.names.index("alag")]
    ends = scenario.doses.time + scenario.doses.duration
    # scenario 34: an earlier infusion ends 12 h before its last
    kinks = [scenario.doses.time, scenario.doses.time + lag, ends, ends - 12.0]
    edges = np.concatenate([np.ravel(windows), np.arange(0, 41, 2), scenario.doses.until, *kinks])
    edges = np.unique(edges[(edges >= -3.0) & (edges <= 40.0)])
    edges = np.pad(edges, (0, 64 - edges.size), mode="edge")  # one shape for all scenarios
    nodes, weights = leggauss(16)
    half = np.diff(edges) / 2
    times = jnp.array((edges[:-1] + half)[:, None] + half[:, None] * nodes)
    order = jnp.full(times.size, jnp.inf)
    run = program(structure, Paths())
    values = run(doses, scenario.widest, times.ravel(), order).reshape(times.shape)
    total = np.concatenate([[0.0], np.cumsum((values * weights).sum(1) * half)])
    return [total[edges == b][0] - total[edges == a][0] for a, b in windows]


@pytest.mark.long
@pytest.mark.parametrize("number", SCENARIOS)
def test_area_agrees_with_quadrature(scenarios, widest, pad, number):
    scenario = scenarios[number]
    windows = [(-3.0, 40.0), (0.0, 7.7), (7.7, 40.0), (-3.0, 0.0), (7.7, 7.7)]
    expected = quadrature(scenario, widest, pad(scenario.doses), windows)
    start, end = jnp.array(windows).T
    found = area_program(widest)(pad(scenario.doses), scenario.widest, start, end)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)


STEADY = {
    "lag longer than the interval": ({"depot": 1.0}, 14.5),
    "release over half the interval": ({"depot": 1.0, "duration": 3.0}, 0.7),
    "release longer than the interval": ({"depot": 1.0, "duration": 14.0}, 0.7),
    "release and lag longer than it": ({"depot": 1.0, "duration": 14.0}, 14.5),
    "infusion over three intervals": ({"depot": 0.0, "duration": 17.0}, 0.0),
}


@pytest.mark.parametrize("case", STEADY)
def test_steady_state_is_a_long_regimen(case):
    fields, lag = STEADY[case]
    interval, count = 6.0, 400
    structure = Structure.parse("2c-oral-lag")
    parameters = jnp.array([4.0, 20.0, 3.0, 30.0, 0.9, lag])
    first = jnp.arange(count) == 0  # padded to the regimen's shape: one program
    steady = Doses.of(jnp.zeros(count), 100.0 * first, interval=interval, steady=first, **fields)
    regimen = Doses.of(-interval * jnp.arange(count), 100.0, **fields)
    time = jnp.array([0.0, 0.3, 0.7, 2.5, 3.7, 5.0, 9.0, 14.5, 15.0, 20.0, 40.0])
    late = jnp.full_like(time, jnp.inf)
    value = program(structure, Paths())
    close(value(steady, parameters, time, late), value(regimen, parameters, time, late))
    area, window = area_program(structure), (jnp.array([1.3]), jnp.array([27.0]))
    close(area(steady, parameters, *window), area(regimen, parameters, *window))


def test_a_release_into_the_site_is_many_small_doses():
    structure = Structure.parse("2c-oral-lag")
    parameters = jnp.array([5.0, 50.0, 0.0, 30.0, 0.1, 0.0])  # ka = CL/V1, Q = 0
    nodes, weights = leggauss(400)
    first = jnp.arange(400) == 0
    slow = Doses.of(jnp.zeros(400), 100.0 * first, depot=1.0, duration=2.0)
    few = Doses.of(1 + nodes, 50 * weights, depot=1.0)
    time = jnp.linspace(2.0, 12.0, 11)
    late = jnp.full_like(time, jnp.inf)
    value = program(structure, Paths())
    close(value(slow, parameters, time, late), value(few, parameters, time, late))
    whole = area_program(structure)(slow, parameters, jnp.array([0.0]), jnp.array([1e4]))
    close(whole, 20.0)  # dose / CL
