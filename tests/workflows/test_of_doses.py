"""A covariate of each dose in a trained model: what is asked, learned, kept and answered."""

import io
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from latentpk import ProfileVAE, read_nonmem
from latentpk.dosing.exposure import areas, steady
from latentpk.dosing.history import put_on
from latentpk.dosing.patient import Patient
from latentpk.dosing.regimen import Regimen
from latentpk.errors import InputError
from latentpk.models.config import CompartmentConfig, CovariateConfig, EncoderConfig, ModelConfig
from latentpk.models.latent import build
from latentpk.models.record import stack_records, take
from latentpk.workflows.of_doses import check_of_doses

FED = CovariateConfig(name="FED", kind="binary", high=1.0)
CONFIG = ModelConfig(
    dose_covariates=(FED,),
    decoder=CompartmentConfig(structure="1c-oral-lag"),
    encoder=EncoderConfig(hidden=3),
)
SLOPE = np.log([[0.25], [6.0], [1.5]])  # ka, alag, f of a fed dose
TABLE = """ID,TIME,EVID,CMT,AMT,DV,FED
1,0,1,1,100,.,0
1,2,0,2,0,1.2,.
1,12,1,1,100,.,1
1,15,0,2,0,1.0,.
2,0,1,1,100,.,1
2,5,0,2,0,0.9,.
"""


def read(text=TABLE, purpose="fit", **asked):
    asked = {"covariates": [], "dose_covariates": ["FED"]} | asked
    return read_nonmem(pl.read_csv(io.StringIO(text), null_values="."), purpose=purpose, **asked)


def first(cohort):
    return jax.tree.map(jnp.asarray, take(stack_records(cohort.subjects), 0))


@pytest.fixture(scope="module")
def model():
    made = build(CONFIG, jax.random.key(0))
    typical = np.log([8.0, 50.0, 1.5, 0.25])
    return eqx.tree_at(
        lambda m: (m.prior.typical, m.prior.dose_slope),
        made,
        (jnp.asarray(typical), jnp.asarray(SLOPE)),
    )


def tablet(since, ka, lag, f):
    """One tablet of 100 mg, cl 8, v 50; nothing of the package."""
    t = np.maximum(since - lag, 0.0)
    return f * 100 / 50 * ka / (ka - 0.16) * (np.exp(-0.16 * t) - np.exp(-ka * t))


def test_the_typical_patient_has_each_dose_absorbed_as_it_was_given(model):
    one = first(read())
    found = model.concentration(jnp.zeros(4), model.location(one), one, one.time, one.order)
    fasted, fed = (1.5, 0.25, 1.0), (0.375, 1.5, 1.5)
    truth = [tablet(2.0, *fasted), tablet(15.0, *fasted) + tablet(3.0, *fed)]
    np.testing.assert_allclose(np.asarray(found)[:2], truth, rtol=1e-9)


def test_the_encoder_sees_the_state_of_the_last_dose(model):
    one = first(read())
    other = one.doses._replace(state=1.0 - one.doses.state)
    seen = [model.encode(record).mean for record in (one, replace(one, doses=other))]
    assert float(jnp.abs(seen[0] - seen[1]).max()) > 1e-6
    said = model.prior.read_doses(one.doses.state)
    tokens = model.encoder.tokens(one, jnp.ones(4), said)
    np.testing.assert_array_equal(np.asarray(tokens)[:2, -1], [0, 1])


def test_doses_and_model_must_agree_on_what_is_said(model):
    silent = first(read(dose_covariates=()))
    with pytest.raises(ValueError, match="nothing of FED"):
        model.concentration(jnp.zeros(4), model.location(silent), silent, silent.time, silent.order)
    plain = build(CONFIG.model_copy(update={"dose_covariates": ()}))
    said = first(read())
    assert silent.doses.state is None
    with pytest.raises(ValueError, match="knows nothing"):
        plain.concentration(jnp.zeros(4), plain.location(said), said, said.time, said.order)


def test_a_model_without_has_the_arrays_it_had():
    plain = build(CONFIG.model_copy(update={"dose_covariates": ()}))
    assert plain.prior.dose_slope is None
    assert plain.encoder.network.token.layers[0].weight.shape[-1] == 11


@pytest.fixture
def patient(model):
    record = take(stack_records(read().subjects, until_last_level=False), 0)
    return Patient(model, record, np.zeros((2, 4)), np.full(2, 0.5), coming=np.ones(1))


def test_doses_to_come_have_the_state_that_was_named(patient):
    there = put_on(patient, Regimen(50.0, 12.0, 0.0), 24.0, 47.0, 1.0)
    doses = there.record.doses
    given = np.asarray(doses.amount) > 0
    np.testing.assert_array_equal(np.asarray(doses.state)[given, 0], [0, 1, 1, 1])
    whole = patient.settled().given(steady(12.0, 0.0, 1.0, amount=100.0))
    np.testing.assert_allclose(areas(whole, 0.0, 12.0), 1.5 * 100 / 8, rtol=1e-9)
    fasting = replace(patient, coming=np.zeros(1)).settled()
    whole = fasting.given(steady(12.0, 0.0, 1.0, amount=100.0))
    np.testing.assert_allclose(areas(whole, 0.0, 12.0), 100 / 8, rtol=1e-9)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"decoder": "neural_ode"}, "one depot"),
        ({"decoder": "grid"}, "no single dose"),
        ({"structure": "1c-mm-oral"}, "one depot"),
        ({"structure": "1c-iv"}, "has none"),
    ],
)
def test_what_a_dose_cannot_change_is_refused(asked, said):
    asked = {"decoder": "auto", "structure": "auto", "route": "auto"} | asked
    with pytest.raises(InputError, match=said):
        check_of_doses(read(), **asked)
    check_of_doses(read(dose_covariates=()), **asked)


def test_all_that_is_wrong_is_told_at_once():
    cohort = read(
        TABLE.replace(",1,1,1,", ",1,1,2,")
        .replace(",0,1,1,", ",0,1,2,")
        .replace("12,1,1", "12,1,2"),
        route="iv",
    )
    with pytest.raises(InputError) as caught:
        check_of_doses(cohort, decoder="grid", structure="auto", route="iv")
    assert "grid" in str(caught.value)
    assert "none of them is absorbed" in str(caught.value)


def crowd(count, seed):
    """Tablets every 12 h, half of them with food: ka a quarter, lag x 6, half as much again."""
    rng = np.random.default_rng(seed)
    rows = []
    for who in range(1, count + 1):
        cl, v, ka = np.array([8.0, 50.0, 1.5]) * np.exp(rng.standard_normal(3) * [0.25, 0.2, 0.3])
        meals = rng.integers(0, 2, 3)
        times = np.sort(
            np.r_[rng.uniform(0.3, 36, 5), 12 * rng.integers(0, 3, 3) + [1.0, 2.0, 4.0]]
        )
        level = np.zeros_like(times)
        for k, meal in enumerate(meals):
            rows.append((who, 12.0 * k, 1, 1, 100.0, None, int(meal)))
            own = ka * (0.25 if meal else 1.0)
            t = np.maximum(times - 12.0 * k - (1.5 if meal else 0.25), 0.0)
            share = 100 / v * (1.5 if meal else 1.0)
            level += share * own / (own - cl / v) * (np.exp(-cl / v * t) - np.exp(-own * t))
        noise = rng.standard_normal(times.size) * np.hypot(0.02, 0.1 * level)
        for t, c in zip(times, np.maximum(level + noise, 1e-3), strict=True):
            rows.append((who, float(t), 0, 2, 0.0, float(c), None))
    names = ("ID", "TIME", "EVID", "CMT", "AMT", "DV", "FED")
    return pl.DataFrame(rows, schema=names, orient="row").sort("ID", "TIME", maintain_order=True)


@pytest.mark.long
def test_effects_of_food_are_found_kept_shown_and_answered(tmp_path):
    cohort = read_nonmem(crowd(150, 3), dose_covariates=["FED"])
    asked = {"decoder": "compartment", "structure": "1c-oral-lag", "prior": "linear"}
    fitted = ProfileVAE(**asked, seed=1).fit(cohort)
    found = np.exp(np.asarray(fitted.model.prior.dose_slope)[:, 0])
    np.testing.assert_allclose(found, [0.25, 6.0, 1.5], rtol=0.12)
    fitted.save(tmp_path / "m")
    again = ProfileVAE.load(tmp_path / "m")
    (row,) = again.card()["absorption of doses"]
    assert row["a dose with"] == "FED 1, not 0"
    assert set(row) == {"a dose with", "ka", "alag", "f"}
    assert again.reading()["dose_covariates"] == ["FED"]
    few = crowd(3, 9)
    unseen = read_nonmem(few, **again.reading(), purpose="forecast")
    table = again.forecast(unseen)
    assert np.isfinite(table["IPRED"].to_numpy()).all()
    odd = few.with_columns(
        pl.when(pl.col("FED") == 1).then(2).otherwise(pl.col("FED")).alias("FED")
    )
    refused = again.forecast(read_nonmem(odd, **again.reading(), purpose="forecast"))
    assert "FED is 2" in " ".join(refused["REASON"].to_list())
    with pytest.raises(InputError, match="covariates of doses"):
        again.forecast(read_nonmem(few, covariates=[], purpose="forecast"))
    predictor = again.predictor()
    assert predictor.saying({"FED": 1}).posterior(unseen[0]).said == [1.0]
    roomy = replace(predictor.domain.doses[0], hard=(0.0, 5.0))
    wide = replace(predictor, domain=replace(predictor.domain, doses=(roomy,)))
    assert "FED is 3" in wide.saying({"FED": 3}).posterior(unseen[0]).trust.reason
    last = unseen[0].doses.state[-1]
    np.testing.assert_array_equal(predictor.posterior(unseen[0]).said, last)
    with pytest.raises(InputError) as caught:
        predictor.saying({"MEAL": 1, "FED": 3})
    assert "MEAL is not among them" in str(caught.value)
    assert "FED is 3" in str(caught.value)
