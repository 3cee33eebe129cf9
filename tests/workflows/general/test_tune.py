"""A study's model from the general one: what moves it, and what is refused."""

import numpy as np
import polars as pl
import pytest

from latentpk import InputError, ProfileVAE, read_nonmem
from latentpk.inference.hierarchy import Floors
from latentpk.models.beyond import Experience
from latentpk.workflows.general.departure import Drugs, cost, study_of, tuning, with_study
from latentpk.workflows.general.tune import TuneSettings, tune

QUICK = TuneSettings(subjects=8, epochs=1)


@pytest.fixture(scope="module")
def few(ward):
    return read_nonmem(ward.filter(pl.col("ID") <= 6))


@pytest.fixture(scope="module")
def tuned(few, untrained):
    return tune(few, QUICK, general=untrained)


def test_doses_at_steady_state_are_refused_with_the_mend(ward, untrained):
    dose = pl.col("EVID") == 1
    steady = ward.with_columns(
        SS=pl.when(dose).then(1).otherwise(0), II=pl.when(dose).then(12.0).otherwise(0.0)
    )
    with pytest.raises(InputError, match="leave SS at 0"):
        tune(read_nonmem(steady), QUICK, general=untrained)


def test_doses_by_both_routes_are_refused(ward, untrained):
    """A dose into compartment 1 is absorbed, one into 2, where levels are drawn, is not."""
    dose = pl.col("EVID") == 1
    first = dose & (pl.col("TIME") == 0)
    both = ward.with_columns(
        CMT=pl.when(first).then(1).otherwise(2), RATE=pl.when(first).then(0.0).otherwise("RATE")
    )
    with pytest.raises(InputError, match="absorption site"):
        tune(read_nonmem(both), QUICK, general=untrained)


def test_covariates_of_doses_are_refused(ward, untrained):
    fed = pl.when(pl.col("TIME") > 0).then(1).otherwise(0)
    frame = ward.with_columns(FED=fed, CMT=pl.lit(1), RATE=pl.lit(0.0))
    cohort = read_nonmem(frame, dose_covariates=["FED"], route="oral")
    with pytest.raises(InputError, match="FED"):
        tune(cohort, QUICK, general=untrained)


@pytest.mark.long
def test_it_knows_the_regimens_it_was_tuned_on(tuned, few):
    kept = tuned.fitted.experience
    assert kept == Experience.of([subject.doses for subject in few], 0.0)
    assert tuned.fitted.beyond is not None


@pytest.mark.long
def test_it_answers_after_it_was_saved_as_before(tuned, patients, tmp_path):
    tuned.save(tmp_path / "m")
    again = ProfileVAE.load(tmp_path / "m")
    cohort = read_nonmem(patients, **tuned.reading(), purpose="forecast").subset(range(2))
    one, other = (model.forecast(cohort, draws=64) for model in (tuned, again))
    assert one.equals(other)
    assert (one["IPRED"].to_numpy() >= 0).all()
    card = again.card()
    assert card["origin"]["fine-tuned from"] == "general"
    assert card["decoder"]["name"] == "neural_ode"
    assert again.fitted.origin.sentence == "fine-tuned by latentpk from general"


@pytest.mark.long
def test_the_typical_person_goes_where_the_levels_are(tuned, few, untrained):
    """Volume is 40 L; the general model's is dose over level, which the study's sizes give."""
    v = np.exp(float(tuned.model.prior.typical[0]))
    assert 25 < v < 65
    assert float(np.exp(tuned.model.residual.log_b)) < 0.35


@pytest.fixture(scope="module")
def begun(untrained):
    return untrained.model


def test_where_it_began_costs_nothing_but_the_typical_persons_distance(begun):
    study = study_of(begun)
    size = begun.effects
    floors = Floors(np.asarray(study.typical), np.eye(size), np.eye(size))
    assert float(cost(study, study, floors, Drugs())) == pytest.approx(0.0, abs=1e-12)
    away = Floors(np.asarray(study.typical) + 2.0, 4 * np.eye(size), np.eye(size))
    assert float(cost(study, study, away, Drugs())) == pytest.approx(0.5 * size)


@pytest.mark.parametrize("part", ["typical", "slope", "factor", "error", "usual", "network"])
def test_every_part_that_moves_costs_something(begun, part):
    import dataclasses

    import jax
    import jax.numpy as jnp

    study = study_of(begun)
    if part == "slope":
        study = dataclasses.replace(study, slope=jnp.zeros((begun.effects, 1)))
    size = begun.effects
    floors = Floors(np.asarray(study.typical), np.eye(size), np.eye(size))
    moved = jax.tree_util.tree_map(lambda x: x + 0.1, getattr(study, part))
    dearer = cost(dataclasses.replace(study, **{part: moved}), study, floors, Drugs())
    assert float(dearer) > 1e-3


def test_what_moves_is_put_back_where_it_was(begun):
    import jax

    moving = tuning(begun, Floors(np.zeros(5), np.eye(5), np.eye(5)), Drugs())
    again = moving.outside(study_of(begun))
    same = jax.tree_util.tree_map(
        lambda a, b: bool((a == b).all()), study_of(again), study_of(begun)
    )
    assert all(jax.tree_util.tree_leaves(same))
    assert with_study(begun, study_of(begun)).effects == begun.effects


def test_undecided_doses_go_where_decided_ones_do(ward):
    """Beside oral doses, sent into the vein they would be of both routes, which is refused."""
    from latentpk.workflows.general.tune import _ways

    dose = pl.col("EVID") == 1
    first = dose & (pl.col("TIME") == 0)
    boluses = ward.with_columns(RATE=pl.lit(0.0))
    assert set(_ways(read_nonmem(boluses), "auto")) == {"iv", "oral"}
    assert set(_ways(read_nonmem(boluses), "oral")) == {"oral"}
    infused_first = ward.with_columns(RATE=pl.when(first).then("RATE").otherwise(0.0))
    assert set(_ways(read_nonmem(infused_first), "auto")) == {"iv"}
