import equinox as eqx
import jax
import numpy as np
import pytest
from scipy.stats import kstest, norm

from latentpk.inference.nuts import nuts_batch
from latentpk.models.record import take


@pytest.mark.long
def test_without_levels_it_draws_the_prior_and_with_the_same_key_alike(start, ward):
    records = take(ward, np.arange(2))
    none = eqx.tree_at(lambda r: r.mask, records, np.zeros_like(records.mask))
    begin = np.zeros((2, 2, 2))
    draws, rhat = (np.asarray(x) for x in nuts_batch(start, none, begin, jax.random.key(0)))
    assert draws.shape == (2, 1000, 2)
    assert (rhat < 1.05).all()
    for effect in range(2):
        assert kstest(draws[0, :, effect], norm.cdf).statistic < 0.08
    np.testing.assert_array_equal(draws[0], draws[1])  # one key for all: nobody depends on another
    again, _ = nuts_batch(start, none, begin, jax.random.key(0))
    np.testing.assert_array_equal(again, draws)


@pytest.mark.long
def test_levels_narrow_it(start, ward):
    records = take(ward, np.arange(2))
    draws, _ = nuts_batch(start, records, np.zeros((2, 2, 2)), jax.random.key(0))
    assert (np.asarray(draws).std(axis=1) < 0.95).all()
