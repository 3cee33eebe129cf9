"""Events of a nonlinear course: their order, and what each one does."""

import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.events import Setting, planned
from latentpk.kinetics.piecewise import Pieces
from latentpk.kinetics.systems import parse_system


def plan_of(name, parameters, doses, time, order=np.inf):
    system, pieces = parse_system(name), Pieces(jnp.zeros(1), jnp.array([parameters], float))
    time = jnp.asarray(time)
    latest = jnp.broadcast_to(jnp.asarray(order, float), time.shape)
    return planned(doses, time, latest, Setting(system, pieces, Paths.of(doses), None, False))


def test_events_come_in_the_order_of_time_and_of_the_record():
    """A bolus, an infusion from 12 to 13 h, a query on either side of its record, one at 20 h."""
    doses = Doses.of([0.0, 12.0], 100.0, duration=[0.0, 1.0])
    plan = plan_of("1c-mm-iv", (20, 5, 50), doses, [12.0, 20.0, 12.0], [1.5, 9.0, 0.5])
    entry, end, nothing = (0, 1), (2, 3), 4
    assert plan.nothing == nothing
    np.testing.assert_array_equal(plan.time, [0, 0, 12, 12, 12, 13, 20])
    np.testing.assert_array_equal(
        plan.row, [end[0], entry[0], nothing, entry[1], nothing, end[1], nothing]
    )
    np.testing.assert_array_equal(plan.place, [4, 6, 2])
    np.testing.assert_array_equal(plan.change.gain[:, 0], [100, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(plan.change.flow[:, 0], [0, 100, 0, -100, 0, 0])


def test_a_dose_that_reaches_two_sites_is_two_events():
    doses = Doses.of([3.0], 100.0, depot=1.0)
    plan = plan_of("dual-absorption", (8, 25, 0.35, 2.5, 0.6, 3), doses, [24.0])
    gain = np.asarray(plan.change.gain)
    assert sorted(gain.sum(axis=1)) == pytest.approx([0, 0, 35, 65])
    np.testing.assert_array_equal(plan.time, [3, 6, 24])  # the second site's lag is 3 h


def test_an_infusion_ends_where_a_reset_empties_the_body():
    doses = Doses.of([0.0], 100.0, duration=10.0, until=4.0)
    plan = plan_of("1c-mm-iv", (20, 5, 50), doses, [24.0])
    np.testing.assert_array_equal(plan.time, [0, 4, 4, 24])
    np.testing.assert_array_equal(plan.row, [0, 1, plan.nothing + 1, plan.nothing])
    np.testing.assert_array_equal(plan.change.flow[:, 0], [10, -10, 0, 0])
