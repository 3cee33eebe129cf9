"""What a population fit is asked for, as text."""

import polars as pl
import pytest

from latentpk import read_nonmem
from latentpk.errors import InputError
from latentpk.workflows.population.asked import (
    Asked,
    check_initial,
    parse_effects,
    parse_initial,
    terms_for,
)


@pytest.fixture(scope="module")
def cohort(ward):
    sex = pl.Series("SEX", [1 + (i % 2) for i in ward["ID"].to_list()])
    shift = (pl.col("WT") - 80).alias("DEV")
    return read_nonmem(ward.with_columns(sex, shift), covariates=["WT", "SEX", "DEV"])


def test_effects_are_read_with_shape_and_reference():
    assert parse_effects(None) == parse_effects(" , ") == ()
    assert parse_effects("KA~WT, v~AGE:linear/40,cl~SEX:category") == (
        Asked("ka", "WT", None, None),
        Asked("v1", "AGE", "linear", 40.0),
        Asked("cl", "SEX", "category", None),
    )


def test_every_wrong_effect_is_told_at_once():
    with pytest.raises(InputError) as caught:
        parse_effects("ka-WT,cl~WT:cubic,v~WT:power/,v~WT/1e999,cl~AGE,cl~AGE:linear")
    said = str(caught.value)
    assert len(caught.value.problems) == 5
    for part in ("'ka-WT'", "'cubic'", "'v~WT:power/'", "'1e999'", "cl~AGE is there twice"):
        assert part in said


def test_what_is_left_open_suits_the_covariate(cohort):
    terms = terms_for(parse_effects("cl~WT,v~SEX,cl~DEV"), ("cl", "v1"), cohort)
    weight, sex, deviation = terms
    mean = sum(subject.covariates[0, 0] for subject in cohort) / len(cohort)
    assert (weight.shape, deviation.shape) == ("power", "exponential")
    assert weight.reference == pytest.approx(mean)
    assert (sex.shape, sex.reference, sex.codes) == ("category", 1.0, (2.0,))


@pytest.mark.parametrize(
    ("effects", "said"),
    [
        ("ka~WT", "ka is not among them"),
        ("cl~CRCL", "CRCL is not there"),
        ("cl~DEV:power", "A power needs a covariate and a reference above 0"),
        ("cl~WT:power/-70", "A power needs"),
        ("cl~WT:category", "A category has at most 10 codes"),
        ("cl~SEX/3", "The codes are 1, 2"),
    ],
)
def test_effects_that_a_cohort_cannot_have_are_refused(cohort, effects, said):
    with pytest.raises(InputError, match=said):
        terms_for(parse_effects(effects), ("cl", "v1"), cohort)


def test_starting_values_are_read_by_any_writing():
    found = parse_initial("KA=1.5, v=32,om_V=0.3,v~WT=-0.5,sigma_add=1e-2")
    assert found == {"ka": 1.5, "v1": 32.0, "om_v1": 0.3, "v1~WT": -0.5, "sigma_add": 0.01}


def test_wrong_starting_values_are_told_at_once():
    with pytest.raises(InputError) as caught:
        parse_initial("ka,cl=fast,=3,v=nan")
    assert len(caught.value.problems) == 4
    with pytest.raises(InputError) as caught:
        check_initial({"ka": -1.0, "q9": 2.0, "ka~WT": -3.0}, ("ka",), ("ka~WT",))
    assert [problem.where for problem in caught.value.problems] == ["--initial ka", "--initial"]
