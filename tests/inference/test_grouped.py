"""Posteriors in a population of two groups, against a grid over both dimensions."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from latentpk.inference.grouped import join
from latentpk.inference.posterior import PosteriorSettings, posteriors, rows
from latentpk.inference.prediction import resample
from latentpk.inference.trust import gate_c
from latentpk.models.groups import Groups
from latentpk.models.record import take

SHARES = np.array([0.7, 0.3])
LEVELS = 3
EARLY, LATE = 1, 2  # the levels of each: early ones do not tell clearance


@pytest.fixture(scope="module")
def patient(ward):
    """A dose of 100 mg and levels at 1, 12 and 24 h, given by CL and V without any error."""
    first = jax.tree_util.tree_map(np.asarray, take(ward, np.array([0])))

    def _patient(cl, v=50.0, *, levels=LEVELS):
        time = np.array(first.time)
        time[0, :LEVELS] = [1.0, 12.0, 24.0]
        value = np.ones_like(time)
        value[0, :LEVELS] = 100 / v * np.exp(-cl / v * time[0, :LEVELS])
        mask = np.broadcast_to(np.arange(time.shape[1]) < levels, time.shape)
        return replace(first, time=time, value=value, mask=mask)

    return _patient


@pytest.fixture(scope="module")
def found(divided):
    def _found(*patients, model=divided, **settings):
        stacked = jax.tree_util.tree_map(lambda *x: np.concatenate(x), *patients)
        return posteriors(model, stacked, PosteriorSettings(**settings))

    return _found


@pytest.fixture(scope="module")
def grid(divided, quick):
    """The posterior on a grid: log evidence of each group, and weights of places z."""
    axis = np.stack(np.meshgrid(np.linspace(-4, 2, 241), np.linspace(-1.5, 1.5, 121)), axis=-1)
    z = np.asarray(divided.prior.typical) + axis.reshape(-1, 2)
    cell = (6 / 240) * (3 / 120)
    priors = []
    for k in range(2):
        own = divided.prior.of_group(k)
        chol = np.asarray(own.chol())
        priors.append(multivariate_normal(np.asarray(own.typical), chol @ chol.T).logpdf(z))

    def likelihood(record):
        alone = divided.of_group(0)
        white = jax.scipy.linalg.solve_triangular(
            alone.prior.chol(), (jnp.asarray(z) - alone.prior.typical).T, lower=True
        ).T
        location = alone.location(record)
        return jax.vmap(lambda e: alone.log_likelihood(e, location, record))(white)

    program = quick(likelihood)

    def _grid(record):
        like = np.asarray(program(take(record, 0)))
        evidence = [np.log(np.exp(like + prior).sum() * cell) for prior in priors]
        joint = np.log(SHARES)[:, None] + np.stack(priors) + like
        weight = np.exp(np.logaddexp.reduce(joint, axis=0))
        return np.array(evidence), z, weight / weight.sum()

    return _grid


@pytest.mark.long
@pytest.mark.parametrize(
    ("cl", "levels", "torn"),
    [(3.0, 3, False), (0.6, 3, False), (1.25, 3, True), (1.0, 1, True)],
)
def test_the_posterior_is_the_grids(found, grid, patient, divided, cl, levels, torn):
    record = patient(cl, levels=levels)
    evidence, z, weight = grid(record)
    joint = np.log(SHARES) + evidence
    one = found(record, draws=4096)
    assert one.log_evidence[0] == pytest.approx(np.logaddexp.reduce(joint), abs=0.02)
    probability = np.exp(joint - np.logaddexp.reduce(joint))
    np.testing.assert_allclose(one.group[0], probability, atol=0.01)
    drawn = one.eps[0] @ np.asarray(divided.prior.chol()).T + np.asarray(divided.prior.typical)
    for k in range(2):
        places, column = np.unique(z[:, k].round(9), return_inverse=True)
        below = np.cumsum(np.bincount(column, weight))  # a cell's mass lies below its upper edge
        edges = places + 0.5 * (places[1] - places[0])
        for share in (0.05, 0.2, 0.5, 0.8, 0.95):
            at = np.searchsorted(below, share)
            assert np.mean(drawn[:, k] <= edges[at]) == pytest.approx(below[at], abs=0.025)
    assert (0.1 < probability[1] < 0.9) == torn  # both kinds of case are here


@pytest.mark.long
def test_without_levels_it_is_exactly_the_prior(found, patient, divided):
    one = found(patient(3.0, levels=0))
    np.testing.assert_allclose(one.group[0], SHARES, rtol=1e-12)
    assert one.log_evidence[0] == pytest.approx(0, abs=1e-12)
    z = resample(one)[0] @ np.asarray(divided.prior.chol()).T + np.asarray(divided.prior.typical)
    poor = z[:, 0] < np.log(3.0) + 0.5 * np.log(0.25)
    assert poor.mean() == pytest.approx(0.3, abs=0.01)
    extensive = z[~poor]
    np.testing.assert_allclose(extensive.mean(axis=0), np.log([3.0, 50.0]), atol=0.02)
    np.testing.assert_allclose(extensive.std(axis=0), [0.25, np.hypot(0.05, 0.2)], rtol=0.06)
    np.testing.assert_allclose(z[poor].mean(axis=0), np.log([0.75, 45.0]), atol=0.03)
    np.testing.assert_allclose(z[poor].std(axis=0)[0], 0.8 * 0.25, rtol=0.06)


def test_the_slower_the_levels_fall_the_likelier_the_slow_group(found, patient):
    many = found(*(patient(cl) for cl in (4.0, 2.5, 1.8, 1.5, 1.2, 0.9, 0.6)))
    assert (np.diff(many.group[:, 1]) > 0).all()
    assert many.group[0, 1] < 1e-3
    assert many.group[-1, 1] > 0.99
    np.testing.assert_allclose(many.group.sum(axis=1), 1, rtol=1e-12)


def test_an_early_level_hardly_tells_the_groups_apart(found, patient):
    early, late = found(patient(0.75, levels=EARLY)), found(patient(0.75, levels=LATE))
    assert abs(early.group[0, 1] - 0.3) < 0.15
    assert late.group[0, 1] > 0.75


def test_groups_may_come_in_any_order(found, patient, divided):
    prior = divided.prior
    swapped = Groups(-prior.groups.odds, -prior.groups.shift, -prior.groups.size)
    other = divided.with_prior(prior.of_group(1).divided(swapped))
    one, two = found(patient(1.45)), found(patient(1.45), model=other)
    np.testing.assert_allclose(two.group[0, ::-1], one.group[0], atol=1e-9)
    assert two.log_evidence[0] == pytest.approx(one.log_evidence[0], abs=1e-9)
    places = [
        np.sort(p.eps[0] @ np.asarray(m.prior.chol()).T + np.asarray(m.prior.typical), axis=0)
        for p, m in ((one, divided), (two, other))
    ]
    np.testing.assert_allclose(*places, atol=0.1)


def test_the_mode_lies_in_the_likeliest_group(found, patient, divided):
    for cl in (3.0, 0.75):
        one = found(patient(cl))
        place = np.asarray(divided.prior.typical) + np.asarray(divided.prior.chol()) @ one.mode[0]
        assert np.exp(place[0]) == pytest.approx(cl, rel=0.25)


def test_a_patient_of_the_smaller_group_is_no_stranger(found, patient, divided):
    alone = found(patient(0.6), model=divided.of_group(0), rival=True)
    together = found(patient(0.6), rival=True)
    assert gate_c(alone, 0).verdict != "ok"
    assert gate_c(together, 0).verdict == "ok"


def test_diagnostics_are_of_the_hardest_group_that_counts(found, patient, divided):
    record = patient(1.45)
    easy = found(record, model=divided.of_group(0))
    hard = replace(easy, method=("nuts",), rhat=np.array([1.2]), k=np.array([0.9]))
    assert join(divided, record, [easy, hard]).method == ("nuts",)
    assert join(divided, record, [hard, easy]).rhat[0] == 1.2
    never = replace(hard, log_evidence=hard.log_evidence - 50)
    assert join(divided, record, [easy, never]).method == ("is",)


def test_rows_keep_a_subjects_own_groups(found, patient):
    many = found(patient(3.0), patient(0.75), patient(1.45))
    few = rows(many, [2, 1])
    np.testing.assert_array_equal(few.group, many.group[[2, 1]])
    np.testing.assert_array_equal(few.likeliest.mode, many.likeliest.mode[[2, 1]])
