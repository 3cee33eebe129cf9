"""Regimens that are followed dose by dose: far below saturation they are the linear ones."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from latentpk.dosing.judge import DoseOptions
from latentpk.dosing.lines import Lines
from latentpk.dosing.metric import Metric, parse_metric
from latentpk.dosing.patient import Patient
from latentpk.dosing.recommend import recommend
from latentpk.dosing.regimen import Practice, Regimen
from latentpk.dosing.settling import settle
from latentpk.dosing.target import parse_target
from latentpk.inference.trust import Trust
from latentpk.kinetics.doses import Doses, Paths
from latentpk.models.beyond import TOLERANCE, Beyond, Experience, Scale
from latentpk.models.published import PopulationModel, build_published
from latentpk.models.record import Record

DRAWS = 64


def model(structure, **values):
    """Parameters of which the first and the last vary by 30 and 20 %."""
    units = {"cl": "L/h", "v1": "L", "vmax": "mg/h", "km": "mg/L"}
    varying = (*values,)[0], (*values,)[-1]
    return build_published(
        PopulationModel.model_validate(
            {
                "structure": structure,
                "parameters": [
                    {"name": name, "value": value, "unit": units[name]}
                    for name, value in values.items()
                ],
                "variability": {
                    "parameters": varying,
                    "covariance": [[0.09], [0.0, 0.04]],
                    "convention": "omega^2",
                },
                "residual": {"kind": "proportional", "proportional": 0.1},
            }
        )
    )


def patient(population, doses=None):
    doses = Doses.of([0.0, 12.0], 300.0, duration=1.0) if doses is None else doses
    record = Record(
        doses=doses,
        time=np.array([13.0]),
        order=np.array([9.0]),
        value=np.array([8.0]),
        censored=np.array([False]),
        mask=np.array([True]),
        change=np.zeros(1),
        covariates=np.zeros((1, 0)),
        occasion=np.zeros(1, int),
        occasions=1,
        paths=Paths.of(doses),
    )
    eps = np.random.default_rng(0).standard_normal((DRAWS, 2))
    return Patient(population, record, eps, np.full(DRAWS, 1 / DRAWS))


PRACTICE = Practice(amounts=(200.0,), intervals=(12.0,), infusions=(1.0,), loading=True)
LINEAR = patient(model("1c-iv", cl=5.0, v1=50.0))
FAR = patient(model("1c-mm-iv", vmax=5e5, km=1e5, v1=50.0))  # the same clearance, never saturated
NEAR = patient(model("1c-mm-iv", vmax=40.0, km=5.0, v1=50.0))


@dataclass(frozen=True)
class Known:
    """A posterior of given draws that nothing speaks against."""

    who: Patient
    gates: tuple[Trust, ...] = (Trust("ok", ""),)
    seed: int = 0

    def patient(self) -> Patient:
        return self.who


@pytest.mark.long
@pytest.mark.parametrize(
    ("metric", "at"),
    [
        ("auc24", "ss"),
        ("trough", "ss"),
        ("peak", 36.0),
        ("auc24", 30.0),
        ("trough", 24.0),
        ("auc_cum", 48.0),
        ("ft_mic@4", "ss"),
    ],
)
def test_simulated_exposures_are_the_linear_ones_far_below_saturation(metric, at):
    regimens = [Regimen(200.0, 12.0, 1.0), Regimen(500.0, 12.0, 1.0, loading=900.0)]
    found, expected = (
        Lines(who, 24.0, 0.0, PRACTICE).of(regimens[0], parse_metric(metric), at).of(regimens)
        for who in (FAR, LINEAR)
    )
    np.testing.assert_allclose(found, expected, rtol=3e-3, atol=0.02)


SEEN = Experience(
    amount=(100.0, 300.0), interval=(12.0, 24.0), length=240.0, doses=20, central=True, depot=False
)
BEYOND = Beyond(SEEN, Scale(0.5, 0.3, 0.0))


def wary(who):
    """The patient of a model that was trained on at most 300 mg, every 12 to 24 h."""
    shift = np.random.default_rng(1).standard_normal(DRAWS)
    return replace(who, model=replace(who.model, beyond=BEYOND), shift=shift)


@pytest.mark.long
@pytest.mark.parametrize(
    ("metric", "at"),
    [("auc24", "ss"), ("trough", "ss"), ("auc24", 30.0), ("peak", 36.0), ("ft_mic@4", "ss")],
)
def test_an_exposure_widens_with_the_regimen_alike_by_sums_and_by_courses(metric, at):
    """300 mg as without; 600 mg, and 300 mg every 6 h, by each draw's own factor."""
    amounts = (300.0, 600.0)
    for interval, far in ((12.0, (0.0, 0.5)), (6.0, (0.3, np.hypot(0.3, 0.5)))):
        regimens = [Regimen(amount, interval, 1.0) for amount in amounts]
        sums, courses, before = (
            Lines(who, 24.0, 0.0, PRACTICE).of(regimens[0], parse_metric(metric), at).of(regimens)
            for who in (wary(LINEAR), wary(FAR), LINEAR)
        )
        # sums are scaled by the factor at the window's end, courses by that of each time
        np.testing.assert_allclose(courses, sums, rtol=0.03 if metric == "peak" else 0.01)
        if metric.startswith("ft_mic"):
            continue
        sd = np.array(far) * np.sqrt(np.log(2) - TOLERANCE)
        factor = np.exp(wary(LINEAR).shift * sd[:, None])
        np.testing.assert_allclose(sums, before * factor, rtol=1e-6)
        assert interval == 6.0 or np.array_equal(sums[0], before[0])


def test_a_regimen_beyond_the_training_is_a_caution_that_names_it():
    practice = Practice(amounts=(300.0, 600.0), intervals=(12.0,), infusions=(1.0,))
    known = recommend(Known(wary(LINEAR)), parse_target("auc24=90:150"), DoseOptions(practice))
    assert known.alternatives[0].regimen.amount == 300.0
    assert known.verdict == "ok"
    far = recommend(Known(wary(LINEAR)), parse_target("auc24=200:300"), DoseOptions(practice))
    sure = recommend(Known(LINEAR), parse_target("auc24=200:300"), DoseOptions(practice))
    assert far.alternatives[0].regimen.amount == 600.0
    assert far.verdict == "caution"
    assert "A dose of 600 mg is beyond the 100 to 300 mg" in " ".join(far.reasons)
    assert far.alternatives[0].probability < sure.alternatives[0].probability
    assert far.alternatives[0].exposure.hi > 1.1 * sure.alternatives[0].exposure.hi


@pytest.mark.long
def test_the_same_regimen_is_recommended_as_by_the_closed_form():
    practice = Practice(amounts=(200.0, 300.0, 400.0, 600.0), intervals=(12.0,), infusions=(1.0,))
    target = parse_target("auc24=110:170")
    found, expected = (
        recommend(Known(who), target, DoseOptions(practice)) for who in (FAR, LINEAR)
    )
    best, other = (answer.alternatives[answer.recommended] for answer in (found, expected))
    assert best.regimen == other.regimen
    assert best.probability == pytest.approx(other.probability, abs=0.02)
    assert best.expected_loss == pytest.approx(other.expected_loss, rel=0.01)
    assert best.first_day.median == pytest.approx(other.first_day.median, rel=1e-3)
    assert [a.regimen for a in found.alternatives] == [a.regimen for a in expected.alternatives]
    amount, truth = (answer.optimal_amount[0]["amount"] for answer in (found, expected))
    assert amount == pytest.approx(truth, rel=0.01)
    assert found.next_sample.time == expected.next_sample.time
    assert found.verdict == "ok"


@pytest.mark.long
def test_a_dose_rate_above_the_largest_elimination_has_no_steady_state_and_says_so():
    metric = Metric("auc")
    slow, fast = (
        settle(metric, NEAR, Regimen(amount, 12.0, 0.0), 0.0) for amount in (100.0, 900.0)
    )
    assert slow.settled.all()
    assert slow.doubt(NEAR.weight) == ""
    assert not fast.settled.any()  # 75 mg/h, and 40 mg/h leave at most
    assert "no steady state" in fast.doubt(NEAR.weight)
    # at steady state as much leaves as comes: amount = integral of vmax C / (km + C)
    assert (slow.values > 0).all()


def test_saturation_makes_twice_the_dose_more_than_twice_the_exposure():
    regimens = [Regimen(150.0, 12.0, 0.0), Regimen(300.0, 12.0, 0.0)]
    once, twice = Lines(NEAR, 24.0, 0.0, PRACTICE).of(regimens[0], Metric("auc"), "ss").of(regimens)
    assert (twice > 2.05 * once).all()
