"""A departure from a source: what it moves, and how far it may."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.errors import InputError
from latentpk.inference.departure import (
    BetweenSites,
    Departure,
    depart,
    departing,
    log_prior,
    nowhere,
)
from latentpk.inference.polish import PolishSettings, make_polisher
from latentpk.models.config import GridConfig, KernelConfig, ModelConfig
from latentpk.models.latent import build

MOVED = Departure(
    typical=jnp.log(jnp.array([1.5, 1.0, 0.8, 1.0])),
    spread=jnp.log(jnp.array([2.0, 1.0, 1.0, 0.5])),
    error=jnp.log(jnp.array([1.1, 0.9])),
)


def correlation(model):
    chol = np.asarray(model.prior.chol())
    varying = chol[np.any(chol != 0, axis=1)]
    covariance = varying @ varying.T
    sd = np.sqrt(np.diag(covariance))
    return covariance / np.outer(sd, sd)


def test_nowhere_is_the_source(reference):
    same = depart(reference.model, nowhere(reference.model))
    assert eqx.tree_equal(same, reference.model)


def test_it_moves_what_it_says_and_nothing_else(reference):
    source, record = reference.model, jax.tree_util.tree_map(lambda x: x[0], reference.records)
    there = depart(source, MOVED)
    shift = np.asarray(there.location(record) - source.location(record))
    np.testing.assert_allclose(shift, np.broadcast_to(MOVED.typical, shift.shape), atol=1e-12)
    spread = [np.linalg.norm(np.asarray(m.prior.chol()), axis=1) for m in (source, there)]
    np.testing.assert_allclose(spread[1], spread[0] * [2.0, 1.0, 1.0, 0.5])
    np.testing.assert_allclose(correlation(there), correlation(source), atol=1e-12)
    assert float(there.residual.log_a - source.residual.log_a) == pytest.approx(np.log(1.1))
    assert float(there.residual.log_b - source.residual.log_b) == pytest.approx(np.log(0.9))


def test_a_learned_population_moves_in_the_same_way(start):
    factor = jnp.array([[-1.0, 0.0], [0.2, -0.5]])
    source = eqx.tree_at(lambda m: m.prior.factor, start, factor)
    by = Departure(jnp.array([0.4, -0.1]), jnp.array([0.3, -0.7]), jnp.zeros(2))
    there = depart(source, by)
    np.testing.assert_allclose(there.prior.typical - source.prior.typical, by.typical)
    before, after = (np.asarray(m.prior.chol()) for m in (source, there))
    np.testing.assert_allclose(after, np.exp(np.asarray(by.spread))[:, None] * before)
    assert eqx.tree_equal(there.encoder, source.encoder)


def test_groups_of_people_move_together(divided):
    by = eqx.tree_at(
        lambda d: (d.typical, d.spread),
        nowhere(divided),
        (jnp.array([0.2, -0.1]), jnp.full(2, 0.3)),
    )
    moved = depart(divided, by)
    np.testing.assert_array_equal(moved.prior.log_shares(), divided.prior.log_shares())
    for k in range(2):
        before, after = divided.prior.of_group(k), moved.prior.of_group(k)
        np.testing.assert_allclose(after.typical - before.typical, [0.2, -0.1], rtol=1e-9)
        np.testing.assert_allclose(after.chol(), np.exp(0.3) * before.chol(), rtol=1e-9)


def test_a_kernel_moves_its_typical_response():
    config = ModelConfig(decoder=KernelConfig(modes=2, sites=2, disposition=2, absorption=1))
    source = build(config)
    zero = nowhere(source)
    assert zero.typical.shape == (2 * 2 + 3 * 2 + 1,)
    weights = jnp.zeros_like(zero.typical).at[2:4].set(jnp.log(0.5))  # twice the volume
    there = depart(source, eqx.tree_at(lambda d: d.typical, zero, weights))
    z = jnp.array([0.3, -0.2, 0.1])
    before, after = (m.decoder.response(z) for m in (source, there))
    np.testing.assert_allclose(after.weight, 0.5 * before.weight)
    np.testing.assert_allclose(after.rate, before.rate)
    np.testing.assert_allclose(after.ka, before.ka)


def test_a_grid_cannot_move():
    with pytest.raises(InputError, match="grid decoder"):
        nowhere(build(ModelConfig(decoder=GridConfig(horizon=24.0))))


def test_the_penalty_is_a_normal_density():
    sites = BetweenSites(typical=0.2, spread=0.5, error=1.0)
    expected = -0.5 * sum(
        float(jnp.sum((part / sd) ** 2))
        for part, sd in zip(
            (MOVED.typical, MOVED.spread, MOVED.error), (0.2, 0.5, 1.0), strict=True
        )
    )
    assert float(log_prior(MOVED, sites)) == pytest.approx(expected)


def moved_by(start, records, sites):
    """Factor on the typical clearance after a short ascent."""
    settings = PolishSettings(rounds=2, epochs=15, draws=32, batch=24, rate=0.05)
    polisher = make_polisher(departing(start, sites), records, settings)
    state = polisher.start
    for number in range(settings.rounds):
        state = polisher.run_round(state, number)
    return polisher.parameters(state)


@pytest.fixture(scope="module")
def ascents(start, ward):
    """Departures to the ward (truth: CL 4/3 of the start's, V 4/5) under three widths."""
    widths = {"tight": 0.01, "default": 0.3, "wide": 10.0}
    return {
        name: moved_by(start, ward, BetweenSites(typical=sd, spread=sd, error=sd))
        for name, sd in widths.items()
    }


@pytest.mark.long
def test_data_move_it_as_far_as_the_penalty_lets_them(ascents):
    truth = np.log([4 / 3, 4 / 5])
    np.testing.assert_allclose(ascents["wide"].typical, truth, atol=0.2)
    assert np.abs(np.asarray(ascents["tight"].typical)).max() < 0.05
    # with all widths in proportion the penalized optimum can only lie further out
    sizes = [
        sum(float(jnp.sum(leaf**2)) for leaf in jax.tree_util.tree_leaves(ascents[name]))
        for name in ("tight", "default", "wide")
    ]
    assert sizes == sorted(sizes)


@pytest.mark.long
def test_it_starts_in_float32_and_ends_in_float64(start, ward, ascents):
    leaves = jax.tree_util.tree_leaves(departing(start, BetweenSites()).start)
    assert {leaf.dtype.name for leaf in leaves} == {"float32"}
    assert {leaf.dtype.name for leaf in jax.tree_util.tree_leaves(ascents["wide"])} == {"float64"}
