import json

import numpy as np
import pytest
from benchmarks.forecast_oracle import cohorts
from benchmarks.unseen_regimens import superposed
from benchmarks.unseen_regimens.drugs import DRUGS, asked
from benchmarks.unseen_regimens.run import FOLDER, TOLERANCE, distance, scales

from latentpk.models.beyond import SCALES, Scale


@pytest.mark.parametrize(("drug", "least", "most"), [("linear", 0.0, 0.03), ("saturable", 0.3, 2)])
def test_superposition_errs_where_doses_do_not_add_up(drug, least, most):
    truth = DRUGS[drug]
    patients = [cohorts.unseen(one, 3, seed=4) for one in (truth, asked(truth, "twice"))]
    error = superposed.errors(*patients)
    assert least <= np.sqrt(np.nanmean(error**2)) <= most


def test_a_scale_is_what_the_squared_error_gains_by_each_unit_of_distance():
    far = np.log(2) - TOLERANCE
    assert distance("twice") == {"amount": pytest.approx(far), "interval": 0.0, "length": 0.0}
    assert not any(distance("known").values())
    error = {"known": 0.1, "twice": 0.1 + 0.25 * far, "every 12 h": 0.1 + 0.09 * far}
    error["longer"] = 0.05  # nothing gained: no less than nothing
    (found,) = scales([{"decoder": "superposed", "mean square": error}]).values()
    assert found == {"amount": 0.5, "interval": 0.3, "length": 0.0}


def test_the_package_has_the_scales_that_were_measured():
    measured = json.loads((FOLDER / "results.json").read_text())["scales"]["superposed"]
    amount, interval, length = (round(measured[kind], 2) for kind in Scale._fields)
    assert SCALES["kernel"] == pytest.approx((amount, interval, length), abs=0.006)
    for decoder in ("hybrid", "neural_ode"):
        assert SCALES[decoder] == pytest.approx((amount, amount, length), abs=0.006)
