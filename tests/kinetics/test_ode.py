"""Nonlinear courses against the reference table, Diffrax, closed forms and what must hold."""

import csv
import itertools
from functools import partial
from pathlib import Path

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.errors import InputError
from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.mesh import equal_mesh, graded_mesh
from latentpk.kinetics.ode import BELOW, course
from latentpk.kinetics.piecewise import Pieces, piecewise_concentration
from latentpk.kinetics.structure import Structure
from latentpk.kinetics.system import Inputs, Windows
from latentpk.kinetics.systems import parse_system

TABLE = Path(__file__).parents[1] / "reference" / "nonlinear.csv"
TMDD = (0.2, 3, 0.5, 3, 0.25, 0.6, 0.8, 0.4, 1, 0.5, 0.1)
MEALS = np.array([4.0, 10, 15, 28, 34, 39])
oral = partial(Doses.of, depot=1.0)
SCENARIOS = {
    1: ("1c-mm-iv", (20, 5, 50), Doses.of([0.0], 1000)),
    2: (
        "1c-mm-iv",
        (20, 5, 50),
        Doses.of([0.0, 12, 24, 36, 60], [400, 400, 400, 400, 800], duration=[1, 1, 1, 2, 1]),
    ),
    3: ("1c-mm-cl-oral", (20, 5, 0.5, 50, 0.8), oral([0.0, 8, 16, 24], [300, 300, 300, 600])),
    4: ("tmdd", TMDD, Doses.of([0.0], 30)),
    5: ("tmdd", TMDD, Doses.of([0.0], 600)),
    6: ("tmdd", TMDD, oral([0.0, 14, 28], 300)),
    7: ("ehc", (6, 8, 30, 10, 60, 1.2, 0.9, 1, 0.75, 3), oral([0.0, 24], 500)),
    -7: ("ehc-meals3", (6, 8, 30, 10, 60, 1.2, 0.9, 4, 10, 15, 0.75, 3), oral([0.0, 24], 500)),
    8: ("transit3", (5, 40, 4 / 1.5), oral([0.0, 12], 100)),
    10: ("dual-absorption", (8, 25, 0.35, 2.5, 0.6, 3), oral([0.0, 12], 200)),
}


def followed(name, parameters, doses, time, **options):
    system, pieces = parse_system(name), Pieces(jnp.zeros(1), jnp.array([parameters], float))
    settings = {"system": system, "paths": Paths.of(doses), **options}
    return jax.jit(lambda p, t: course(doses, t, pieces=p, **settings))(pieces, jnp.asarray(time))


def column(found, output, volume):
    """A column of the table: the target's states are amounts in the central volume."""
    amounts = {"A_GB": 3, "R_FREE": 3, "RC": 4}
    if output not in amounts:
        return found.concentration
    return found.state[:, amounts[output]] / (1 if output == "A_GB" else volume)


@pytest.mark.long
@pytest.mark.parametrize("number", SCENARIOS)
@pytest.mark.parametrize(("steps", "tolerance"), [(16, 3e-5), (200, 1e-6)])
def test_courses_agree_with_the_reference_table(number, steps, tolerance):
    name, parameters, doses = SCENARIOS[number]
    with TABLE.open() as file:
        rows = [row for row in csv.DictReader(file) if row["SCENARIO"] == str(abs(number))]
    if number < 0:  # the same by the clock; the table's last meal is that of 39 h
        rows = [row for row in rows if float(row["TIME"]) <= 52]
    meals = Windows(jnp.array(MEALS), jnp.array(MEALS + 0.75)) if name == "ehc" else None
    for output in sorted({row["OUTPUT"] for row in rows}):
        lines = [row for row in rows if row["OUTPUT"] == output]
        time = np.array([float(row["TIME"]) for row in lines])
        found = followed(name, parameters, doses, time, windows=meals, steps=steps)
        value = np.array([float(row["VALUE"]) for row in lines])
        got = column(found, output, parameters[1])
        np.testing.assert_allclose(got, value, rtol=tolerance, atol=1e-12, err_msg=output)
        assert float(found.error) < 0.05
        assert float(found.below.max()) < 0.1 * BELOW


SYSTEMS = {
    "2c-mm-cl-inh-oral-lag-f": (60, 1.2, 6, 79, 15, 100, 0.8, 2.4, 100, 0.95, 1.8),
    "tmdd-equilibrium": (0.0073, 0.0059, 0.071, 5.9, 3.6, 0.02, 0.024, 0.16, 0.157, 0.38),
    "tmdd-qss-oral-f": (0.2, 30, 0.5, 30, 0.625, 0.2, 0.5, 0.3, 0.25, 1.5),
    "ehc-meals2": (6, 8, 30, 10, 60, 1.2, 0.9, 28, 9, 0.75, 3),  # 28 h is 4 h of the next day
    "ehc-binding": (
        *(747, 189, 2010, 34300, 4, 0.23, 0.478, 169, 11242, 4.75, 8.56, 0.0415, 93.1),
        *(0.0796, 7.9, 1, 10),
    ),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_courses_agree_with_an_adaptive_solver(name):
    parameters, system = SYSTEMS[name], parse_system(name)
    p = dict(zip(system.names, jnp.array(parameters, float), strict=True))
    doses = oral([0.0, 12.0], 500)
    windows = system.windows(doses, p)
    site = system.sites(p)[0]
    enter = np.array([0.0, 12.0]) + float(site.lag)
    edges = np.unique(np.r_[0.0, enter, np.clip(np.ravel(windows), 0, 40), 40.0])
    time = edges[1:] - 1e-9
    field = lambda t, y, on: system.slope(y, p, Inputs(t, on))  # noqa: E731
    state, truth = system.start(p), []
    for begin, end in itertools.pairwise(edges):
        state = state.at[site.state].add(500 * float(site.share) * float((begin == enter).sum()))
        on = jnp.any((windows.start <= begin) & (windows.stop >= end)).astype(float)
        state = adaptive(field, state, begin, end, on)
        truth.append(float(system.concentration(state, p)))
    found = followed(name, parameters, doses, time)
    np.testing.assert_allclose(found.concentration, truth, rtol=1e-5)
    # behind a depot and a target in excess, what first reaches the periphery is next to nothing
    assert float(found.error) < (0.03 if name.startswith("tmdd-qss") else 0.01)


@partial(jax.jit, static_argnums=0)
def adaptive(field, state, begin, end, on):
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        diffrax.Kvaerno5(),
        begin,
        end,
        None,
        state,
        args=on,
        stepsize_controller=diffrax.PIDController(rtol=1e-9, atol=1e-12),
        max_steps=20_000,
    )
    return solution.ys[-1]


LINEAR = (1e9, 1e9 / 5.0, 1.0, 50.0, 12.0, 60.0, 0.9, 0.7)  # vmax / km is 5 L/h more of clearance
TIME = np.array([-1.0, 0.0, 0.5, 1.0, 6.0, 12.0, 12.4, 13.0, 20.0, 30.0])


def mixed():
    """Oral, bolus and infused doses, and a padding row."""
    return Doses.of(
        [0.0, 3.0, 12.0, 0.0],
        [100.0, 50.0, 80.0, 0.0],
        depot=[1.0, 0.0, 0.0, 0.0],
        duration=[0.0, 0.0, 2.0, 0.0],
        until=[np.inf, np.inf, np.inf, 0.0],
    )


@pytest.mark.long
def test_far_below_saturation_it_is_the_linear_model():
    doses, pieces = mixed(), Pieces(jnp.zeros(1), jnp.array([LINEAR]))
    found = followed("2c-mm-cl-oral-lag", LINEAR, doses, TIME)
    linear = piecewise_concentration(
        doses,
        jnp.array(TIME),
        structure=Structure.parse("2c-oral-lag"),
        change=pieces.change,
        parameters=jnp.array([[6.0, 50.0, 12.0, 60.0, 0.9, 0.7]]),
    )
    np.testing.assert_allclose(found.concentration, linear, rtol=1e-5, atol=1e-9)


@pytest.mark.long
def test_parameters_change_when_they_are_told_to_and_resets_empty_the_body():
    doses = Doses.of([0.0, 12.0], 100.0, until=[8.0, np.inf], until_order=[0.5, 0.0])
    change = jnp.array([0.0, 4.0])
    fast, slow = (10.0, 1e9 / 5.0, 0.0, 50.0), (1e9, 1e9 / 5.0, 0.0, 50.0)
    time = jnp.array([4.0, 6.0, 8.0, 9.0, 13.0])
    order = jnp.array([9.0, 9.0, 0.0, 9.0, 9.0])  # the third just before the reset
    found = course(
        doses,
        time,
        order,
        system=parse_system("1c-mm-cl-iv"),
        pieces=Pieces(change, jnp.array([fast, slow])),
        paths=Paths.of(doses),
    )
    expected = [2.0, 2 * np.exp(-0.2), 2 * np.exp(-0.4), 0.0, 2 * np.exp(-0.1)]
    np.testing.assert_allclose(found.concentration, expected, rtol=1e-5)


@pytest.mark.long
def test_a_reset_puts_the_target_back_to_its_turnover():
    doses = Doses.of([0.0], 600.0, until=10.0)
    found = followed("tmdd", TMDD, doses, [9.9, 11.0])
    assert float(found.state[0, 3]) < 0.5
    np.testing.assert_allclose(found.state[1], [0, 0, 0, 3 * 2, 0], atol=1e-9)


@pytest.mark.long
def test_a_query_counts_what_comes_before_it_in_the_record():
    doses = Doses.of([0.0, 12.0], 100.0)
    time, order = jnp.array([12.0, 12.0]), jnp.array([0.5, 1.5])
    model = {"system": parse_system("1c-mm-iv"), "paths": Paths.of(doses)}
    pieces = Pieces(jnp.zeros(1), jnp.array([[20.0, 5.0, 50.0]]))
    before, after = course(doses, time, order, pieces=pieces, **model).concentration
    assert float(after - before) == pytest.approx(2.0, rel=1e-12)


@pytest.mark.long
def test_the_area_is_the_integral_of_the_concentration():
    time = np.linspace(0, 40, 4001)
    found = followed("1c-mm-cl-oral", SCENARIOS[3][1], SCENARIOS[3][2], time, area=True)
    truth = np.trapezoid(found.concentration, time)
    assert float(found.area[-1] - found.area[0]) == pytest.approx(truth, rel=1e-5)
    # what was eliminated: all that was given, less what is left
    linear = followed("1c-mm-cl-oral", (0, 5, 5, 50, 0.8), SCENARIOS[3][2], [60.0], area=True)
    left = float(jnp.sum(linear.state))
    assert 5 * float(linear.area[0]) + left == pytest.approx(1500, rel=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("name", ["2c-mm-cl-inh-oral-lag-f", "tmdd", "tmdd-equilibrium"])
def test_wild_parameters_give_finite_courses_and_slopes(name):
    system, doses = parse_system(name), mixed()
    rng = np.random.default_rng(1)
    size = len(system.names)
    wild = np.exp(np.r_[rng.choice([-18.0, 18.0], (12, size)), 4 * rng.standard_normal((12, size))])

    def one(p, time):
        pieces = Pieces(jnp.zeros(1), p[None])
        return course(doses, time, system=system, pieces=pieces, paths=Paths.of(doses))

    def both(p):
        found = jax.vmap(lambda q: one(q, jnp.array(TIME)))(p)
        slope = jax.vmap(jax.jacfwd(lambda q: one(q, jnp.array(TIME)).concentration))(p)
        return found, slope

    found, slope = jax.jit(both)(wild)
    assert np.isfinite(found.concentration).all()
    assert (np.asarray(found.concentration) >= -1e-12).all()
    assert (np.asarray(found.state) >= 0).all()
    assert (found.concentration[:, 0] == 0).all()  # before the first dose
    assert np.isfinite(slope).all()
    assert (np.asarray(found.error) > 0).all()


@pytest.mark.long
def test_forward_and_reverse_slopes_are_those_of_differences():
    system, doses = parse_system("2c-mm-cl-oral-lag"), mixed()
    origin = jnp.log(jnp.array([20.0, 5.0, 1.0, 50.0, 12.0, 60.0, 0.9, 0.7]))
    time = jnp.array([2.0, 13.0, 30.0])

    def curve(z):
        pieces = Pieces(jnp.zeros(1), jnp.exp(z)[None])
        return course(doses, time, system=system, pieces=pieces, paths=Paths.of(doses))

    level = lambda z: curve(z).concentration  # noqa: E731
    forward, backward = jax.jit(lambda z: (jax.jacfwd(level)(z), jax.jacrev(level)(z)))(origin)
    np.testing.assert_allclose(forward, backward, rtol=1e-8, atol=1e-12)
    program, eps = jax.jit(level), 1e-4
    for k in range(origin.shape[0]):
        step = eps * jnp.eye(origin.shape[0])[k]
        difference = (program(origin + step) - program(origin - step)) / (2 * eps)
        np.testing.assert_allclose(forward[:, k], difference, rtol=2e-3, atol=1e-4)


def test_doses_at_steady_state_are_refused_with_a_way_out():
    doses = Doses.of([0.0], 100.0, interval=12.0, steady=1.0)
    with pytest.raises(InputError, match="ADDL"):
        followed("1c-mm-iv", (20, 5, 50), doses, [1.0])


def test_a_course_that_was_not_resolved_says_so():
    coarse = followed("tmdd", TMDD, Doses.of([0.0], 600), [5000.0], steps=1)
    assert float(coarse.error) > float(followed("tmdd", TMDD, Doses.of([0.0], 600), [5.0]).error)


def test_meshes_increase_and_stay_within_the_course():
    corners, end = jnp.array([0.0, 24.0, 12.0, 400.0]), jnp.array(40.0)
    mesh = graded_mesh(corners, end, 50)
    assert (jnp.diff(mesh) >= 0).all()
    assert 0 < mesh[0] < 0.02
    assert mesh[-1] < 40
    error = jnp.where(jnp.abs(mesh - 20) < 2, 1e-3, 1e-12)
    again = equal_mesh(mesh, error, jnp.ones(50), 50)
    assert (jnp.diff(again) >= 0).all()
    near = jnp.sum(jnp.abs(again - 20) < 4)
    assert near > 25 > jnp.sum(jnp.abs(mesh - 20) < 4)
