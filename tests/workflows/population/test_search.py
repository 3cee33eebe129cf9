"""Which structure a cohort asks for."""

import numpy as np
import polars as pl
import pytest

from latentpk.inference.estimation import EstimationSettings
from latentpk.kinetics.structure import Structure
from latentpk.workflows.population.fit import PopfitSettings, fit_population
from latentpk.workflows.population.search import _climb


def two_compartments(subjects=24, seed=2):
    """Boluses of 100 mg into two compartments, ten levels."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(1, subjects + 1):
        cl, v1, q, v2 = np.array([4.0, 15.0, 6.0, 40.0]) * np.exp(0.25 * rng.standard_normal(4))
        k, out, back = cl / v1, q / v1, q / v2
        total = k + out + back
        fast = 0.5 * (total + np.sqrt(total**2 - 4 * k * back))
        slow = k * back / fast
        rows.append((number, 0.0, 1, 1, 100.0, None))
        for time in (0.25, 0.5, 1, 2, 4, 8, 12, 24, 36, 48):
            level = 100 / v1 / (fast - slow) * (
                (fast - back) * np.exp(-fast * time) + (back - slow) * np.exp(-slow * time)
            )  # fmt: skip
            rows.append((number, time, 0, 0, 0.0, level * np.exp(0.1 * rng.standard_normal())))
    frame = pl.DataFrame(rows, schema=["ID", "TIME", "EVID", "MDV", "AMT", "DV"], orient="row")
    return frame.with_columns(pl.lit(1).alias("CMT"), pl.lit(0.0).alias("RATE"))


@pytest.mark.long
def test_the_structure_that_made_the_data_is_found():
    settings = PopfitSettings(error="lognormal", estimation=EstimationSettings(method="focei"))
    found = fit_population(two_compartments(), settings, route="iv")
    assert found.config.structure == "2c-iv"
    tried = {one["structure"]: one for one in found.tried}
    assert set(tried) == {"1c-iv", "2c-iv", "3c-iv"}
    assert [name for name, one in tried.items() if one["chosen"]] == ["2c-iv"]
    assert tried["2c-iv"]["bicc_of_focei"] < tried["1c-iv"]["bicc_of_focei"] - 50
    np.testing.assert_allclose(np.exp(found.found.value[:4]), [4.0, 15.0, 6.0, 40.0], rtol=0.25)
    assert found.found.arrived


def scored(values):
    """A stand-in for fits: BICc of each structure, what was asked for, and announced when."""
    asked, announced = [], {}

    def score(structure, then=None):
        if then is not None:
            announced[len(asked)] = then
        asked.append(structure)
        return values[structure]

    return score, asked, announced


@pytest.mark.parametrize(
    ("first", "values", "best", "asked"),
    [
        ("1c-iv", {"1c-iv": 100, "2c-iv": 99}, "1c-iv", ["1c-iv", "2c-iv"]),
        ("1c-iv", {"1c-iv": 100, "2c-iv": 50, "3c-iv": 10}, "3c-iv", ["1c-iv", "2c-iv", "3c-iv"]),
        (
            "1c-oral",
            {"1c-oral": 100, "2c-oral": 101, "1c-oral-lag": 80, "1c-transit": 79},
            "1c-oral-lag",
            ["1c-oral", "2c-oral", "1c-oral-lag", "1c-transit"],
        ),
        (
            "1c-oral",
            {"1c-oral": 100, "2c-oral": 60, "3c-oral": 70, "2c-oral-lag": 50, "2c-transit": 40},
            "2c-transit",
            ["1c-oral", "2c-oral", "3c-oral", "2c-oral-lag", "2c-transit"],
        ),
        (
            "1c-oral-f",
            {"1c-oral-f": 100, "2c-oral-f": np.inf, "1c-oral-lag-f": 99, "1c-transit-f": 99},
            "1c-oral-f",
            ["1c-oral-f", "2c-oral-f", "1c-oral-lag-f", "1c-transit-f"],
        ),
    ],
)
def test_a_structure_is_enriched_as_long_as_the_criterion_falls(first, values, best, asked):
    score, found, announced = scored(values)

    def forms(body):
        free = "-f" * body.bioavailability
        return [f"{body.compartments}c-oral-lag{free}", f"{body.compartments}c-transit{free}"]

    assert _climb(Structure.parse(first), score, forms) == (best, values[best])
    assert found == asked
    assert announced  # programs that are compiled for it in the meantime, none for nothing
    assert all(found[place + 1] == then for place, then in announced.items())
