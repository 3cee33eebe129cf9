"""Patients that an encoder learns from."""

import numpy as np
import pytest

from latentpk import read_nonmem
from latentpk.library.catalog import read_model
from latentpk.models.published import build_published
from latentpk.workflows.simulate import simulate
from latentpk.workflows.teaching import (
    BEYOND,
    MOST,
    random_designs,
    redrawn,
    scattered,
    teaching_cohort,
)

BUELGA = read_model("vancomycin-buelga-2005")


@pytest.fixture(scope="module")
def cohort():
    return teaching_cohort(BUELGA, 60, seed=1)


def by_hand(subject, draws):
    """The first level of patients with this one's doses and covariates; nothing of the package."""
    rng = np.random.default_rng(1)
    crcl, weight = subject.covariates[0]
    spread = BUELGA.population.variability.matrix()
    eta = rng.multivariate_normal(np.zeros(2), spread, draws)
    cl, v = 1.08 * crcl * 0.06 * np.exp(eta[:, 0]), 0.98 * weight * np.exp(eta[:, 1])
    k, time, total = cl / v, subject.levels.time[0], np.zeros(draws)
    for start, dose, hours in zip(
        subject.doses.time, subject.doses.amount, subject.doses.duration, strict=True
    ):
        on, after = np.clip(time - start, 0, hours), max(time - start - hours, 0)
        total += dose / hours / cl * (1 - np.exp(-k * on)) * np.exp(-k * after)
    noisy = total + 3.52 * rng.standard_normal(draws)
    while (noisy <= 0).any():  # a laboratory reports no level below 0: the error is drawn again
        noisy = np.where(noisy > 0, noisy, total + 3.52 * rng.standard_normal(draws))
    return noisy


class TestTeachingCohort:
    def test_half_are_routine_and_half_have_any_number_of_levels(self, cohort):
        assert len(cohort) == 60
        assert cohort.covariate_names == BUELGA.population.covariates
        counts = np.array([len(subject.levels) for subject in cohort])
        assert set(range(1, 6)) <= set(counts[30:].tolist())
        assert counts.max() <= MOST

    def test_doses_come_more_often_and_more_rarely(self, cohort):
        gaps = [np.median(np.diff(s.doses.time)) for s in cohort if len(s.doses) > 2]
        assert max(gaps) > 3 * min(gaps)

    def test_no_patient_is_there_twice(self, cohort):
        levels = [subject.levels.value[0] for subject in cohort]
        assert len(set(levels)) == len(levels)

    def test_a_seed_gives_the_same_patients(self, cohort):
        again = teaching_cohort(BUELGA, 60, seed=1)
        assert again.source_hash == cohort.source_hash
        assert teaching_cohort(BUELGA, 60, seed=2).source_hash != cohort.source_hash

    def test_doses_are_mass_of_the_measured_molecule(self):
        salt = read_model("aminophylline")
        assert salt.salt_factor != 1
        plain = salt.model_copy(update={"salt_factor": 1.0})
        ours, theirs = (teaching_cohort(card, 4, seed=3) for card in (salt, plain))
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one.doses.amount, salt.salt_factor * other.doses.amount)

    def test_every_random_design_is_one(self):
        for stride, design in zip((0.5, 1.0, 2.0), random_designs(BUELGA.design), strict=True):
            assert design == type(design).model_validate(design.model_dump())
            hours = [one.hours for one in design.dosing.intervals]
            assert hours == [stride * one.hours for one in BUELGA.design.dosing.intervals]


@pytest.fixture(scope="module")
def locals_():
    frame = simulate(BUELGA, 5, seed=4)
    return read_nonmem(frame, covariates=["CRCL", "WT"], purpose="adapt").subjects


class TestLocalDesigns:
    def test_doses_and_covariates_are_the_local_ones(self, locals_):
        made = scattered(locals_, 20, seed=1)
        assert len(made) == 20
        for i, one in enumerate(made):
            np.testing.assert_array_equal(one.doses.time, locals_[i % 5].doses.time)
            np.testing.assert_array_equal(one.covariates, locals_[i % 5].covariates)
        for i in range(5):
            np.testing.assert_array_equal(made[i].levels.time, locals_[i].levels.time)
            assert set(made[i + 5].levels.time) != set(locals_[i].levels.time)

    def test_random_times_are_in_the_course(self, locals_):
        for i, one in enumerate(scattered(locals_, 50, seed=2)):
            whole = locals_[i % 5]
            end = max(whole.levels.time.max(), whole.doses.time.max(), whole.outputs.time.max())
            assert len(one.levels) >= 1
            assert one.levels.time.max() <= BEYOND * end + 1e-9
            assert (np.diff(one.levels.time) >= 0).all()

    def test_levels_are_drawn_from_the_model(self, locals_):
        model = build_published(BUELGA.population)
        records = redrawn(model, [locals_[0]] * 2000, 0.0, seed=5)
        values = np.asarray(records.value)[:, : len(locals_[0].levels)]
        assert (values > 0).all()
        assert len(np.unique(values[:, 0])) == 2000
        expected = by_hand(locals_[0], 20_000)
        for share in (0.1, 0.5, 0.9):  # the error of a quantile of 2000 is about 0.13 mg/L
            ours, theirs = np.quantile(values[:, 0], share), np.quantile(expected, share)
            assert ours == pytest.approx(theirs, abs=0.45)

    def test_levels_below_the_limit_are_censored(self, locals_):
        from dataclasses import replace

        one = locals_[0]
        limit = np.full(len(one.levels), float(np.median(one.levels.value)))
        limited = replace(one, levels=replace(one.levels, lloq=limit))
        model = build_published(BUELGA.population)
        records = redrawn(model, [limited] * 200, 0.0, seed=6)
        count = len(one.levels)
        censored = np.asarray(records.censored)
        value = np.asarray(records.value)[:, :count]
        assert 0 < censored.sum() < 200 * count
        assert not censored[:, count:].any()
        np.testing.assert_array_equal(value[censored[:, :count]], limit[0])
        assert (value[~censored[:, :count]] >= limit[0]).all()
