"""A covariate of each dose: a meal acts on the tablet taken with it, and on no other."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from latentpk import read_nonmem
from latentpk.errors import InputError
from latentpk.workflows.population.fit import (
    PopfitSettings,
    make_config,
    read_cohort,
    records_for,
    starting_model,
)
from latentpk.workflows.population.outcome import typical_predictions

START = "cl=5,v=50,ka=2,ka~FED=-0.8"
HOURS = (0.5, 1.5, 3.0, 8.0)


def curve(time, ka):
    """One tablet of 100 mg, cl 5, v 50; nothing of the package."""
    since = np.maximum(time, 0.0)
    return 100 / 50 * ka / (ka - 0.1) * (np.exp(-0.1 * since) - np.exp(-ka * since))


def table(**filled):
    """The second of two tablets is taken with food; FED is empty on the levels' rows."""
    names = ("ID", "TIME", "EVID", "AMT", "DV", "FED")
    rows = []
    for who, meal in ((1, 1), (2, 0)):
        rows += [(who, 0.0, 1, 100.0, None, 0), (who, 1.0, 1, 100.0, None, meal)]
        rows += [(who, t, 0, 0.0, 1.0, filled.get("level")) for t in HOURS]
    frame = pl.DataFrame(rows, schema=names, orient="row")
    return frame.sort("ID", "TIME", maintain_order=True)


def settings(**changed):
    plain = {"structure": "1c-oral", "effects": "ka~FED:linear/0", "dose_covariates": ("FED",)}
    return PopfitSettings(**(plain | {"initial": START} | changed))


def predicted(asked, frame):
    cohort = read_cohort(frame, asked)
    config = make_config(cohort, asked)
    records = records_for(cohort, config)
    return typical_predictions(starting_model(config, records, asked), records)[:, : len(HOURS)]


def test_a_cohort_must_have_been_read_so():
    cohort = read_nonmem(table(), covariates=["FED"])
    with pytest.raises(InputError, match="dose_covariates"):
        make_config(cohort, settings())


@pytest.mark.parametrize("level", [None, 0, 1])  # what the levels' rows say of meals is not asked
def test_a_meal_acts_on_its_own_dose(level):
    asked = settings()
    found = predicted(asked, table(level=level))
    time = np.array(HOURS)
    fed = np.where(time > 1, curve(time - 1, 0.4), 0.0)
    fasted = np.where(time > 1, curve(time - 1, 2.0), 0.0)
    np.testing.assert_allclose(found[0], curve(time, 2.0) + fed, rtol=1e-9)
    np.testing.assert_allclose(found[1], curve(time, 2.0) + fasted, rtol=1e-9)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"effects": "cl~FED,ka~FED", "initial": None}, "cl~FED"),
        ({"effects": None, "initial": None}, "FED has none"),
        ({"structure": "1c-mm-oral", "initial": None}, "add up"),
    ],
)
def test_what_a_meal_cannot_change_is_refused(changed, said):
    asked = settings(**changed)
    with pytest.raises(InputError, match=said):
        make_config(read_cohort(table(), asked), asked)


def test_a_continuous_covariate_of_unequally_many_doses():
    """Records are padded to one size: what is said of a dose that is none must change nothing."""
    names = ("ID", "TIME", "EVID", "AMT", "DV", "FAT")
    rows = [(1, 0.0, 1, 100.0, None, 30.0), (2, 0.0, 1, 100.0, None, 60.0)]
    rows += [(2, 1.0, 1, 100.0, None, 20.0)]
    rows += [(who, t, 0, 0.0, 1.0, None) for who in (1, 2) for t in HOURS]
    frame = pl.DataFrame(rows, schema=names, orient="row").sort("ID", "TIME", maintain_order=True)
    plain = {"effects": "ka~FAT:power/30", "dose_covariates": ("FAT",)}
    time = np.array(HOURS)
    for power in (0.0, 0.5):
        asked = settings(**plain, initial=f"cl=5,v=50,ka=2,ka~FAT={power}")
        rate = [2.0 * (fat / 30) ** power for fat in (30, 60, 20)]
        found = predicted(asked, frame)
        np.testing.assert_allclose(found[0], curve(time, rate[0]), rtol=1e-9)
        second = np.where(time > 1, curve(time - 1, rate[2]), 0.0)
        np.testing.assert_allclose(found[1], curve(time, rate[1]) + second, rtol=1e-9)
    cohort = read_cohort(frame, asked)
    config = make_config(cohort, asked)
    records = records_for(cohort, config)
    model = starting_model(config, records, settings(**plain, initial="cl=5,v=50,ka=2,ka~FAT=0"))

    def total(coefficient):
        prior = eqx.tree_at(lambda p: p.coefficient, model.prior, coefficient)
        return jnp.sum(jax.vmap(prior.own)(jnp.asarray(records.doses.state)))

    assert np.isfinite(jax.grad(total)(model.prior.coefficient)).all()
