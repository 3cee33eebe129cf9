import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.models.config import CovariateConfig
from latentpk.models.prior import LearnedPrior, attention_map

COVARIATES = (
    CovariateConfig(name="WT", log=True, center=np.log(70.0), scale=0.25),
    CovariateConfig(name="RACE", kind="categorical", levels=(1, 2, 5)),
    CovariateConfig(name="AGE", center=50.0, scale=10.0),
    CovariateConfig(name="SEX", kind="binary", center=0.5, scale=0.5),
)
KNOWLEDGE = ("allometric_clearance", "allometric_volume", "ageing")
PATIENT = jnp.array([70.0 * np.exp(0.5), 5.0, 30.0, 1.0])


def prior(width, knowledge=KNOWLEDGE, covariates=COVARIATES):
    return LearnedPrior(2, covariates, knowledge, width=width, key=jax.random.key(0))


def moved(model):
    rng = np.random.default_rng(0)
    return jax.tree_util.tree_map(lambda x: x + 0.3 * rng.standard_normal(x.shape), model)


def test_the_raw_view_standardizes_and_codes():
    np.testing.assert_allclose(prior(None).raw_view(PATIENT), [2.0, 0.0, 1.0, -2.0, 1.0])
    reference = PATIENT.at[1].set(1.0)
    np.testing.assert_array_equal(prior(None).raw_view(reference)[1:3], [0.0, 0.0])
    unseen = PATIENT.at[1].set(4.0)  # a code training never saw is the reference
    np.testing.assert_array_equal(prior(None).raw_view(unseen)[1:3], [0.0, 0.0])


def test_covariates_far_outside_stay_finite():
    raw = prior(None).raw_view(jnp.array([0.0, 1.0, 1e30, -1e30]))
    np.testing.assert_array_equal(raw, [-10.0, 0.0, 0.0, 10.0, -10.0])


def test_the_linear_location_is_affine_in_the_raw_view():
    model = moved(prior(None))
    raw = np.array([2.0, 0.0, 1.0, -2.0, 1.0])
    expected = np.asarray(model.typical) + np.asarray(model.slope) @ raw
    np.testing.assert_allclose(model.location(PATIENT), expected, rtol=1e-13)


def test_the_factor_is_lower_triangular_with_a_bounded_positive_diagonal():
    model = moved(prior(None))
    chol = np.asarray(model.chol())
    assert chol[0, 1] == 0
    assert chol[1, 0] == model.factor[1, 0]
    np.testing.assert_allclose(np.diag(chol), np.exp(np.diag(model.factor)))
    wild = eqx.tree_at(lambda m: m.factor, model, jnp.array([[1e6, 0.0], [0.0, -1e6]]))
    np.testing.assert_allclose(np.diag(wild.chol()), np.exp([3.0, -7.0]))
    np.testing.assert_allclose(prior(None).chol(), 0.4 * np.eye(2))


def test_the_linear_prior_is_the_multiview_prior_with_its_network_at_zero():
    plain, both = moved(prior(None)), prior(4)
    assert plain.network is None
    same = eqx.tree_at(
        lambda m: (m.typical, m.slope, m.factor), both, (plain.typical, plain.slope, plain.factor)
    )
    np.testing.assert_array_equal(same.location(PATIENT), plain.location(PATIENT))
    further = eqx.tree_at(lambda m: m.network, same, moved(same.network))
    assert not np.isclose(further.location(PATIENT), plain.location(PATIENT)).any()


def test_the_network_reads_the_knowledge_view_by_name():
    model = moved(prior(4))
    older = PATIENT.at[2].set(90.0)
    raw = model.raw_view(older)
    beyond = model.location(older) - (model.typical + model.slope @ raw)
    knowledge = jnp.array([0.75 * 0.5, 0.5, -np.log1p((90.0 / 61.559) ** 2.241)])
    np.testing.assert_allclose(beyond, model.network(raw, knowledge), rtol=1e-9)


@pytest.mark.parametrize(("knowledge", "covariates"), [((), COVARIATES), (KNOWLEDGE, ())])
def test_attention_needs_a_token_on_either_side(knowledge, covariates):
    assert prior(4, knowledge, covariates).network is None


def test_no_covariates_is_one_place_for_all():
    model = moved(prior(4, (), ()))
    np.testing.assert_array_equal(model.location(jnp.zeros(0)), model.typical)


def test_the_attention_map_names_what_each_dimension_read():
    shares = attention_map(moved(prior(4)), PATIENT)
    assert shares.shape == (2, 5, 3)
    np.testing.assert_allclose(shares.sum((1, 2)), [1.0, 1.0])
    with pytest.raises(ValueError, match="multiview"):
        attention_map(prior(None), PATIENT)
