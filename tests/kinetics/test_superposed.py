"""Closed forms of bodies named by equations: reference table, chains, quadrature."""

import csv
import itertools
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import gamma

from latentpk.errors import InputError
from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.ode import course
from latentpk.kinetics.piecewise import Pieces
from latentpk.kinetics.structure import Structure
from latentpk.kinetics.superposed import (
    superposed_area,
    superposed_concentration,
    superposed_half_life,
)
from latentpk.kinetics.superposition import concentration
from latentpk.kinetics.systems import parse_system

TABLE = Path(__file__).parents[1] / "reference" / "nonlinear.csv"
oral = partial(Doses.of, depot=1.0)
PLAIN = Paths.of(oral([0.0], 100.0))
REFERENCE = {
    9: ("1c-transit-ka-f", (5, 40, 1.8, 5.7, 1.1, 9.0), oral([0.0], 100)),  # F = 0.9
    10: ("dual-absorption", (8, 25, 0.35, 2.5, 0.6, 3), oral([0.0, 12], 200)),
}
TIME = np.array([0.1, 0.5, 1, 2, 3, 4, 6, 9, 12, 12.4, 13, 15, 20, 30, 30.5, 35, 50, 80])


def levels(name, parameters, doses, time):
    system = parse_system(name)

    paths = Paths.of(doses)

    @jax.jit
    def value(p, time):
        late = jnp.full_like(time, jnp.inf)
        model = {"system": system, "p": system.named(p), "paths": paths}
        return superposed_concentration(doses, time, late, **model)

    return np.asarray(value(jnp.asarray(parameters, float), jnp.asarray(time)))


def area(name, parameters, doses, start, end):
    system, p = parse_system(name), jnp.asarray(parameters, float)
    model = {"system": system, "p": system.named(p), "paths": Paths.of(doses)}
    return float(superposed_area(doses, (jnp.array(start), jnp.array(end)), **model))


@pytest.mark.parametrize("number", REFERENCE)
def test_closed_forms_agree_with_the_reference_table(number):
    name, parameters, doses = REFERENCE[number]
    with TABLE.open() as file:
        rows = [row for row in csv.DictReader(file) if row["SCENARIO"] == str(number)]
    time, value = (np.array([float(row[key]) for row in rows]) for key in ("TIME", "VALUE"))
    found = levels(name, parameters, doses, time)
    np.testing.assert_allclose(found, value, rtol=3e-6, atol=1e-9)


@pytest.mark.parametrize("count", [1, 9])
def test_a_whole_number_of_transits_is_the_chain(count):
    """Tablets, one of them cancelled, one that releases slowly, and a short infusion."""
    doses = Doses.of(
        [0.0, 12.0, 25.0, 30.0],
        [100.0, 100.0, 70.0, 50.0],
        depot=[1.0, 1.0, 1.0, 0.0],
        duration=[0.0, 0.0, 3.0, 1.0],
        until=[np.inf, 20.0, np.inf, np.inf],
    )
    # the chain has one depot, which a reset empties whole: it stands for the other doses alone
    kept = jax.tree.map(lambda x: x[np.array([0, 2, 3])], doses._replace(state=None, own=None))
    cancelled = jax.tree.map(lambda x: x[1:2], doses._replace(state=None, own=None))
    cl, v1, ktr = 5.0, 40.0, 2.0
    pieces = Pieces(jnp.zeros(1), jnp.array([[cl, v1, ktr]]))
    chain = {"system": parse_system(f"transit{count}"), "pieces": pieces, "steps": 200}

    free = cancelled._replace(until=jnp.array([jnp.inf]))
    paths = [Paths.of(each) for each in (kept, free)]

    @jax.jit
    def followed(time):
        rest = course(kept, time, paths=paths[0], area=True, **chain)
        return rest, course(free, time, paths=paths[1], area=True, **chain)

    rest, one = followed(jnp.asarray(TIME))
    stopped = TIME >= 20  # a query is after what happens at its time
    value = np.asarray(rest.concentration) + np.where(stopped, 0, one.concentration)
    name, own = "1c-transit", (cl, v1, (count + 1) / ktr, count)
    np.testing.assert_allclose(levels(name, own, doses, TIME), value, rtol=1e-5, atol=1e-9)
    at = int(np.searchsorted(TIME, 15.0))
    truth = float(rest.area[at] + one.area[at])
    assert area(name, own, doses, 0.0, 15.0) == pytest.approx(truth, rel=1e-6)


@pytest.mark.parametrize("name", ["2c-transit", "2c-transit-ka"])
@pytest.mark.parametrize(("mtt", "n"), [(0.7, 0.05), (3.0, 2.6), (8.0, 33.0)])
def test_two_compartments_agree_with_quadrature(name, mtt, n):
    body = (4.0, 20.0, 6.0, 50.0)
    ka = (0.8,) if name.endswith("ka") else ()
    disposition = "2c-oral" if ka else "2c-iv"
    response = Structure.parse(disposition).response(jnp.array([*body, *ka]))
    dose = Doses.of([0.0], 100.0, depot=float(bool(ka)))
    plain = {"response": response, "paths": Paths.of(dose)}
    own = jax.jit(lambda t: concentration(dose, t[None], **plain)[0])
    density = gamma(n + 1, scale=mtt / (n + 1)).pdf
    for time in (0.3, 2.0, 7.0, 30.0):
        edges = sorted({0.0, *(min(mtt * x, time) for x in (0.1, 0.4, 0.7, 1, 1.3, 2, 4)), time})
        truth = sum(
            quad(lambda s, t=time: density(s) * float(own(jnp.array(t - s))), *ends, epsabs=1e-13)[
                0
            ]
            for ends in itertools.pairwise(edges)
        )
        found = levels(name, (*body, mtt, n, *ka), oral([0.0], 100.0), [time])[0]
        assert found == pytest.approx(truth, rel=2e-5, abs=1e-10)


def test_many_doses_are_the_sum_of_each():
    """Eleven and twelve, which are no multiple and a multiple of those taken together."""
    p = (5.0, 40.0, 3.0, 5.7)
    for count in (11, 12):
        every = 12.0 * np.arange(count)
        truth = sum(levels("1c-transit", p, oral([time], 100.0), TIME) for time in every)
        found = levels("1c-transit", p, oral(every, 100.0), TIME)
        np.testing.assert_allclose(found, truth, rtol=1e-12)


def test_no_transit_compartment_is_first_order_absorption():
    doses = oral([0.0, 12.0], 100.0)
    first = Structure.parse("1c-oral").response(jnp.array([5.0, 40.0, 0.8]))
    truth = concentration(doses, jnp.asarray(TIME), response=first, paths=Paths.of(doses))
    found = levels("1c-transit", (5.0, 40.0, 1 / 0.8, 1e-9), doses, TIME)
    np.testing.assert_allclose(found, truth, rtol=2e-5)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("1c-transit", (5.0, 40.0, 3.0, 5.7)),
        ("2c-transit-ka-f", (5.0, 40.0, 3.0, 30.0, 3.0, 0.4, 0.7, 4.0)),
        ("dual-absorption", (8.0, 25.0, 0.35, 2.5, 0.6, 3.0)),
    ],
)
def test_the_area_is_that_of_the_curve_and_of_what_is_cleared(name, parameters):
    doses = oral([1.0, 12.0], [100.0, 60.0])
    time = np.linspace(0, 40, 8001)
    value = levels(name, parameters, doses, time)
    truth = np.trapezoid(value, time)
    assert area(name, parameters, doses, 0.0, 40.0) == pytest.approx(truth, rel=1e-5)
    share = 0.8 if name.endswith("-f") else 1.0
    whole = area(name, parameters, doses, 0.0, 1e5)
    assert whole == pytest.approx(share * 160 / parameters[0], rel=1e-6)


def test_levels_are_never_negative_and_slopes_never_missing():
    """From no transit to thousands of compartments, from a second to a year."""
    system, doses = parse_system("1c-transit"), oral([0.0, 12.0], 100.0)
    time = jnp.array([0.0, 1e-9, 0.5, 12.0, 12.0 + 1e-9, 40.0, 1e3])
    late = jnp.full_like(time, jnp.inf)

    def value(p):
        model = {"system": system, "p": system.named(p), "paths": PLAIN}
        return superposed_concentration(doses, time, late, **model)

    grid = itertools.product((1e-4, 0.5, 20.0, 1e4), (1e-3, 0.4, 7.0, 150.0, 3e3))
    p = jnp.array([(5.0, 40.0, *one) for one in grid])
    found = np.asarray(jax.jit(jax.vmap(value))(p))
    assert (found >= 0).all()
    assert np.isfinite(found).all()
    for slope in (jax.jacfwd(value), jax.jacrev(value), jax.hessian(lambda p: jnp.sum(value(p)))):
        assert np.isfinite(np.asarray(jax.jit(jax.vmap(slope))(p))).all()


def test_slopes_are_those_of_finite_differences():
    doses, p = oral([0.0, 12.0], 100.0), jnp.array([5.0, 40.0, 3.0, 5.7])
    system, late = parse_system("1c-transit"), jnp.full(TIME.shape, jnp.inf)

    @jax.jit
    def value(p):
        model = {"system": system, "p": system.named(p), "paths": PLAIN}
        return superposed_concentration(doses, jnp.asarray(TIME), late, **model)

    found = jax.jacrev(value)(p)
    for place in range(4):
        step = 1e-5 * p[place] * jnp.eye(4)[place]
        truth = (value(p + step) - value(p - step)) / (2 * step[place])
        np.testing.assert_allclose(found[:, place], truth, rtol=1e-5, atol=1e-8)


def test_a_steady_state_is_refused_behind_transit_compartments_and_exact_with_two_sites():
    standing = oral([0.0], 100.0, interval=12.0, steady=1.0)
    with pytest.raises(InputError, match="ADDL"):
        levels("1c-transit", (5, 40, 3, 5), standing, TIME)
    written = oral(12.0 * np.arange(-40, 1), 100.0)
    p = (8.0, 25.0, 0.35, 2.5, 0.6, 3.0)
    found = levels("dual-absorption", p, standing, TIME)
    np.testing.assert_allclose(found, levels("dual-absorption", p, written, TIME), rtol=1e-9)


def test_the_half_life_is_that_of_what_is_slowest():
    def half_life(name, *p):
        system = parse_system(name)
        return superposed_half_life(system, system.named(jnp.array(p)))

    assert half_life("1c-transit", 5.0, 50.0, 2.0, 5.7) == pytest.approx(np.log(2) * 10)
    assert half_life("1c-transit", 50.0, 5.0, 20.0, 1.0) == pytest.approx(np.log(2) * 10)
    assert half_life("1c-transit-ka", 50.0, 5.0, 1.0, 1.0, 0.02) == pytest.approx(np.log(2) / 0.02)
