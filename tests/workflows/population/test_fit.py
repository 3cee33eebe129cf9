"""Population fits against the optimum of an independent implementation."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from latentpk import read_nonmem
from latentpk.errors import InputError
from latentpk.inference.estimation import EstimationSettings
from latentpk.inference.likelihood import make_likelihood
from latentpk.inference.marginal import make_rule
from latentpk.workflows.population.fit import (
    PopfitSettings,
    fit_population,
    make_config,
    read_cohort,
    starting_model,
)
from latentpk.workflows.population.outcome import describe

OPTIMUM = pl.read_csv(Path(__file__).parents[2] / "reference" / "popfit_simulated_optimum.csv")
NAMES = ("KA", "CL", "V", "OM_SD_KA", "OM_SD_CL", "OM_SD_V", "SIGMA_ADD", "SIGMA_PROP")


def wanted(objective):
    row = OPTIMUM.filter(pl.col("OBJECTIVE") == objective).row(0, named=True)
    return np.array([row[name] for name in NAMES]), row


def at(simulated, values, **estimation):
    """The likelihood at given values, nothing estimated."""
    start = ("ka", "cl", "v", "om_ka", "om_cl", "om_v", "sigma_add", "sigma_prop")
    text = ",".join(f"{name}={value!r}" for name, value in zip(start, values.tolist(), strict=True))
    settings = PopfitSettings(
        structure="1c-oral",
        parameters=("ka", "cl", "v"),
        initial=text,
        estimation=EstimationSettings(evaluations=0, **estimation),
    )
    return fit_population(simulated, settings).found


def test_focei_reaches_its_optimum(focei):
    values, row = wanted("focei")
    assert focei.found.arrived
    assert focei.found.minus2 == pytest.approx(row["M2LL_FOCEI_AT_ESTIMATES"], abs=1e-5)
    np.testing.assert_allclose(np.exp(focei.found.value), values, rtol=1e-3)


@pytest.mark.long
def test_quadrature_reaches_the_exact_optimum(exact):
    values, row = wanted("exact")
    assert exact.found.arrived
    assert exact.found.minus2 == pytest.approx(row["M2LL_EXACT_AT_ESTIMATES"], abs=1e-3)
    np.testing.assert_allclose(np.exp(exact.found.value), values, rtol=2e-3)


def test_it_is_an_optimum(exact, simulated):
    """No step along any axis is better, by the likelihood alone."""
    found, rule = exact.found, make_rule("quadrature", 3, nodes=15)
    likelihood = make_likelihood(found.model, exact.records, rule)

    def height(value):
        return likelihood.value(value, likelihood.place(value, found.modes)).sum()

    for k in range(8):
        for sign in (-1, 1):
            moved = found.value + sign * 0.03 * (np.arange(8) == k)
            assert height(moved) > height(found.value) + 1e-5


@pytest.mark.long
def test_values_are_evaluated_where_nothing_is_estimated(simulated):
    values, row = wanted("exact")
    found = at(simulated, values, nodes=25)
    assert found.minus2 == pytest.approx(row["M2LL_EXACT_AT_ESTIMATES"], abs=1e-4)
    assert found.evaluations == 0
    np.testing.assert_allclose(np.exp(found.value), values)


@pytest.mark.long
def test_the_form_changes_the_model_but_not_its_typical_patient(simulated, focei):
    """Log-normal ke is another model than log-normal cl: -2 log L differs, estimates hardly."""
    settings = PopfitSettings(
        structure="1c-oral",
        parameters=("ka", "ke", "v"),
        estimation=EstimationSettings(method="focei"),
    )
    found = fit_population(simulated, settings)
    assert abs(found.found.minus2 - focei.found.minus2) > 0.01
    ka, ke, v = np.exp(found.found.value[:3])
    np.testing.assert_allclose([ka, ke * v, v], np.exp(focei.found.value[:3]), rtol=0.05)


@pytest.mark.long
def test_subjects_in_another_order_give_the_same_estimates(simulated, exact):
    from dataclasses import replace

    turned = replace(simulated, subjects=tuple(reversed(simulated.subjects)))
    settings = PopfitSettings(structure="1c-oral", parameters=("ka", "cl", "v"))
    again = fit_population(turned, settings)
    assert again.found.minus2 == pytest.approx(exact.found.minus2, abs=1e-4)
    np.testing.assert_allclose(again.found.each[::-1], exact.found.each, atol=1e-2)


@pytest.mark.long
def test_effects_and_a_full_omega_are_found_again(ward):
    """Clearance goes with weight to 0.75, volume with weight; the effects are independent."""
    settings = PopfitSettings(
        structure="1c-iv", effects="cl~WT:power/70,v~WT:power/70", omega="full", error="lognormal"
    )
    found = describe(fit_population(ward, settings))
    assert found["convergence"]["arrived"]
    for name, truth in (("cl~WT", 0.75), ("v1~WT", 1.0)):
        one = found["effects"][name]
        assert one["lo"] < truth < one["hi"]
        assert one["shape"] == "power"
    for name, truth in (("cl", 4.0), ("v1", 40.0)):
        assert found["parameters"][name]["value"] == pytest.approx(truth, rel=0.15)
    assert 0.2 < found["random_effects"]["cl"]["value"] < 0.5
    assert found["residual"]["sigma_prop"]["value"] == pytest.approx(0.1, rel=0.25)
    assert -1 < found["correlations"]["v1,cl"]["value"] < 1


@pytest.mark.long
def test_variation_between_occasions_is_found_again(make_occasions):
    settings = PopfitSettings(
        structure="1c-iv", varying=("cl",), iov=("cl",), error="lognormal",
        estimation=EstimationSettings(method="focei"),
    )  # fmt: skip
    found = describe(fit_population(make_occasions, settings))
    assert found["convergence"]["arrived"]
    assert found["between_occasions"]["cl"]["value"] == pytest.approx(0.25, rel=0.3)
    assert found["random_effects"]["cl"]["value"] == pytest.approx(0.4, rel=0.35)


@pytest.fixture(scope="module")
def make_occasions():
    """40 subjects, three occasions with a dose and two levels each."""
    rng = np.random.default_rng(3)
    rows = []
    for number in range(1, 41):
        own = 4.0 * np.exp(0.4 * rng.standard_normal())
        left = 0.0
        for occasion in range(3):
            cl = own * np.exp(0.25 * rng.standard_normal())
            k, begin = cl / 40.0, 48.0 * occasion
            rows.append((number, begin, 1, 1, 400.0, None, occasion + 1))
            start = left + 10.0
            for since in (2.0, 12.0):
                level = start * np.exp(-k * since) * np.exp(0.05 * rng.standard_normal())
                rows.append((number, begin + since, 0, 0, 0.0, level, occasion + 1))
            left = start * np.exp(-k * 48.0)
    names = ["ID", "TIME", "EVID", "MDV", "AMT", "DV", "OCC"]
    frame = pl.DataFrame(rows, schema=names, orient="row")
    return frame.with_columns(pl.lit(1).alias("CMT"))


def test_censored_levels_count_by_their_probability(simulated):
    """M3: a level told only to be below its limit; the limit far above says nothing."""
    frame = pl.read_csv(Path(__file__).parents[2] / "reference" / "popfit_simulated.csv")
    late = (pl.col("TIME") == 24) & (pl.col("EVID") == 0)
    told = frame.with_columns(
        pl.when(late).then(1).otherwise(0).alias("CENS"),
        pl.when(late).then(1e6).otherwise(None).alias("LLOQ"),
    )
    told = told.with_columns(pl.when(late).then(1e6).otherwise("DV").alias("DV"))
    values, _ = wanted("exact")
    with_censored = at(read_nonmem(told, covariates=[], negative="keep"), values, nodes=9)
    without = at(read_nonmem(frame.filter(~late), covariates=[], negative="keep"), values, nodes=9)
    assert with_censored.minus2 == pytest.approx(without.minus2, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"structure": "9c-iv"}, "structure"),
        ({"parameters": ("ka", "speed", "v")}, "speed"),
        ({"varying": ("q2",)}, "q2"),
        ({"varying": ()}, "Something varies"),
        ({"iov": ("q2",)}, "q2"),
        ({"initial": "q2=3"}, "q2"),
        ({"initial": "ka=-3"}, "above 0"),
        ({"structure": "1c-mm-inh-oral"}, "nonlinear"),
        ({"structure": "1c-iv"}, "no absorption site"),
    ],
)
def test_what_cannot_be_fitted_is_refused(simulated, change, said):
    settings = PopfitSettings(**({"structure": "1c-oral"} | change))
    with pytest.raises(InputError, match=said):
        fit_population(simulated, settings)


def test_a_log_normal_error_refuses_levels_of_0(simulated):
    with pytest.raises(InputError, match=r"levels? of 0"):
        fit_population(simulated, PopfitSettings(structure="1c-oral", error="lognormal"))


def test_only_the_effects_covariates_are_read(ward):
    cohort = read_cohort(ward, PopfitSettings(effects="cl~WT"))
    assert cohort.covariate_names == ("WT",)
    assert read_cohort(ward, PopfitSettings()).covariate_names == ()


def test_the_start_is_what_was_given(simulated):
    settings = PopfitSettings(structure="1c-oral", initial="ka=2,cl=5,v=11,om_cl=0.7,sigma_add=3")
    config = make_config(simulated, settings)
    from latentpk.workflows.population.fit import records_for

    model = starting_model(config, records_for(simulated, config), settings)
    np.testing.assert_allclose(np.exp(model.prior.log_typical), [5.0, 11.0, 2.0])
    np.testing.assert_allclose(np.exp(model.prior.log_diagonal), [0.7, 0.4, 0.4])
    assert float(np.exp(model.residual.log_a)) == pytest.approx(3.0)
