"""How particles are read: what enters, what never does, and what was fitted on training rows."""

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from latentpk.errors import InputError
from latentpk.models.descriptors import (
    BINS,
    FARTHEST,
    LEVELS,
    NUMBERS,
    Descriptors,
    Properties,
    Scale,
    fit_descriptors,
    knowledge_of,
    properties,
)
from latentpk.records.particles import read_particles
from latentpk.views.particle import BY_NAME

NEVER = ("DE24", "DE168", "Demax", "KTRESmax", "KTRES50", "KTRESn", "KTRESrelease")
NEVER += ("PT", "PATC", "QTC", "VTC", "BVT")


@pytest.fixture(scope="module")
def known(nano_table, nano_studies):
    joined = nano_table.join(nano_studies.drop("study_id"), on="ID")
    return properties(read_particles(joined))


def same(one, other):
    return np.array_equal(one.number, other.number, equal_nan=True) and np.array_equal(
        one.code, other.code
    )


def test_what_was_fitted_or_measured_is_never_an_input(nano_table):
    before = properties(read_particles(nano_table))
    changed = nano_table.with_columns((pl.col(name) * 0.5).alias(name) for name in NEVER)
    assert same(properties(read_particles(changed)), before)
    assert same(properties(read_particles(nano_table.drop(NEVER))), before)


def test_numbers_enter_by_their_logarithm_and_a_tumor_by_size_or_weight(nano_table):
    weighed = nano_table.with_columns(TSz=pl.lit(None, pl.Float64))
    found = properties(read_particles(weighed))
    size = np.log(nano_table["TW"].to_numpy() / 1.2)
    np.testing.assert_allclose(found.number[:, NUMBERS.index("TSZ")], size)
    charge = found.number[:, NUMBERS.index("CHARGE")]
    assert set(charge) == {-1.0, 0.0, 1.0}  # no logarithm


def test_a_material_is_read_in_any_case_and_refused_where_it_is_none(nano_table):
    place = list(LEVELS).index("MAT")
    three = nano_table.head(3)
    found = properties(read_particles(three.with_columns(MAT=pl.Series(["GOLD", " gold ", None]))))
    assert found.code[:, place].tolist() == [LEVELS["MAT"].index("Gold")] * 2 + [-1]
    with pytest.raises(InputError, match="row 2, column MAT: 'Glod'"):
        properties(read_particles(three.with_columns(MAT=pl.Series(["Gold", "Glod", None]))))


def test_nothing_is_missing_but_in_the_columns_with_gaps(known):
    encoded = fit_descriptors(known).encode(known)
    for whole in (*encoded.views, encoded.table, encoded.near, encoded.wide):
        assert np.isfinite(whole).all()
    gaps = np.isnan(encoded.gaps)
    np.testing.assert_array_equal(gaps[:, 0 : 2 * len(NUMBERS) : 2], np.isnan(known.number))
    np.testing.assert_array_equal(np.where(gaps, 0, encoded.gaps), encoded.table)


def test_every_column_has_a_feature(known):
    descriptors = fit_descriptors(known)
    encoded = descriptors.encode(known)
    assert encoded.views[0].shape[1] == len(descriptors.columns)
    assert encoded.table.shape[1] == len(descriptors.table_columns)
    assert encoded.views[1].shape[1] == len(descriptors.knowledge) == len(BY_NAME) == 16
    features = set(range(len(descriptors.features)))
    assert set(descriptors.columns) == set(descriptors.table_columns) == features


def test_a_standardized_number_has_mean_0_and_sd_1_and_its_flag_tells_what_is_missing(known):
    table = fit_descriptors(known).encode(known).table
    stated = ~np.isnan(known.number[:, NUMBERS.index("HD")])
    assert table[stated, 0].mean() == pytest.approx(0, abs=1e-12)
    assert table[stated, 0].std() == pytest.approx(1)
    np.testing.assert_array_equal(table[:, 1], ~stated)


def test_a_value_is_placed_between_quantiles():
    scale = Scale(center=0.0, scale=1.0, knots=(0.0, 1.0, 3.0))
    value = np.array([-1.0, 0.5, 2.0, 9.0, np.nan])
    placed = np.stack(scale.placed(value), axis=1)
    np.testing.assert_allclose(placed, [[-1, -1], [0, -1], [1, 0], [1, 1], [0, 0]])


def test_what_lies_far_out_is_read_as_if_it_were_less_far(known):
    descriptors = fit_descriptors(known)
    far = Properties(known.number[:1] + 100.0, known.code[:1])
    assert np.abs(descriptors.encode(far).table).max() == FARTHEST


def test_descriptors_are_of_training_rows_alone(known):
    train = known.take(np.arange(30))
    descriptors = fit_descriptors(train)
    hd = descriptors.numbers[0]
    expected = np.quantile(train.number[:, 0], np.linspace(0, 1, BINS + 1))
    np.testing.assert_allclose(hd.knots, expected)
    assert hd.center == pytest.approx(train.number[:, 0].mean())
    assert descriptors != fit_descriptors(known)


def test_a_row_is_read_alike_in_any_company(known):
    descriptors = fit_descriptors(known)
    whole = descriptors.encode(known)
    for row in (0, 51):
        alone = descriptors.encode(known.take(np.array([row])))
        for one, all_rows in zip(
            (*alone.views, alone.table), (*whole.views, whole.table), strict=True
        ):
            np.testing.assert_array_equal(one[0], all_rows[row])


def test_what_no_training_row_states_is_not_read(known):
    number, code = known.number.copy(), known.code.copy()
    number[:, NUMBERS.index("ZP_SIGNED")] = np.nan
    code[:, list(LEVELS).index("MAT")] = -1
    without = Properties(number, code)
    descriptors = fit_descriptors(without)
    for one, other in zip(
        (*descriptors.encode(known).views, descriptors.encode(known).gaps),
        (*descriptors.encode(without).views, descriptors.encode(without).gaps),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_a_level_that_was_never_seen_has_no_column_set(known):
    place, flake = list(LEVELS).index("SHAPE"), LEVELS["SHAPE"].index("Flake")
    descriptors = fit_descriptors(known)
    code = known.code.copy()
    code[:, place] = flake
    own = np.array(descriptors.table_columns) == len(NUMBERS) + place
    assert descriptors.encode(known).table[:, own].sum(axis=1).tolist() == [1.0] * 52
    assert not descriptors.encode(Properties(known.number, code)).table[:, own].any()


def test_that_a_number_is_missing_says_nothing_where_none_was(known):
    complete = known.take(np.arange(40))
    hidden = complete.number.copy()
    hidden[:, 0] = np.nan
    table = fit_descriptors(complete).encode(Properties(hidden, complete.code)).table
    assert not table[:, :2].any()  # the mean, and no flag


def test_knowledge_is_missing_where_what_it_needs_is(known):
    features = knowledge_of(known)
    names = list(BY_NAME)
    assert np.isnan(features[-1, names.index("log_size")])
    assert np.isfinite(features[-1, names.index("log_dose")])
    size = np.exp(known.number[0, 0])
    assert features[0, names.index("log_size")] == pytest.approx(np.log(size / 100))
    charge, zeta = known.number[0, NUMBERS.index("CHARGE")], known.number[0, 1]
    assert features[0, names.index("signed_zeta")] == pytest.approx(charge * zeta / 30)


def test_rows_beyond_a_block_are_read_as_those_within(known):
    many = known.take(np.arange(300) % 52)
    np.testing.assert_array_equal(knowledge_of(many)[260:300], knowledge_of(known)[:40])


def test_stored_descriptors_are_the_same_and_others_are_refused(known):
    descriptors = fit_descriptors(known)
    stored = descriptors.model_dump(mode="json")
    assert Descriptors.model_validate(stored) == descriptors
    for damage in (
        {"numbers": stored["numbers"][:-1]},
        {"knowledge": stored["knowledge"][:-1]},
        {"levels": stored["levels"][:-1]},
        {"numbers": [{**stored["numbers"][0], "knots": [1.0]}, *stored["numbers"][1:]]},
        {"numbers": [{**stored["numbers"][0], "scale": 0.0}, *stored["numbers"][1:]]},
        {"numbers": [{**stored["numbers"][0], "center": float("nan")}, *stored["numbers"][1:]]},
    ):
        with pytest.raises(ValidationError):
            Descriptors.model_validate(stored | damage)
