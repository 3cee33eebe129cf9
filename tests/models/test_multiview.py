"""Networks of several views as one: their mean, their attention, their stored weights."""

import numpy as np
import pytest

from latentpk.errors import ArtifactError
from latentpk.models.multiview import NetworkConfig, Networks, network_size

VIEWS = ((0, 0, 1, 2), (0, 1, 2))
CONFIG = NetworkConfig(views=VIEWS, targets=2, width=4)


@pytest.fixture(scope="module")
def networks():
    rng = np.random.default_rng(0)
    return Networks(CONFIG, 0.5 * rng.normal(size=(3, network_size(CONFIG.key))))


@pytest.fixture(scope="module")
def views():
    rng = np.random.default_rng(1)
    return tuple(rng.normal(size=(300, len(view))) for view in VIEWS)


def test_the_prediction_is_the_mean_of_the_networks(networks, views):
    each = networks.each(views)
    assert each.shape == (3, 300, 2)
    np.testing.assert_array_equal(networks.predict(views), each.mean(axis=0))
    alone = Networks(CONFIG, networks.weights[1:2])
    np.testing.assert_allclose(alone.predict(views), each[1], rtol=1e-12)
    assert np.std(each, axis=0).min() > 0  # they differ


def test_a_row_is_predicted_alike_in_any_company(networks, views):
    whole = networks.predict(views)
    for rows in (np.array([0]), np.array([299]), np.arange(299, 40, -1)):
        own = networks.predict(tuple(view[rows] for view in views))
        np.testing.assert_allclose(own, whole[rows], rtol=1e-10, atol=1e-12)


def test_attention_sums_to_1_for_each_target(networks, views):
    maps = networks.attention(views)
    assert [one.shape for one in maps] == [(300, 2, 3, 3)]
    np.testing.assert_allclose(maps[0].sum(axis=(2, 3)), 1)
    assert maps[0].min() > 0


def test_networks_that_do_not_attend_have_no_map(views):
    config = NetworkConfig(views=VIEWS, targets=2, width=4, attends=False)
    assert network_size(config.key) < network_size(CONFIG.key)
    found = Networks(config, np.zeros((1, network_size(config.key))))
    assert found.attention(views) == ()
    assert not found.predict(views).any()  # no weights, no prediction


def test_abstract_tokens_are_as_many_as_asked_for_and_cannot_be_read(views):
    config = NetworkConfig(views=VIEWS, targets=2, width=4, tokens=5)
    assert CONFIG.readable
    assert not config.readable
    rng = np.random.default_rng(0)
    found = Networks(config, rng.normal(size=(1, network_size(config.key))))
    maps = found.attention(views)
    assert [one.shape for one in maps] == [(300, 2, 5, 5)]
    np.testing.assert_allclose(maps[0].sum(axis=(2, 3)), 1)
    one = found.predict(tuple(view[:1] for view in views))
    np.testing.assert_allclose(one, found.predict(views)[:1])  # no other row is read
    assert np.ptp(found.predict(views), axis=0).min() > 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: w[:, :-1], "not float64 with"),
        (lambda w: w[0], "not float64 with"),
        (lambda w: w.astype(np.float32), "float32"),
        (lambda w: np.where(np.arange(w.shape[1]) == 3, np.nan, w), "not finite"),
    ],
)
def test_damaged_weights_are_refused(networks, change, said):
    with pytest.raises(ArtifactError, match=said):
        Networks.from_weights(CONFIG, change(networks.weights))
