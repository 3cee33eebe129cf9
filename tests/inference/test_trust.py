import numpy as np
import pytest

from latentpk.inference.posterior import Posteriors, PosteriorSettings
from latentpk.inference.trust import gate_a

SETTINGS = PosteriorSettings()


def one(method="is", k=0.3, ess=500.0, rhat=np.nan, objective=4.0, eps=0.0):
    """The posterior of one subject."""
    numbers = {"k": k, "ess": ess, "rhat": rhat, "objective": objective, "log_evidence": -4.0}
    return Posteriors(
        eps=np.full((1, 3, 2), eps),
        weight=np.full((1, 3), 1 / 3),
        mode=np.zeros((1, 2)),
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
