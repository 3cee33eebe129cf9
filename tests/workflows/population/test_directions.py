"""Covariate effects found in a latent space: of a ward whose effects are known."""

import json

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from latentpk.errors import InputError
from latentpk.models.groups import Groups
from latentpk.models.record import stack_records
from latentpk.records import read_nonmem
from latentpk.report.population import draw_discovery
from latentpk.workflows.population.directions import (
    directions_problem,
    discover_directions,
    latent_summaries,
)
from latentpk.workflows.population.discovery import SearchSettings, told
from latentpk.workflows.predictor import open_predictor

FEW = SearchSettings(resamples=4, permutations=50)


@pytest.fixture(scope="module")
def noisy(ward):
    """The ward with a column that means nothing."""
    ids = ward["ID"].unique(maintain_order=True)
    values = np.round(np.random.default_rng(8).normal(10, 2, len(ids)), 2)
    noise = pl.DataFrame({"ID": ids, "NOISE": values})
    return ward.join(noise, on="ID", maintain_order="left")


@pytest.fixture(scope="module")
def found(fitted, noisy):
    return discover_directions(fitted.predictor(), noisy, FEW)


@pytest.mark.long
def test_weight_acts_on_volume_and_noise_on_nothing(found):
    answer = told(found)
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    effects = {(one["parameter"], one["covariate"]): one for one in answer["effects"]}
    assert ("v1", "WT") in effects
    assert all(name == "WT" for _, name in effects)
    assert answer["meta"]["parameters"] == ["cl", "v1"]
    assert "fit" not in answer
    exponent = found.choice.fit.coefficients[list(effects).index(("v1", "WT"))][0]
    if effects["v1", "WT"]["shape"] == "power":
        assert 0.6 < exponent < 1.5  # 1 in the ward


def test_summaries_are_the_likelihood_and_not_the_prior(fitted, ward):
    """Another prior of the same decoder leaves what levels say as it is."""
    predictor = fitted.predictor()
    cohort = read_nonmem(ward, **predictor.reading, purpose="forecast")
    records = stack_records(cohort.subjects[:6], undecided=predictor.undecided)
    own = latent_summaries(predictor.model, records)
    wide = latent_summaries(predictor.model.widened(1.5), records)
    best = [np.linalg.solve(one.information, one.pull[..., None])[..., 0] for one in (own, wide)]
    np.testing.assert_allclose(best[0], best[1], atol=0.08)
    spread = [np.sqrt(np.linalg.inv(one.information)[:, 0, 0]) for one in (own, wide)]
    np.testing.assert_allclose(spread[0], spread[1], rtol=0.25)


def test_groups_of_people_leave_what_levels_say_as_it_is(fitted, ward):
    predictor, prior = fitted.predictor(), fitted.model.prior
    groups = Groups(jnp.zeros(1), jnp.array([[-1.0, 0.3]]), jnp.zeros(1))
    divided = fitted.model.with_prior(prior.divided(groups))
    cohort = read_nonmem(ward, **predictor.reading, purpose="forecast")
    records = stack_records(cohort.subjects[:4], undecided=predictor.undecided)
    one, two = (latent_summaries(model, records) for model in (predictor.model, divided))
    np.testing.assert_allclose(one.information, two.information)
    np.testing.assert_allclose(one.pull, two.pull)


def test_a_patient_with_fewer_levels_says_less(fitted, ward):
    predictor = fitted.predictor()
    cohort = read_nonmem(ward, **predictor.reading, purpose="forecast")
    records = stack_records(cohort.subjects[:4], undecided=predictor.undecided)
    first = records.mask & (np.arange(records.mask.shape[1]) < 1)
    one_level = eqx.tree_at(lambda record: record.mask, records, first)
    full, few = (latent_summaries(predictor.model, r).information for r in (records, one_level))
    assert (np.linalg.eigvalsh(full)[:, 0] > 10 * np.linalg.eigvalsh(few)[:, 0]).all()


def test_candidates_are_of_every_direction_and_column(found, fitted, noisy):
    looked = read_nonmem(noisy, purpose="forecast")
    problem = directions_problem(looked, found.problem.summaries)
    places = {one.place for one in problem.candidates}
    assert places == {(k, name) for k in range(2) for name in ("WT", "NOISE")}


def test_it_is_drawn(found, tmp_path):
    (path,) = draw_discovery(found, tmp_path / "plots")
    assert path.name == "directions.png"
    assert path.stat().st_size > 10_000


def test_a_table_without_covariates_is_refused(fitted, ward):
    with pytest.raises(InputError, match="no covariates"):
        discover_directions(fitted.predictor(), ward, SearchSettings(covariates=()))


def test_a_model_with_occasions_is_refused(ward):
    with pytest.raises(InputError, match="occasions"):
        discover_directions(open_predictor("busulfan-mccune-2014"), ward, FEW)


def test_a_published_model_has_the_directions_in_which_patients_differ(ward):
    found = discover_directions(open_predictor("gentamicin-hodiamont-2017"), ward, FEW)
    assert found.directions == ("cl", "v1")
    assert np.isfinite(found.choice.fit.minus2)
