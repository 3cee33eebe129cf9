from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from latentpk.records.nonmem import read_nonmem
from latentpk.report.curves import curves, draw_subjects
from latentpk.workflows.simulate import simulate

COLUMNS = ("PRED", "IPRED", "LO", "HI", "PI_LO", "PI_HI")


@pytest.fixture(scope="module")
def cohort():
    return read_nonmem(
        simulate("vancomycin-goti-2018", 3, seed=2), purpose="forecast", condition_until=48.0
    )


def forecast(cohort):
    """Ten mg/L at every time, falling to eight just before a dose."""
    time = np.concatenate([subject.outputs.time for subject in cohort])
    order = np.concatenate([subject.outputs.order for subject in cohort])
    value = np.where(np.isneginf(order), 8.0, 10.0)
    table = pl.DataFrame(dict.fromkeys(COLUMNS, value) | {"TIME": time})
    return table.with_columns(VERDICT=pl.lit("ok"), REASON=pl.lit(None, pl.String))


def test_a_curve_spans_the_record_and_keeps_its_levels(cohort):
    found = curves(forecast, cohort)
    assert [curve.id for curve in found] == [subject.id for subject in cohort]
    for subject, curve in zip(cohort, found, strict=True):
        assert curve.time.size > 200
        assert (np.diff(curve.time) >= 0).all()
        assert curve.time[0] <= subject.doses.time[0]
        assert curve.time[-1] > max(subject.outputs.time.max(), subject.doses.time.max())
        assert curve.level.size == subject.outputs.is_level.sum()
        assert curve.used.sum() == len(subject.levels)
        assert (curve.level_time[curve.used] <= 48).all()
        assert (~curve.used).any()


def test_both_sides_of_every_dose_are_drawn(cohort):
    subject, curve = cohort[0], curves(forecast, cohort)[0]
    for time in subject.doses.time:
        assert {8.0, 10.0} <= set(curve.ipred[curve.time == time])


def test_a_picture_for_each_subject_stays_in_its_folder(cohort, tmp_path):
    names = ("../../x", "a/b", "A_B")
    strange = replace(
        cohort,
        subjects=tuple(replace(s, id=name) for s, name in zip(cohort, names, strict=True)),
    )
    seen = []
    paths = draw_subjects(
        forecast, strange, tmp_path / "plots", progress=lambda *report: seen.append(report)
    )
    assert len({path.name.lower() for path in paths}) == 3
    assert all(path.parent == tmp_path / "plots" and path.is_file() for path in paths)
    assert [report[:2] for report in seen] == [(1, 3), (2, 3), (3, 3)]


def test_no_subjects_give_no_curves(cohort):
    assert curves(forecast, cohort.subset([])) == []


def test_a_record_that_starts_late_is_drawn_from_its_start(cohort):
    subject = cohort[0]
    doses = replace(subject.doses, time=subject.doses.time + 1000)
    outputs = replace(subject.outputs, time=subject.outputs.time + 1000)
    levels = replace(subject.levels, time=subject.levels.time + 1000)
    late = replace(subject, doses=doses, outputs=outputs, levels=levels)
    assert curves(forecast, replace(cohort, subjects=(late,)))[0].time[0] == 1000
