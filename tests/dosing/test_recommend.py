import dataclasses

import numpy as np
import pytest
from tests.dosing.conftest import GOLDEN

from latentpk.dosing.history import due, usual_interval
from latentpk.dosing.judge import DoseOptions
from latentpk.dosing.patient import Mixture
from latentpk.dosing.recommend import recommend
from latentpk.dosing.regimen import Practice
from latentpk.dosing.target import parse_target
from latentpk.errors import InputError
from latentpk.inference.trust import Trust

PRACTICE = Practice(
    amounts=tuple(range(500, 2001, 250)), intervals=(8.0, 12.0, 24.0), infusions=(1.0,)
)
AUC = parse_target("auc24=400:600")


@pytest.fixture(scope="module")
def answer(posterior):
    return recommend(posterior, AUC, DoseOptions(PRACTICE))


def clearance(posterior):
    return 4.5 * (90 / 120) ** 0.8 * np.exp(np.sqrt(0.14705) * posterior.patient().eps[:, 0])


def test_every_chance_is_that_of_the_daily_dose_over_clearance(posterior, answer):
    weight, cl = posterior.patient().weight, clearance(posterior)
    assert len(answer.alternatives) == 21
    for one in answer.alternatives:
        exposure = one.regimen.daily / cl
        inside = (exposure >= 400) & (exposure <= 600)
        assert one.probability == pytest.approx(weight @ inside, abs=1e-6)
        assert one.probability_toxic == pytest.approx(weight @ (exposure > 600), abs=1e-6)
        assert one.expected_loss == pytest.approx(weight @ np.abs(500 - exposure), rel=1e-6)


def test_the_best_is_first_and_equals_keep_the_patients_interval(answer):
    chances = [one.probability for one in answer.alternatives]
    assert answer.recommended == 0
    assert (np.diff(chances) < 1e-6).all()
    best = [r for r in answer.alternatives if abs(r.probability - chances[0]) < 1e-6]
    if any(one.regimen.interval == 12 for one in best):
        assert answer.alternatives[0].regimen.interval == 12


def test_the_optimal_amount_is_where_the_loss_is_least(posterior, answer):
    weight, cl = posterior.patient().weight, clearance(posterior)
    for found in answer.optimal_amount:
        amounts = found["amount"] * np.array([0.99, 1.0, 1.01])
        exposure = amounts[:, None] * 24 / found["interval"] / cl
        loss = np.abs(500 - exposure) @ weight
        assert loss[1] == loss.min()
    by_interval = {found["interval"]: found["amount"] for found in answer.optimal_amount}
    assert by_interval[24] == pytest.approx(2 * by_interval[12], rel=1e-6)


def test_the_optimum_of_a_trough_is_found_on_the_curve(posterior):
    target = parse_target("trough=10:15")
    found = recommend(posterior, target, DoseOptions(PRACTICE))
    at = {one["interval"]: one["amount"] for one in found.optimal_amount}
    patient = posterior.patient()
    for interval, best in at.items():
        losses = [
            trough_loss(patient, interval, amount, target.aim)
            for amount in (0.97 * best, best, 1.03 * best)
        ]
        assert losses[1] == min(losses)


def trough_loss(patient, interval, amount, aim):
    from latentpk.dosing.exposure import at_steady_state, steady
    from latentpk.dosing.metric import Metric

    regimen = patient.settled().given(steady(interval, 1.0, 0.0, amount=amount))
    values = at_steady_state(Metric("trough"), regimen, interval)
    return patient.weight @ np.abs(aim - values)


def test_a_window_in_time_counts_what_was_given_before(posterior):
    """Superposition by the decoder itself: history and plan together."""
    from latentpk.dosing.exposure import areas
    from latentpk.dosing.history import both
    from latentpk.dosing.regimen import schedule

    found = recommend(posterior, AUC, DoseOptions(PRACTICE, at=72.0, start=48.0))
    best = found.alternatives[0]
    plan = schedule(best.regimen, 48.0, 96.0, 0.0)
    patient = posterior.patient()
    whole = areas(patient.given(both(patient.record.doses, plan)), 72.0, 96.0)
    assert best.probability == pytest.approx(
        patient.weight @ ((whole >= 400) & (whole <= 600)), abs=1e-9
    )
    first = areas(patient.given(both(patient.record.doses, plan)), 48.0, 72.0)
    assert best.first_day.lo < patient.weight @ first < best.first_day.hi


def test_a_loading_dose_brings_the_first_day_nearer(predictor, read):
    text = "ID,TIME,EVID,AMT,RATE,DV,MDV,WT,CRCL,DIAL\n1,0,2,,,,1,70,60,0\n"
    posterior = predictor.posterior(read(text)[0], draws=2048)
    plain = recommend(posterior, AUC, DoseOptions(PRACTICE, start=0.0))
    loaded = recommend(
        posterior,
        AUC,
        DoseOptions(PRACTICE.model_copy(update={"loading": True}), start=0.0),
    )
    first = loaded.alternatives[0]
    assert first.regimen.loading is not None
    assert first.regimen.loading > first.regimen.amount
    same = next(
        one
        for one in plain.alternatives
        if (one.regimen.amount, one.regimen.interval)
        == (first.regimen.amount, first.regimen.interval)
    )
    assert abs(first.first_day.median - 500) < abs(same.first_day.median - 500)
    assert first.probability == same.probability  # the steady state has forgotten it


@pytest.mark.long
def test_a_level_above_the_limit_holds_the_next_dose(predictor, read):
    high = GOLDEN.replace("27.0", "60.0").replace("14.0", "48.0")
    posterior = predictor.posterior(read(high)[0], draws=2048)
    found = recommend(posterior, parse_target("trough=10:15"), DoseOptions(PRACTICE, start=48.0))
    assert found.hold_until > 48
    assert any("do not count that wait" in reason for reason in found.reasons)
    waiting = recommend(posterior, parse_target("trough=10:15"), DoseOptions(PRACTICE))
    assert waiting.start == waiting.hold_until == found.hold_until
    assert waiting.hold_until % 0.5 == 0
    never = recommend(posterior, parse_target("trough=0.001:0.002"), DoseOptions(PRACTICE))
    assert any("a fortnight and longer" in reason for reason in never.reasons)
    low = recommend(posterior, parse_target("peak=60:90"), DoseOptions(PRACTICE, start=48.0))
    assert low.hold_until is None


def test_what_a_gate_refuses_gets_no_dose(posterior):
    against = dataclasses.replace(posterior, gates=(Trust("refuse", "Not this one."),))
    found = recommend(against, AUC, DoseOptions(PRACTICE))
    assert (found.verdict, found.recommended, found.alternatives) == ("refuse", None, ())
    assert found.reasons == ("Not this one.",)


def test_the_next_level_tells_more_than_none(answer):
    sample = answer.next_sample
    assert answer.start < sample.time <= answer.start + 48
    assert 0 < sample.sd_then < sample.sd_now


def test_when_the_next_dose_is_due(posterior):
    assert usual_interval(posterior.patient()) == 12
    assert due(posterior.patient()) == 48  # 36 + 12, after the level at 47.5


def test_a_cumulative_area_has_no_steady_state(posterior):
    with pytest.raises(InputError, match="no steady state"):
        recommend(posterior, parse_target("auc_cum=100:200"), DoseOptions(PRACTICE))


def test_the_ends_of_the_grid_are_named(posterior):
    few = PRACTICE.model_copy(update={"amounts": (250.0, 500.0), "intervals": (24.0,)})
    found = recommend(posterior, AUC, DoseOptions(few))
    assert any("largest that is offered" in reason for reason in found.reasons)


def test_a_target_that_nothing_offered_reaches_is_a_caution(posterior):
    little = PRACTICE.model_copy(update={"amounts": (25.0, 50.0), "intervals": (24.0,)})
    found = recommend(posterior, AUC, DoseOptions(little))
    assert found.alternatives[0].probability < 0.1
    assert found.verdict == "caution"
    assert any("with a chance of only" in reason for reason in found.reasons)


@pytest.mark.long
def test_a_first_dose_counts_towards_the_largest_amount_a_day(predictor, read):
    posterior = predictor.posterior(read(GOLDEN)[0], draws=1024)
    practice = PRACTICE.model_copy(update={"loading": True, "most_daily": 2000.0})
    found = recommend(posterior, AUC, DoseOptions(practice))
    for one in found.alternatives:
        regimen = one.regimen
        later = np.ceil(24 / regimen.interval) - 1
        assert (regimen.loading or regimen.amount) + later * regimen.amount <= 2000


def test_doses_that_do_more_harm_than_good_are_a_caution(posterior):
    much = PRACTICE.model_copy(update={"amounts": (1500.0,), "intervals": (12.0,)})
    found = recommend(posterior, AUC, DoseOptions(much))
    best = found.alternatives[0]
    assert best.probability_toxic > best.probability
    assert found.verdict == "caution"
    assert any("likelier above the limit" in reason for reason in found.reasons)


def test_a_window_that_new_doses_hardly_reach_is_a_caution(posterior):
    found = recommend(posterior, AUC, DoseOptions(PRACTICE, at=30.0, start=48.0))
    assert any("only the last 6 h" in reason for reason in found.reasons)


@pytest.mark.long
@pytest.mark.parametrize("target", ["auc24=400:600", "trough=10:15"])
def test_a_model_averaged_with_itself_recommends_the_same(posterior, target):
    """Shares .3 and .7 of one model: the same chances, amounts and spreads as that model's own."""
    aim, options = parse_target(target), DoseOptions(PRACTICE, at=48.0)
    alone = recommend(posterior, aim, options)
    one = posterior.patient()
    mixture = Mixture((one, one), np.array([0.3, 0.7]))

    class Twice:
        gates, seed = posterior.gates, posterior.seed

        def patient(self):
            return mixture

    both = recommend(Twice(), aim, options)
    for first, second in zip(alone.alternatives, both.alternatives, strict=True):
        assert second.regimen == first.regimen
        assert second.probability == pytest.approx(first.probability, abs=1e-9)
        assert second.exposure.median == pytest.approx(first.exposure.median, rel=1e-3)
        for said in second.opinions:
            assert said.probability == pytest.approx(first.probability, abs=1e-9)
            assert said.exposure == first.exposure
    for first, second in zip(alone.optimal_amount, both.optimal_amount, strict=True):
        assert second["amount"] == pytest.approx(first["amount"], rel=1e-3)
    assert both.next_sample.sd_then == pytest.approx(alone.next_sample.sd_then, rel=0.1)
