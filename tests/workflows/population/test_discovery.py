"""Covariate discovery on simulated patients whose effects are known."""

import json
from dataclasses import replace

import equinox as eqx
import numpy as np
import polars as pl
import pytest

from latentpk.errors import InputError
from latentpk.inference.estimation import EstimationSettings
from latentpk.workflows.population.discovery import (
    DiscoverySettings,
    discover,
    make_problem,
    told,
)
from latentpk.workflows.population.fit import PopfitSettings

BASE = PopfitSettings(
    structure="1c-iv", error="lognormal", estimation=EstimationSettings(method="focei")
)


@pytest.fixture(scope="module")
def patients():
    """80 patients with one bolus and five levels: weight on both parameters, sex on cl; noise."""
    rng = np.random.default_rng(4)
    rows = []
    for number in range(1, 81):
        weight = round(float(70 * np.exp(0.25 * rng.standard_normal())), 1)
        sex, noise = int(rng.integers(1, 3)), round(float(rng.normal(10, 2)), 2)
        cl = 4 * (weight / 70) ** 0.75 * 0.65 ** (sex == 2) * np.exp(0.2 * rng.standard_normal())
        v = 40 * weight / 70 * np.exp(0.15 * rng.standard_normal())
        twin = round(weight * 1.02 + 0.05 * float(rng.standard_normal()), 2)
        known = (weight, twin, sex, noise)
        rows.append((number, 0.0, 1, 1, 400.0, 0.0, None, *known))
        for time in (0.5, 2.0, 6.0, 12.0, 24.0):
            level = 400 / v * np.exp(-cl / v * time) * np.exp(0.1 * rng.standard_normal())
            rows.append((number, time, 0, 0, 0.0, 0.0, level, *known))
    names = ["ID", "TIME", "EVID", "MDV", "AMT", "RATE", "DV", "WT", "TWIN", "SEX", "NOISE"]
    return pl.DataFrame(rows, schema=names, orient="row").with_columns(pl.lit(1).alias("CMT"))


@pytest.fixture(scope="module")
def found(patients):
    settings = DiscoverySettings(
        base=BASE, covariates=("WT", "SEX", "NOISE"), resamples=8, permutations=100
    )
    return discover(patients, settings, route="iv")


@pytest.mark.long
def test_the_true_effects_are_found(found):
    answer = told(found)
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    effects = {(one["parameter"], one["covariate"]): one for one in answer["effects"]}
    assert set(effects) == {("cl", "WT"), ("v1", "WT"), ("cl", "SEX")}
    assert effects["cl", "SEX"]["shape"] == "category"
    assert all(one["rise_without"] > answer["meta"]["threshold"] for one in effects.values())
    assert all(one["probability"] >= 0.75 for one in effects.values())
    own = answer["fit"]["effects"]
    sex = own["cl~SEX=2"]
    assert sex["lo"] < np.log(0.65) < sex["hi"]
    assert found.final.found.minus2 < found.base.found.minus2 - 50


@pytest.mark.long
def test_summaries_are_the_likelihood_around_the_mode(found):
    """The quadratic's gain by an effect is near the full likelihood's."""
    fall = found.problem.empty.minus2 - found.choice.fit.minus2
    full = found.base.found.minus2 - found.final.found.minus2
    assert fall == pytest.approx(full, rel=0.15)
    values = np.stack([subject.covariates[0] for subject in found.base.cohort])
    problem = make_problem(found.base, values)
    np.testing.assert_allclose(problem.empty.mean, found.base.found.value[:2], atol=0.02)
    sd = np.exp(found.base.found.value[2:4])
    np.testing.assert_allclose(np.sqrt(problem.empty.variance), sd, rtol=0.05)


@pytest.mark.long
def test_levels_tell_of_a_parameter_whose_random_effect_went_to_nothing(found):
    """A fit may end with an SD of 1e-7 where patients do differ; their levels still say so."""
    base = found.base
    gone = base.model.prior.log_diagonal.at[1].set(np.log(1e-7))
    model = eqx.tree_at(lambda m: m.prior.log_diagonal, base.model, gone)
    modes = base.found.modes.copy()
    modes[:, 1] = 0
    flat = replace(base, found=replace(base.found, model=model, modes=modes))
    values = np.stack([subject.covariates[0] for subject in base.cohort])
    problem = make_problem(flat, values)
    assert np.linalg.eigvalsh(problem.summaries.information).min() > -1e-6
    usual = found.problem.empty
    np.testing.assert_allclose(problem.empty.variance, usual.variance, rtol=0.3)
    np.testing.assert_allclose(problem.empty.mean, usual.mean, atol=0.05)


@pytest.mark.long
def test_covariates_that_go_together_are_named(patients):
    settings = DiscoverySettings(base=BASE, covariates=("WT", "TWIN"), resamples=0, permutations=50)
    answer = told(discover(patients, settings, route="iv"))
    told_apart = {name for one in answer["effects"] for name in one["hardly_told_from"]}
    assert told_apart <= {"WT", "TWIN"}
    assert told_apart
    assert any("can hardly tell" in text for text in answer["warnings"])


def test_effects_asked_for_beforehand_are_refused(patients):
    with pytest.raises(InputError, match="Leave them out"):
        discover(patients, DiscoverySettings(base=BASE.model_copy(update={"effects": "cl~WT"})))


def test_a_table_without_covariates_is_refused(patients):
    with pytest.raises(InputError, match="no covariates"):
        discover(patients.drop("WT", "TWIN", "SEX", "NOISE"), DiscoverySettings(base=BASE))
