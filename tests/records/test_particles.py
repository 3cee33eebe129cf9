"""Tables of nanoparticles: what is read, what is repaired and told, what is refused."""

import numpy as np
import polars as pl
import pytest

from latentpk.errors import InputError
from latentpk.records.particles import CATEGORIES, NUMBERS, read_particles
from latentpk.records.repairs import REPAIRS

HEAD = "ID,Type,TS,HD,Zeta,Charge,Shape,TM,CT,TSz,TW,Dose,BW"
GOOD = "7,Organic,active,100,12.5,0,Spherical,Xenograft  heterotopic,breast,0.2,0.24,5,20"
KTRES = ",Demax,KTRESmax,KTRES50,KTRESn,KTRESrelease"


def table(tmp_path, *rows, head=HEAD):
    path = tmp_path / "particles.csv"
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def changed(**cells):
    values = dict(zip(HEAD.split(","), GOOD.split(","), strict=True)) | cells
    return ",".join(values.values())


def test_a_row_is_read_with_one_spelling_and_signs(tmp_path):
    found = read_particles(table(tmp_path, GOOD, changed(ID="8", Charge="2.0", Shape="sphere")))
    row = found.frame.row(0, named=True)
    assert found.ids == ("7", "8")
    assert (row["TS"], row["TM"], row["CT"]) == ("Active", "Xenograft Heterotopic", "Breast")
    assert found.number("CHARGE").tolist() == [-1.0, 0.0]
    assert found.frame["SHAPE"].to_list() == ["Spherical", "Spherical"]
    assert found.complete.all()


def test_what_is_missing_stays_missing(tmp_path):
    found = read_particles(table(tmp_path, changed(HD="", Zeta="NA", Charge=".", TSz="", CT="")))
    assert np.isnan([found.number(c)[0] for c in ("HD", "ZETA", "CHARGE", "TSZ")]).all()
    assert found.frame["CT"][0] is None
    assert not found.complete[0]
    assert found.tumor_size[0] == pytest.approx(0.2)  # of TW


def test_a_signed_zeta_potential_is_read_as_such(tmp_path):
    found = read_particles(table(tmp_path, changed(Zeta="-25", Charge="")))
    assert (found.number("ZETA")[0], found.number("CHARGE")[0]) == (25.0, -1.0)
    assert any("sign" in notice for notice in found.notices)


def test_a_data_frame_is_read_as_its_file(tmp_path):
    path = table(tmp_path, GOOD)
    frame = pl.read_csv(path)
    assert read_particles(frame).frame.equals(read_particles(path).frame)


@pytest.mark.parametrize(
    ("row", "where", "mend"),
    [
        (changed(Type="Plastic"), "row 1, column TYPE", "Correct the spelling"),
        (changed(HD="-5"), "row 1, column HD", "Check the unit (nm)"),
        (changed(HD="1e9"), "row 1, column HD", "Check the unit (nm)"),
        (changed(HD="small"), "row 1, column HD", "Check the unit (nm)"),
        (changed(HD="inf"), "row 1, column HD", "Check the unit (nm)"),
        (changed(Zeta="120"), "row 1, column ZETA", "Check the unit (mV)"),
        (changed(Zeta="-101"), "row 1, column ZETA", "Check the unit (mV)"),
        (changed(TW="0"), "row 1, column TW", "Check the unit (g)"),
        (changed(Charge="3"), "row 1, column CHARGE", "leave it empty"),
        (changed(Dose=""), "row 1, column DOSE", "Fill it"),
        (changed(ID=""), "row 1, column ID", "Number the rows"),
        ("7" + "," * 12, "row 1", "Fill the row or drop it"),
    ],
)
def test_bad_values_are_named_with_their_mend(tmp_path, row, where, mend):
    with pytest.raises(InputError) as caught:
        read_particles(table(tmp_path, row))
    assert where in [problem.where for problem in caught.value.problems]
    assert mend in str(caught.value)


def test_every_problem_is_told_at_once(tmp_path):
    rows = (changed(HD="-5", Shape="Cube"), GOOD, changed(Zeta="500"))
    with pytest.raises(InputError) as caught:
        read_particles(table(tmp_path, *rows))
    found = [problem.where for problem in caught.value.problems]
    assert found == [
        "row 2, column ID", "row 3, column ID", "row 1, column SHAPE", "row 1, column HD",
        "row 3, column ZETA",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("head", "rows", "purpose", "word"),
    [
        (HEAD.replace("HD,", ""), (GOOD,), "predict", "line 2"),
        (HEAD.replace("HD", "SIZE"), (GOOD,), "predict", "column HD"),
        (HEAD.replace("TSz", "X").replace("TW", "Y"), (GOOD,), "predict", "TSZ or TW"),
        (HEAD.replace("TSz", "hd"), (GOOD,), "predict", "column HD"),
        (HEAD, (), "predict", "no row"),
        (HEAD, (GOOD,), "fit", "column KTRESMAX"),
        (HEAD + KTRES, (GOOD + ",1,1,1,1,1",), "fit", "at least 20"),
    ],
)
def test_a_table_that_cannot_serve_is_refused(tmp_path, head, rows, purpose, word):
    with pytest.raises(InputError, match=r"(?i)" + word):
        read_particles(table(tmp_path, *rows, head=head), purpose=purpose)


@pytest.mark.parametrize("rule", REPAIRS, ids=lambda rule: f"{rule.name}-{rule.row}")
def test_a_known_error_is_mended_and_told_and_nothing_like_it(tmp_path, rule):
    cells = dict(zip(HEAD.upper().split(","), GOOD.split(","), strict=True)) | {"ID": rule.row}
    cells |= dict.fromkeys(rule.mended, "1") | dict(rule.found)
    wrong = pl.DataFrame([cells])
    found = read_particles(wrong)
    for column, value in rule.mended.items():
        if column in NUMBERS:
            assert found.number(column)[0] == float(value)
        elif column in CATEGORIES:
            assert found.frame[column][0] == value
    assert found.notices[0].startswith(f"Repaired ({rule.name}), ID {rule.row}: ")
    assert rule.reason in found.notices[0]
    other = pl.DataFrame([cells | {"ID": "9999", "TS": "Passive", "ZETA": "1"}])
    assert read_particles(other).notices == ()
    if rule.name not in ("targeting-word", "zeta-decimal"):  # which are refused as they are
        assert read_particles(wrong, repair=False).notices == ()
    assert read_particles(pl.DataFrame([cells | dict(rule.mended)])).notices == ()


@pytest.mark.parametrize("rule", REPAIRS, ids=lambda rule: f"{rule.name}-{rule.row}")
def test_a_rule_needs_every_value_that_it_names(rule):
    cells = dict(zip(HEAD.upper().split(","), GOOD.split(","), strict=True)) | {"ID": rule.row}
    cells |= dict.fromkeys(rule.mended, "1") | dict(rule.found)
    for column in rule.found:
        other = {"TS": "Active", "CHARGE": "0", "BW": "30"}.get(column, "0.3")
        assert read_particles(pl.DataFrame([cells | {column: other}])).notices == ()


def test_what_is_exchanged_between_two_rows_is_lost_by_none():
    pairs = {}
    for rule in REPAIRS:
        if rule.name.endswith("-swapped"):
            pairs.setdefault((rule.name, frozenset(rule.mended)), []).append(rule)
    rules = [rule for pair in pairs.values() for rule in pair]
    assert len(rules) == 10
    assert [r.row for r in rules] == [
        "38",
        "39",
        "19",
        "20",
        "31",
        "33",
        "165",
        "166",
        "296",
        "297",
    ]
    for one, two in zip(rules[::2], rules[1::2], strict=True):
        for column in one.mended:
            assert one.mended[column] == two.found[column] != two.mended[column]
            assert two.mended[column] == one.found[column]
