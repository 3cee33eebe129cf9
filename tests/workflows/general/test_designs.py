"""Random designs can be carried out."""

import numpy as np
import pytest

from latentpk.workflows.general.designs import (
    INTERVALS,
    MOST_DOSES,
    MOST_LEVELS,
    draw_plan,
    draw_schedule,
)
from latentpk.workflows.general.drugs import draw_drug


@pytest.mark.parametrize("seed", range(40))
def test_doses_and_levels_are_in_order_and_in_bounds(seed):
    rng = np.random.default_rng(seed)
    drug = draw_drug(rng)
    plan = draw_plan(drug, rng)
    assert plan.interval in INTERVALS
    assert (plan.duration > 0) <= (drug.route == "iv")
    for _ in range(5):
        one = draw_schedule(drug, plan, rng, times=seed)
        assert 1 <= len(one.given) == len(one.amount) <= MOST_DOSES
        assert 1 <= len(one.drawn) <= MOST_LEVELS
        assert (np.diff(one.drawn) > 0).all()
        assert one.drawn[0] > 0
        assert one.drawn[-1] <= 1.2 * (one.given[-1] + plan.span)
        assert (one.amount > 0).all()


def test_a_protocol_measures_everyone_at_nearly_the_same_times():
    rng = np.random.default_rng(0)
    drug = draw_drug(rng, "oral")
    plan = next(p for p in (draw_plan(drug, rng) for _ in range(200)) if p.protocol)
    one, two = (draw_schedule(drug, plan, rng, times=3).drawn for _ in range(2))
    count = min(len(one), len(two))
    shared = [np.abs(np.log(one / t)).min() for t in two]
    assert np.median(shared[:count]) < 0.1
