"""Known errors of the published courses: each is mended once, told, and nothing like it touched."""

import os
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from latentpk.kinetics.mouse import Tumor, follow
from latentpk.records.courses import read_courses
from latentpk.records.particles import read_particles
from latentpk.records.repairs import AMENDED, MISPLACED, REPAIRS, course_mark

CARD = (Path(__file__).parents[2] / "docs" / "nano_tumor.md").read_text(encoding="utf-8")
HEAD = "ID,Type,TS,HD,Zeta,Charge,Shape,TM,CT,TSz,TW,Dose,BW"
ROW = "Organic,Active,100,12.5,0,Spherical,Xenograft Heterotopic,Breast,0.2,0.3,5,20"

# As published: two courses of one study, and one whose amounts are wrong.
COURSES = [
    ("16", 24.0, 1.717894737), ("16", 48.0, 1.176965944), ("16", 72.0, 0.974860681),
    ("17", 24.0, 0.951083591), ("17", 48.0, 0.53498452), ("17", 72.0, 0.279380805),
    ("163", 1.0, 4.357009346), ("163", 3.0, 4.592523364), ("163", 6.0, 3.414953271),
    ("163", 24.0, 4.479262673),
]  # fmt: skip
IDS = ("16", "17", "163")


def particles():
    rows = [f"{one},{ROW}".split(",") for one in IDS]
    return read_particles(pl.DataFrame(rows, schema=HEAD.split(","), orient="row"))


def courses(rows, **options):
    frame = pl.DataFrame(rows, schema=["ID", "TIME", "TUMOR"], orient="row")
    return read_courses(frame, particles(), **options)


def amounts(found):
    return {
        one: found.tumor[row][found.measured[row]].tolist()
        for row, one in enumerate(particles().ids)
    }


def told(found):
    return [notice for notice in found.notices if notice.startswith("Repaired")]


def moved(place, **change):
    """The courses with one measurement changed."""
    row = dict(zip(("one", "time", "tumor"), COURSES[place], strict=True)) | change
    return [*COURSES[:place], tuple(row.values()), *COURSES[place + 1 :]]


class TestCourses:
    @pytest.mark.parametrize("turned", [False, True])
    def test_they_come_to_the_particle_they_were_measured_of_and_are_told(self, turned):
        found = courses(COURSES[::-1] if turned else COURSES)
        assert amounts(found) == {
            "16": [0.951083591, 0.53498452, 0.279380805],
            "17": [1.717894737, 1.176965944, 0.974860681],
            "163": [0.4968, 0.7344, 0.8856, 0.324],
        }
        first, second = told(found)
        assert first.startswith("Repaired (course-misplaced): what stood under ID ")
        assert re.search("16 is of 17", first)
        assert re.search("17 is of 16", first)
        assert second.startswith("Repaired (amount-of-concentration), ID 163: TUMOR 0.4968, ")

    def test_unrepaired_they_stay(self):
        found = courses(COURSES, repair=False)
        assert amounts(found)["16"] == [1.717894737, 1.176965944, 0.974860681]
        assert amounts(found)["163"][0] == 4.357009346
        assert found.notices == ()

    def test_mended_ones_stay(self):
        once = courses(COURSES)
        again = courses(
            [
                (one, once.time[row, k], once.tumor[row, k])
                for row, one in enumerate(IDS)
                for k in range(once.count[row])
            ]
        )
        assert amounts(again) == amounts(once)
        assert again.notices == ()

    @pytest.mark.parametrize("place", range(6))
    @pytest.mark.parametrize("change", [{"tumor": 1.7178947371}, {"time": 25.0}])
    def test_a_study_that_differs_in_one_value_is_left_alone(self, place, change):
        rows = moved(place, **change)
        assert len(told(courses(rows))) == 1  # 163 alone
        assert amounts(courses(rows))["16"] == amounts(courses(rows, repair=False))["16"]

    @pytest.mark.parametrize("rows", [COURSES[1:], [*COURSES, ("16", 96.0, 0.5)]])
    def test_a_course_with_other_measurements_is_left_alone(self, rows):
        assert len(told(courses(rows))) == 1

    @pytest.mark.parametrize("place", range(6, 10))
    def test_amounts_that_differ_are_left_alone(self, place):
        rows = moved(place, tumor=4.0)
        assert amounts(courses(rows))["163"] == amounts(courses(rows, repair=False))["163"]

    def test_the_same_values_under_another_id_are_left_alone(self):
        rows = [("17" if one == "163" else "163", *rest) for one, *rest in COURSES[3:]]
        assert courses(rows).notices == ()

    def test_a_part_of_a_study_is_known_by_its_values(self):
        assert amounts(courses(COURSES[:3]))["17"] == [1.717894737, 1.176965944, 0.974860681]

    def test_concentrations_alone_are_left_alone(self):
        frame = pl.DataFrame(COURSES, schema=["ID", "TIME", "TUMOR_G"], orient="row")
        assert told(read_courses(frame, particles())) == []

    def test_a_mark_is_of_values_in_any_order(self):
        time, tumor = np.array([1.0, 2.0, 2.0]), np.array([5.0, 4.0, 3.0])
        mark = course_mark(time, tumor)
        assert course_mark(time[::-1], tumor[::-1]) == mark
        assert course_mark(time, np.nextafter(tumor, 9.0)) != mark


class TestRules:
    def test_courses_change_places_within_a_study_and_none_is_lost(self):
        for rule in MISPLACED:
            assert {whose for whose, _ in rule.owners.values()} == {*rule.owners}
            assert all(one != whose for one, (whose, _) in rule.owners.items())

    def test_no_course_has_two_rules(self):
        ids = [one for rule in MISPLACED for one in rule.owners] + [r.row for r in AMENDED]
        marks = [mark for rule in MISPLACED for _, mark in rule.owners.values()]
        assert (len(MISPLACED), len(ids), len({*ids})) == (20, 67, 67)
        assert len({*marks}) == 64

    def test_the_card_tells_every_course(self):
        assert f"| course-misplaced | 64 courses of {len(MISPLACED)} studies |" in CARD
        assert "| amount-of-concentration | 27, 163, 164 |" in CARD
        reverse = CARD.split("| reversed: IDs ")[1].split(" |")[0]
        owners = {}
        for first, last in re.findall(r"(\d+)-(\d+)", reverse):
            study = [str(one) for one in range(int(first), int(last) + 1)]
            owners |= dict(zip(study, study[::-1], strict=True))
        rows = "\n".join(re.findall(r"^\| \d+ \| (\d.*?)(?:;.*)? \|$", CARD, re.MULTILINE))
        owners |= dict(re.findall(r"(\d+): (\d+)", rows))
        found = {one: whose for rule in MISPLACED for one, (whose, _) in rule.owners.items()}
        assert owners == found


@pytest.fixture(scope="module")
def published():
    """Path of the published tables in LATENTPK_DATA."""
    folder = Path(os.environ.get("LATENTPK_DATA", "absent")) / "nano"
    if not folder.is_dir():
        pytest.skip("LATENTPK_DATA names no folder with nano/")
    return folder


@pytest.fixture(scope="module")
def tables(published):
    """Particles as published and mended, courses as published and mended."""
    known = read_particles(published / "nano_tumor.csv")
    raw = pl.read_csv(published / "nano_tumor.csv")
    raw = raw.rename({name: name.upper() for name in raw.columns})
    both = [
        read_courses(published / "nano_tumor_timecourse.csv", known, repair=repair)
        for repair in (False, True)
    ]
    return (raw, both[0]), (known.frame, both[1])


def deviations(frame, found):
    """Of the PBPK model from DE24, DE168 and DEMAX, and by course the log RMSE from it."""
    names = ["QTC", "VTC", "BVT", "PT", "PATC", "KTRESRELEASE", "KTRESMAX", "KTRES50", "KTRESN"]
    tumor = Tumor(*(jnp.asarray(frame[name].to_numpy().astype(float)) for name in names))

    def one(tumor, weight, time):
        course = follow(tumor, weight, time)
        return course.tissue("tumor"), jnp.stack([course.de24, course.de168, course.demax])

    weight = frame["BW"].to_numpy().astype(float) / 1000
    tissue, delivery = jax.vmap(one)(tumor, jnp.asarray(weight), jnp.asarray(found.time))
    stated = frame.select("DE24", "DE168", "DEMAX").to_numpy()
    seen = found.measured & ~found.censored
    apart = np.where(seen, np.log(found.tumor / np.where(seen, tissue, 1)), 0)
    return np.abs(delivery / stated - 1), np.sqrt((apart**2).sum(axis=1) / seen.sum(axis=1))


class TestPublished:
    def test_every_rule_is_used_once(self, published, tables):
        notices = read_particles(published / "nano_tumor.csv").notices
        assert len([one for one in notices if one.startswith("Repaired")]) == len(REPAIRS) == 17
        assert len({rule.row for rule in REPAIRS}) == 16
        assert len(told(tables[1][1])) == len(MISPLACED) + len(AMENDED) == 23
        assert told(tables[0][1]) == []

    def test_no_measurement_is_lost_and_only_the_told_courses_change(self, tables):
        (_, before), (_, after) = tables
        assert before.count.sum() == after.count.sum() == 1722
        owners = {a: b for rule in MISPLACED for a, (b, _) in rule.owners.items()}
        amended = {rule.row for rule in AMENDED}
        for row in range(378):
            place = int(owners.get(str(row + 1), row + 1)) - 1
            assert np.array_equal(before.time[row], after.time[place])
            same = np.array_equal(before.tumor[row], after.tumor[place])
            assert same == (str(row + 1) not in amended)

    def test_the_largest_measurement_is_nearer_to_demax_as_the_card_says(self, tables):
        apart = []
        rows = [int(one) - 1 for rule in MISPLACED for one in rule.owners]
        for frame, found in tables:
            highest = np.where(found.measured, found.tumor, 0).max(axis=1)
            apart.append(np.mean(np.abs(np.log(highest / frame["DEMAX"].to_numpy()))[rows]))
        assert f"these {len(rows)} particles" in CARD
        assert f"is {apart[0]:.2f} as published and {apart[1]:.2f} mended" in CARD

    def test_the_model_is_nearer_as_the_card_says(self, tables):
        (off, apart), (off_mended, apart_mended) = (deviations(*pair) for pair in tables)

        def shares(off):
            return ", ".join(f"{share:.1f}" for share in 100 * (off < 0.05).mean(axis=0))

        def middle(apart):
            return f"{np.median(apart):.3f}, {np.mean(apart):.3f}"

        assert f"| {shares(off)} % | {shares(off_mended)} % |" in CARD
        assert f"| {middle(apart)} | {middle(apart_mended)} |" in CARD
        rows = [int(one) - 1 for rule in MISPLACED for one in rule.owners]
        before, after = apart[rows], apart_mended[rows]
        assert f"{np.median(before):.2f} as published and {np.median(after):.2f} mended" in CARD
        assert f"it falls in {(after < before).sum()}, and" in CARD
