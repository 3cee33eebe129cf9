import numpy as np
import pytest
from pydantic import ValidationError

from latentpk.library.catalog import read_model
from latentpk.library.design import Along, Bernoulli, Dosing, LogNormal, Normal, Sampling


def test_draws_keep_to_their_bounds_and_decimals():
    random = np.random.default_rng(0)
    wide = Normal(kind="normal", mean=0, sd=10, low=-5, high=5, decimals=1)
    values = np.array([wide.draw(random) for _ in range(500)])
    assert values.min() >= -5
    assert values.max() <= 5
    assert np.allclose(values, values.round(1))
    assert values.std() > 2


def test_a_log_normal_has_its_median_and_spread():
    random = np.random.default_rng(1)
    spec = LogNormal(kind="lognormal", median=80, sd=0.3, low=1, high=1000, decimals=3)
    logs = np.log([spec.draw(random) for _ in range(4000)])
    assert logs.mean() == pytest.approx(np.log(80), abs=0.02)
    assert logs.std() == pytest.approx(0.3, abs=0.02)


def test_a_median_may_grow_with_another_covariate():
    along = Along(covariate="PMA", reference=40, exponent=2)
    spec = LogNormal(kind="lognormal", median=3, sd=0.1, low=0.5, high=6, along=along)
    assert spec.at({"PMA": 40.0}).median == 3
    assert spec.at({"PMA": 20.0}).median == 0.75
    plain = spec.model_copy(update={"along": None})
    assert plain.at({}) is plain


def test_a_distribution_that_never_fits_its_bounds_ends_at_one():
    spec = Normal(kind="normal", mean=100, sd=0.001, low=0, high=1)
    assert spec.draw(np.random.default_rng(0)) == 1


def test_a_bernoulli_draws_codes():
    random = np.random.default_rng(2)
    values = [Bernoulli(kind="bernoulli", probability=0.2).draw(random) for _ in range(2000)]
    assert set(values) == {0.0, 1.0}
    assert np.mean(values) == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize(
    "changes",
    [
        {"intervals": [{"at_least": 0, "hours": 24}, {"at_least": 50, "hours": 12}]},
        {"low": 3000},
        {"days": (8, 5)},
        {"amounts": []},
        {"round_to": 0},
    ],
)
def test_a_dosing_rule_that_cannot_be_followed_is_refused(changes):
    rule = read_model("vancomycin-goti-2018").design.dosing.model_dump()
    with pytest.raises(ValidationError):
        Dosing.model_validate(rule | changes)


@pytest.mark.parametrize("changes", [{"first": (0.5, 0.4)}, {"trough": 0.9, "peak": 0.2}])
def test_a_sampling_rule_whose_shares_do_not_add_up_is_refused(changes):
    rule = read_model("vancomycin-goti-2018").design.sampling.model_dump()
    with pytest.raises(ValidationError):
        Sampling.model_validate(rule | changes)
