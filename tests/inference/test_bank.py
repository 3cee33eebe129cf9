"""Draws that answer many questions: against evidence computed for each question alone."""

from dataclasses import replace

import equinox as eqx
import numpy as np
import pytest

from latentpk import read_nonmem
from latentpk.inference.bank import (
    densities,
    later_given_earlier,
    leave_one_out,
    log_mean,
    make_bank,
    normal_weights,
    redraw,
    standard_ratio,
    weighted_median,
)
from latentpk.inference.posterior import PosteriorSettings, posteriors
from latentpk.models.record import stack_records


@pytest.fixture(scope="module")
def model(mixed_models):
    return mixed_models[1].model


@pytest.fixture(scope="module")
def records(mixed, mixed_models):
    cohort = read_nonmem(mixed[0], **mixed_models[1].reading(), purpose="forecast")
    return stack_records(cohort.subset(range(6)).subjects, tight=True)


@pytest.fixture(scope="module")
def bank(model, records):
    return make_bank(model, records, draws=1024)


def evidence(model, records):
    return posteriors(model, records, PosteriorSettings(draws=4096, ladder=False)).log_evidence


def of(bank, model):
    return log_mean(densities(bank, model.residual).sum(axis=2) + standard_ratio(bank))


def without(records, j):
    mask = np.asarray(records.mask).copy()
    mask[:, j] = False
    return eqx.tree_at(lambda r: r.mask, records, mask)


@pytest.mark.long
def test_the_evidence_is_the_posteriors_own(bank, model, records):
    assert of(bank, model) == pytest.approx(evidence(model, records), abs=0.03)


def test_the_evidence_of_another_population_needs_no_other_draws(bank, model, records):
    wide = model.widened(1.3)
    size = bank.eps.shape[2]
    ratio = -0.5 * np.sum((bank.eps / 1.3) ** 2, axis=2) - size * np.log(1.3)
    ratio = ratio - 0.5 * size * np.log(2 * np.pi) - bank.log_q
    found = log_mean(densities(bank, model.residual).sum(axis=2) + ratio)
    assert found == pytest.approx(evidence(wide, records), abs=0.05)


def test_a_level_left_out_has_the_density_that_two_evidences_give(bank, model, records):
    found = leave_one_out(model, bank)
    whole = evidence(model, records)
    for j in range(4):
        expected = whole - evidence(model, without(records, j))
        assert found.log_density[:, j] == pytest.approx(expected, abs=0.08)
    assert np.isnan(found.median[:, ~np.asarray(records.mask)[0]]).all()


def test_few_effective_draws_are_drawn_again(bank, model, records):
    few = bank.rows(np.arange(len(bank)), 24)
    again, plenty = leave_one_out(model, few), leave_one_out(model, bank)
    assert np.nanmin(again.ess) > 40
    assert again.log_density == pytest.approx(plenty.log_density, abs=0.45, nan_ok=True)


def test_later_levels_given_earlier_ones(bank, model, records):
    each, ratio = densities(bank, model.residual), standard_ratio(bank)
    first = without(without(without(records, 3), 4), 5)
    expected = evidence(model, records) - evidence(model, first)
    assert later_given_earlier(bank, each, ratio) == pytest.approx(expected, abs=0.1)


def test_draws_made_anew_say_the_same(bank, model):
    weight = normal_weights(densities(bank, model.residual), standard_ratio(bank))
    size = bank.eps.shape[2]
    new = redraw(model, bank, weight, (np.zeros(size), np.eye(size)), draws=2048, seed=1)
    assert of(new, model) == pytest.approx(of(bank, model), abs=0.08)


def test_an_impossible_level_is_no_nan(bank, model):
    level = bank.level.copy()
    level[:, :, 0] = np.nan
    each = densities(replace(bank, level=level), model.residual)
    assert np.isfinite(each).all()
    assert (each[:, :, 0] == -1e10).all()


def test_a_weighted_median_counts_weights():
    values = np.array([[3.0, 1.0, 2.0]])
    assert weighted_median(values, np.array([[0.2, 0.2, 0.6]]))[0] == 2.0
    assert weighted_median(values, np.array([[0.8, 0.1, 0.1]]))[0] == 3.0
