from dataclasses import replace

import numpy as np
import pytest

from latentpk.inference.posterior import Posteriors, PosteriorSettings
from latentpk.inference.trust import (
    Domain,
    Range,
    Trust,
    gate_a,
    gate_b,
    gate_c,
    reasons,
    worst,
)
from latentpk.records.definition import RenalDefinition
from latentpk.records.renal import RenalState

SETTINGS = PosteriorSettings()


def one(method="is", k=0.3, ess=500.0, rhat=np.nan, objective=4.0, eps=0.0):
    """The posterior of one subject."""
    numbers = {
        "k": k,
        "ess": ess,
        "rhat": rhat,
        "objective": objective,
        "log_evidence": -4.0,
        "log_evidence_wide": np.nan,
        "log_evidence_slow": np.nan,
    }
    return Posteriors(
        eps=np.full((1, 3, 2), eps),
        weight=np.full((1, 3), 1 / 3),
        mode=np.zeros((1, 2)),
        residual=np.zeros((1, 2)),
        method=(method,),
        **{name: np.array([value]) for name, value in numbers.items()},
    )


@pytest.mark.parametrize(
    "found",
    [
        one(),
        one(k=-np.inf),
        one("adaptive", k=0.69),
        one("nuts", k=2.0, ess=3.0, rhat=1.01),  # NUTS answers where the weights did not
    ],
)
def test_a_computation_that_passed_its_own_test_is_ok(found):
    trust = gate_a(found, 0, SETTINGS)
    assert (trust.verdict, trust.reason) == ("ok", "")


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (one(k=0.68), "heavy-tailed (k-hat 0.68, limit 0.67)"),  # 1 - 1/log10(1024)
        (one("adaptive", k=0.71), "k-hat 0.71, limit 0.70"),
        (one(k=np.nan), "heavy-tailed"),
        (one(ess=100.0), "Few effective draws (100, least 102)"),
        (one(ess=np.nan), "Few effective draws"),
        (one("nuts", rhat=1.2), "NUTS has not converged (R-hat 1.20, limit 1.05)"),
        (one("nuts", rhat=np.nan), "NUTS has not converged"),
    ],
)
def test_one_that_did_not_is_used_with_caution_and_says_why(found, reason):
    trust = gate_a(found, 0, SETTINGS)
    assert trust.verdict == "caution"
    assert reason in trust.reason


@pytest.mark.parametrize("found", [one(objective=np.inf), one(eps=np.nan)])
def test_no_finite_posterior_is_refused(found):
    assert gate_a(found, 0, SETTINGS).verdict == "refuse"


def test_the_limits_follow_the_settings():
    assert gate_a(one(k=0.68), 0, PosteriorSettings(draws=4096)).verdict == "ok"
    assert gate_a(one(), 0, PosteriorSettings(least_ess=0.5)).verdict == "caution"


DOMAIN = Domain((Range("WT", "kg", (40, 120), (30, 250)),), half_life=6.0)


def domain_of(weight, doses=(0.0,), levels=(4.0,)):
    covariates = np.array(weight, float).reshape(-1, 1)
    return gate_b(DOMAIN, covariates, np.array(doses, float), np.array(levels, float))


@pytest.mark.parametrize(
    ("trust", "verdict", "reason"),
    [
        (domain_of(70), "ok", ""),
        (domain_of(130), "caution", "WT is 130 kg; the model was built on 40 to 120."),
        (domain_of(700), "refuse", "WT is 700 kg; it is refused outside 30 to 250."),
        (domain_of(0), "refuse", "WT is 0 kg"),
        (domain_of([70, 20]), "refuse", "WT is 20 kg"),
        (domain_of(70, levels=(59.0,)), "ok", ""),
        (domain_of(70, levels=(4.0, 90.0)), "caution", "15 typical half-lives"),
        (domain_of(70, levels=(9000.0,)), "refuse", "that dose has left the body"),
        (domain_of(70, doses=(10.0,)), "refuse", "drawn before any dose"),
        (domain_of(70, doses=()), "refuse", "drawn before any dose"),
        (domain_of(70, doses=(), levels=()), "ok", ""),
    ],
)
def test_a_patient_outside_the_models_domain_is_named(trust, verdict, reason):
    assert (trust.verdict, trust.gate) == (verdict, "B domain")
    assert reason in trust.reason


SEXES = Domain((Range("SEX", "0/1", (0, 1), (0, 1), True, "1 = male, 0 = female"),))


@pytest.mark.parametrize(
    ("sex", "verdict", "reason"),
    [
        (1, "ok", ""),
        (2, "refuse", "SEX is 2; it is refused outside 0 to 1 (1 = male, 0 = female)."),
        (0.5, "refuse", "SEX is 0.5, and it is a code: a whole number (1 = male, 0 = female)."),
    ],
)
def test_a_code_is_whole_and_its_meaning_is_told(sex, verdict, reason):
    trust = gate_b(SEXES, np.array([[float(sex)]]), np.array([0.0]), np.array([]))
    assert (trust.verdict, trust.reason) == (verdict, reason)


@pytest.mark.parametrize(
    ("creatinine", "verdict", "said"),
    [
        (1.0, "ok", ""),
        (0.0124, "refuse", "Creatinine is 0.0124 mg/dL"),  # mg/dL read as umol/L
        (88.0, "refuse", "--units SCR=umol/L"),
        (16.0, "caution", "Creatinine is 16 mg/dL"),
    ],
)
def test_creatinine_in_another_unit_is_seen_whatever_it_was_made_into(creatinine, verdict, said):
    capped = Domain((Range("CRCL", "mL/min", (10, 150), (5, 200)),))
    made = RenalState(
        np.array([0.0]), np.array([creatinine]), definition=RenalDefinition("cockcroft-gault-total")
    )
    known = np.array([[150.0]]), np.array([0.0]), np.array([])
    trust = gate_b(capped, *known, made)
    assert trust.verdict == verdict
    assert said in trust.reason
    beside = replace(made, definition=None)  # the file states clearance itself
    assert gate_b(capped, *known, beside).verdict == ("ok" if verdict == "ok" else "caution")
    assert (
        gate_b(Domain((Range("WT", "kg", (40, 200), (30, 250)),)), *known, beside).verdict == "ok"
    )


@pytest.mark.parametrize(
    ("amount", "verdict"), [(1000.0, "ok"), (1e6, "refuse"), (1.0, "caution"), (0.0, "ok")]
)
def test_a_dose_that_nobody_gives_is_told(amount, verdict):
    usual = Domain(usual=(500.0, 2000.0))
    covariates = np.zeros((1, 0))
    trust = gate_b(usual, covariates, np.array([0.0]), np.array([]), amounts=np.array([amount]))
    assert trust.verdict == verdict
    assert ("--units AMT" in trust.reason) == (verdict != "ok")


CLINIC = Domain(
    (Range("WT", "kg", (40, 120), (30, 250)), Range("CRCL", "mL/min", (10, 150), (5, 200))),
    renal=RenalDefinition("cockcroft-gault-total", 1.0, 65.0, 150.0),
)
DIALYZED = Domain((CLINIC.ranges[0], Range("DIAL", "", (0, 1), (0, 1))))
VALUES = {"WT": 70.0, "CRCL": 90.0, "DIAL": 1.0}


def kidneys(*creatinine, domain=CLINIC, **known):
    """Gate B where creatinine was drawn every 24 h."""
    state = RenalState(24.0 * np.arange(len(creatinine)), np.array(creatinine, float), **known)
    covariates = np.array([[VALUES[known.name] for known in domain.ranges]])
    return gate_b(domain, covariates, np.zeros(1), np.ones(1), state)


@pytest.mark.parametrize(
    ("trust", "reason"),
    [
        (kidneys(), ""),
        (kidneys(1.0, 1.2, 1.25), ""),
        (kidneys(definition=CLINIC.renal), ""),
        (kidneys(definition=RenalDefinition("schwartz"), domain=replace(CLINIC, renal=None)), ""),
        (
            kidneys(definition=RenalDefinition("ckd-epi-2021")),
            "CRCL was computed by CKD-EPI 2021; the model was built on Cockcroft-Gault with total "
            "weight, creatinine at least 1 mg/dL above 65 y, at most 150.",
        ),
        (
            kidneys(definition=replace(CLINIC.renal, cap=None)),
            "CRCL was computed by Cockcroft-Gault with total weight, creatinine at least 1 mg/dL "
            "above 65 y; the model was built on",
        ),
        (
            kidneys(1.0, 1.2, 2.2),
            "Creatinine moved from 1 to 2.2 mg/dL within 48 h: the formula of renal function "
            "assumes a steady state.",
        ),
        (kidneys(1.0, 3.0, domain=DOMAIN), ""),  # a model that asks for no renal function
        (kidneys(dialysis=True), "The patient is on dialysis, which this model does not know."),
        (kidneys(dialysis=True, domain=DIALYZED), ""),
    ],
)
def test_renal_function_that_is_not_the_models_is_a_caution(trust, reason):
    assert trust.verdict == ("caution" if reason else "ok")
    assert reason in trust.reason
    assert trust.value == bool(reason)


def fit_of(residual, mode=(0.0, 0.0), *, told=1.0, wide=np.nan, slow=np.nan):
    """A fit; `told` is the share of the effects' variance that the levels told."""
    spread = np.sqrt(3 * (1 - told) / 2)
    draws = spread * np.array([1.0, -1.0, 0.0])[:, None] * np.ones(len(mode))
    return replace(
        one(),
        residual=np.array([residual]),
        mode=np.array([mode]),
        eps=draws[None],
        log_evidence_wide=np.array([wide]),
        log_evidence_slow=np.array([slow]),
    )


@pytest.mark.parametrize(
    ("found", "verdict", "reason"),
    [
        (fit_of([0.5, -1.0, 0.3]), "ok", ""),
        (fit_of([2.0, 1.0, 1.5]), "caution", "No curve of this model goes through these levels"),
        (fit_of([0.1, 0.1, 0.1], mode=(2.5, 0.0)), "ok", ""),  # far along, but no rival asked
        (fit_of([0.1, 0.1], wide=-4.0 + np.log(20)), "caution", "20 times likelier in patients"),
        (fit_of([0.1, 0.1], wide=-4.0 + np.log(5)), "ok", ""),
        (fit_of([0.1, 0.1], slow=-4.0 + np.log(4)), "caution", "clear the drug far more slowly"),
        (fit_of([0.1, 0.1], slow=900.0), "caution", "1e+06 times likelier"),
        (fit_of([0.1, 0.1], slow=-4.0 + np.log(2)), "ok", ""),
        (fit_of([6.0, 3.0]), "refuse", "cannot explain"),
        (fit_of([np.nan, 1.0]), "refuse", "cannot explain"),
        (fit_of([]), "ok", ""),
    ],
)
def test_levels_the_model_cannot_explain_are_told(found, verdict, reason):
    trust = gate_c(found, 0, np.ones(found.residual.shape[1], bool))
    assert (trust.verdict, trust.gate) == (verdict, "C fit")
    assert reason in trust.reason
    assert (trust.value < trust.threshold) == (verdict != "ok")


@pytest.mark.long
def test_the_remainder_of_a_linear_model_is_chi_square():
    """y = eps + noise: what is left beside the effect raises as many flags as it should."""
    rng = np.random.default_rng(0)
    effect, noise = rng.standard_normal((8000, 1)), rng.standard_normal((8000, 3))
    level = effect + 0.5 * noise
    mode = level.sum(axis=1, keepdims=True) / 0.25 / (1 + 3 / 0.25)
    told = 1 - 1 / (1 + 3 / 0.25)
    residual, used = (level - mode) / 0.5, np.ones(3, bool)
    flagged = [
        gate_c(fit_of(residual[i], mode=mode[i], told=told), 0, used).verdict != "ok"
        for i in range(8000)
    ]
    assert 0.011 < np.mean(flagged) < 0.019  # MISFIT is 0.015


def test_the_worst_gate_decides_and_refusals_speak_first():
    gates = (Trust("caution", "late."), Trust("ok", ""), Trust("refuse", "heavy."))
    assert worst(gates) == "refuse"
    assert reasons(gates) == ["heavy.", "late."]
    assert worst(gates[:2]) == "caution"
    assert worst([]) == "ok"
