import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk import precision
from latentpk.inference.tumor_bank import fill_bank
from latentpk.inference.tumor_training import TumorSettings, _course, _Own, _train_one, train_tumor
from latentpk.models.descriptors import properties
from latentpk.models.multiview import NetworkConfig
from latentpk.workflows.nano.table import physiology, read_library

pytestmark = pytest.mark.long  # what all of them share takes half a minute

SETTINGS = TumorSettings(folds=3, width=4, steps=20, decays=(0.03,))


@pytest.fixture(scope="module")
def case(nano_table, nano_courses, nano_studies, few_points):
    library = read_library(nano_table, timecourse=nano_courses, studies=nano_studies)
    bank = fill_bank(library.courses, physiology(library.particles), seed=0)
    return properties(library.particles), bank, library.studies.groups


@pytest.fixture(scope="module")
def trained(case):
    return train_tumor(*case, SETTINGS, seed=0)


@pytest.mark.long
def test_held_out_courses_choose_what_was_measured(trained):
    told = trained.told
    assert told.assay == max(told.assays, key=lambda one: told.assays[one])
    assert told.decay == 0.03


@pytest.mark.long
def test_the_error_is_found(case):
    found = train_tumor(*case, TumorSettings(folds=3, width=4, steps=150, decays=(1.0,)), seed=0)
    assert 0.15 < found.model.sigma < 0.6  # 0.3 in truth; few points blur it


@pytest.mark.long
def test_same_seed_same_bits(case, trained):
    again = train_tumor(*case, SETTINGS, seed=0)
    np.testing.assert_array_equal(again.model.weights, trained.model.weights)
    other = train_tumor(*case, SETTINGS, seed=1)
    assert not np.array_equal(other.model.weights, trained.model.weights)


def test_a_row_is_placed_by_members_that_did_not_see_it(case, trained):
    known = case[0]
    everywhere, unseen = trained.model.location(known), trained.unseen_location(known)
    for row in (0, 7, 30):
        members = np.flatnonzero(trained.member == trained.fold[row])
        np.testing.assert_allclose(unseen[row], everywhere[members, row].mean(axis=0))


def test_groups_are_never_on_both_sides(case, trained):
    for group in np.unique(case[2]):
        assert len(set(trained.fold[case[2] == group])) == 1


def test_a_row_that_a_member_left_out_does_not_change_it(case, trained):
    known, bank, groups = case
    row = int(np.flatnonzero(trained.fold == 0)[0])
    changed = bank._replace(log_seen=bank.log_seen.copy())
    changed.log_seen[row] += 3.0
    again = train_tumor(known, changed, groups, SETTINGS, seed=0)
    own = trained.member == 0
    np.testing.assert_array_equal(again.model.typical[own], trained.model.typical[own])
    assert not np.array_equal(again.model.typical[~own], trained.model.typical[~own])


def test_training_is_single_precision(case):
    bank = case[1]
    config = NetworkConfig(views=((0, 1), (0,)), targets=6, width=4)
    rows = len(bank.z)
    views = (jnp.zeros((rows, 2), jnp.float32), jnp.zeros((rows, 1), jnp.float32))
    ones = jnp.ones(rows, jnp.float32)
    own = _Own(jax.random.key(0), views, ones, ones)
    course = precision.single(_course(bank, "tissue"))
    program = jax.make_jaxpr(lambda o, c, d: _train_one(config, SETTINGS, 10, o, c, d))
    found = program(own, course, jnp.float32(0.1))
    scans = [one for one in found.jaxpr.eqns if one.primitive.name == "scan"]
    assert len(scans) == 1
    steps = str(scans[0].params["jaxpr"])
    assert "f32[" in steps
    # the rate and Adam's correction of its first steps are single numbers, in any precision
    assert re.search(r"f64\[\d", steps) is None
