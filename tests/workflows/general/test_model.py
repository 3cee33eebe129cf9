"""The general model says the same in every study's units, and survives a folder."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk import ArtifactError, read_nonmem
from latentpk.inference.initial import Scales
from latentpk.models.bundle import to_arrays
from latentpk.models.record import stack_records, take
from latentpk.workflows.general.model import FOLDER, General, shipped_general
from latentpk.workflows.general.scaling import scale_free
from latentpk.workflows.setup import covariate_configs

SCALES = Scales(time=30.0, early=2.0, level=5.0, dose=250.0, least=0.1)


@pytest.fixture(scope="module")
def cohort(ward):
    return read_nonmem(ward)


def stacked(subjects):
    one = take(stack_records(subjects), 0)
    return jax.tree_util.tree_map(jnp.asarray, one)


@pytest.mark.parametrize("draw", [0.0, 0.7])
def test_a_course_is_the_general_one_at_times_over_the_studys(untrained, cohort, draw):
    known = untrained.at(SCALES, covariate_configs(cohort))
    subject = cohort[0]
    ours, plain = stacked([subject]), stacked([scale_free(subject, SCALES)])
    plain = replace(plain, covariates=plain.covariates[:, :0])
    eps = draw * jnp.ones(known.effects)

    def course(model, record):
        return model.concentration(eps, model.location(record), record, record.time, record.order)

    np.testing.assert_allclose(
        course(known, ours)[:4], SCALES.level * course(untrained.model, plain)[:4], rtol=1e-9
    )


def test_the_encoder_reads_a_study_as_it_did_without_units(untrained, cohort):
    known = untrained.at(SCALES, covariate_configs(cohort))
    subject = cohort[0]
    ours, plain = stacked([subject]), stacked([scale_free(subject, SCALES)])
    plain = replace(plain, covariates=plain.covariates[:, :0])
    one, other = known.encode(ours), untrained.model.encode(plain)
    np.testing.assert_allclose(one.mean, other.mean, rtol=1e-9)
    np.testing.assert_allclose(one.chol, other.chol, rtol=1e-9)


def test_covariates_begin_without_effect(untrained, cohort):
    known = untrained.at(SCALES, covariate_configs(cohort))
    light, heavy = (known.prior.location(jnp.array([w])) for w in (40.0, 140.0))
    np.testing.assert_array_equal(light, heavy)


def test_a_folder_gives_it_back(untrained, tmp_path):
    untrained.save(tmp_path / "g")
    again = General.load(tmp_path / "g")
    before, after = to_arrays(untrained.model), to_arrays(again.model)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    np.testing.assert_array_equal(again.floors.within, untrained.floors.within)
    assert len(again.sha256) == 64


def test_a_damaged_folder_is_told(untrained, tmp_path):
    untrained.save(tmp_path / "g")
    arrays = next((tmp_path / "g").glob("*.safetensors"))
    arrays.write_bytes(arrays.read_bytes()[:-8])
    with pytest.raises(ArtifactError):
        General.load(tmp_path / "g")


def test_the_shipped_one_is_small_and_broad():
    general = shipped_general()
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 20_000_000
    assert general.card["training"]["studies"] > 300
    assert set(general.card["training"]["mechanisms"]) >= {"iv", "oral", "ehc", "target"}
    for covariance in (general.floors.between, general.floors.within):
        assert np.linalg.eigvalsh(covariance).min() > 0
