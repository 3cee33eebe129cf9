import copy
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.errors import ConvergenceError
from latentpk.inference.elbo import ElboTerms
from latentpk.inference.epochs import TrainingState
from latentpk.inference.training import (
    Course,
    Freedom,
    Trainer,
    TrainingHistory,
    TrainingSettings,
    first_half,
    refresh_encoder,
    train,
)
from latentpk.models.config import CompartmentConfig, EncoderConfig, ModelConfig
from latentpk.models.latent import build

SETTINGS = TrainingSettings(
    epochs=8, anneal=3, patience=2, batch=8, samples=2, refresh=3, population_rate=0.05
)
EVERYBODY = np.arange(24)
ABSENT = -18.0  # log of an intercompartmental clearance that is not there
ONE_COMPARTMENT = Freedom(np.array([True, True, False, False]), False)


def two_compartments(theta):
    """An untrained two-compartment model at these typical values."""
    scales = EncoderConfig(hidden=6, dose_scale=100.0)
    model = build(ModelConfig(decoder=CompartmentConfig(structure="2c-iv"), encoder=scales))
    return eqx.tree_at(lambda m: m.prior.typical, model, jnp.asarray(theta))


@pytest.fixture(scope="module")
def single():
    """One compartment as two without exchange: its evidence is that of the ward's start."""
    return two_compartments([np.log(3.0), np.log(50.0), ABSENT, np.log(50.0)])


@pytest.fixture(scope="module")
def known(start):
    """The ward's true typical patient, as two compartments without exchange and as one."""
    theta = np.log([4.0, 40.0])
    small = eqx.tree_at(lambda m: m.prior.typical, start, jnp.asarray(theta))
    return two_compartments([*theta, ABSENT, np.log(40.0)]), small


@pytest.fixture(scope="module")
def trainer(single, ward):
    return Trainer(single, ward, SETTINGS)


@pytest.fixture(scope="module")
def course(single):
    return Course(single, EVERYBODY, SETTINGS, ONE_COMPARTMENT)


@pytest.fixture(scope="module")
def trained(trainer, course):
    """The end of a training, and what each epoch left behind, as a checkpoint holds it."""
    saved = []

    def save(state, history):
        arrays = TrainingState(*(np.asarray(x) for x in state))
        saved.append((arrays, list(history.terms), history.annealed_from))

    state, history = train(trainer, course, on_epoch=save)
    return state, history, saved


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.long
def test_the_same_seed_gives_the_same_bits(trainer, course, trained):
    state, history = train(trainer, course)
    assert_same(state, trained[0])
    assert history.terms == trained[1].terms


@pytest.mark.parametrize("epoch", [1, 6])
def test_a_resumed_training_ends_where_an_uninterrupted_one_does(trainer, course, trained, epoch):
    arrays, terms, annealed_from = trained[2][epoch - 1]
    restored = TrainingState(*(jnp.asarray(x) for x in arrays))
    history = TrainingHistory(list(terms), annealed_from)
    state, history = train(trainer, course, state=restored, history=history)
    assert_same(state, trained[0])
    assert history.terms == trained[1].terms


def test_training_raises_the_bound_and_moves_the_typical_patient(trainer, trained, single):
    state, history, saved = trained
    assert len(saved) == len(history.terms) <= SETTINGS.epochs
    assert history.terms[-1].bound > history.terms[0].bound + 0.2
    fitted = trainer.finish(state)
    truth = np.log([4.0, 40.0])
    before = np.abs(single.prior.typical[:2] - truth).max()
    assert np.abs(fitted.prior.typical[:2] - truth).max() < before
    assert {leaf.dtype for leaf in jax.tree_util.tree_leaves(fitted)} == {np.dtype(float)}


def test_what_has_no_freedom_stays(trainer, trained, single):
    fitted = trainer.finish(trained[0])
    np.testing.assert_array_equal(fitted.prior.typical[2:], np.float32(single.prior.typical[2:]))
    moved = np.asarray(fitted.prior.factor) != np.float32(single.prior.factor)
    expected = [[True, False, False, False], [True, True, False, False]]
    np.testing.assert_array_equal(moved[:2], expected)
    assert not moved[2:].any()


def test_an_epoch_runs_in_float32_and_has_its_own_draws(trainer, single):
    start, rates = trainer.start(single), trainer.rates(SETTINGS)
    first, terms = trainer.run_epoch(start, 0, rates, EVERYBODY)
    other, _ = trainer.run_epoch(start, 1, rates, EVERYBODY)
    assert {leaf.dtype for leaf in first[:4]} == {np.dtype("float32")}
    assert np.isfinite(terms).all()
    assert not np.isclose(first.params, other.params, rtol=1e-6).all()
    assert int(first.step) == trainer.steps >= 3  # 24 subjects in batches of 8


def test_subjects_held_out_are_not_seen(trainer, single):
    half, rates = EVERYBODY[:12], trainer.rates(SETTINGS)
    altered = copy.copy(trainer)
    value = trainer.data.value.at[12:].multiply(3.0)
    altered.data = eqx.tree_at(lambda r: r.value, trainer.data, value)
    runs = [
        t.run_epoch(t.start(single), 0, rates, subjects)[0].params
        for t, subjects in ((trainer, half), (altered, half), (altered, EVERYBODY))
    ]
    np.testing.assert_array_equal(runs[1], runs[0])
    assert not np.isclose(runs[2], runs[0], rtol=1e-6).all()


def test_refreshing_moves_the_encoder_alone(trainer, single):
    fresh = refresh_encoder(trainer, single, EVERYBODY, SETTINGS)
    for part in ("prior", "decoder", "residual"):
        before, after = (jax.tree_util.tree_leaves(getattr(m, part)) for m in (single, fresh))
        assert_same(before, after)
    weight = [m.encoder.network.token.layers[0].weight for m in (single, fresh)]
    assert not np.isclose(*weight).all()


def test_an_objective_that_is_not_finite_stops_with_the_epoch(trainer, course, single):
    start = trainer.start(single)
    broken = start._replace(params=jnp.full_like(start.params, jnp.nan))
    with pytest.raises(ConvergenceError, match="epoch 1"):
        train(trainer, course, state=broken)


def scores_of(trainer, model):
    """Scores of a model by draws of its prior: the encoder's last layer is set to zero."""
    last = lambda m: jax.tree_util.tree_leaves(m.encoder.network.output.layers[-1])  # noqa: E731
    model = eqx.tree_at(last, model, replace_fn=jnp.zeros_like)
    return trainer.forecast_scores(trainer.start(model), EVERYBODY, repeats=500)


def keep(records, mask):
    return eqx.tree_at(lambda r: r.mask, records, records.mask & mask)


@pytest.mark.long
def test_a_forecast_score_is_the_density_of_the_later_levels_given_the_first(
    trainer, known, ward, evidence
):
    # p(later | first) = p(all) / p(first): of three levels the first two are conditioned on
    whole, small = known
    expected = evidence(ward, small) - evidence(keep(ward, np.arange(4) < 2), small)
    found = scores_of(trainer, whole)
    assert found.shape == (24,)
    np.testing.assert_allclose(found, expected, atol=0.4)
    assert found.mean() == pytest.approx(expected.mean(), abs=0.05)


def test_a_single_level_is_scored_by_its_prior_predictive_density(trainer, known, ward, evidence):
    alone = copy.copy(trainer)
    one = np.arange(4) < 1
    alone.data = keep(trainer.data, one)
    found, expected = scores_of(alone, known[0]), evidence(keep(ward, one), known[1])
    np.testing.assert_allclose(found, expected, atol=0.2)
    assert found.mean() == pytest.approx(expected.mean(), abs=0.03)


def test_the_true_structure_forecasts_better(trainer, ward_of):
    ward = ward_of(24, seed=4, two_compartments=True)
    there = copy.copy(trainer)
    there.data = jax.tree_util.tree_map(lambda x, y: jnp.asarray(y, x.dtype), trainer.data, ward)
    slope, intercept = np.polyfit(ward.time[ward.mask], np.log(ward.value[ward.mask] / 100), 1)
    one = two_compartments([np.log(-slope) - intercept, -intercept, ABSENT, 4.0])
    # the ward's 0.85 exp(-0.9 t) + 0.15 exp(-0.03 t) in clearances and volumes
    back = 0.85 * 0.03 + 0.15 * 0.9
    out = 0.9 * 0.03 / back
    between = 0.93 - back - out
    two = two_compartments(np.log(40 * np.array([out, 1.0, between, between / back])))
    gain = scores_of(there, two) - scores_of(there, one)
    assert gain.mean() > 0.2


def test_the_first_half_is_the_earlier_in_time_rounded_up():
    time = np.array([[5.0, 1.0, 3.0, 0.0], [7.0, 0.0, 0.0, 0.0], [0.0] * 4, [4.0, 3, 2, 1]])
    mask = np.arange(4) < np.array([[3], [1], [0], [4]])
    expected = [[0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1]]
    np.testing.assert_array_equal(first_half(mask, time), np.array(expected, bool))


def history_of(bounds, annealed_from=None):
    return TrainingHistory([ElboTerms(0.0, 0.0, 0.0, b, 0.0) for b in bounds], annealed_from)


def test_rates_fall_when_the_bound_no_longer_improves():
    settings = TrainingSettings(epochs=100, anneal=4, patience=3)
    assert history_of([]).rate(settings) == 1.0
    assert history_of([-5, -4, -3, -2, -1, 0]).rate(settings) == 1.0
    assert history_of([-5, -4, -3, -3, -4, -5.1]).rate(settings) == 1.0  # its first full step
    assert history_of([-3, -3, -3, -3, -3]).rate(settings) == 1.0  # too short to tell
    history = history_of([-3.0] * 6)
    rates = []
    while (rate := history.rate(settings)) is not None:
        rates.append(rate)
        history.terms.append(history.terms[-1])
    assert history.annealed_from == 6
    assert rates[0] == 1.0
    np.testing.assert_allclose(rates[2], 0.03 + 0.97 / 2)
    assert all(a > b > 0.03 for a, b in pairwise(rates))
    assert len(rates) == 4


def test_rates_fall_in_time_to_end_with_the_epochs():
    settings = TrainingSettings(epochs=10, anneal=4, patience=3)
    history, count = history_of([]), 0
    while history.rate(settings) is not None:
        history.terms.append(ElboTerms(0.0, 0.0, 0.0, float(count), 0.0))
        count += 1
    assert count == 10
    assert history.annealed_from == 6


def test_a_short_training_anneals_throughout():
    history = history_of([])
    assert history.rate(TrainingSettings(epochs=2, anneal=40)) == 1.0
    assert history.annealed_from == 0
