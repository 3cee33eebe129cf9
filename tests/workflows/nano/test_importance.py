import numpy as np
import pytest

from latentpk.inference.ensemble import Rows
from latentpk.models.descriptors import LEVELS, NUMBERS, Properties
from latentpk.workflows.nano.importance import PermutedNull, exchanged, permuted_nulls

ROWS = 60


def made(seed=0, *, per_study=1):
    """Particles of studies that share size and charge, and two targets: log size, and noise."""
    rng = np.random.default_rng(seed)
    study = np.arange(ROWS) // per_study
    number = rng.standard_normal((ROWS, len(NUMBERS)))
    for name in ("HD", "CHARGE", "ZETA", "ZP_SIGNED"):
        number[:, NUMBERS.index(name)] = rng.standard_normal(ROWS)[study]
    code = np.stack([rng.integers(0, 2, ROWS) for _ in LEVELS], axis=1)
    size = number[:, NUMBERS.index("HD")]
    noise = rng.standard_normal(ROWS)[study] + 0.1 * rng.standard_normal(ROWS)
    target = np.stack([2 * size, noise], axis=1)
    return Rows(Properties(number, code), target, ("size", "noise"), study, np.ones(ROWS, bool))


def test_a_property_that_is_the_target_stands_out():
    found = permuted_nulls(made(), ("size", "charge"), permutations=19, seed=0)
    size = found["size"]
    assert size.p[0] == 1 / 20
    assert size.importance[0] > 3 * size.quantile[0] > 0
    assert size.draws.shape == (19, 2)
    assert list(found) == ["size", "charge"]


def test_a_property_without_information_stands_out_no_more_often_than_it_should():
    p = [
        permuted_nulls(made(seed), ("charge",), permutations=19, seed=seed)["charge"].p
        for seed in range(6)
    ]
    assert np.sum(np.array(p) < 0.051) <= 2  # of 12; 0.6 by chance
    assert 0.3 < np.mean(p) < 0.75


def test_a_property_that_only_tells_studies_apart_does_not_count():
    rows = made(seed=3, per_study=5)
    whole = permuted_nulls(rows, ("size",), permutations=19, seed=0)["size"]
    assert whole.p[0] == 1 / 20
    assert whole.p[1] > 0.05
    alone = Rows(rows.known, rows.target, rows.targets, np.arange(ROWS), rows.scored)
    mixed = permuted_nulls(alone, ("size",), permutations=19, seed=0)["size"]
    assert mixed.p[1] == 1 / 20  # among single rows it looks as if it mattered


def test_importance_is_that_of_the_model_itself(nano_fit, nano_rows):
    ensemble = nano_fit[0]
    found = permuted_nulls(nano_rows, ("size",), permutations=1, seed=0)["size"]
    gaps = ensemble.descriptors.encode(nano_rows.known).gaps
    own = ensemble.fitted["xgboost"].contributions(gaps)[:, :, :2].sum(axis=2) * ensemble.scale
    np.testing.assert_allclose(found.importance, np.abs(own).mean(axis=0), rtol=1e-5)


def test_p_counts_permutations_that_reach_the_importance():
    null = PermutedNull(np.array([3.0, 1.0, 0.0]), np.tile([[1.0], [2.0], [3.0]], 3))
    np.testing.assert_allclose(null.p, [2 / 4, 4 / 4, 4 / 4])
    np.testing.assert_allclose(null.quantile, 2.9)


def test_whole_groups_take_the_values_of_one_other():
    groups = np.array([7, 7, 7, 2, 5, 5])
    for seed in range(20):
        source = exchanged(groups, np.random.default_rng(seed))
        for group in np.unique(groups):
            own = source[groups == group]
            assert len(set(groups[own])) == 1
            members = np.flatnonzero(groups == groups[own[0]])
            np.testing.assert_array_equal(own, np.resize(members, len(own)))


@pytest.mark.parametrize("rows", [0, 1, 9])
def test_single_rows_are_permuted(rows):
    source = exchanged(np.arange(rows)[::-1], np.random.default_rng(1))
    assert sorted(source) == list(range(rows))
