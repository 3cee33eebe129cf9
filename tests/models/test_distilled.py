"""A published population with an encoder, in a bundle and in training's hands."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk import precision
from latentpk.library.catalog import list_models, read_model
from latentpk.models.bundle import from_arrays, to_arrays
from latentpk.models.config import CovariateConfig, EncoderConfig
from latentpk.models.distilled import DistilledConfig, build_distilled
from latentpk.models.published import build_published

GOTI = read_model("vancomycin-goti-2018").population
CONFIG = DistilledConfig(
    population=GOTI,
    covariates=(
        CovariateConfig(name="CRCL", log=True, center=4.3, scale=0.5),
        CovariateConfig(name="DIAL", kind="binary"),
        CovariateConfig(name="WT", log=True, center=4.3, scale=0.2),
    ),
    encoder=EncoderConfig(hidden=4, time_scale=48.0, level_scale=20.0, dose_scale=1000.0),
)


@pytest.fixture(scope="module")
def distilled():
    return build_distilled(CONFIG)


@pytest.fixture(scope="module")
def record():
    from latentpk import read_nonmem
    from latentpk.models.record import stack_records, take
    from latentpk.workflows.simulate import simulate

    frame = simulate("vancomycin-goti-2018", 1, seed=3)
    cohort = read_nonmem(frame, covariates=list(GOTI.covariates), purpose="forecast")
    return jax.tree_util.tree_map(jnp.asarray, take(stack_records(cohort.subjects), 0))


def test_the_population_is_the_published_one(distilled):
    published = build_published(GOTI)
    leaves = zip(
        jax.tree_util.tree_leaves((distilled.prior, distilled.residual)),
        jax.tree_util.tree_leaves((published.prior, published.residual)),
        strict=True,
    )
    for ours, theirs in leaves:
        np.testing.assert_array_equal(ours, theirs)


def test_the_manifest_holds_the_population(distilled):
    """The JSON alone and the arrays give the model back."""
    again = DistilledConfig.model_validate_json(CONFIG.model_dump_json())
    assert again == CONFIG
    arrays = to_arrays(distilled)
    assert {name.split(".")[1] for name in arrays} == {"prior", "residual", "encoder"}
    rebuilt = to_arrays(from_arrays(again, arrays))
    assert rebuilt.keys() == arrays.keys()
    for name, value in arrays.items():
        np.testing.assert_array_equal(rebuilt[name], value)


@pytest.mark.parametrize("name", list_models())
def test_every_published_population_is_data(name):
    config = DistilledConfig(population=read_model(name).population)
    assert DistilledConfig.model_validate_json(config.model_dump_json()) == config


def test_the_encoder_reads_levels_and_is_the_prior_without(distilled, record):
    read = distilled.encode(record)
    assert np.abs(np.asarray(read.mean)).max() > 0
    masks = jnp.zeros((1, record.mask.shape[0]), bool)
    blind = distilled.encode_masked(record, masks)
    np.testing.assert_array_equal(blind.mean[0], np.zeros(distilled.effects))
    np.testing.assert_array_equal(blind.chol[0], np.eye(distilled.effects))


def test_it_is_single_where_training_is(distilled, record):
    light = precision.single((distilled, record))
    shapes = jax.eval_shape(lambda m, r: (m.encode(r), m.location(r)), *light)
    assert {leaf.dtype.name for leaf in jax.tree_util.tree_leaves(shapes)} == {"float32"}
