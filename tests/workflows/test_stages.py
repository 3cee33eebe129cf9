"""A fit of two groups of people, from records that do not say who is who to a dose."""

import numpy as np
import polars as pl
import pytest
from tests.conftest import DOSES, LEVELS, infusion

from latentpk import ProfileVAE, read_nonmem
from latentpk.cli.show import print_card
from latentpk.dosing.judge import DoseOptions
from latentpk.dosing.recommend import recommend
from latentpk.dosing.regimen import Practice
from latentpk.dosing.target import parse_target
from latentpk.errors import InputError
from latentpk.models.bundle import to_arrays
from latentpk.workflows import checkpoint, selection
from latentpk.workflows.exposure import Question, exposures
from latentpk.workflows.ground import make_ground
from latentpk.workflows.selection import try_candidate
from latentpk.workflows.stages import largest_first
from latentpk.workflows.teaching import redrawn
from latentpk.workflows.trials import Candidate

SLOWER, SHARE = 0.2, 0.3
OPTIONS = {"decoder": "compartment", "structure": "1c-iv", "prior": "linear", "epochs": 60}


def two_kinds(subjects, seed):
    """CL 4 L/h, or a fifth of it in three people of ten; V 40 L. Frame, and who is slow."""
    rng = np.random.default_rng(seed)
    rows, slow = [], rng.random(subjects) < SHARE
    for number in range(1, subjects + 1):
        cl = 4.0 * np.exp(0.25 * rng.standard_normal()) * (SLOWER if slow[number - 1] else 1)
        v = 40.0 * np.exp(0.2 * rng.standard_normal())
        time = np.asarray(LEVELS) + np.round(rng.uniform(-0.5, 0.5, len(LEVELS)), 2)
        level = infusion(time, 300.0, cl, v) * np.exp(0.1 * rng.standard_normal(len(LEVELS)))
        rows += [(number, t, 1, 1, 1, 300.0, 300.0, None) for t in DOSES]
        rows += [(number, t, 0, 0, 1, 0.0, 0.0, y) for t, y in zip(time, level, strict=True)]
    names = ["ID", "TIME", "EVID", "MDV", "CMT", "AMT", "RATE", "DV"]
    return pl.DataFrame(rows, schema=names, orient="row").sort("ID", "TIME"), slow


@pytest.fixture(scope="module")
def fit():
    return ProfileVAE(**OPTIONS, components=2).fit(read_nonmem(two_kinds(60, 3)[0]))


@pytest.fixture(scope="module")
def unseen():
    return two_kinds(20, 4)


@pytest.fixture(scope="module")
def unmeasured(unseen):
    """One of them before any level: the rows are asked for, not read."""
    table = unseen[0].filter(pl.col("ID") == 1)
    return table.with_columns(MDV=pl.lit(1), DV=None)


def read(fit, table, purpose="forecast"):
    return read_nonmem(table, **fit.reading(), purpose=purpose)


@pytest.mark.long
def test_both_groups_are_found(fit):
    prior = fit.model.prior
    assert np.exp(float(prior.log_shares()[1])) == pytest.approx(SHARE, abs=0.1)
    assert np.exp(float(prior.groups.shifts[1, 0])) == pytest.approx(SLOWER, abs=0.06)
    assert np.exp(np.asarray(prior.typical)) == pytest.approx([4.0, 40.0], rel=0.2)
    assert float(prior.chol()[0, 0]) == pytest.approx(0.25, abs=0.15)  # one Gaussian has 0.8


@pytest.mark.long
def test_levels_tell_who_is_who(fit, unseen):
    table, slow = unseen
    forecast = fit.forecast(read(fit, table)).group_by("ID", maintain_order=True).first()
    probability = forecast["P_GROUP_2"].to_numpy()
    assert ((probability > 0.5) == slow).mean() >= 0.95
    np.testing.assert_allclose(forecast["P_GROUP_1"].to_numpy() + probability, 1, rtol=1e-12)
    assert slow.any()
    assert (forecast["VERDICT"] == "ok").mean() > 0.8


@pytest.mark.long
def test_without_levels_a_forecast_has_both_groups(fit, unmeasured):
    table = fit.forecast(read(fit, unmeasured))
    shares = np.exp(np.asarray(fit.model.prior.log_shares()))
    np.testing.assert_allclose(table["P_GROUP_1"].to_numpy(), shares[0], rtol=1e-9)
    np.testing.assert_allclose(table["P_GROUP_2"].to_numpy(), shares[1], rtol=1e-9)
    assert set(table["VERDICT"]) == {"ok"}
    trough = table[-1]
    cl, v = np.exp(np.asarray(fit.model.prior.typical))
    at = trough["TIME"].to_numpy()
    typical = infusion(at, 300.0, cl, v)
    assert trough["PRED"].to_numpy() == pytest.approx(typical, rel=1e-6)  # of the largest group
    slow = infusion(at, 300.0, SLOWER * cl, v)
    assert trough["PRED_MEDIAN"][0] == pytest.approx(trough["IPRED"][0], rel=0.1)
    assert trough["LO"][0] < typical[0] < trough["PRED_MEDIAN"][0] < slow[0] < trough["HI"][0]


@pytest.mark.long
def test_a_dose_before_any_level_weighs_both_groups(fit, unmeasured):
    predictor = fit.predictor()
    posterior = predictor.posterior(read(fit, unmeasured)[0], draws=4096)
    practice = Practice(amounts=(100, 200, 300, 600, 900), intervals=(12.0,), infusions=(1.0,))
    target = parse_target("auc24=100:200")
    answer = recommend(posterior, target, DoseOptions(practice))
    patient = posterior.patient()
    cl = posterior.parameters["cl"].to_numpy()
    for one in answer.alternatives:
        exposure = one.regimen.daily / cl
        inside = np.mean((exposure >= 100) & (exposure <= 200))
        assert one.probability == pytest.approx(inside, abs=0.01)
    typical = np.exp(np.asarray(fit.model.prior.typical))[0]
    between = np.mean((cl > typical * SLOWER**0.6) & (cl < typical * SLOWER**0.4))
    assert between < 0.08  # where one Gaussian has its middle, nobody is
    assert np.mean(cl < typical * SLOWER**0.5) == pytest.approx(
        float(np.exp(fit.model.prior.log_shares()[1])), abs=0.05
    )
    assert patient.weight.sum() == pytest.approx(1)
    assert answer.alternatives[0].probability < 0.85  # no dose suits both


@pytest.mark.long
def test_the_map_is_a_persons_of_the_likeliest_group(fit, unseen):
    table, slow = unseen
    cohort = read(fit, table)
    for who in (int(np.flatnonzero(slow)[0]), int(np.flatnonzero(~slow)[0])):
        posterior = fit.posterior(cohort[who])
        low, high = (posterior.parameters["cl"].quantile(share) for share in (0.02, 0.98))
        assert low < posterior.map["cl"] < high
        assert posterior.typical["cl"] == pytest.approx(4.0, rel=0.25)
        assert posterior.groups["P_GROUP_2"] == pytest.approx(float(slow[who]), abs=0.05)


@pytest.mark.long
def test_patients_drawn_from_the_model_are_of_both_groups(fit):
    cohort = read_nonmem(two_kinds(120, 5)[0])
    drawn = redrawn(fit.model, cohort.subjects, 0.0, seed=1)
    trough = np.asarray(drawn.value)[:, 3]
    cl, v = np.exp(np.asarray(fit.model.prior.typical))
    middle = infusion(np.array([LEVELS[3]]), 300.0, SLOWER**0.5 * cl, v)
    share = float(np.exp(fit.model.prior.log_shares()[1]))
    assert np.mean(trough > middle) == pytest.approx(share, abs=0.12)


@pytest.mark.long
def test_exposures_say_which_group(fit, unseen):
    from latentpk.dosing.metric import parse_metric

    cohort = read(fit, unseen[0].filter(pl.col("ID") == 1))
    answer = exposures([(fit.predictor(), cohort)], Question(parse_metric("auc24"), at=24.0))
    (subject,) = answer["subjects"]
    assert sum(subject["groups"].values()) == pytest.approx(1)


@pytest.mark.long
def test_the_card_tells_the_groups(fit, capsys):
    card = fit.card()
    first, second = card["groups of people"]
    assert first["cl"] == "x 1"
    assert float(second["cl"].removeprefix("x ")) == pytest.approx(SLOWER, abs=0.06)
    print_card("model", card)
    shown = capsys.readouterr().out
    assert "groups of people" in shown
    assert second["share"] in shown


@pytest.mark.long
def test_a_saved_model_forecasts_the_same_bits(fit, unseen, tmp_path):
    fit.save(tmp_path / "m")
    back = ProfileVAE.load(tmp_path / "m")
    assert back.fitted.config.components == 2
    before, after = to_arrays(fit.model), to_arrays(back.model)
    assert before.keys() == after.keys()
    table = unseen[0].filter(pl.col("ID") < 4)
    assert back.forecast(read(back, table)).equals(fit.forecast(read(fit, table)))


@pytest.mark.long
def test_the_largest_group_is_the_first(fit):
    shares = np.asarray(fit.model.prior.log_shares())
    assert (np.diff(shares) < 0).all()
    again = largest_first(fit.model)
    for before, after in zip(to_arrays(fit.model).values(), to_arrays(again).values(), strict=True):
        np.testing.assert_allclose(after, before)


class CutOff(Exception):
    pass


@pytest.mark.long
def test_a_resumed_fit_is_the_uninterrupted_one(fit, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)

    def cut_off(done, total, label):
        if (done, label) == (9, "training the groups"):
            raise CutOff

    cohort, folder = read_nonmem(two_kinds(60, 3)[0]), tmp_path / "m.partial"
    with pytest.raises(CutOff):
        ProfileVAE(**OPTIONS, components=2).fit(cohort, checkpoint=folder, progress=cut_off)
    seen = []
    resumed = ProfileVAE(**OPTIONS, components=2)
    resumed.fit(
        cohort, checkpoint=folder, progress=lambda done, _, label: seen.append((label, done))
    )
    assert min(done for label, done in seen if label == "training the groups" and done) >= 8
    before, after = to_arrays(fit.model), to_arrays(resumed.model)
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])


@pytest.mark.long
def test_a_trial_of_two_groups_forecasts_two_kinds_better(monkeypatch):
    monkeypatch.setattr(selection, "TRIAL_EPOCHS", 20)
    ground = make_ground(read_nonmem(two_kinds(90, 7)[0]), "combined2", 0)
    one = Candidate(decoder="1c-iv", route="iv")
    two = one.model_copy(update={"components": 2})
    trials = [try_candidate(ground, candidate) for candidate in (one, two)]
    assert len(trials[1].scores) == 90
    assert trials[1].mean > trials[0].mean + 0.02


@pytest.mark.parametrize("wrong", [0, 5, "two", 1.5])
def test_an_impossible_number_of_groups_is_refused(wrong):
    with pytest.raises(InputError, match="components"):
        ProfileVAE(components=wrong)
