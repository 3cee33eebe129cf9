"""The likelihood of a cohort: the same however its records are divided and padded."""

import numpy as np
import polars as pl
import pytest

from latentpk.inference import likelihood
from latentpk.inference.likelihood import compile_ahead, make_likelihood
from latentpk.inference.marginal import make_rule
from latentpk.models.population import PopulationConfig, build_population
from latentpk.models.record import stack_records
from latentpk.records.nonmem import read_nonmem


@pytest.fixture(scope="module")
def ragged():
    """One to nine doses, one to six levels, in no order."""
    rng, rows = np.random.default_rng(3), []
    for who, (doses, levels) in enumerate([(1, 6), (9, 1), (1, 2)], start=1):
        rows += [(who, 8 * k, 100, None, 1) for k in range(doses)]
        noise = np.exp(0.1 * rng.standard_normal(levels))
        rows += [
            (who, 8 * doses - 7 + k, 0, 4 * noise[k] * np.exp(-0.2 * k), 0) for k in range(levels)
        ]
    frame = pl.DataFrame(rows, schema=["ID", "TIME", "AMT", "DV", "EVID"], orient="row")
    return stack_records(read_nonmem(frame).subjects, tight=True)


def test_values_and_slopes_are_those_of_records_of_one_length(ragged, monkeypatch):
    config = PopulationConfig(
        structure="1c-iv", parameters=("cl", "v1"), varying=("cl",), residual="additive"
    )
    model = build_population(config, np.array([4.0, 20.0]))
    rule = make_rule("sampling", 1, draws=64)
    found = []
    for worth, groups in ((np.inf, 1), (20 * 64, 2)):
        monkeypatch.setattr(likelihood, "WORTH", worth)
        assert len(likelihood._groups(ragged, rule)) == groups
        one = make_likelihood(model, ragged, rule)
        placed = one.place(one.start, np.zeros((3, 1)))
        found.append((placed.mode, placed.points.curvature, *one.evaluate(one.start, placed)))
    for whole, divided in zip(*found, strict=True):
        assert whole.shape == divided.shape
        np.testing.assert_allclose(divided, whole, rtol=1e-9, atol=1e-9)


def test_programs_begun_early_are_those_that_run(ragged, monkeypatch):
    """The same shapes, types and places, or every program is compiled twice."""
    monkeypatch.setattr("latentpk.inference.ahead._cores", lambda: 2)
    config = PopulationConfig(
        structure="1c-iv", parameters=("cl", "v1"), varying=("v1",), residual="proportional"
    )
    model, rule = build_population(config, np.array([4.0, 20.0])), make_rule("focei", 1)
    compile_ahead(model, ragged, rule)
    one = make_likelihood(model, ragged, rule)
    one.evaluate(one.start, one.place(one.start, np.zeros((3, 1))))
    run = likelihood._programs_of(model, rule)
    for program in (run.place, run.evaluate):
        assert len(program._begun) == 1
        assert program._run._cache_size() == 0
