"""Courses and studies of nanoparticles: what is read, dropped and told, what is refused."""

import math

import numpy as np
import polars as pl
import pytest

from latentpk.errors import InputError
from latentpk.records.courses import MATERIALS, read_courses, read_studies, with_studies
from latentpk.records.particles import read_particles

HEAD = "ID,Type,TS,HD,Zeta,Charge,Shape,TM,CT,TSz,TW,Dose,BW"
ROW = "Organic,Active,100,12.5,0,Spherical,Xenograft Heterotopic,Breast"


def particles(*rows, head=HEAD):
    rows = rows or ("7", "8", "12")
    whole = [row if "," in row else f"{row},{ROW},0.2,0.3,5,20" for row in rows]
    cells = [dict(zip(head.split(","), row.split(","), strict=True)) for row in whole]
    return read_particles(pl.DataFrame(cells))


def table(text):
    head, *rows = text.split("\n")
    cells = [dict(zip(head.split(","), row.split(","), strict=True)) for row in rows]
    return pl.DataFrame(cells, schema=dict.fromkeys(head.split(","), pl.String))


def refused(read, text, known=None):
    with pytest.raises(InputError) as caught:
        read(table(text), known or particles())
    return caught.value


class TestCourses:
    def test_rows_are_in_the_order_of_the_particles_and_times_are_sorted(self):
        found = read_courses(table("ID,TIME,TUMOR\n12,24,3\n7,6,1\n12,2,2\n12,48,4"), particles())
        assert found.count.tolist() == [1, 0, 3]
        assert found.measured.tolist() == [[True, False, False], [False] * 3, [True] * 3]
        assert found.time.tolist() == [[6, 0, 0], [0, 0, 0], [2, 24, 48]]
        assert found.tumor.tolist() == [[1, 1, 1], [1, 1, 1], [2, 3, 4]]
        assert found.limit.tolist() == [[1, 1, 1], [1, 1, 1], [2, 2, 2]]
        assert not found.censored.any()
        assert found.notices == ()
        assert len(found) == 3

    def test_ids_match_as_the_particles_write_them(self):
        found = read_courses(table("id,Time,Tumor\n12.0,1,2\n8.0,1,3"), particles("7", "8", "12.0"))
        assert found.count.tolist() == [0, 1, 1]
        frame = pl.DataFrame({"ID": [12.0, 8.0], "TIME": [1, 1], "TUMOR": [2.0, 3.0]})
        assert read_courses(frame, particles()).tumor.tolist() == found.tumor.tolist()

    def test_a_file_is_read_as_its_frame(self, tmp_path):
        path = tmp_path / "courses.csv"
        path.write_text("ID,TIME,TUMOR\n7,1,2\n", encoding="utf-8")
        found = read_courses(path, particles())
        assert found.tumor[0, 0] == 2
        assert len(found.digest) == 64

    def test_rows_of_no_particle_are_dropped_counted_and_named(self):
        text = "ID,TIME,TUMOR\n7,1,2\n99,1,5\n99,2,5\nA,3,5"
        found = read_courses(table(text), particles())
        assert found.count.tolist() == [1, 0, 0]
        assert found.notices == ("3 rows are dropped, since no particle has that ID: IDs 99, A.",)
        none = read_courses(table("ID,TIME,TUMOR\n99,1,5"), particles())
        assert none.time.shape == (3, 0)
        assert none.notices[0].endswith("ID 99. No row is left.")

    def test_many_strangers_are_named_in_part(self):
        rows = "\n".join(f"{name},1,5" for name in range(100, 115))
        notice = read_courses(table(f"ID,TIME,TUMOR\n{rows}"), particles()).notices[0]
        assert "108, 109 and 5 more" in notice

    def test_a_zero_is_below_the_smallest_value_of_its_course(self):
        text = "ID,TIME,TUMOR\n7,1,0.5\n7,2,0.2\n7,4,0\n8,1,0\n12,1,0.05"
        found = read_courses(table(text), particles())
        assert found.censored.tolist() == [[False, False, True], [True, False, False], [False] * 3]
        assert found.tumor.tolist() == [[0.5, 0.2, 0.2], [0.05, 1, 1], [0.05, 1, 1]]
        assert found.limit.tolist() == [[0.2, 0.2, 0.2], [0.05, 1, 1], [0.05, 1, 1]]
        assert found.notices == ("2 zeros are read as below the smallest value measured: ID 7, 8.",)

    def test_zeros_alone_are_refused(self):
        error = refused(read_courses, "ID,TIME,TUMOR\n7,1,0\n8,1,0")
        assert [problem.where for problem in error.problems] == ["column TUMOR"]

    def test_measurements_at_one_time_are_kept_in_their_order_and_told(self):
        found = read_courses(table("ID,TIME,TUMOR\n7,2,3\n7,1,9\n7,2,1\n8,0,4"), particles())
        assert found.tumor[0].tolist() == [9, 3, 1]
        assert found.notices == ("Measurements at the same time are all kept: ID 7.",)

    @pytest.mark.parametrize("n", [0, 1, 2, 3, 5])
    def test_the_first_and_the_later_measurements_are_the_course(self, n):
        found = read_courses(table("ID,TIME,TUMOR\n7,1,2\n7,3,0\n7,6,4\n8,2,5"), particles())
        first, after = found.first(n), found.after(n)
        assert first.count.tolist() == [min(n, 3), min(n, 1), 0]
        assert (first.count + after.count).tolist() == found.count.tolist()
        for name in ("time", "tumor", "measured", "censored", "limit"):
            both = np.hstack([getattr(first, name), getattr(after, name)])
            assert np.array_equal(both, getattr(found, name))
        assert not first.measured[:, n:].any()

    def test_a_negative_number_of_measurements_is_refused(self):
        found = read_courses(table("ID,TIME,TUMOR\n7,1,2"), particles())
        with pytest.raises(InputError, match="0 or more"):
            found.first(-1)
        with pytest.raises(InputError, match="0 or more"):
            found.after(-1)


class TestConcentrations:
    def test_they_are_read_with_the_tumors_weight(self):
        known = particles("7", f"8,{ROW},0.5,,5,20")
        found = read_courses(table("ID,TIME,TUMOR_G\n7,1,10\n8,1,10\n99,1,1"), known)
        assert found.tumor.tolist() == [[pytest.approx(3.0)], [pytest.approx(6.0)]]
        assert any("TUMOR_G times the tumor's weight" in notice for notice in found.notices)

    def test_they_are_not_used_beside_amounts(self):
        found = read_courses(table("ID,TIME,TUMOR,TUMOR_G\n7,1,2,junk"), particles())
        assert found.tumor[0, 0] == 2
        assert found.notices == ("Columns that are not used: TUMOR_G.",)

    def test_without_a_weight_they_are_refused(self):
        known = particles("7", f"8,{ROW},,,5,20")
        error = refused(read_courses, "ID,TIME,TUMOR_G\n7,1,1\n8,1,1\n99,1,1", known)
        assert [problem.where for problem in error.problems] == ["row 2, column TUMOR_G"]
        assert "particle 8" in str(error)

    def test_more_than_the_dose_is_refused(self):
        error = refused(read_courses, "ID,TIME,TUMOR_G\n7,1,400\n7,2,300")
        assert [problem.where for problem in error.problems] == ["row 1, column TUMOR_G"]
        assert "is 120 %ID" in str(error)


@pytest.mark.parametrize(
    ("row", "where", "word"),
    [
        ("7,-1,2", "row 2, column TIME", "Check the unit (h)"),
        ("7,180.5,2", "row 2, column TIME", "at most 180"),
        ("7,noon,2", "row 2, column TIME", "noon"),
        ("7,nan,2", "row 2, column TIME", "nan"),
        ("7,,2", "row 2, column TIME", "missing"),
        ("7,1,-0.1", "row 2, column TUMOR", "at least 0"),
        ("7,1,101", "row 2, column TUMOR", "%ID"),
        ("7,1,inf", "row 2, column TUMOR", "inf"),
        ("7,1,", "row 2, column TUMOR", "Fill it or drop the row"),
        (",1,2", "row 2, column ID", "missing"),
    ],
)
def test_bad_cells_are_named_with_rule_and_mend(row, where, word):
    error = refused(read_courses, f"ID,TIME,TUMOR\n7,0,1\n{row}\n7,180,100")
    assert [problem.where for problem in error.problems] == [where]
    assert word in str(error)


def test_every_problem_is_told_at_once():
    error = refused(read_courses, "ID,TIME,TUMOR\n7,-1,200\n,1,x\n99,200,1")
    assert [problem.where for problem in error.problems] == [
        "row 2, column ID", "row 1, column TIME", "row 3, column TIME", "row 1, column TUMOR",
        "row 2, column TUMOR",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("read", "text", "where"),
    [
        (read_courses, "ID,HOUR,TUMOR\n7,1,2", "column TIME"),
        (read_courses, "ID,TIME\n7,1", "column TUMOR or TUMOR_G"),
        (read_courses, "ID,TIME,TUMOR", "the table"),
        (read_courses, "ID,TIME,time,TUMOR\n7,1,1,2", "column TIME"),
        (read_studies, "ID,PAPER\n7,1", "column STUDY_ID or STUDY"),
        (read_studies, "ID,STUDY", "the table"),
    ],
)
def test_a_table_that_cannot_serve_is_refused(read, text, where):
    assert [problem.where for problem in refused(read, text).problems] == [where]


class TestStudies:
    def test_they_are_in_the_order_of_the_particles(self):
        text = (
            "Id,study_id,mat,zp_signed,Note\n12.0,3.0,other  om,-20,x\n7,3,GOLD,,x\n99,3,Silica,1,x"
        )
        found = read_studies(table(text), particles())
        assert found.study == ("3", None, "3")
        assert found.material == ("Gold", None, "Other OM")
        assert found.zp_signed[2] == -20
        assert np.isnan(found.zp_signed[:2]).all()
        assert found.notices == (
            "1 row is dropped, since no particle has that ID: ID 99.",
            "Columns that are not used: NOTE.",
        )

    def test_a_particle_without_a_study_is_a_group_of_its_own(self):
        known = particles("1", "2", "3", "4", "5")
        found = read_studies(table("ID,STUDY\n1,b\n3,a\n4,\n5,b"), known)
        assert found.study == ("b", None, "a", None, "b")
        assert found.groups.tolist() == [0, 1, 2, 3, 0]
        assert found.material == (None,) * 5

    def test_every_known_material_is_read(self):
        names = [str(k) for k in range(len(MATERIALS))]
        rows = "\n".join(f"{k},1,{m.upper()}" for k, m in zip(names, MATERIALS, strict=True))
        found = read_studies(table(f"ID,STUDY,MAT\n{rows}"), particles(*names))
        assert found.material == MATERIALS

    @pytest.mark.parametrize(
        ("row", "where", "word"),
        [
            ("7,1,Liposome,1", "row 2, column MAT", "Did you mean Liposomes?"),
            ("7,1,unobtainium,1", "row 2, column MAT", "Iron Oxide. Correct it"),
            ("7,1,Gold,-101", "row 2, column ZP_SIGNED", "mV"),
            ("7,1,Gold,minus", "row 2, column ZP_SIGNED", "minus"),
            ("8.0,1,Gold,1", "row 2, column ID", "8 stands in row 1 already"),
        ],
    )
    def test_bad_cells_are_named_with_rule_and_mend(self, row, where, word):
        error = refused(read_studies, f"ID,STUDY,MAT,ZP_SIGNED\n8,1,Silica,0\n{row}")
        assert [problem.where for problem in error.problems] == [where]
        assert word in str(error)


class TestJoining:
    STUDIES = "ID,STUDY,MAT,ZP_SIGNED\n7,1,Gold,-12.5\n8,1,Silica,-3\n12,2,,4"

    def test_columns_are_added_where_the_table_has_none(self):
        known = particles()
        found = with_studies(known, read_studies(table(self.STUDIES), known))
        assert found.frame["MAT"].to_list() == ["Gold", "Silica", None]
        assert found.number("ZP_SIGNED").tolist() == [-12.5, -3, 4]
        assert found.notices == known.notices
        assert found.frame.drop("MAT", "ZP_SIGNED").equals(known.frame)
        assert found.digest != known.digest

    def test_the_tables_own_values_stay_and_a_disagreement_is_told(self):
        rest = f"{ROW},0.2,0.3,5,20"
        head = HEAD + ",MAT,ZP_signed"
        known = particles(
            f"7,{rest},gold,", f"8,{rest},Polymeric,-3.0", f"12,{rest},Home made,9", head=head
        )
        found = with_studies(known, read_studies(table(self.STUDIES), known))
        assert found.frame["MAT"].to_list() == ["Gold", "Polymeric", "Home made"]
        assert found.number("ZP_SIGNED").tolist() == [-12.5, -3, 9]
        assert found.notices == (
            *known.notices,
            "MAT of ID 8 stays Polymeric; its study says Silica.",
            "ZP_SIGNED of ID 12 stays 9.0; its study says 4.0.",
        )

    def test_what_nobody_knows_stays_missing(self):
        known = particles()
        found = with_studies(known, read_studies(table("ID,STUDY\n7,1"), known))
        assert found.frame["MAT"].to_list() == [None] * 3
        assert all(math.isnan(value) for value in found.number("ZP_SIGNED"))

    def test_studies_of_other_particles_are_refused(self):
        studies = read_studies(table(self.STUDIES), particles())
        with pytest.raises(InputError, match="3 particles beside 2"):
            with_studies(particles("7", "8"), studies)
