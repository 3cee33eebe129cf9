from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.polynomial.legendre import leggauss

from latentpk.kinetics.doses import Doses, Paths
from latentpk.models.config import KernelConfig
from latentpk.models.decoders.kernel import KernelDecoder, absorption_rate

SIZES = {"modes": 2, "sites": 3, "disposition": 2, "absorption": 2, "hidden": 4}
PATHS = Paths(steady=False, release=False, overlap=False)
TIME = np.array([0.3, 1.0, 4.0, 9.0, 12.0, 13.0, 30.0])
Z = np.array([0.3, -0.5, 0.8, -1.2])


def moved(config):
    """A decoder as after training: its networks have left zero."""
    rng = np.random.default_rng(3)
    start = KernelDecoder(config, key=jax.random.key(0))
    return jax.tree_util.tree_map(lambda x: x + 0.3 * rng.standard_normal(x.shape), start)


@pytest.fixture(scope="module")
def decoder():
    return moved(KernelConfig(**SIZES))


@pytest.fixture(scope="module")
def predict(decoder):
    """Concentrations after two doses; amount, time, duration and depot of shape (2,)."""

    @jax.jit
    def curve(z, change, doses, time):
        return decoder.concentration(
            z, change, doses, time, jnp.full(time.shape, jnp.inf), paths=PATHS
        )

    def _predict(amount, start=(0.0, 5.0), time=TIME, pieces=(Z,), change=(0.0,), **fields):
        doses = Doses.of(list(start), list(amount), **fields)
        return np.asarray(curve(np.stack(pieces), np.array(change), doses, time))

    return _predict


def quadrature(function, breaks):
    """Integral over the pieces between the breaks, by Gauss and Legendre."""
    nodes, weights = leggauss(40)
    total = 0.0
    for a, b in pairwise(breaks):
        total += 0.5 * (b - a) * np.sum(weights * function(0.5 * (b - a) * nodes + 0.5 * (a + b)))
    return total


@pytest.mark.parametrize("depot", [0.0, 1.0])
def test_concentration_is_linear_in_the_doses_and_superposes(predict, depot):
    both = predict([100.0, 40.0], depot=depot)
    first, second = predict([100.0, 0.0], depot=depot), predict([0.0, 40.0], depot=depot)
    np.testing.assert_allclose(both, first + second, rtol=1e-12)
    np.testing.assert_allclose(predict([300.0, 120.0], depot=depot), 3 * both, rtol=1e-12)
    later = predict([40.0, 0.0], time=TIME[3:] - 5.0, depot=depot)
    np.testing.assert_allclose(second[3:], later, rtol=1e-12)


def test_an_infusion_is_the_integral_of_boluses(predict):
    infusion = predict([60.0, 0.0], duration=[3.0, 0.0])
    for place, t in enumerate(TIME):
        end = min(t, 3.0)

        def bolus(start, t=t):
            return np.array([predict([20.0, 0.0], time=np.full(7, t - s))[0] for s in start])

        assert infusion[place] == pytest.approx(quadrature(bolus, [0.0, end]), rel=1e-9)


def test_absorption_is_a_rate_whose_integral_is_the_share_that_arrives(decoder):
    share, ka, lag = (np.asarray(x) for x in decoder.decoder_abs(jnp.asarray(Z[2:])))
    assert share.sum() == pytest.approx(1.0, rel=1e-12)
    assert (np.diff(lag) > 0).all()
    rate = jax.jit(lambda t: absorption_rate(decoder, jnp.asarray(Z[2:]), t))
    end = lag[-1] + 60 / ka.min()
    breaks = np.unique(np.concatenate([[0.0], lag, np.linspace(lag[-1], end, 60)]))
    assert quadrature(lambda t: np.asarray(rate(t)), breaks) == pytest.approx(1.0, rel=1e-9)
    assert not np.asarray(rate(np.linspace(0, 0.999 * lag[0], 40))).any()


def test_concentration_is_absorption_convolved_with_disposition(decoder, predict):
    response = decoder.response(jnp.asarray(Z))
    weight, rate = np.asarray(response.weight), np.asarray(response.rate)
    lag = np.asarray(response.alag)
    arriving = jax.jit(lambda t: absorption_rate(decoder, jnp.asarray(Z[2:]), t))
    found = predict([50.0, 0.0], depot=1.0)
    for place, t in enumerate(TIME):
        breaks = np.concatenate([[0.0], lag[lag < t], [t]])
        fine = np.unique(np.concatenate([np.linspace(a, b, 8) for a, b in pairwise(breaks)]))

        def inside(s, t=t):
            leaving = np.exp(-rate * (t - s[:, None])) @ weight
            return np.asarray(arriving(s)) * leaving

        assert found[place] == pytest.approx(50 * quadrature(inside, fine), rel=1e-8)


def test_a_central_bolus_is_the_sum_of_the_modes(decoder, predict):
    response = decoder.response(jnp.asarray(Z))
    weight, rate = np.asarray(response.weight), np.asarray(response.rate)
    expected = 50 * np.exp(-rate * TIME[:, None]) @ weight
    np.testing.assert_allclose(predict([50.0, 0.0]), expected, rtol=1e-12)


def test_a_dose_has_the_whole_response_of_its_own_piece(predict):
    other = Z + 0.7
    found = predict([100.0, 40.0], pieces=(Z, other), change=(0.0, 4.0), depot=[1.0, 0.0])
    own = predict([100.0, 0.0], depot=[1.0, 0.0])
    later = predict([0.0, 40.0], pieces=(other,), depot=[1.0, 0.0])
    np.testing.assert_allclose(found, own + later, rtol=1e-12)


def test_bioavailability_scales_the_shares_where_it_is_free():
    decoder = moved(KernelConfig(**SIZES, bioavailability=True))
    shares = [float(decoder.decoder_abs(jnp.array(z))[0].sum()) for z in ([0.0, 0], [2.0, -3])]
    assert all(0 < share < 1 for share in shares)
    assert shares[0] != pytest.approx(shares[1], rel=1e-3)


def test_without_sites_it_has_an_immediate_harmless_one():
    decoder = moved(KernelConfig(modes=2, disposition=2, hidden=4))
    assert decoder.absorption is None
    assert decoder.latent == 2
    share, ka, lag = decoder.decoder_abs(jnp.zeros(0))
    assert (share[0], ka[0], lag[0]) == (1.0, 1.0, 0.0)
