"""Where a model has seen particles, and what is said of those beyond."""

import numpy as np
import pytest

from latentpk.models.descriptors import LEVELS, NUMBERS, Properties
from latentpk.models.domain import WIDEST, Domain, apart, fit_domain, spread

HD, ZETA, TSZ, TW = (NUMBERS.index(name) for name in ("HD", "ZETA", "TSZ", "TW"))


@pytest.fixture(scope="module")
def known(nano_rows):
    return nano_rows.known.take(np.arange(48))


@pytest.fixture(scope="module")
def domain(known):
    return fit_domain(known, np.arange(48) // 4)


@pytest.fixture
def changed(known):
    """One usual particle with some numbers changed."""

    def _changed(**numbers):
        middle = np.nanmedian(known.number, axis=0)
        row = int(np.nanargmin(np.nansum(((known.number - middle) / spread(known)) ** 2, axis=1)))
        number = known.number[row : row + 1].copy()
        for name, value in numbers.items():
            number[0, NUMBERS.index(name)] = value
        return Properties(number, known.code[row : row + 1].copy())

    return _changed


def test_distance_is_the_mean_over_what_both_state():
    levels = len(LEVELS)
    one = np.full((1, len(NUMBERS)), np.nan)
    other = one.copy()
    one[0, HD], other[0, HD] = 1.0, 4.0  # 3 apart, 1.5 SD
    one[0, ZETA] = 7.0  # the other states none
    first, second = np.full((1, levels), -1), np.full((1, levels), -1)
    first[0, :2], second[0, :3] = (0, 1), (0, 0, 0)  # one the same, one not, one unknown
    scale = np.full(len(NUMBERS), 2.0)
    found = apart(Properties(one, first), Properties(other, second), scale)
    assert found == pytest.approx((1.5 + 0 + 1) / 3)


def test_distance_is_symmetric_and_0_to_itself(known):
    found = apart(known, known, spread(known))
    np.testing.assert_allclose(found, found.T)
    assert np.diag(found).max() == 0
    assert (found[~np.eye(48, dtype=bool)] > 0).all()


def test_usual_is_the_distance_to_another_fold_that_95_of_100_keep(known):
    fold = np.arange(48) // 4
    near = apart(known, known, spread(known))
    nearest = np.where(fold[:, None] != fold, near, np.inf).min(axis=1)
    assert fit_domain(known, fold).usual == pytest.approx(np.quantile(nearest, 0.95))


def test_twins_of_one_fold_do_not_make_the_domain_narrow(known):
    twins = known.take(np.repeat(np.arange(48), 2))
    fold = np.repeat(np.arange(48) // 4, 2)
    assert fit_domain(twins, fold).usual > 0.1
    assert fit_domain(twins, np.arange(96)).usual == pytest.approx(1e-6)


def test_distances_do_not_change_with_the_other_rows(domain, known):
    many = known.take(np.arange(300) % 48)
    moved = Properties(many.number + 0.3, many.code)
    found = domain.distance(moved)
    np.testing.assert_array_equal(found[:48], domain.distance(moved.take(np.arange(48))))
    np.testing.assert_array_equal(found[288:], found[:12])


def test_intervals_stretch_far_from_all_particles(domain):
    found = domain.stretch(domain.usual * np.array([0.0, 1.0, 1.5, 10.0]))
    np.testing.assert_allclose(found, [1, 1, 1.5, WIDEST])


def test_a_particle_that_was_seen_is_ok(domain, changed):
    assert domain.judge(changed()) == [("ok", "")]


def test_what_is_missing_is_a_caution_that_names_it(domain, changed):
    verdict, reason = domain.judge(changed(HD=np.nan, TSZ=np.nan, TW=np.nan))[0]
    assert (verdict, reason) == ("caution", "HD is missing; TSZ is missing")


def test_a_number_far_beyond_all_that_was_seen_is_refused(domain, changed, known):
    most, least = known.number[:, HD].max(), known.number[:, HD].min()
    beyond = most + 0.11 * (most - least)
    verdict, reason = domain.judge(changed(HD=beyond))[0]
    assert verdict == "refuse"
    assert reason.startswith(f"HD {np.exp(beyond):.3g} is outside {np.exp(least):.3g} to ")
    assert "nm" in reason
    assert domain.judge(changed(HD=most + 0.09 * (most - least)))[0][0] == "caution"


def test_the_edge_of_what_was_seen_is_a_caution(domain, changed, known):
    verdict, reason = domain.judge(changed(HD=known.number[:, HD].max()))[0]
    assert verdict == "caution"
    assert "HD" in reason
    assert "edge" in reason


def test_a_tumor_is_told_once_though_it_has_a_size_and_a_weight(domain, changed):
    reason = domain.judge(changed(TSZ=9.0, TW=9.2))[0][1]
    assert "TSZ" in reason
    assert "TW" not in reason


def test_a_category_that_was_hardly_seen_is_a_caution(domain, changed):
    one = changed()
    one.code[0, list(LEVELS).index("SHAPE")] = LEVELS["SHAPE"].index("Flake")
    verdict, reason = domain.judge(one)[0]
    assert verdict == "caution"
    assert "SHAPE Flake was seen in no particle" in reason


def test_a_particle_unlike_every_other_is_a_caution(known, changed):
    narrow = Domain(known, usual=0.001)
    one = changed()
    one.number[0, HD] += 0.1
    verdict, reason = narrow.judge(one)[0]
    assert verdict == "caution"
    assert "unlike every particle seen" in reason


def test_what_is_not_known_is_named_where_training_had_it(domain, changed, known):
    one = changed(ZP_SIGNED=np.nan, HD=np.nan)
    one.code[0, list(LEVELS).index("MAT")] = -1
    assert domain.unknown(one) == [("ZP_SIGNED", "MAT")]  # the verdict tells of HD
    number = known.number.copy()
    number[:, NUMBERS.index("ZP_SIGNED")] = np.nan
    assert Domain(Properties(number, known.code), domain.usual).unknown(one) == [("MAT",)]
    assert domain.unknown(changed()) == [()]
