import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.errors import NotFittedError
from latentpk.library.catalog import open_model
from latentpk.models.config import (
    CompartmentConfig,
    CovariateConfig,
    EncoderConfig,
    GridConfig,
    HybridConfig,
    KernelConfig,
    ModelConfig,
    NeuralOdeConfig,
)
from latentpk.models.latent import build, build_decoder
from latentpk.models.published import Occasions, build_published
from latentpk.models.record import stack_records, take

CONFIG = ModelConfig(
    covariates=(CovariateConfig(name="WT", log=True), CovariateConfig(name="SEX", kind="binary")),
    decoder=CompartmentConfig(structure="1c-iv"),
    residual="combined1",
    encoder=EncoderConfig(hidden=4, level_scale=2.0),
)
EPS = jnp.array([0.5, -1.0])


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    start = build(CONFIG)
    moved = jax.tree_util.tree_map(lambda x: x + 0.2 * rng.standard_normal(x.shape), start)
    return eqx.tree_at(lambda m: m.prior.typical, moved, jnp.log(jnp.array([5.0, 40.0])))


@eqx.filter_jit
def terms(model, record):
    location = model.location(record)
    return (
        model.log_likelihood(EPS, location, record),
        model.level_densities(EPS, location, record),
        model.concentration(EPS, location, record, record.time, record.order),
    )


def test_likelihood_is_the_sum_of_the_levels_densities(model, infused):
    total, each, f = (np.asarray(x) for x in terms(model, infused))
    theta = np.exp(model.location(infused)[0] + model.prior.chol() @ EPS)
    k = theta[0] / theta[1]
    one_hour = 100 / theta[0] * (1 - np.exp(-k))
    assert f[0] == pytest.approx(one_hour * np.exp(-k), rel=1e-10)  # 1 h after its end
    a, b = np.exp(model.residual.log_a), np.exp(model.residual.log_b)
    sd = a + b * f[:3]
    z = (np.array([1.9, 0.8, 2.1]) - f[:3]) / sd
    expected = -0.5 * z**2 - np.log(sd) - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(each[:3], expected, rtol=1e-6)
    assert total == pytest.approx(each[:3].sum(), rel=1e-12)


def test_padding_does_not_change_the_likelihood(model, cohort_of):
    rows = [
        (1, 0, 100, 1, None, 2, 85, 1),
        (1, 2, 0, 0, 1.9, 2, 85, 1),
        (1, 9, 0, 0, 0.8, 2, 85, 1),
    ]
    longer = [(2, t, 10, 1, None, 2, 60, 0) for t in range(5)]
    longer += [(2, 6 + t, 0, 0, 1.0, 2, 60, 0) for t in range(5)]
    both = cohort_of(rows + longer).subjects
    small, wide = stack_records(both[:1]), stack_records(both)
    assert small.time.shape == (1, 4)
    assert wide.time.shape == (2, 16)
    alone = float(terms(model, take(small, 0))[0])
    assert float(terms(model, take(wide, 0))[0]) == pytest.approx(alone, rel=1e-12)


def test_location_follows_each_piece_of_the_covariates(model, infused):
    pieces = eqx.tree_at(
        lambda r: (r.change, r.covariates),
        infused,
        (np.array([0.0, 5.0]), np.array([[85.0, 1.0], [60.0, 1.0]])),
    )
    location = eqx.filter_jit(lambda m, r: m.location(r))(model, pieces)
    assert location.shape == (2, 2)
    np.testing.assert_allclose(location[1], model.prior.location(jnp.array([60.0, 1.0])))
    assert not np.isclose(location[0], location[1]).any()
    latent = model.latent(EPS, location, jnp.zeros(2, int))
    np.testing.assert_allclose(latent - location, np.tile(model.prior.chol() @ EPS, (2, 1)))


def test_a_published_model_encodes_to_its_prior(infused):
    published = build_published(open_model("vancomycin-goti-2018").population)
    assert published.effects == 3
    q = published.encode(infused)
    np.testing.assert_array_equal(q.mean, np.zeros(3))
    np.testing.assert_array_equal(q.chol, np.eye(3))
    with pytest.raises(NotFittedError, match="no encoder"):
        published.encode_masked(infused, jnp.ones((1, 4), bool))


def test_masks_are_encoded_as_records_with_these_levels(model, infused):
    masks = np.array([[True, False, True, False], [True, True, True, False]])
    program = eqx.filter_jit(lambda m, r, x: m.encode_masked(r, x))
    both = program(model, infused, masks)
    assert both.mean.shape == (2, 2)
    fewer = eqx.tree_at(lambda r: r.mask, infused, masks[0])
    alone = eqx.filter_jit(lambda m, r: m.encode(r))(model, fewer)
    np.testing.assert_allclose(both.mean[0], alone.mean, rtol=1e-12)
    np.testing.assert_allclose(both.chol[0], alone.chol, rtol=1e-12)
    assert not np.isclose(both.mean[0], both.mean[1]).any()


def test_the_same_key_builds_the_same_model_and_another_key_another():
    first, again = build(CONFIG), build(CONFIG, jax.random.key(0))
    other = build(CONFIG, jax.random.key(1))
    weight = [m.encoder.network.token.layers[0].weight for m in (first, again, other)]
    np.testing.assert_array_equal(weight[0], weight[1])
    assert not np.isclose(weight[0], weight[2]).any()


@pytest.mark.parametrize(
    ("config", "latent"),
    [
        (CompartmentConfig(structure="3c-oral"), 7),
        (KernelConfig(disposition=3, absorption=2, sites=2, hidden=2), 5),
        (NeuralOdeConfig(width=2), 5),
        (NeuralOdeConfig(depot=True, bioavailability=True, free=1, width=2), 6),
        (HybridConfig(structure="2c-iv", residual=3, width=2), 7),
        (GridConfig(horizon=24.0, latent=4, hidden=2, nodes=3), 4),
    ],
)
def test_a_config_names_its_decoder(config, latent):
    decoder = build_decoder(config, jax.random.key(0))
    assert decoder.latent == latent
    assert type(decoder).__name__.lower().startswith(config.name.replace("_", ""))


def test_an_occasion_moves_its_own_pieces(infused):
    plain = open_model("busulfan-paci-2012").population
    occasions = Occasions(parameters=("v1",), variances=(0.25,), convention="")
    model = build_published(plain.model_copy(update={"occasions": occasions}))
    assert (model.effects, model.kappas) == (2, 1)
    assert model.dimension(infused) == 3
    assert build_published(plain).dimension(infused) == 2
    eps = jnp.array([0.5, -1.0, 2.0, 0.0, -3.0])  # eta of CL and V, then kappa of three occasions
    location = jnp.zeros((4, 2))
    z = model.latent(eps, location, jnp.array([0, 1, 2, 2]))
    own = model.prior.chol() @ eps[:2]
    np.testing.assert_allclose(z - own, [[0, 1], [0, 0], [0, -1.5], [0, -1.5]], atol=1e-15)
    q = model.encode(infused)
    np.testing.assert_array_equal(q.mean, np.zeros(3))
