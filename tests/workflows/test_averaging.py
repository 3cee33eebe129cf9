"""Averaging over models: weights against a calculation by hand, and who is not heard."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from scipy.stats import norm

from latentpk import read_nonmem
from latentpk.dosing.exposure import Window, heights
from latentpk.dosing.metric import parse_metric
from latentpk.errors import InputError
from latentpk.inference.averaging import Panel
from latentpk.workflows.averaging import forecast
from latentpk.workflows.exposure import Question, exposures
from latentpk.workflows.predictor import open_predictor

NAMES = ("vancomycin-goti-2018", "vancomycin-buelga-2005")
ROWS = """ID,TIME,EVID,AMT,RATE,DV,MDV,WT,CRCL,DIAL,AGE
7,0,1,1000,1000,,1,70,90,0,50
7,12,1,1000,1000,,1,70,90,0,50
7,15,0,0,0,27.0,0,70,90,0,50
7,23.5,0,0,0,14.0,0,70,90,0,50
"""
DAY_TWO = Question(parse_metric("auc24"), 24.0, (400.0, 600.0))


def pairs_of(rows, *names):
    frame = pl.read_csv(rows.encode())
    predictors = [open_predictor(name) for name in names]
    return [(one, read_nonmem(frame, **one.reading, purpose="forecast")) for one in predictors]


def panel_of(posteriors):
    return Panel.of([one.say(name) for name, one in zip(NAMES, posteriors, strict=False)])


@pytest.fixture(scope="module")
def both():
    return exposures(pairs_of(ROWS, *NAMES), DAY_TWO, draws=2048)


@pytest.mark.long
def test_weights_are_the_marginal_likelihoods_of_the_levels(both):
    """One-compartment Buelga by plain Monte Carlo; Goti's evidence from its own posterior."""
    (subject,) = both["subjects"]
    weights = {one["name"]: one["weight"] for one in subject["models"]}
    assert sum(weights.values()) == pytest.approx(1)
    goti, cohort = pairs_of(ROWS, NAMES[0])[0]
    log_goti = float(goti.posterior(cohort[0], draws=8192).found.log_evidence[0])
    odds = np.exp(log_goti) / _evidence_of_buelga()
    assert weights[NAMES[0]] == pytest.approx(odds / (1 + odds), abs=0.01)


def _evidence_of_buelga():
    """CL = 1.08 CRCL (mL/min to L/h), V = 0.98 WT; read off the card's own numbers."""
    predictor, _ = pairs_of(ROWS, NAMES[1])[0]
    population = predictor.model.prior.population
    rng = np.random.default_rng(1)
    typical = np.asarray(predictor.model.prior.location(jnp.asarray(_covariates(predictor))))
    eps = rng.standard_normal((400_000, predictor.model.effects))
    cl, v = np.exp(typical[:, None] + np.asarray(predictor.model.prior.chol()) @ eps.T)
    k = cl / v

    def infused(t):  # 1000 mg over 1 h
        during = 1000 / cl * (1 - np.exp(-k * np.clip(t, 0, 1)))
        return during * np.exp(-k * max(t - 1, 0))

    density = np.ones(eps.shape[0])
    for time, level in ((15.0, 27.0), (23.5, 14.0)):
        f = infused(time) + infused(time - 12)
        error = population.residual
        a, b = error.additive or 0.0, error.proportional or 0.0
        density *= norm.pdf(level, f, np.sqrt(a**2 + (b * f) ** 2))
    return density.mean()


def _covariates(predictor):
    values = {"WT": 70.0, "CRCL": 90.0, "AGE": 50.0}
    return np.array([values[name] for name in predictor.covariates])


def test_the_average_lies_between_its_models_and_shows_them(both):
    (subject,) = both["subjects"]
    medians = [one["median"] for one in subject["models"]]
    assert min(medians) < subject["median"] < max(medians)
    shares = [one["weight"] for one in subject["models"]]
    for name in ("mean", "p", "map"):
        each = [one[name] for one in subject["models"]]
        assert subject[name] == pytest.approx(np.dot(shares, each), rel=1e-9)
    assert [one["name"] for one in both["model"]] == list(NAMES)


def test_models_are_equally_likely_before_the_first_level():
    rows = "\n".join(ROWS.splitlines()[:3]) + "\n"
    pairs = pairs_of(rows, *NAMES)
    panel = panel_of([one.posterior(cohort[0], draws=128) for one, cohort in pairs])
    np.testing.assert_allclose(panel.weight, 0.5, atol=1e-12)


@pytest.mark.long
def test_a_model_that_refuses_the_patient_is_not_heard():
    posteriors = [one.posterior(cohort[0], draws=128) for one, cohort in pairs_of(ROWS, *NAMES)]
    refusing = replace(posteriors[0].gates[1], verdict="refuse", reason="Too heavy.")
    gates = (posteriors[0].gates[0], refusing, posteriors[0].gates[2])
    barred = replace(posteriors[0], gates=gates)
    panel = panel_of([barred, posteriors[1]])
    np.testing.assert_array_equal(panel.weight, [0.0, 1.0])
    assert panel.verdict == "ok"
    assert panel.reasons == ["vancomycin-goti-2018 (weight 0.00): Too heavy."]
    alone = panel_of([barred])
    assert alone.verdict == "refuse"


@pytest.mark.long
def test_the_verdict_is_that_of_half_the_weight():
    posteriors = [one.posterior(cohort[0], draws=128) for one, cohort in pairs_of(ROWS, *NAMES)]
    doubtful = replace(posteriors[1].gates[2], verdict="caution", reason="Odd levels.")
    second = replace(posteriors[1], gates=(*posteriors[1].gates[:2], doubtful))
    for share, expected in ((0.6, "caution"), (0.4, "ok")):
        panel = Panel(panel_of([posteriors[0], second]).says, np.array([1 - share, share]))
        assert panel.verdict == expected


def test_models_of_two_drugs_are_not_averaged():
    rows = ROWS.replace(",AGE", ",AGE,DISEASE").replace(",50\n", ",50,0\n")
    predictors = [open_predictor(name) for name in (NAMES[0], "gentamicin-hodiamont-2017")]
    frame = pl.read_csv(rows.encode())
    cohort = read_nonmem(frame, **predictors[0].reading, purpose="forecast")
    gentamicin = replace(predictors[1], covariates=cohort.covariate_names)
    with pytest.raises(InputError, match=r"a model of vancomycin and .* of gentamicin"):
        exposures([(predictors[0], cohort), (gentamicin, cohort)], DAY_TWO)
    with pytest.raises(InputError, match="named twice"):
        exposures([(predictors[0], cohort)] * 2, DAY_TWO)


def test_each_level_tells_what_was_known_then(both):
    pairs = pairs_of(ROWS, NAMES[0])
    found = exposures(pairs, replace(DAY_TWO, each_level=True), draws=2048)["subjects"][0]
    assert [step["levels"] for step in found["sequence"]] == [0, 1, 2]
    goti = next(one for one in both["subjects"][0]["models"] if one["name"] == NAMES[0])
    assert found["median"] == goti["median"] == found["sequence"][-1]["median"]
    widths = [np.log(step["hi"] / step["lo"]) for step in found["sequence"]]
    assert widths[0] > widths[1] > widths[2]


@pytest.mark.long
def test_a_flatter_prior_moves_the_mode_towards_the_levels():
    """MAP with weight w minimises residuals + w eps'eps: at w -> 0 the least squares."""
    predictor, cohort = pairs_of(ROWS.replace("27.0", "45.0"), NAMES[0])[0]
    residuals, spreads = [], []
    for weight in (1.0, 0.25, 0.01):
        posterior = predictor.flattened(weight).posterior(cohort[0], draws=512)
        residuals.append(float(np.sum(posterior.found.residual**2)))
        spreads.append(posterior.parameters["cl"].log().std())
    assert residuals[0] > residuals[1] > residuals[2]
    assert spreads[0] < spreads[2]
    assert predictor.flattened(1.0) is predictor
    for weight in (0.0, -1.0, 1.5, float("nan")):
        with pytest.raises(InputError, match="prior's weight"):
            predictor.flattened(weight)


ASKED = ROWS + "7,40,2,0,0,,1,70,90,0,50\n"


@pytest.mark.long
def test_an_averaged_forecast_is_the_mixture_of_its_models():
    """The quantile where the mixture's distribution function is 5, 50 and 95 %."""
    pairs = pairs_of(ASKED, *NAMES)
    found = forecast(pairs, draws=4096).tail(1)
    posteriors = [one.posterior(cohort[0], draws=4096) for one, cohort in pairs]
    weight = panel_of(posteriors).weight
    window = Window(40.0, 41.0, np.array([40.0, 41.0]), np.full(2, np.inf))
    curves = [heights(one.patient(), window)[:, 0] for one in posteriors]
    for column, level in (("LO", 0.05), ("IPRED", 0.5), ("HI", 0.95)):
        value = found[column][0]
        below = [p.found.weight[0] @ (c <= value) for p, c in zip(posteriors, curves, strict=True)]
        assert np.dot(weight, below) == pytest.approx(level, abs=0.015), column
    own = [one.forecast(cohort).tail(1) for one, cohort in pairs]
    assert found["PRED"][0] == pytest.approx(np.mean([table["PRED"][0] for table in own]))
    assert found["PI_LO"][0] < found["LO"][0] < found["HI"][0] < found["PI_HI"][0]
    assert found["REASON"][0].startswith("Averaged: ")


def test_one_model_is_a_panel_of_one():
    pairs = pairs_of(ASKED, NAMES[0])
    predictor, cohort = pairs[0]
    assert forecast(pairs).equals(predictor.forecast(cohort))
    assert predictor.forecast(cohort)["REASON"].to_list() == [""] * 3
