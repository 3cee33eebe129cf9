import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from latentpk.errors import ArtifactError
from latentpk.inference.sampling import base_draws
from latentpk.models.bundle import from_arrays, to_arrays
from latentpk.models.config import CompartmentConfig, CovariateConfig, EncoderConfig, ModelConfig
from latentpk.models.groups import Groups
from latentpk.models.latent import build

CONFIG = ModelConfig(
    decoder=CompartmentConfig(structure="1c-iv"),
    encoder=EncoderConfig(hidden=3),
    covariates=(CovariateConfig(name="WT", log=True, center=4.2, scale=0.3),),
    components=3,
)
WEIGHT = np.array([90.0])


@pytest.fixture(scope="module")
def model():
    """Three groups, the second of which is the largest; clearance and volume by weight."""
    prior = build(CONFIG).prior
    prior = eqx.tree_at(lambda p: p.slope, prior, jnp.array([[0.2], [0.3]]))
    prior = prior.shifted(jnp.log(jnp.array([8.0, 50.0])))
    prior = prior.spread_by(jnp.array([[0.3, 0.0], [-0.1, 0.2]]))
    groups = Groups(
        jnp.array([0.7, -0.5]),
        jnp.array([[-1.4, 0.2], [0.6, -0.3]]),
        jnp.log(jnp.array([0.6, 1.3])),
    )
    return build(CONFIG).with_prior(prior.divided(groups))


def density(prior, z):
    """Of the mixture at places of shape (..., latent), by scipy."""
    total = 0.0
    for k, share in enumerate(np.exp(np.asarray(prior.log_shares()))):
        own = prior.of_group(k)
        chol = np.asarray(own.chol())
        mean = np.asarray(own.location(jnp.asarray(WEIGHT)))
        total = total + share * multivariate_normal(mean, chol @ chol.T).pdf(z)
    return total


def test_the_mixture_density_integrates_to_one(model):
    center = np.asarray(model.prior.location(jnp.asarray(WEIGHT)))
    axis = np.linspace(-4, 4, 401)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1) + center
    assert density(model.prior, grid).sum() * (axis[1] - axis[0]) ** 2 == pytest.approx(1, abs=1e-6)


def test_draws_of_the_prior_are_of_the_mixture(model):
    base = base_draws(4096, 2, 0)
    eps = np.asarray(model.prior_draws(jnp.asarray(base.normal), jnp.asarray(base.rank)))
    z = eps @ np.asarray(model.prior.chol()).T
    z = z + np.asarray(model.prior.location(jnp.asarray(WEIGHT)))
    shares = np.exp(np.asarray(model.prior.log_shares()))
    means, seconds = [], []
    for k in range(3):
        own = model.prior.of_group(k)
        mean, chol = np.asarray(own.location(jnp.asarray(WEIGHT))), np.asarray(own.chol())
        means.append(mean)
        seconds.append(chol @ chol.T + np.outer(mean, mean))
    mean = shares @ np.stack(means)
    np.testing.assert_allclose(z.mean(axis=0), mean, atol=0.01)
    covariance = np.einsum("k,kij->ij", shares, np.stack(seconds)) - np.outer(mean, mean)
    np.testing.assert_allclose(np.cov(z.T), covariance, atol=0.01)


def test_a_frame_places_a_group_where_its_own_prior_does(model):
    eps = np.array([0.7, -1.2])
    place = model.prior.location(jnp.asarray(WEIGHT))
    for k in range(3):
        own, frame = model.prior.of_group(k), model.prior.frame(k)
        by_itself = own.location(jnp.asarray(WEIGHT)) + own.chol() @ eps
        among_all = place + model.prior.chol() @ (frame.origin + frame.spread @ eps)
        np.testing.assert_allclose(among_all, by_itself, rtol=1e-12)


def test_the_first_groups_frame_is_the_populations(model):
    frame = model.prior.frame(0)
    np.testing.assert_allclose(frame.origin, np.zeros(2), atol=1e-15)
    np.testing.assert_allclose(frame.spread, np.eye(2), atol=1e-15)


def test_naming_the_largest_first_changes_no_population(model):
    after = model.prior.largest_first()
    shares = np.asarray(after.log_shares())
    assert (np.diff(shares) < 0).all()
    np.testing.assert_allclose(sorted(shares), sorted(np.asarray(model.prior.log_shares())))
    z = np.log(np.array([[8.0, 50.0], [2.0, 60.0], [14.0, 35.0], [4.0, 40.0]]))
    np.testing.assert_allclose(density(after, z), density(model.prior, z), rtol=1e-10)


def test_groups_that_do_not_differ_are_one(model):
    alone = model.prior.of_group(0)
    alike = alone.divided(Groups.alike(3, 2))
    z = np.log(np.array([[8.0, 50.0], [2.0, 60.0]]))
    np.testing.assert_allclose(density(alike, z), density(alone, z), rtol=1e-12)


def test_a_wider_population_has_its_typical_patients_where_they_were(model):
    wide = model.widened(3.0)
    for k in range(3):
        before, after = model.prior.of_group(k), wide.prior.of_group(k)
        np.testing.assert_allclose(
            after.location(jnp.asarray(WEIGHT)), before.location(jnp.asarray(WEIGHT))
        )
        np.testing.assert_allclose(after.chol(), 3 * before.chol())


def test_a_group_is_an_ordinary_model(model):
    structures = {jax.tree_util.tree_structure(model.of_group(k)) for k in range(3)}
    alone = build(CONFIG.model_copy(update={"components": 1}))
    assert structures == {jax.tree_util.tree_structure(alone)}  # so that it has its programs
    assert alone.groups == 1
    assert alone.of_group(0) is alone


class TestSaved:
    def test_groups_come_back(self, model):
        back = from_arrays(CONFIG, to_arrays(model))
        for before, after in zip(jax.tree.leaves(model), jax.tree.leaves(back), strict=True):
            np.testing.assert_array_equal(before, after)

    def test_a_population_of_one_group_has_the_arrays_it_always_had(self):
        names = to_arrays(build(CONFIG.model_copy(update={"components": 1})))
        assert not any("groups" in name for name in names)

    def test_a_manifest_of_before_has_one_group(self):
        before = CONFIG.model_dump()
        del before["components"]
        assert ModelConfig.model_validate(before).components == 1

    def test_arrays_of_another_number_of_groups_are_refused(self, model):
        arrays = to_arrays(model)
        with pytest.raises(ArtifactError, match=r"groups\.shift is float64\(2, 2\)"):
            from_arrays(CONFIG.model_copy(update={"components": 2}), arrays)
        with pytest.raises(ArtifactError, match=r"groups\.shift is unknown"):
            from_arrays(CONFIG.model_copy(update={"components": 1}), arrays)

    @pytest.mark.parametrize("components", [0, -1, 5])
    def test_an_impossible_number_of_groups_is_refused(self, components):
        with pytest.raises(ValueError, match="components"):
            ModelConfig.model_validate(CONFIG.model_dump() | {"components": components})
