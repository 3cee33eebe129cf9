import numpy as np
import pytest

from latentpk.models.attribution import (
    PLAYERS,
    TOLERANCE,
    Player,
    by_owner,
    integrated_gradients,
    shapley_values,
)
from latentpk.models.descriptors import LEVELS, NUMBERS, Properties
from latentpk.models.multiview import NetworkConfig, Networks, network_size

VIEWS = ((0, 0, 1, 2), (0, 1, 2))


def networks(count=2, *, attends=True, views=VIEWS, spread=0.7):
    config = NetworkConfig(views=views, targets=3, width=4, attends=attends)
    rng = np.random.default_rng(4)
    return Networks(config, spread * rng.standard_normal((count, network_size(config.key))))


def rows(count, seed=0, views=VIEWS):
    rng = np.random.default_rng(seed)
    return tuple(2 * rng.standard_normal((count, len(view))) for view in views)


@pytest.mark.parametrize("attends", [True, False])
@pytest.mark.parametrize("views", [VIEWS, VIEWS[:1]])
def test_gradients_sum_to_the_prediction_minus_the_base(attends, views):
    own, x = networks(attends=attends, views=views), rows(40, views=views)
    start = tuple(view.mean(axis=0) for view in rows(9, seed=1, views=views))
    found = integrated_gradients(own, x, start)
    np.testing.assert_array_equal(found.base, own.predict(tuple(b[None] for b in start))[0])
    total = found.base + sum(view.sum(axis=2) for view in found.columns)
    np.testing.assert_allclose(total, own.predict(x), atol=TOLERANCE)
    np.testing.assert_allclose(found.gap, own.predict(x) - total, atol=1e-12)
    assert np.abs(own.predict(x) - found.base).mean() > 0.1  # there is something to attribute


def test_gradients_are_the_integral_along_the_line():
    own, x = networks(1), rows(1)
    start = tuple(np.zeros(view.shape[1]) for view in x)
    found = integrated_gradients(own, x, start)
    step, column = 1e-4, 2
    share = (np.arange(400) + 0.5) / 400

    def at(shift):
        raw = share[:, None] * x[0]
        raw[:, column] += shift
        return own.predict((raw, share[:, None] * x[1]))

    slope = ((at(step) - at(-step)) / (2 * step)).mean(axis=0)
    np.testing.assert_allclose(
        found.columns[0][0, :, column], x[0][0, column] * slope, rtol=1e-4, atol=1e-7
    )


def test_a_column_at_the_baseline_adds_nothing():
    own, x = networks(), rows(5)
    start = tuple(view[0] for view in x)
    found = integrated_gradients(own, x, start)
    assert all((view[0] == 0).all() for view in found.columns)
    assert np.abs(found.gap[0]).max() < 1e-14


def test_columns_are_summed_into_their_owners():
    columns = np.arange(12.0).reshape(2, 1, 6)
    found = by_owner(columns, (0, 2, 2, 1, 0, 2), 3)
    np.testing.assert_array_equal(found, [[[4, 3, 8]], [[16, 9, 26]]])


def test_players_hold_every_input_once():
    held = [feature for player in PLAYERS.values() for feature in player.features]
    assert sorted(held) == sorted([*NUMBERS, *LEVELS])
    for player in PLAYERS.values():
        own = [NUMBERS[k] for k in player.numbers] + [list(LEVELS)[k] for k in player.codes]
        assert sorted(own) == sorted(player.features)


def particles(count, seed):
    rng = np.random.default_rng(seed)
    code = np.stack([rng.integers(0, len(levels), count) for levels in LEVELS.values()], axis=1)
    return Properties(rng.standard_normal((count, len(NUMBERS))), code)


def test_shapley_values_of_a_sum_are_its_terms():
    known, others = particles(6, 1), particles(5, 2)
    weight = np.arange(1, 1 + len(NUMBERS))

    def predict(rows):
        return (rows.number @ weight + rows.code[:, 0])[:, None]

    found, base = shapley_values(predict, known, others, list(PLAYERS.values()), seed=0)
    np.testing.assert_allclose(base, predict(others).mean(axis=0))
    np.testing.assert_allclose(found.sum(axis=2), predict(known) - base)
    away = (known.number - others.number.mean(axis=0)) * weight
    for k, player in enumerate(PLAYERS.values()):
        wanted = away[:, player.numbers].sum(axis=1)
        if "TYPE" in player.features:
            wanted = known.code[:, 0] - others.code[:, 0].mean()
        np.testing.assert_allclose(found[:, 0, k], wanted, atol=1e-12)


def test_shapley_values_of_a_product_are_shared_alike():
    number = np.ones((1, len(NUMBERS)))
    known = Properties(number, np.zeros((1, len(LEVELS)), int))
    others = Properties(0 * number, np.zeros((1, len(LEVELS)), int))
    players = [Player(("HD",)), Player(("DOSE",)), Player(("BW",))]

    def predict(rows):
        size, dose = (rows.number[:, NUMBERS.index(name)] for name in ("HD", "DOSE"))
        return (size * dose)[:, None]

    found, base = shapley_values(predict, known, others, players, seed=3)
    assert base == 0
    np.testing.assert_allclose(found[0, 0], [0.5, 0.5, 0])  # in an order and its reverse
