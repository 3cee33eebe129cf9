"""Synthetic particles between rare ones and their neighbours."""

import numpy as np
import pytest

from latentpk.inference.smote import SmoteSettings, oversample
from latentpk.models.descriptors import LEVELS, NUMBERS, Properties
from latentpk.models.domain import apart, spread

CHARGE = NUMBERS.index("CHARGE")


@pytest.fixture
def rows():
    rng = np.random.default_rng(2)
    number = rng.normal(size=(20, len(NUMBERS)))
    number[:, CHARGE] = rng.integers(-1, 2, 20)
    code = np.stack([rng.integers(-1, len(levels), 20) for levels in LEVELS.values()], axis=1)
    return Properties(number, code), rng.normal(size=(20, 3))


def parents_of(new, target, known, truth):
    """Every pair of rows and the share between them that a new row's numbers and targets give."""
    for start in range(len(known)):
        for other in range(len(known)):
            if start == other:
                continue
            step = truth[other] - truth[start]
            share = (target - truth[start]) @ step / (step @ step)
            between = np.delete(
                known.number[start] + share * (known.number[other] - known.number[start]), CHARGE
            )
            close = np.allclose(target, truth[start] + share * step, atol=1e-10)
            if close and np.allclose(np.delete(new, CHARGE), between, atol=1e-10, equal_nan=True):
                yield start, other, share


def test_every_new_row_lies_between_two_rows_and_is_of_their_categories(rows):
    known, truth = rows
    settings = SmoteSettings(added=1.0, neighbours=3)
    new, target = oversample(known, truth, settings, seed=5)
    assert len(new) == len(target) == 20
    near = apart(known, known, spread(known))
    for number, code, own in zip(new.number, new.code, target, strict=True):
        found = [one for one in parents_of(number, own, known, truth) if one[2] < 0.5]
        (start, other, share) = found[0]
        assert 0 <= share <= 1
        np.testing.assert_array_equal(code, known.code[start])  # of the nearer end
        assert number[CHARGE] == known.number[start, CHARGE]
        rank = (np.argsort(near[start]).tolist().index(other), np.argsort(near[other]).tolist())
        assert min(rank[0], rank[1].index(start)) <= 3  # a near neighbour (itself is the first)


def test_rare_rows_alone_get_company(rows):
    known, truth = rows
    truth[13] = 50.0
    new, target = oversample(known, truth, SmoteSettings(added=0.5, rare=0.05), seed=1)
    assert len(new) == 10
    for number, own in zip(new.number, target, strict=True):
        assert all(13 in one[:2] for one in parents_of(number, own, known, truth))


def test_what_either_end_lacks_is_missing(rows):
    known, truth = rows
    known.number[:10, 0] = np.nan
    new, _ = oversample(known, truth, SmoteSettings(added=2.0), seed=0)
    missing = np.isnan(new.number)
    assert 0.3 < missing[:, 0].mean() < 1.0
    assert not missing[:, 1:].any()


def test_the_seed_decides_and_the_rows_stay(rows):
    known, truth = rows
    before = known.number.copy(), known.code.copy(), truth.copy()
    one, again, other = (oversample(known, truth, SmoteSettings(), seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one[0].number, again[0].number)
    np.testing.assert_array_equal(one[1], again[1])
    assert (one[1] != other[1]).any()
    for value, kept in zip((known.number, known.code, truth), before, strict=True):
        np.testing.assert_array_equal(value, kept)


@pytest.mark.parametrize("added", [0.0, 0.01])
def test_nothing_may_be_added(rows, added):
    new, target = oversample(*rows, SmoteSettings(added=added), seed=0)
    assert (len(new), target.shape) == (0, (0, 3))


def test_two_rows_are_too_few(rows):
    known, truth = rows
    two = np.arange(2)
    assert len(oversample(known.take(two), truth[two], SmoteSettings(), seed=0)[0]) == 0


def test_targets_that_do_not_vary_are_no_trouble(rows):
    new, target = oversample(rows[0], np.ones((20, 2)), SmoteSettings(), seed=0)
    assert len(new) == 10
    np.testing.assert_array_equal(target, 1.0)
