"""Regimens beyond those that a learned decoder was trained on, from the folder to the answer."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from latentpk import read_nonmem
from latentpk.dosing.metric import parse_metric
from latentpk.models.beyond import SCALES, Beyond, Experience
from latentpk.models.config import KernelConfig
from latentpk.workflows.exposure import Question, exposures
from latentpk.workflows.profile import Fitted

DRAWS = 256


@pytest.fixture(scope="module")
def wary(fitted):
    """The ward's predictor as if its decoder had been learned."""
    predictor = fitted.predictor()
    beyond = Beyond(fitted.fitted.experience, SCALES["kernel"])
    return replace(predictor, model=replace(predictor.model, beyond=beyond))


@pytest.mark.long
def test_a_fit_keeps_what_its_subjects_were_given(fitted):
    seen = fitted.fitted.experience
    assert seen == Experience(
        amount=(200.0, 400.0), interval=(12.0, 12.0), length=24.0, doses=3, central=True,
        depot=False,
    )  # fmt: skip


def test_only_a_learned_decoder_asks_and_a_folder_of_before_does_not(fitted):
    """A mechanism extrapolates; nothing is known of what an older folder was trained on."""
    kept = fitted.fitted
    assert kept.beyond is None
    learned = kept.model_copy(
        update={"config": kept.config.model_copy(update={"decoder": KernelConfig()})}
    )
    assert learned.beyond == Beyond(kept.experience, SCALES["kernel"])
    older = learned.model_dump(mode="json")
    del older["experience"]
    assert Fitted.model_validate(older).beyond is None


@pytest.mark.long
def test_a_forecast_of_another_regimen_is_wider_and_says_why(fitted, wary, patients):
    """Patients of the ward as they were, and with four times the dose (levels and all)."""
    more = patients.with_columns(
        *(pl.when(pl.col("ID") > 3).then(4.0).otherwise(1.0).alias("times"),)
    ).with_columns(pl.col(name) * pl.col("times") for name in ("AMT", "RATE", "DV"))
    cohort = read_nonmem(more.drop("times"), **fitted.reading(), purpose="forecast")
    before = fitted.predictor().forecast(cohort, draws=DRAWS)
    after = wary.forecast(cohort, draws=DRAWS)
    known = pl.col("ID").cast(pl.Int64) <= 3
    assert after.filter(known).equals(before.filter(known))
    told = after.filter(~known)
    assert set(told["VERDICT"]) <= {"caution", "refuse"}
    assert all("is beyond the 200 to 400 mg that" in reason for reason in told["REASON"])
    usual = before.filter(~known)
    width, narrow = (
        np.log(table["PI_HI"].to_numpy() / table["IPRED"].to_numpy()) for table in (told, usual)
    )
    assert (width > 1.15 * narrow).all()
    # the same draws again
    assert after.equals(wary.forecast(cohort, draws=DRAWS))


@pytest.mark.long
def test_an_exposure_at_steady_state_is_beyond_three_doses(fitted, wary, patients):
    cohort = read_nonmem(patients, **fitted.reading(), purpose="dose").subset(range(1))
    question = Question(parse_metric("auc24"), "ss")
    sure, found = (
        exposures([(one, cohort)], question, draws=DRAWS)["subjects"][0]
        for one in (fitted.predictor(), wary)
    )
    assert found["map"] == sure["map"]
    assert found["hi"] / found["lo"] > sure["hi"] / sure["lo"]
    assert found["verdict"] == "caution"
    words = " ".join(found["reasons"])
    assert "A dose repeated until steady state is beyond the 24 h (3 doses)" in words
