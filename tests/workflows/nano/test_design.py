import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentpk.models.descriptors import NUMBERS, Properties, properties
from latentpk.models.domain import apart
from latentpk.workflows.nano import design as module
from latentpk.workflows.nano.design import (
    SHOWN,
    Designs,
    design,
    predict_designs,
    tie_groups,
)
from latentpk.workflows.nano.grid import candidates, make_grid
from latentpk.workflows.nano.table import physiology, read_library

WIDE = make_grid("5,20,40,60,80,120,200,400,5000", "negative,neutral,positive", "all", "all")


@pytest.fixture(scope="module")
def rows(nano_model, nano_table, nano_studies):
    """Charged particles well inside the domain (none of the neutral ones there has 0 mV)."""
    joined = read_library(nano_table, studies=nano_studies).particles
    inside = nano_model.predict(joined)["VERDICT"] == "ok"
    return nano_table.filter(inside & (nano_table["Charge"] != 2)).head(6)


@pytest.fixture(scope="module")
def library(rows, nano_studies):
    return read_library(rows, studies=nano_studies, purpose="predict")


@pytest.fixture(scope="module")
def found(nano_model, library):
    return design(nano_model, library, WIDE)


def test_an_answer_is_json_of_finite_values_with_units(found):
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["units"]["HD"] == "nm"
    assert found["units"]["median"] == "%ID"
    assert found["meta"]["target"] == "DE24"
    assert "claims no cause" in found["meta"]["what"]
    assert "hypothesis to test" in found["meta"]["what"]
    assert any("independent" in one for one in found["meta"]["assumptions"])
    assert len(found["particles"]) == 6


def as_table(rows, row, alternatives):
    """The alternatives of a row as a table of particles."""
    own = rows.rows(named=True)[row]
    designs = [
        own
        | {
            "ID": str(k),
            "HD": one["HD"],
            "Zeta": one["ZETA"],
            "Charge": one["CHARGE"],
            "Shape": one["SHAPE"],
            "TS": one["TS"],
        }
        for k, one in enumerate(alternatives)
    ]
    return pl.DataFrame(designs)


def test_a_design_is_what_predict_says_of_it(nano_model, rows):
    """The table as the command line gets it, without studies."""
    found = design(nano_model, rows.head(3), make_grid("40,60,120"), target="DEmax")
    for row, one in enumerate(found["particles"]):
        assert len(one["alternatives"]) >= 2
        said = nano_model.predict(as_table(rows, row, one["alternatives"]))
        assert set(said["VERDICT"]) == {"ok"}  # never outside the domain
        for key, column in (("median", "DEmax"), ("lo", "DEmax_LO"), ("hi", "DEmax_HI")):
            told = [alternative[key] for alternative in one["alternatives"]]
            np.testing.assert_allclose(told, said[column], rtol=1e-5)


def test_what_lies_outside_the_domain_is_left_out_and_counted(found, nano_model, library):
    known = properties(library.particles)
    left = 0
    for row, one in enumerate(found["particles"]):
        own = known.take(np.array([row]))
        made = candidates(own, WIDE, nano_model.ensemble.domain.known)
        verdicts = [verdict for verdict, _ in nano_model.ensemble.domain.judge(made)]
        assert one["designs"] == len(WIDE) == len(verdicts)
        assert one["inside"] == verdicts.count("ok")
        assert all(alternative["HD"] < 5000 for alternative in one["alternatives"])
        if one["inside"] < len(WIDE):
            assert one["left_out"]
            left += len(WIDE) - one["inside"]
        for reason in one["left_out"]:
            assert 0 < reason["designs"] <= len(WIDE) - one["inside"]
    assert left > 0
    told = {reason["reason"] for one in found["particles"] for reason in one["left_out"]}
    assert any(reason.startswith("HD is outside") for reason in told)
    assert "SHAPE Flake was seen in no particle" in told


def test_alternatives_rank_by_the_median(found):
    for one in found["particles"]:
        told = one["alternatives"]
        assert len(told) in range(2, SHOWN + 1)
        assert [alternative["rank"] for alternative in told] == list(range(1, len(told) + 1))
        medians = [alternative["median"] for alternative in told]
        assert medians == sorted(medians, reverse=True)
        inside = [
            median
            for curve in one["curves"]
            for median, kept in zip(curve["median"], curve["inside"], strict=True)
            if kept
        ]
        assert medians[0] == max(inside)
        assert one["recommended"] == (0 if medians[0] > one["current"]["median"] else None)


def test_designs_that_the_data_favour_win(found):
    """Delivery was made to fall with size."""
    best = [one["alternatives"][0]["HD"] for one in found["particles"]]
    assert np.median(best) <= 40
    for one in found["particles"]:
        chances = [alternative["p_better"] for alternative in one["alternatives"]]
        assert all((p > 0.5) == (a["median"] > one["current"]["median"]) or p == 0.5
                   for p, a in zip(chances, one["alternatives"], strict=True))  # fmt: skip


def test_the_best_of_each_kind_with_the_sizes_that_tie(found):
    for one in found["particles"]:
        kinds = [(kind["CHARGE"], kind["SHAPE"], kind["TS"]) for kind in one["kinds"]]
        assert len(set(kinds)) == len(kinds)
        first = one["kinds"][0]
        assert first["median"] == one["alternatives"][0]["median"]
        assert first["HD"] in first["HD_tied"]
        assert all(kind["HD_tied"] == sorted(kind["HD_tied"]) for kind in one["kinds"])


def test_curves_grey_out_what_is_left_out(found):
    for one in found["particles"]:
        assert [curve["CHARGE"] for curve in one["curves"]] == ["negative", "neutral", "positive"]
        for curve in one["curves"]:
            assert curve["HD"] == list(WIDE.sizes)
            assert curve["inside"][-1] is False
            assert np.all(np.less(curve["lo"], curve["median"]))


def outside(table):
    return table.with_columns(pl.lit(9.0).alias("TSz"), pl.lit(10.8).alias("TW"))


def test_nothing_is_recommended_where_nothing_is_inside(nano_model, rows):
    found = design(nano_model, outside(rows.head(2)))
    for one in found["particles"]:
        assert one["recommended"] is None
        assert one["alternatives"] == []
        assert one["kinds"] == []
        assert one["inside"] == 0
        first, second = one["reasons"][:2]
        assert first == "No design lies inside the data's domain."
        assert second.startswith("60 of 60 designs: TSZ is outside")
        assert len(one["curves"]) == 3


def signed(rows):
    """The charge of the first particle, as a grid names it."""
    return {0: "negative", 1: "positive"}[rows["Charge"][0]]


def test_one_design_is_no_ranking(nano_model, rows):
    grid = make_grid(f"{rows['HD'][0]},9000", signed(rows))
    (one,) = design(nano_model, rows.head(1), grid)["particles"]
    assert one["inside"] == 1
    assert one["recommended"] is None
    assert one["alternatives"] == []
    assert "nothing to rank" in one["reasons"][0]


def test_nothing_is_recommended_that_is_not_better(nano_model, rows):
    small = rows.head(1).with_columns(pl.lit(25.0).alias("HD"))
    (one,) = design(nano_model, small, make_grid("150,200,250", signed(rows)))["particles"]
    assert one["recommended"] is None
    assert len(one["alternatives"]) >= 2
    assert one["reasons"][0].startswith("No design is predicted above the current one")
    assert all(alternative["p_better"] < 0.5 for alternative in one["alternatives"])


def test_the_current_design_against_itself_is_a_toss(nano_model, rows):
    size = rows["HD"][0]
    (one,) = design(nano_model, rows.head(1), make_grid(f"{size},100", signed(rows)))["particles"]
    same = [a for a in one["alternatives"] if a["HD"] == pytest.approx(size, rel=1e-5)]
    assert [a["p_better"] for a in same] == [0.5]
    assert same[0]["median"] == pytest.approx(one["current"]["median"])


def test_a_current_design_without_size_is_told(nano_model, rows):
    nameless = rows.head(1).with_columns(pl.lit(None).cast(pl.Float64).alias("HD"))
    (one,) = design(nano_model, nameless, make_grid("40,60,90"))["particles"]
    assert one["current"]["HD"] is None
    assert one["current"]["verdict"] == "caution"
    assert "HD is missing" in one["reasons"][-1]


def two(median, half):
    known = Properties(np.zeros((len(median), 8)), np.zeros((len(median), 6), int))
    return Designs(
        known, np.array(median), np.tile(half, (2, 1)), ("ok",) * len(median), ("",) * len(median),
        np.zeros(len(median), int),
    )  # fmt: skip


def test_the_chance_is_that_of_independent_errors():
    """Simulated: the 90 % half-width of a normal error is 1.645 SDs."""
    rng = np.random.default_rng(0)
    now, other = two([0.0], [0.8]), two([0.3, -0.2], [1.2, 0.5])
    found = other.chance_above(now)
    for k in range(2):
        error = rng.standard_normal((2, 400_000))
        better = other.median[k] + other.half[k] / 1.6449 * error[0] > 0.8 / 1.6449 * error[1]
        assert found[k] == pytest.approx(better.mean(), abs=0.003)
    # errors that go together would decide more
    shared = rng.standard_normal(400_000)
    own = rng.standard_normal((2, 400_000))
    together = np.sqrt(0.7) * shared + np.sqrt(0.3) * own
    decided = (0.3 + 1.2 / 1.6449 * together[0] > 0.8 / 1.6449 * together[1]).mean()
    assert abs(found[0] - 0.5) < abs(decided - 0.5)


@given(
    st.lists(st.floats(-3, 3), min_size=1, max_size=20),
    st.floats(0.1, 2),
)
def test_ties_are_no_wider_than_a_tenth_of_the_half_width(medians, half):
    ordered = np.sort(medians)[::-1]
    groups = tie_groups(ordered, np.full(len(ordered), half))
    assert groups[0] == 1
    assert set(np.diff(groups)) <= {0, 1}
    for group in set(groups):
        own = ordered[np.array(groups) == group]
        assert own[0] - own[-1] <= 0.1 * half
    for k in np.flatnonzero(np.diff(groups)):
        leader = ordered[groups.index(groups[k])]
        assert leader - ordered[k + 1] > 0.1 * half


def test_particles_near_a_design_are_counted(nano_model, library):
    domain = nano_model.ensemble.domain
    known, mouse = properties(library.particles), physiology(library.particles)
    found = predict_designs(nano_model, known, mouse, "DE24")
    near = apart(known, domain.known, domain.scale) <= domain.usual
    np.testing.assert_array_equal(found.near, near.sum(axis=1))
    assert (found.near[found.inside] >= 1).all()
    wide = replace(nano_model.ensemble, domain=replace(domain, usual=2 * domain.usual))
    wider = predict_designs(replace(nano_model, ensemble=wide), known, mouse, "DE24")
    assert (wider.near > found.near).any()


def test_many_designs_are_as_few(nano_model, library):
    known, mouse = properties(library.particles), physiology(library.particles)
    own, seen = known.take(np.array([0])), nano_model.ensemble.domain.known

    def predicted(grid):
        made = candidates(own, grid, seen)
        rows = np.zeros(len(made), dtype=int)
        return predict_designs(nano_model, made, mouse.take(rows), "DE24")

    many, few = predicted(make_grid("10:410:1")), predicted(make_grid("10,20"))
    size = np.exp(many.known.number[:, NUMBERS.index("HD")]).round(6)
    rows = np.isin(size, [10, 20])
    np.testing.assert_allclose(many.median[rows], few.median, atol=1e-12)
    np.testing.assert_array_equal(many.near[rows], few.near)


@pytest.mark.long
def test_particles_are_predicted_at_once_and_apart_alike(
    model_with_latent, library, nano_studies, rows, monkeypatch
):
    """With the latent model, whose course each design has in its own row's mouse."""
    grid = make_grid("40,80")
    together = design(model_with_latent, library, grid, target="DEmax")
    monkeypatch.setattr(module, "AT_ONCE", 1)
    assert design(model_with_latent, library, grid, target="DEmax") == together
    said = model_with_latent.predict(library.particles)
    for row, one in enumerate(together["particles"]):
        assert one["current"]["median"] == pytest.approx(said["DEmax"][row], rel=1e-5)
    alone = design(replace(model_with_latent, joint=None), library, grid, target="DEmax")
    assert alone["particles"] != together["particles"]
