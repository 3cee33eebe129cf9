"""From tables to what is fitted, and to what a model is judged on."""

import numpy as np
import polars as pl
import pytest

from latentpk.errors import InputError
from latentpk.workflows.nano.table import (
    TARGETS,
    check_units,
    delivery,
    measured_rows,
    physiology,
    read_library,
    training_rows,
)


def test_rows_have_log10_targets_in_order(nano_table, nano_studies):
    rows, which, told = training_rows(read_library(nano_table, studies=nano_studies))
    assert rows.targets == tuple(TARGETS)
    assert which.all()
    assert told == ()
    for k, name in enumerate(TARGETS):
        column = "Demax" if name == "DEmax" else name
        np.testing.assert_allclose(rows.target[:, k], np.log10(nano_table[column].to_numpy()))
    assert rows.scored.tolist() == [True] * 48 + [False] * 4  # what is incomplete only trains


def test_studies_are_the_groups_and_give_further_inputs(nano_table, nano_studies):
    with_them = training_rows(read_library(nano_table, studies=nano_studies))[0]
    assert len(np.unique(with_them.groups)) == 13
    without = training_rows(read_library(nano_table))[0]
    assert len(np.unique(without.groups)) == 52
    assert np.isnan(without.known.number[:, -1]).all()
    np.testing.assert_allclose(with_them.known.number[:, -1], nano_studies["ZP_signed"].to_numpy())


def test_a_delivery_that_is_missing_is_computed_of_the_rows_own_parameters(nano_table):
    lacking = nano_table.with_columns(
        DE24=pl.when(pl.col("ID") == "1003").then(None).otherwise(pl.col("DE24"))
    )
    library = read_library(lacking)
    rows, _, told = training_rows(library)
    one = nano_table.row(3, named=True)
    names = ("KTRESmax", "KTRES50", "KTRESn", "KTRESrelease", "PT", "PATC")
    parameters = np.array([[one[name] for name in names]])
    mouse = type(physiology(library.particles))(*(v[3:4] for v in physiology(library.particles)))
    expected = delivery(mouse, parameters)[0]
    assert rows.target[3, 4] == pytest.approx(np.log10(expected[0]))
    assert rows.target[3, 5] == pytest.approx(np.log10(one["DE168"]))  # what is stated stays
    assert "computed by the PBPK model from their own parameters: 1 particle" in told[0]
    assert rows.scored.sum() == 48


def test_a_row_that_lacks_a_target_is_left_out_and_told(nano_table):
    lacking = nano_table.with_columns(
        KTRESn=pl.when(pl.col("ID") == "1003").then(None).otherwise(pl.col("KTRESn"))
    )
    rows, which, told = training_rows(read_library(lacking))
    assert len(rows.target) == 51
    assert not which[3]
    assert told == ("Left out, since a target is missing: 1 particles.",)


def test_too_few_whole_rows_are_refused_with_what_would_help(nano_table):
    lacking = nano_table.with_columns(DE24=pl.lit(None, pl.Float64)).drop("PT")
    with pytest.raises(InputError, match=r"0 particles with all of .* Add them, or PT and PATC"):
        training_rows(read_library(lacking))


def test_a_table_of_incomplete_particles_is_judged_on_all_it_has(nano_table):
    rows = training_rows(read_library(nano_table.with_columns(Zeta=pl.lit(None, pl.Float64))))[0]
    assert rows.scored.all()


def test_a_model_is_judged_on_every_row_that_has_a_target(nano_table):
    few = nano_table.head(4).drop("KTRESmax", "KTRES50", "KTRESn", "KTRESrelease", "DE168")
    few = few.with_columns(
        DE24=pl.Series([1.0, None, 2.0, None]), Demax=pl.Series([None, 3.0, 3.0, None])
    )
    rows, told = measured_rows(read_library(few, purpose="predict"))
    assert rows.target.shape == (3, 7)
    stated = {name: (~np.isnan(rows.target[:, k])).sum() for k, name in enumerate(TARGETS)}
    assert stated == dict.fromkeys(TARGETS, 0) | {"DE24": 2, "DEmax": 2}
    assert told == ("Left out, since every target is missing: 1 particles.",)
    with pytest.raises(InputError, match="no target"):
        measured_rows(read_library(few.drop("DE24", "Demax"), purpose="predict"))


@pytest.mark.parametrize("text", [None, "", "HD=nm", "hd = NM, Dose=mg/kg,KTRES50=h,DE24=%ID"])
def test_units_that_are_read_are_accepted(text):
    check_units(text)


def test_other_units_are_refused_all_at_once():
    with pytest.raises(InputError) as caught:
        check_units("HD=um,FOO=1,BW=kg,TW")
    said = str(caught.value)
    assert "HD is read in nm. Convert the column" in said
    assert "--units FOO=1: no such column" in said
    assert "BW is read in g" in said
    assert len(caught.value.problems) == 4
