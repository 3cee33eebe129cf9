"""A user's system is found by its name, and no other equations take its place."""

import jax
import jax.numpy as jnp
import pytest

from latentpk import UserSystem, register_system
from latentpk.errors import InputError
from latentpk.kinetics.systems import is_system, parse_system


def bolus(slope, name="registry"):
    return UserSystem(name, slope, ("ke", "v1"), ("central",), "central")


def first_order(states, p, inputs):
    return [-p["ke"] * states["central"]]


def written_apart(states, p, inputs):
    return [-(p["ke"] * states["central"])]


def faster(states, p, inputs):
    return [-2 * p["ke"] * states["central"]]


def late(states, p, inputs):  # the same but for amounts that no trial point has
    rate = jnp.where(states["central"] > 1e6, 2 * p["ke"], p["ke"])
    return [-rate * states["central"]]


@pytest.mark.long
def test_a_name_gives_the_system_that_gives_its_name_back():
    name = register_system(bolus(first_order))
    assert is_system(name)
    assert str(parse_system(name)) == name == str(parse_system("user:registry"))
    assert parse_system(name) == bolus(first_order).system
    assert hash(parse_system(name)) == hash(bolus(first_order).system)


def test_a_new_version_has_the_name_and_the_old_one_keeps_its_digest():
    old, new = register_system(bolus(first_order)), register_system(bolus(faster))
    assert old != new
    assert str(parse_system("user:registry")) == new
    assert str(parse_system(old)) == old
    assert register_system(bolus(first_order)) == old
    assert str(parse_system("user:registry")) == old


@pytest.mark.long
def test_equations_that_only_look_the_same_are_refused():
    register_system(bolus(first_order, "looks"))
    register_system(bolus(first_order, "looks"))
    with pytest.raises(InputError, match="another name"):
        register_system(bolus(late, "looks"))


@pytest.mark.long
def test_a_cell_that_runs_again_is_the_same_system():
    def cell():
        return lambda states, p, inputs: [-p["ke"] * jax.nn.relu(states["central"])]

    once, again = (bolus(cell(), "cell") for _ in range(2))
    assert once != again
    assert register_system(once) == register_system(again)


def test_what_is_not_registered_is_told_with_the_mend():
    assert is_system("user:nobody")
    with pytest.raises(InputError, match=r"register_system\(UserSystem\('nobody'"):
        parse_system("user:nobody")
    register_system(bolus(first_order))
    with pytest.raises(InputError, match="other equations"):
        parse_system("user:registry@00000000")
