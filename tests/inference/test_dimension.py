"""The latent dimension: directions, what is switched off, the encoder's ELBO."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk import read_nonmem
from latentpk.inference.bank import densities, make_bank, normal_weights, standard_ratio
from latentpk.inference.dimension import (
    directions,
    encoder_elbo,
    informed,
    measure_dimension,
    restricted,
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
def found(model, records):
    bank = make_bank(model, records, draws=512)
    weight = normal_weights(densities(bank, model.residual), standard_ratio(bank))
    return bank, weight, directions(bank, weight)


def covariance(model):
    chol = np.asarray(model.prior.chol())
    return chol @ chol.T


@pytest.mark.long
def test_all_directions_are_the_whole_prior_and_none_is_nothing(model, found):
    vectors = found[2].vectors
    assert covariance(restricted(model, vectors, 2)) == pytest.approx(covariance(model), rel=1e-9)
    assert np.abs(covariance(restricted(model, vectors, 0))).max() < 1e-5


def test_one_direction_is_the_priors_part_along_it(model, found):
    first = found[2].vectors[:, :1]
    part = np.asarray(model.prior.chol()) @ first
    own = covariance(restricted(model, found[2].vectors, 1))
    assert own == pytest.approx(part @ part.T, abs=2e-6)


def test_directions_are_orthogonal_and_descend(found):
    variance, vectors = found[2]
    assert vectors.T @ vectors == pytest.approx(np.eye(2), abs=1e-12)
    assert variance[0] >= variance[1] >= 0


def test_levels_inform_no_more_directions_than_there_are(found):
    each = informed(*found[:2])
    assert np.all((each > 0.5) & (each <= 2))


@pytest.mark.long
def test_the_encoders_bound_is_a_bound_and_without_directions_the_likelihood(model, records, found):
    elbo = encoder_elbo(model, records, found[2].vectors)
    exact = posteriors(model, records, PosteriorSettings(ladder=False)).log_evidence
    assert elbo.shape == (6, 3)
    assert np.all(elbo[:, 2] < exact + 0.3)
    nowhere = replace(found[0], eps=0 * found[0].eps, level=at_origin(model, records, found[0]))
    assert elbo[:, 0] == pytest.approx(densities(nowhere, model.residual).sum(axis=2)[:, 0])


def at_origin(model, records, bank):
    def one(record):
        origin = jnp.zeros(2)
        return model.concentration(
            origin, model.location(record), record, record.time, record.order
        )

    levels = np.asarray(jax.vmap(one)(jax.tree_util.tree_map(jnp.asarray, records)))
    return np.repeat(levels[:, None], bank.level.shape[1], axis=1)


@pytest.mark.long
def test_switching_off_what_levels_speak_of_loses_held_out_levels(model, records, found):
    told = measure_dimension(model, records, found[2], draws=256)
    assert told.held_out[0] < told.held_out[2]
    assert told.evidence[0] < told.evidence[1] < told.evidence[2]
    assert 1 <= told.by_held_out <= 2
    assert told.active == 2
    assert told.subjects == 6
