import dataclasses
import hashlib
import io
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentpk.errors import InputError
from latentpk.records import read_nonmem

GOOD = """\
ID,TIME,EVID,MDV,CMT,AMT,RATE,ADDL,II,SS,DV,WT
1,0,1,1,1,100,50,0,0,0,.,70
1,2,0,0,1,.,.,.,.,.,5,70
1,8,0,0,1,.,.,.,.,.,2,70
2,0,1,1,1,100,50,0,0,0,.,80
2,2,0,0,1,.,.,.,.,.,4,80
"""
LINES = GOOD.splitlines()


def _with(line, text):
    return "\n".join([*LINES[: line - 1], text, *LINES[line:]]) + "\n"


def _column(name, value):
    return "\n".join([f"{LINES[0]},{name}", *(f"{line},{value}" for line in LINES[1:])]) + "\n"


def _without(column):
    return pl.read_csv(io.StringIO(GOOD), infer_schema=False).drop(column).write_csv()


DOSE = "subject 1, record 1 (line 2), column "
LEVEL = "subject 1, record 2 (line 3), column "

# what is wrong with the file; where the problem has to be; the arguments it needs
BAD = {
    "missing column": (_without("DV"), "column DV", {}),
    "text in a number": (_with(2, "1,0,1,1,1,lots,50,0,0,0,.,70"), DOSE + "AMT", {}),
    "negative dose": (_with(2, "1,0,1,1,1,-100,50,0,0,0,.,70"), DOSE + "AMT", {}),
    "infinite dose": (_with(2, "1,0,1,1,1,inf,50,0,0,0,.,70"), DOSE + "AMT", {}),
    "NaN dose": (_with(2, "1,0,1,1,1,NaN,50,0,0,0,.,70"), DOSE + "AMT", {}),
    "negative level": (_with(3, "1,2,0,0,1,.,.,.,.,.,-5,70"), LEVEL + "DV", {}),
    "infinite level": (_with(3, "1,2,0,0,1,.,.,.,.,.,-inf,70"), LEVEL + "DV", {}),
    "negative weight": (_with(3, "1,2,0,0,1,.,.,.,.,.,5,-70"), LEVEL + "WT", {}),
    "infinite weight": (_with(3, "1,2,0,0,1,.,.,.,.,.,5,Infinity"), LEVEL + "WT", {}),
    "decreasing times": (
        _with(4, "1,1,0,0,1,.,.,.,.,.,2,70"),
        "subject 1, record 3 (line 4), column TIME",
        {},
    ),
    "duplicate record": (GOOD + LINES[-1] + "\n", "subject 2, record 3 (line 7), column DV", {}),
    "unknown EVID": (_with(3, "1,2,7,0,1,.,.,.,.,.,5,70"), LEVEL + "EVID", {}),
    "ADDL without II": (_with(2, "1,0,1,1,1,100,50,3,0,0,.,70"), DOSE + "ADDL", {}),
    "SS with II 0": (_with(2, "1,0,1,1,1,100,50,0,0,1,.,70"), DOSE + "SS", {}),
    "infusion longer than its interval": (_with(2, "1,0,1,1,1,100,5,0,12,1,.,70"), DOSE + "II", {}),
    "no doses": ("\n".join([LINES[0], *LINES[2:4], LINES[5]]), "records", {}),
    "no levels": ("\n".join([LINES[0], LINES[1], LINES[4]]), "records", {}),
    "one subject with levels": ("\n".join(LINES[:5]), "records", {}),
    "all levels below LLOQ": (
        _column("LLOQ", 99),
        "column LLOQ",
        {},
    ),
    "unknown covariate": (GOOD, "column CRCL", {"covariates": ["CRCL"]}),
    "constant covariate": (GOOD.replace(",80", ",70"), "column WT", {"covariates": ["WT"]}),
    "covariate missing for a subject": (
        GOOD.replace(",80", ",."),
        "subject 2, record 1 (line 5), column WT",
        {"covariates": ["WT"]},
    ),
    "modeled rate": (_with(2, "1,0,1,1,1,100,-1,0,0,0,.,70"), DOSE + "RATE", {}),
    "subject comes back": (
        GOOD + "1,9,0,0,1,.,.,.,.,.,1,70\n",
        "subject 1, record 1 (line 7), column ID",
        {},
    ),
    "missing ID": (
        _with(3, ",2,0,0,1,.,.,.,.,.,5,70"),
        "subject (missing), record 1 (line 3), column ID",
        {},
    ),
    "repeated column": (GOOD.replace("RATE", "AMT"), "column AMT", {}),
    "ragged line": (_with(4, "1,8,0,0,1,.,2,70"), "line 4", {}),
    "unknown unit": (GOOD, "units, DV", {"units": "DV=stones"}),
    "unit of no column": (GOOD, "units, DVV", {"units": "DVV=ng/mL"}),
    "wrong ROUTE": (
        _column("ROUTE", "ear"),
        DOSE + "ROUTE",
        {},
    ),
}  # fmt: skip


def test_the_good_table_is_good(read):
    cohort = read(GOOD)
    assert cohort.covariate_names == ("WT",)
    np.testing.assert_array_equal(cohort[0].levels.value, [5, 2])


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named_with_its_mend(problems, name):
    text, where, options = BAD[name]
    told = problems(text, **options)
    assert where in [problem.where for problem in told]
    for problem in told:
        assert problem.found
        assert problem.rule
        assert problem.mend


def test_every_problem_of_a_file_is_told_at_once(problems):
    text = GOOD.replace("1,8,0,0", "1,1,9,0").replace(
        "1,2,0,0,1,.,.,.,.,.,5", "1,2,0,0,1,.,.,.,.,.,-5"
    )
    text = text.replace("2,0,1,1,1,100,50,0", "2,0,1,1,1,-1,50,3").replace(",80\n", ",tall\n")
    told = problems(text, covariates=["WT", "AGE"], units="TIME=eon")
    assert {problem.where for problem in told} == {
        "units, TIME",
        LEVEL + "DV",
        "subject 1, record 3 (line 4), column EVID",
        "subject 1, record 3 (line 4), column TIME",
        "subject 2, record 1 (line 5), column AMT",
        "subject 2, record 1 (line 5), column ADDL",
        "subject 2, record 1 (line 5), column WT",
        "subject 2, record 2 (line 6), column WT",
        "column AGE",
    }


def test_a_message_is_a_sentence_of_four_parts(problems):
    told = problems(BAD["decreasing times"][0])
    assert str(told[0]) == (
        "subject 1, record 3 (line 4), column TIME: TIME 1 is before the previous record's. Times "
        "must not decrease within a subject. Sort by ID and TIME, or reset with EVID=3."
    )


def test_files_and_frames_give_the_same_cohort(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text(GOOD)
    frames = [pl.read_csv(path, null_values="."), pd.read_csv(path, na_values=".")]
    first = read_nonmem(path)
    for frame in frames:
        other = read_nonmem(frame)
        _same(first, other)
    assert first.source_hash == hashlib.sha256(GOOD.encode()).hexdigest()
    assert read_nonmem(str(path)).source_hash == first.source_hash


def test_a_units_line_counts_unless_overridden(read):
    text = "# units: DV=ug/L\n" + GOOD
    assert read(text)[0].levels.value[0] == 5e-3
    cohort = read(text, units="DV=g/L")
    assert cohort[0].levels.value[0] == 5e3
    assert any("overridden" in notice for notice in cohort.notices)
    assert "Units: TIME=h,AMT=mg,DV=g/L,WT=kg." in cohort.notices


def test_progress_is_told(read):
    told = []
    read(GOOD, progress=lambda done, total, label: told.append((done, total)))
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


# -- properties ---------------------------------------------------------------------------------


@st.composite
def _tables(draw):
    """A valid table: subjects with doses, infusions, levels and a weight."""
    rows = []
    for subject in range(draw(st.integers(2, 4))):
        weight = draw(st.integers(20, 120))
        times = sorted(draw(st.lists(st.integers(0, 400), min_size=2, max_size=6, unique=True)))
        for i, time in enumerate(times):
            dose = i == 0 or (i < len(times) - 1 and draw(st.booleans()))
            amount = float(draw(st.integers(1, 1000))) if dose else 0.0
            level = None if dose else draw(st.integers(1, 90)) / 7
            rate = draw(st.sampled_from([0.0, 33.0])) if dose else 0.0
            rows.append(
                (f"s{subject}", time / 4, int(dose), int(dose), amount, rate, level, weight)
            )
    schema = ["ID", "TIME", "EVID", "MDV", "AMT", "RATE", "DV", "WT"]
    return pl.DataFrame(rows, schema=schema, orient="row")


def _fields(table):
    return [field.name for field in dataclasses.fields(table)]


def _same(first, second, *, rows=True, text=True, rtol=0.0):
    left = {subject.id: subject for subject in first}
    right = {subject.id: subject for subject in second}
    assert set(left) == set(right)
    skipped = set() if text else {"dv", "dv_text", "time_text"}
    skipped |= set() if rows else {"row"}
    for name, a in left.items():
        b = right[name]
        np.testing.assert_allclose(a.covariates, b.covariates, rtol=rtol)
        np.testing.assert_allclose(a.covariate_time, b.covariate_time, rtol=rtol)
        for part in ("doses", "levels", "outputs"):
            one, two = getattr(a, part), getattr(b, part)
            for field in set(_fields(one)) - skipped:
                x, y = getattr(one, field), getattr(two, field)
                if x.dtype == object:
                    assert [_number(v) for v in x] == [_number(v) for v in y]
                else:
                    np.testing.assert_allclose(x, y, rtol=rtol, err_msg=f"{part}.{field}")


def _number(text):
    return None if text in ("", ".") else float(text)


@given(
    _tables(),
    st.sampled_from(["min", "h", "d"]),
    st.sampled_from(["ug", "mg", "g"]),
    st.sampled_from(["ng/mL", "mg/L", "mg/dL"]),
    st.sampled_from(["g", "kg", "lb"]),
)
def test_units_do_not_matter(frame, time, amount, level, weight):
    factors = {
        "TIME": {"min": 60, "h": 1, "d": 1 / 24}[time],
        "AMT": {"ug": 1e3, "mg": 1, "g": 1e-3}[amount],
        "DV": {"ng/mL": 1e3, "mg/L": 1, "mg/dL": 0.1}[level],
        "WT": {"g": 1e3, "kg": 1, "lb": 1 / 0.45359237}[weight],
    }
    factors["RATE"] = factors["AMT"] / factors["TIME"]
    other = frame.with_columns(pl.col(column) * factor for column, factor in factors.items())
    units = f"TIME={time},AMT={amount},DV={level},WT={weight}"
    plain = read_nonmem(frame, purpose="forecast", covariates=["WT"])
    converted = read_nonmem(other, units=units, purpose="forecast", covariates=["WT"])
    _same(plain, converted, text=False, rtol=1e-12)


@given(_tables(), st.randoms(use_true_random=False))
def test_the_order_of_subjects_does_not_matter(frame, random):
    ids = frame["ID"].unique(maintain_order=True).to_list()
    random.shuffle(ids)
    other = pl.concat([frame.filter(pl.col("ID") == name) for name in ids])
    _same(
        read_nonmem(frame, purpose="forecast"), read_nonmem(other, purpose="forecast"), rows=False
    )


@given(_tables(), st.sets(st.sampled_from(["EVID", "MDV"]), min_size=1))
def test_derived_evid_and_mdv_equal_written_ones(frame, dropped):
    derived = read_nonmem(frame.drop(dropped), purpose="forecast")
    _same(read_nonmem(frame, purpose="forecast"), derived)


@given(_tables())
def test_what_is_predicted_is_never_conditioned_on(frame):
    hidden = frame.with_columns(MDV=pl.lit(1), DV=pl.lit("whatever"))
    read, masked = read_nonmem(frame, purpose="forecast"), read_nonmem(hidden, purpose="forecast")
    for a, b in zip(read, masked, strict=True):
        assert len(b.levels) == 0
        np.testing.assert_array_equal(a.outputs.row, b.outputs.row)
        np.testing.assert_array_equal(a.doses.amount, b.doses.amount)


@given(st.text(alphabet="IDTMEAVC,.;#\n\r\t\"' 019-:xé", max_size=120))
def test_any_text_is_read_or_refused_with_an_input_error(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("fuzz") / "data.csv"
    path.write_bytes(text.encode())
    with pytest.raises(InputError):
        read_nonmem(path)


@given(
    st.lists(
        st.lists(
            st.sampled_from(["0", "1", "2", "4", ".", "", "x", "-1", "5.5", "inf"]),
            min_size=9,
            max_size=9,
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_cells_are_read_or_refused_with_an_input_error(rows):
    names = ["ID", "TIME", "EVID", "MDV", "AMT", "RATE", "ADDL", "II", "DV"]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
    cohort, problems = (), ()
    try:
        cohort = read_nonmem(frame, purpose="forecast")
    except InputError as error:
        problems = error.problems
    assert bool(problems) != bool(len(cohort))
    assert all(p.where and p.found and p.rule and p.mend for p in problems)
    for subject in cohort:
        assert np.isfinite(subject.doses.amount).all()
        assert np.isfinite(subject.levels.value).all()
        assert (np.diff(subject.outputs.time) >= 0).all()


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="no resource module to measure memory with")
def test_a_million_rows_are_read_right_in_bounded_memory(tmp_path):
    path, count, size = tmp_path / "big.csv", 40_000, 25
    place = np.tile(np.arange(size), count)
    dose = (place % 6 == 0).astype(int)
    value = 1 + np.arange(count * size) % 977 / 8
    frame = pl.DataFrame(
        {
            "ID": np.repeat(np.arange(count), size),
            "TIME": place * 2.0,
            "EVID": dose,
            "MDV": dose,
            "AMT": dose * 1000.0,
            "RATE": dose * 500.0,
            "DV": np.where(dose == 1, 0, value),
            "WT": np.repeat(40 + np.arange(count) % 60, size),
            "CRCL": 50.0 + place,
        }
    )
    frame.write_csv(path)
    script = (
        "import resource, sys; from latentpk.records import read_nonmem; "
        "c = read_nonmem(sys.argv[1]); s = c[12345]; "
        "print(len(c), sum(len(x.levels) for x in c), float(sum(x.levels.value.sum() for x in c)),"
        " s.covariates[0, 0], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    # a process starts with the peak of the one that forked it: a small one stands between
    launcher = "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"
    command = [sys.executable, "-c", launcher, sys.executable, "-c", script, str(path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    subjects, levels, total, weight, peak = map(float, run.stdout.split())
    assert (subjects, levels) == (count, (dose == 0).sum())
    assert total == pytest.approx(value[dose == 0].sum())
    assert weight == 40 + 12345 % 60
    unit = 1024 if sys.platform == "darwin" else 1  # bytes there, kilobytes elsewhere
    assert peak / unit < 1024
