"""A user's equations against closed forms, built-in systems and the reference table."""

import csv
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import gammaln

from latentpk.errors import InputError
from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.ode import BELOW, course
from latentpk.kinetics.piecewise import Pieces, piecewise_concentration
from latentpk.kinetics.structure import Structure
from latentpk.kinetics.systems import parse_system
from latentpk.kinetics.user import DoseInto, UserSystem

TABLE = Path(__file__).parents[1] / "reference" / "nonlinear.csv"
TIME = np.array([-1.0, 0.0, 0.5, 1.0, 6.0, 12.0, 12.4, 13.0, 20.0, 30.0])
oral = partial(Doses.of, depot=1.0)


def first_order(states, p, inputs):
    absorbed = p["ka"] * states["depot"]
    return {"depot": -absorbed, "central": absorbed - p["cl"] / p["v1"] * states["central"]}


def saturable(states, p, inputs):
    level = jnp.maximum(states["central"], 0.0) / p["v1"]
    absorbed = p["ka"] * states["depot"]
    return [-p["vmax"] * level / (p["km"] + level) + absorbed, -absorbed]


def constant(states, p, inputs):
    """Leaves at one pace, whether there is something or not."""
    return {"central": -p["k0"] * jnp.ones_like(states["central"])}


def followed(system, parameters, doses, time, **options):
    pieces = Pieces(jnp.zeros(1), jnp.array([parameters], float))
    settings = {"system": system, "paths": Paths.of(doses), **options}
    return jax.jit(lambda p, t: course(doses, t, pieces=p, **settings))(pieces, jnp.asarray(time))


@pytest.mark.long
def test_a_linear_one_is_the_closed_form():
    into = DoseInto("depot", bioavailability="f", lag="alag")
    mine = UserSystem(
        "oral", first_order, ("cl", "v1", "ka", "alag", "f"), ("depot", "central"), into
    )
    doses = Doses.of(
        [0.0, 3.0, 12.0, 0.0],  # oral, bolus, infused, padding
        [100.0, 50.0, 80.0, 0.0],
        depot=[1.0, 0.0, 0.0, 0.0],
        duration=[0.0, 0.0, 2.0, 0.0],
        until=[np.inf, np.inf, np.inf, 0.0],
    )
    values = (5.0, 50.0, 0.9, 0.7, 0.6)
    truth = piecewise_concentration(
        doses,
        jnp.array(TIME),
        structure=Structure.parse("1c-oral-lag-f"),
        change=jnp.zeros(1),
        parameters=jnp.array([values]),
    )
    found = followed(mine.system, values, doses, TIME)
    np.testing.assert_allclose(found.concentration, truth, rtol=1e-5, atol=1e-9)


@pytest.mark.long
def test_a_saturable_one_is_the_built_in():
    names = ("vmax", "km", "v1", "ka")
    mine = UserSystem("mm", saturable, names, ("central", "depot"), "depot")
    values, doses = (20, 5, 50, 0.8), oral([0.0, 8, 16, 24], [300, 300, 300, 600])
    found = followed(mine.system, values, doses, TIME)
    built_in = followed(parse_system("1c-mm-oral"), values, doses, TIME)
    np.testing.assert_allclose(found.concentration, built_in.concentration, rtol=1e-12)


def savic(states, p, inputs):
    """Transit absorption of any number of compartments: the whole dose stays in `given`."""
    since = jnp.maximum(inputs.since, 1e-9)
    passed = p["n"] * jnp.log(p["ktr"] * since) - p["ktr"] * since - gammaln(p["n"] + 1)
    absorbed = p["ka"] * states["gut"]
    return {
        "given": jnp.zeros_like(since),
        "gut": states["given"] * p["ktr"] * jnp.exp(passed) - absorbed,
        "central": absorbed - p["cl"] / p["v1"] * states["central"],
    }


@pytest.mark.long
@pytest.mark.parametrize(("steps", "tolerance"), [(16, 3e-5), (200, 1e-6)])
def test_a_transit_input_agrees_with_the_reference_table(steps, tolerance):
    typical = {"cl": 5, "v1": 40, "ka": 1.1, "n": 5.7, "ktr": 6.7 / 1.8, "f": 0.9}
    mine = UserSystem(
        "savic",
        savic,
        tuple(typical),
        ("given", "gut", "central"),
        DoseInto("given", bioavailability="f"),
        typical=typical,
    )
    with TABLE.open() as file:
        rows = [row for row in csv.DictReader(file) if row["SCENARIO"] == "9"]
    time = np.array([float(row["TIME"]) for row in rows])
    found = followed(mine.system, tuple(typical.values()), oral([0.0], 100.0), time, steps=steps)
    truth = [float(row["VALUE"]) for row in rows]
    np.testing.assert_allclose(found.concentration, truth, rtol=tolerance, atol=tolerance * 1e-3)


def target(states, p, inputs):
    drug, bound = states["central"], states["bound"]
    binding = p["kon"] * drug * states["target"] / p["v1"] - p["koff"] * bound
    return {
        "central": -p["cl"] / p["v1"] * drug - binding,
        "target": p["ksyn"] * p["v1"] - p["kdeg"] * states["target"] - binding,
        "bound": binding - p["kint"] * bound,
    }


@pytest.mark.long
def test_states_may_begin_above_0_and_begin_there_again_after_a_reset():
    names = ("cl", "v1", "kon", "koff", "ksyn", "kdeg", "kint")
    mine = UserSystem(
        "target",
        target,
        names,
        ("central", "target", "bound"),
        "central",
        start=lambda p: {"target": p["v1"] * p["ksyn"] / p["kdeg"]},
    )
    values, doses = (0.2, 3, 0.8, 0.4, 1, 0.5, 0.1), Doses.of([0.0], 30.0, until=10.0)
    found = followed(mine.system, values, doses, [5.0, 11.0])
    whole = (0.2, 3, 1e-9, 3, 0.25, 0.6, 0.8, 0.4, 1, 0.5, 0.1)  # nothing goes to the periphery
    built_in = followed(parse_system("tmdd"), whole, doses, [5.0, 11.0])
    np.testing.assert_allclose(found.concentration[0], built_in.concentration[0], rtol=1e-6)
    np.testing.assert_allclose(found.state[1], [0, 6, 0], atol=1e-9)
    assert not mine.system.oral


@pytest.mark.long
def test_what_had_to_be_added_to_hold_a_state_at_0_is_told():
    """100 mg leave at 5 mg/h: nothing is left at 20 h, and by 30 h as much as half was made up."""
    slow = {"k0": 1e-3, "v1": 1.0}  # too slow for the trial courses to find out
    mine = UserSystem("constant", constant, tuple(slow), ("central",), "central", typical=slow)
    found = followed(mine.system, (5.0, 50.0), Doses.of([0.0], 100.0), [30.0])
    assert float(found.below[0]) == pytest.approx(0.5, rel=0.02)
    assert float(found.below_at[0]) == pytest.approx(20.0, abs=0.5)
    sound = followed(mine.system, (5.0, 50.0), Doses.of([0.0], 100.0), [19.0])
    assert float(sound.below[0]) < BELOW
    assert np.isinf(sound.below_at[0])


def of(slope, **changed):
    """A one-compartment oral model with this slope and these changes."""
    parts = {
        "name": "tried",
        "parameters": ("cl", "v1", "ka"),
        "states": ("depot", "central"),
        "doses_into": "depot",
    }
    return UserSystem(slope=slope, **(parts | changed))


def wrong(central, depot=lambda y, p: -p["ka"] * y["depot"]):
    """A slope whose central rate is this function of (states, parameters)."""

    def slope(states, p, inputs):
        return {"depot": depot(states, p), "central": central(states, p) - p["cl"] / p["v1"]}

    return slope


EQUATIONS = {
    "nan": (lambda y, p: y["central"] / y["central"], "nan at depot=0, central=0, cl=1"),
    "inf": (lambda y, p: 1 / y["depot"], "slope of central is inf"),
    "no slope at 0": (lambda y, p: -jnp.sqrt(y["central"]), "derivative of slope"),
    "vector": (lambda y, p: jnp.ones(2) * y["central"], r"shape \(2,\)"),
    "complex": (lambda y, p: 1j * y["central"], "complex"),
    "parameter": (lambda y, p: p["kb"] * y["depot"], "parameter 'kb'"),
    "state": (lambda y, p: p["ka"] * y["gut"], "state 'gut'"),
    "python": (lambda y, p: float(y["depot"]), "slope raised .*jax.numpy"),
    "falls": (lambda y, p: -p["v1"], "'central' falls below 0 at .* h of a course of"),
}


@pytest.mark.long
@pytest.mark.parametrize("case", EQUATIONS)
def test_equations_that_cannot_be_followed_are_refused(case):
    central, said = EQUATIONS[case]
    with pytest.raises(InputError, match=said):
        of(wrong(central))


def test_a_state_that_falls_below_0_is_named_with_its_time():
    """100 mg by mouth that leave at 10 mg/h at most: the message's time is near the truth."""
    with pytest.raises(InputError) as caught:
        UserSystem("constant", constant, ("k0", "v1"), ("central",), "central")
    (problem,) = caught.value.problems
    assert "state 'central' falls below 0" in problem.found
    assert 0 < float(problem.found.partition(" at ")[2].split(" h")[0]) < 72


FORMS = {
    "too few": (lambda y, p, i: [y["depot"]], {}, "1 numbers for 2 states"),
    "one array": (lambda y, p, i: jnp.ones(3), {}, r"shape \(3,\)"),
    "missing": (lambda y, p, i: {"depot": -p["ka"] * y["depot"]}, {}, "none of central"),
    "never read": (first_order, {"parameters": ("cl", "v1", "ka", "q2")}, "'q2' is never read"),
    "twice": (first_order, {"parameters": ("cl", "v1", "ka", "ka")}, "'ka' 2 times"),
    "two things": (first_order, {"states": ("depot", "ka")}, "ka is a parameter and a state"),
    "alias": (first_order, {"parameters": ("cl", "v", "ka")}, "Call it v1"),
    "reserved": (first_order, {"parameters": ("cl", "v1", "ka", "om_x")}, "om_"),
    "name": (first_order, {"name": "a b"}, "name 'a b'"),
    "entry": (first_order, {"doses_into": "gut"}, "doses_into names 'gut'"),
    "share": (first_order, {"doses_into": DoseInto("depot", "f")}, "bioavailability of depot"),
    "no volume": (first_order, {"parameters": ("cl", "vol", "ka")}, "concentration=lambda"),
    "typical": (first_order, {"typical": {"cl": 1.0, "v1": -1.0}}, "(?s)ka.*-1.0 of v1"),
    "level": (first_order, {"concentration": lambda y, p: y["central"] - 1}, "concentration is -1"),
    "start": (first_order, {"start": lambda p: {"x": p["cl"]}}, "start gives state 'x'"),
}


@pytest.mark.parametrize("case", FORMS)
def test_a_form_that_is_none_is_refused(case):
    slope, changed, said = FORMS[case]
    with pytest.raises(InputError, match=said):
        of(slope, **changed)


def test_every_problem_is_told_at_once():
    with pytest.raises(InputError) as caught:
        of(first_order, name="a b", parameters=("cl", "V", "ka", "ka"), doses_into="gut")
    found = " ".join(problem.found for problem in caught.value.problems)
    assert all(part in found for part in ("a b", "'V'", "2 times", "gut", "concentration"))
