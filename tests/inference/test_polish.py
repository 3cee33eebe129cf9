import jax
import numpy as np
import pytest

from latentpk import precision
from latentpk.inference import polish
from latentpk.inference.polish import PolishSettings, make_polisher
from latentpk.inference.sampling import many_base_draws

SETTINGS = PolishSettings(rounds=2, epochs=15, draws=32, batch=24, rate=0.05)


@pytest.fixture(scope="module")
def polisher(start, ward):
    return make_polisher(start, ward, SETTINGS)


@pytest.fixture(scope="module")
def rounds(polisher):
    """The state after each round."""
    first = polisher.run_round(polisher.start, 0)
    return first, polisher.run_round(first, 1)


@pytest.mark.long
def test_polishing_raises_the_true_marginal_likelihood(polisher, rounds, start, ward, evidence):
    before = evidence(ward, start).sum()
    one, two = (evidence(ward, polisher.finish(state)).sum() for state in rounds)
    assert one > before + 1.0
    assert two > one
    polished = polisher.finish(rounds[1])
    np.testing.assert_allclose(polished.prior.typical, np.log([4.0, 40.0]), atol=0.25)


@pytest.mark.long
def test_it_also_raises_it_for_patients_it_has_not_seen(polisher, rounds, start, ward_of, evidence):
    unseen = ward_of(24, seed=8)
    assert evidence(unseen, polisher.finish(rounds[1])).sum() > evidence(unseen, start).sum()


def test_the_encoder_stays_as_it_was(polisher, rounds, start):
    single = precision.double(precision.single(start))
    polished = polisher.finish(rounds[1])
    pairs = zip(*(jax.tree_util.tree_leaves(m.encoder) for m in (single, polished)), strict=True)
    for before, after in pairs:
        np.testing.assert_array_equal(before, after)


def test_a_round_is_a_function_of_state_and_number(polisher, rounds):
    again = polisher.run_round(polisher.start, 0)
    np.testing.assert_array_equal(again.params, rounds[0].params)
    other = polisher.run_round(polisher.start, 1)
    assert not np.isclose(other.params, rounds[0].params, rtol=1e-6).all()


def test_every_round_draws_anew(polisher, monkeypatch):
    seeds = []

    def spy(count, draws, effects, seed):
        seeds.append(seed)
        return many_base_draws(count, draws, effects, seed)

    monkeypatch.setattr(polish, "many_base_draws", spy)
    for number in range(2):
        polisher.run_round(polisher.start, number)
    assert len(seeds) == len(set(seeds)) == 2


def test_polishing_groups_raises_the_true_marginal_likelihood(divided, ward, evidence):
    polisher = make_polisher(divided, ward, SETTINGS)
    after = polisher.finish(polisher.run_round(polisher.start, 0))
    assert evidence(ward, after).sum() > evidence(ward, divided).sum() + 1.0
    assert after.groups == 2
    assert not np.allclose(after.prior.groups.shift, divided.prior.groups.shift, atol=1e-3)


def test_groups_have_the_marginal_likelihood_of_their_mixture(divided, ward, evidence):
    stacked = polish._proposals(divided, ward, SETTINGS.model_copy(update={"draws": 2048}), 0)
    assert stacked.eps.shape == (24, 2, 2048, 2)
    found = jax.jit(jax.vmap(lambda r, p: polish._evidence(divided, r, p)))(ward, stacked)
    np.testing.assert_allclose(found - np.log(2048), evidence(ward, divided), atol=0.1)
