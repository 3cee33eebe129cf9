import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.kinetics.doses import Doses, Paths
from latentpk.models.config import GridConfig
from latentpk.models.decoders.grid import GridDecoder

NODES, HORIZON = 5, 8.0  # one node every 2 h


@pytest.fixture(scope="module")
def predict():
    """Concentrations with the log profile of every z set to given nodes."""
    config = GridConfig(horizon=HORIZON, nodes=NODES, latent=2, hidden=3)
    start = GridDecoder(config, key=jax.random.key(0))

    @jax.jit
    def curve(weight, bias, doses, time, z, change):
        last = lambda d: (d.network.layers[-1].weight, d.network.layers[-1].bias)  # noqa: E731
        decoder = eqx.tree_at(last, start, (weight, bias))
        order = jnp.full(time.shape, jnp.inf)
        return decoder.concentration(z, change, doses, time, order, paths=Paths.none())

    def _predict(profile, doses, time, slope=0.0, z=((0.0, 0.0),), change=(0.0,)):
        weight = np.full((NODES, 3), slope)
        inputs = [np.asarray(x, float) for x in (profile, time, z, change)]
        return np.asarray(curve(weight, inputs[0], doses, *inputs[1:]))

    return _predict


PROFILE = np.array([0.0, 1.0, 0.5, -0.5, -1.5])
DOSES = Doses.of([3.0, 0.0], [20.0, 0.0])  # the second is padding


def test_log_concentrations_are_linear_between_nodes_and_scale_with_the_dose(predict):
    found = predict(PROFILE, DOSES, [3.0, 4.0, 5.0, 8.5, 11.0])
    np.testing.assert_allclose(found, 20 * np.exp([0.0, 0.5, 1.0, -0.25, -1.5]), rtol=1e-12)


def test_nothing_before_the_first_dose_nor_without_one(predict):
    assert not predict(PROFILE, DOSES, [-1.0, 0.0, 2.9, 2.99, 2.999]).any()
    assert not predict(PROFILE, Doses.of([0.0, 0.0], 0.0), [0.0, 1.0, 2.0, 3.0, 4.0]).any()


def test_past_the_grid_the_last_slope_goes_on_but_never_up(predict):
    found = predict(PROFILE, DOSES, [11.0, 13.0, 15.0, 17.0, 19.0])
    np.testing.assert_allclose(np.diff(np.log(found)), np.full(4, -1.0), rtol=1e-10)
    flat = predict(-PROFILE, DOSES, [11.0, 13.0, 15.0, 17.0, 19.0])
    np.testing.assert_allclose(flat, np.full(5, 20 * np.exp(1.5)), rtol=1e-12)


def test_a_regimen_twice_the_size_gives_twice_the_profile(predict):
    twice, once = Doses.of([0.0, 4.0], [40.0, 60.0]), Doses.of([0.0, 4.0], [20.0, 30.0])
    time = [1.0, 4.0, 6.0, 8.0, 12.0]
    found = predict(PROFILE, once, time, slope=0.3)
    np.testing.assert_allclose(predict(PROFILE, twice, time, slope=0.3), 2 * found, rtol=1e-12)
    other = Doses.of([0.0, 2.0], [20.0, 30.0])  # another interval is another profile
    assert not np.allclose(predict(PROFILE, other, time, slope=0.3), found, rtol=1e-3)


def test_each_time_reads_the_piece_that_holds(predict):
    z, time = ((1.0, 0.0), (-2.0, 3.0)), [3.0, 4.0, 5.0, 6.0, 9.0]
    both = predict(PROFILE, DOSES, time, slope=0.5, z=z, change=(0.0, 5.0))
    first = predict(PROFILE, DOSES, time, slope=0.5, z=z[:1])
    second = predict(PROFILE, DOSES, time, slope=0.5, z=z[1:])
    np.testing.assert_allclose(both, [*first[:2], *second[2:]], rtol=1e-12)
    assert not np.isclose(first, second).any()
