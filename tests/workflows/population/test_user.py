"""A population fit of a user's own equations."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from latentpk import UserSystem
from latentpk.errors import InputError
from latentpk.inference.likelihood import make_likelihood
from latentpk.inference.marginal import make_rule
from latentpk.workflows.population.fit import (
    PopfitSettings,
    make_config,
    records_for,
    starting_model,
)

OPTIMUM = pl.read_csv(Path(__file__).parents[2] / "reference" / "popfit_simulated_optimum.csv")
NAMES = ("cl", "v1", "ka")


def first_order(states, p, inputs):
    absorbed = p["ka"] * states["depot"]
    return {"depot": -absorbed, "central": absorbed - p["cl"] / p["v1"] * states["central"]}


@pytest.fixture(scope="module")
def mine():
    return UserSystem("oral", first_order, NAMES, ("depot", "central"), "depot")


@pytest.mark.long
def test_it_has_the_likelihood_of_the_closed_form_at_the_known_optimum(simulated, mine):
    row = OPTIMUM.filter(pl.col("OBJECTIVE") == "focei").row(0, named=True)
    start = {name: row[name.upper().rstrip("1")] for name in NAMES}
    start |= {f"om_{name}": row[f"OM_SD_{name.upper().rstrip('1')}"] for name in NAMES}
    start |= {name: row[name.upper()] for name in ("sigma_add", "sigma_prop")}
    settings = PopfitSettings(structure=mine, initial=start)
    config = make_config(simulated, settings)
    assert config.structure == str(mine)
    records = records_for(simulated, config)
    model = starting_model(config, records, settings)
    likelihood = make_likelihood(model, records, make_rule("focei", 3))
    modes = likelihood.place(likelihood.start, np.zeros((len(simulated), 3)))
    minus2 = likelihood.value(likelihood.start, modes).sum()
    assert minus2 == pytest.approx(row["M2LL_FOCEI_AT_ESTIMATES"], abs=1e-3)


def test_typical_values_are_where_it_begins(simulated, mine):
    values = {"cl": 3.0, "v1": 20.0, "ka": 1.0}
    begun = UserSystem("begun", first_order, NAMES, ("depot", "central"), "depot", typical=values)
    settings = PopfitSettings(structure=begun, initial="ka=2", parameters=("ka", "ke", "v"))
    config = make_config(simulated, settings)
    with pytest.raises(InputError, match="ke is missing"):
        starting_model(config, records_for(simulated, config), settings)
    settings = settings.model_copy(update={"parameters": None})
    config = make_config(simulated, settings)
    model = starting_model(config, records_for(simulated, config), settings)
    np.testing.assert_allclose(np.exp(model.prior.log_typical), [3.0, 20.0, 2.0])
    bare = PopfitSettings(structure=mine)
    with pytest.raises(InputError, match=r"(?s)cl is missing.*v1 is missing"):
        starting_model(make_config(simulated, bare), records_for(simulated, config), bare)
