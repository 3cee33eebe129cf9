import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentpk.errors import InputError
from latentpk.units import PHYSICAL, Units, parse_units


@pytest.mark.parametrize(
    ("text", "column", "factor"),
    [
        ("", "TIME", 1),
        ("TIME=min", "TIME", 1 / 60),
        ("TIME=d", "II", 24),
        ("TIME=wk", "DUR", 168),
        ("TIME=min,DUR=h", "DUR", 1),
        ("AMT=ug", "AMT", 1e-3),
        ("AMT=kg", "AMT", 1e6),
        ("AMT=g,TIME=min", "RATE", 60e3),
        ("RATE=mg/min", "RATE", 60),
        ("DV=ng/mL", "DV", 1e-3),
        ("DV=ug/mL", "LLOQ", 1),
        ("DV=ng/mL,LLOQ=mg/L", "LLOQ", 1),
        ("DV=mg/dL", "DV", 10),
        ("AMT=umol,MOLAR_MASS=500", "AMT", 0.5),
        ("DV=nmol/L,MOLAR_MASS=1000", "DV", 1e-3),
        ("DV=uM,MOLAR_MASS=500", "DV", 0.5),
        ("WT=g", "WT", 1e-3),
        ("WT=lb", "WT", 0.45359237),
        ("HT=m", "HT", 100),
        ("AGE=mo", "AGE", 1 / 12),
        ("SCR=umol/L", "SCR", 1 / 88.4),
        ("CRCL=mL/s", "CRCL", 60),
        ("CRCL=L/h", "CRCL", 1000 / 60),
        ("ALB=g/L", "ALB", 0.1),
        ("COMMENT=furlong", "COMMENT", 1),
    ],
)
def test_factor_leads_to_the_internal_unit(text, column, factor):
    assert parse_units(text).factor(column) == pytest.approx(factor, rel=1e-12)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("DV=µg/ml", "ug/mL"),
        ("DV=mcg/L", "ug/L"),
        ("DV=MG/L", "mg/L"),
        ("TIME=hours", "h"),
        ("TIME= days", "d"),
        ("CRCL=mL/min/1.73m^2", "mL/min/1.73m2"),
        ("DATE=mm/dd/yyyy", "M/D/Y"),
        ("dv=ng/mL", "ng/mL"),
    ],
)
def test_spellings_become_one(written, read):
    assert parse_units(written).unit(written.partition("=")[0].upper()) == read


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("DV", "COLUMN=unit"),
        ("DV=", "COLUMN=unit"),
        ("TIME=parsec", "parsec"),
        ("AMT=h", "'h'"),
        ("DV=mg", "'mg'"),
        ("RATE=mg/L", "mg/L"),
        ("WT=mL", "mL"),
        ("DATE=Y/D/M", "Y/D/M"),
        ("AMT=umol", "MOLAR_MASS"),
        ("DV=nM", "MOLAR_MASS"),
        ("MOLAR_MASS=heavy", "heavy"),
        ("MOLAR_MASS=-3", "-3"),
        ("DV=mg/L,DV=ng/mL", "twice"),
    ],
)
def test_a_bad_entry_is_named(text, word):
    with pytest.raises(InputError, match=r"units, ") as caught:
        parse_units(text)
    assert word in str(caught.value)


def test_every_bad_entry_is_told_at_once():
    with pytest.raises(InputError) as caught:
        parse_units("TIME=parsec,AMT=h,DV,WT=mL")
    assert len(caught.value.problems) == 4


def test_json_and_text_bring_the_same_units_back():
    units = parse_units("TIME=min,AMT=umol,DV=nM,WT=lb,MOLAR_MASS=1449.3")
    assert Units.from_dict(json.loads(json.dumps(units.to_dict()))) == units
    assert parse_units(units.describe()).factor("DV") == units.factor("DV")
    assert parse_units(units) is units


def test_stored_units_are_checked_again():
    with pytest.raises(InputError, match="parsec"):
        Units.from_dict({"declared": {"TIME": "parsec"}})


def test_describe_states_the_defaults():
    assert parse_units(None).describe(("WT", "FOO")) == "TIME=h,AMT=mg,DV=mg/L,WT=kg"


@pytest.mark.parametrize("name", PHYSICAL)
def test_the_first_unit_of_a_covariate_is_internal(name):
    physical = PHYSICAL[name]
    assert physical.table[physical.unit] == 1.0
    assert physical.low < physical.high


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused_clearly(text):
    problems = ()
    try:
        parse_units(text)
    except InputError as error:
        problems = error.problems
    assert all(p.where and p.found and p.rule and p.mend for p in problems)
