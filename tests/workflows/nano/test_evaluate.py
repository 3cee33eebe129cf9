"""Cross-validation of particle models, and the scores of a fitted one on an independent set."""

import json

import numpy as np
import polars as pl
import pytest

from latentpk.errors import InputError
from latentpk.evaluate.scores import interval_score, r2
from latentpk.inference.conformal import calibrate
from latentpk.inference.ensemble import Rows, fit_ensemble
from latentpk.models.descriptors import NUMBERS
from latentpk.workflows.nano.evaluate import (
    MODELS,
    EvaluateSettings,
    evaluate,
    run_folds,
    scheme_groups,
)
from latentpk.workflows.nano.independent import evaluate_model, score_model
from latentpk.workflows.nano.outcome import SCORES, tabulate
from latentpk.workflows.nano.table import TARGETS, physiology, read_library, training_rows


@pytest.fixture(scope="module")
def library(nano_table, nano_studies):
    return read_library(nano_table, studies=nano_studies)


@pytest.fixture(scope="module")
def settings(nano_settings):
    return EvaluateSettings(folds=3, repeats=2, seed=4, ensemble=nano_settings)


@pytest.fixture(scope="module")
def outcomes(nano_rows, settings):
    return run_folds(nano_rows, settings, threads=1)


@pytest.fixture(scope="module")
def result(library, settings):
    return evaluate(library, settings.model_copy(update={"scheme": "study"}))


def test_the_result_has_the_contracts_keys_and_is_finite_json(result):
    again = json.loads(json.dumps(result, allow_nan=False))
    assert set(again) == {"meta", "targets"}
    assert list(again["targets"]) == list(TARGETS)
    for models in again["targets"].values():
        assert tuple(models) == MODELS
        for name, scores in models.items():
            assert set(SCORES) <= set(scores)
            values = [scores[key] for key in SCORES[:-1]]
            assert all(isinstance(value, float) and np.isfinite(value) for value in values)
            p = scores["p_vs_ensemble"]
            assert p is None if name == "ensemble" else 0 <= p <= 1


def test_meta_tells_what_was_done(result):
    meta = result["meta"]
    assert (meta["scheme"], meta["folds"], meta["repeats"], meta["seed"]) == ("study", 3, 2, 4)
    assert (meta["rows"], meta["scored"], meta["groups"]) == (52, 48, 12)
    assert list(meta["inner_r2_ensemble"]) == list(TARGETS)
    assert meta["data"]


def test_the_signal_is_found_and_the_noise_is_not(result):
    for name in ("random_forest", "ensemble"):
        assert result["targets"]["DE24"][name]["r2"] > 0.2
        assert result["targets"]["KTRES50"][name]["r2"] < 0.1
    mean = [models["mean"]["r2"] for models in result["targets"].values()]
    assert -0.3 < min(mean) <= max(mean) < 0


@pytest.mark.long
def test_every_scored_row_is_predicted_once_a_repeat_and_no_other(outcomes, nano_rows):
    for repeat in (0, 1):
        seen = np.concatenate([one.rows for one in outcomes if one.repeat == repeat])
        np.testing.assert_array_equal(np.sort(seen), np.flatnonzero(nano_rows.scored))
    # incomplete rows go with their study, or always train where it has no other
    for one in outcomes:
        aside = 2 if 0 in one.rows else 0  # the last two are of the first one's study
        assert one.trained + len(one.rows) + aside == 52


def test_no_group_is_on_both_sides(outcomes, nano_rows):
    for one in outcomes:
        own = set(nano_rows.groups[one.rows])
        others = np.concatenate(
            [x.rows for x in outcomes if x.repeat == one.repeat and x is not one]
        )
        assert not own & set(nano_rows.groups[others])


def test_scores_are_their_definitions_pooled_over_folds(outcomes, nano_rows):
    found = tabulate(nano_rows, outcomes)["DE24"]["xgboost"]
    k, values = list(TARGETS).index("DE24"), {"r2": [], "interval_score90": [], "coverage90": []}
    for repeat in (0, 1):
        own = [one for one in outcomes if one.repeat == repeat]
        truth = np.concatenate([nano_rows.target[one.rows] for one in own])[:, k]
        middle = np.concatenate([one.median["xgboost"] for one in own])[:, k]
        down, up = np.concatenate([one.reach["xgboost"] for one in own], axis=1)[:, :, k]
        values["r2"].append(1 - np.sum((truth - middle) ** 2) / np.sum((truth - truth.mean()) ** 2))
        low, high = (middle - down)[:, None], (middle + up)[:, None]
        values["interval_score90"].append(interval_score(truth[:, None], low, high)[0])
        values["coverage90"].append(np.mean((truth >= middle - down) & (truth <= middle + up)))
    for name, own in values.items():
        assert found[name] == pytest.approx(np.mean(own)), name
    assert found["r2_sd"] == pytest.approx(np.std(values["r2"], ddof=1))


def test_what_an_outer_fold_holds_does_not_reach_what_predicts_it(nano_rows, settings, outcomes):
    first = outcomes[0]
    target = nano_rows.target.copy()
    target[first.rows] += 5.0
    changed = Rows(nano_rows.known, target, nano_rows.targets, nano_rows.groups, nano_rows.scored)
    one = settings.model_copy(update={"repeats": 1})
    again = run_folds(changed, one, threads=1)
    for name in MODELS:
        np.testing.assert_array_equal(again[0].median[name], first.median[name])
        np.testing.assert_array_equal(again[0].reach[name], first.reach[name])
    assert (again[1].median["ridge"] != outcomes[1].median["ridge"]).any()


def test_the_ensemble_that_is_scored_is_the_one_that_is_fitted(nano_rows, settings, outcomes):
    first = outcomes[0]
    train = np.flatnonzero(~np.isin(nano_rows.groups, nano_rows.groups[first.rows]))
    ensemble, inner = fit_ensemble(nano_rows.take(train), settings.ensemble, seed=4)
    found = ensemble.predict(nano_rows.known.take(first.rows))
    np.testing.assert_allclose(found.median, first.median["ensemble"])
    np.testing.assert_allclose(found.reach, first.reach["ensemble"])
    flat = calibrate(inner.truth - inner.found["mean"], None, np.ones(len(inner.truth)))
    size = np.sqrt(flat.floor) * ensemble.scale
    np.testing.assert_allclose(first.reach["mean"][:, 0], [flat.down * size, flat.up * size])


def test_a_feature_that_is_the_target_is_seen_and_noise_is_not(nano_rows, settings):
    leaked = np.tile(nano_rows.known.number[:, NUMBERS.index("DOSE"), None], (1, 7))
    leaked[:, 1] = np.random.default_rng(0).normal(size=52)
    rows = Rows(nano_rows.known, leaked, nano_rows.targets, nano_rows.groups, nano_rows.scored)
    one = settings.model_copy(update={"repeats": 1})
    found = tabulate(rows, run_folds(rows, one, threads=1))
    assert found["KTRESmax"]["ensemble"]["r2"] > 0.8
    assert found["KTRES50"]["ensemble"]["r2"] < 0.05


@pytest.mark.long
def test_threads_change_nothing_and_bring_no_warning(nano_rows, settings, outcomes):
    together = run_folds(nano_rows, settings, threads=2)
    for one, other in zip(outcomes, together, strict=True):
        for name in MODELS:
            np.testing.assert_array_equal(one.median[name], other.median[name])


@pytest.mark.long
def test_the_largest_seed_is_one_and_progress_comes_to_its_end(nano_rows, settings):
    told = []
    last = settings.model_copy(update={"seed": 2**32 - 1, "repeats": 1})
    run_folds(nano_rows, last, threads=1, progress=lambda *own: told.append(own[:2]))
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]


class TestSchemes:
    def test_each_scheme_keeps_its_groups_together(self, library, nano_studies, nano_table):
        assert len(np.unique(scheme_groups(library, "random"))) == 52
        assert len(np.unique(scheme_groups(library, "study"))) == 13
        for scheme, column in (
            ("material", nano_studies["MAT"]),
            ("tumor_model", nano_table["TM"]),
        ):
            groups = scheme_groups(library, scheme)
            pairs = set(zip(groups.tolist(), column, strict=True))
            assert len(pairs) == len(set(groups)) == column.n_unique()

    def test_spelling_does_not_split_a_material(self, nano_table, nano_studies):
        upper = [m.upper() if k % 2 else m for k, m in enumerate(nano_studies["MAT"])]
        own = read_library(nano_table.with_columns(MAT=pl.Series(upper)))
        assert len(np.unique(scheme_groups(own, "material"))) == nano_studies["MAT"].n_unique()

    @pytest.mark.long
    def test_fewer_groups_than_folds_are_left_out_one_by_one(self, library, settings):
        wanted = settings.model_copy(update={"scheme": "tumor_model", "folds": 5, "repeats": 1})
        found = evaluate(library, wanted)
        assert found["meta"]["folds"] == found["meta"]["groups"] == 3
        assert any("3 groups make 3 folds" in notice for notice in found["meta"]["notices"])
        assert found["targets"]["DE24"]["ensemble"]["r2_sd"] is None  # of one repeat
        json.dumps(found, allow_nan=False)

    @pytest.mark.parametrize(
        ("scheme", "said"), [("study", "--folds random"), ("material", "Add --studies")]
    )
    def test_what_a_scheme_needs_is_asked_for(self, nano_table, settings, scheme, said):
        wanted = settings.model_copy(update={"scheme": scheme})
        with pytest.raises(InputError, match=said):
            evaluate(read_library(nano_table), wanted)

    def test_too_few_groups_are_refused(self, nano_table, nano_studies, settings):
        two = nano_studies.with_columns(study_id=pl.col("ID").str.slice(-1) < "5")
        wanted = settings.model_copy(update={"scheme": "study"})
        with pytest.raises(InputError, match=r"2 groups. Folds need at least 3 groups"):
            evaluate(read_library(nano_table, studies=two.cast({"study_id": pl.String})), wanted)

    def test_a_fold_that_leaves_one_group_is_refused(self, nano_table, nano_studies, settings):
        sizes = ["a"] * 40 + ["b"] * 4 + ["c"] * 8
        uneven = nano_studies.with_columns(study_id=pl.Series(sizes))
        wanted = settings.model_copy(update={"scheme": "study", "folds": 2})
        with pytest.raises(InputError, match=r"1 left\. Every fold leaves at least 2 groups"):
            evaluate(read_library(nano_table, studies=uneven), wanted)


@pytest.fixture(scope="module")
def others(particles_of):
    return particles_of(30, 77)


@pytest.fixture(scope="module")
def found(nano_model, others):
    table, studies = others
    return evaluate_model(nano_model, read_library(table, studies=studies, purpose="predict"))


class TestIndependentSet:
    def test_the_keys_are_those_of_a_cross_validation(self, found):
        again = json.loads(json.dumps(found, allow_nan=False))
        assert list(again["targets"]) == list(TARGETS)
        for models in again["targets"].values():
            for name, scores in models.items():
                assert tuple(scores) == SCORES
                assert (scores["coverage90"] is None) == (name != "ensemble")
                assert scores["r2_sd"] is scores["p_vs_ensemble"] is None
        assert again["meta"]["rows"] == 30
        assert again["meta"]["warnings"] == []
        assert set(again["meta"]["model"]) == {"data"}

    def test_scores_are_of_the_tables_own_predictions(self, nano_model, others, found):
        table, studies = others
        whole = table.join(studies.drop("study_id"), on="ID")
        said = np.log10(nano_model.predict(whole)["DE24"].to_numpy())
        truth = np.log10(table["DE24"].to_numpy())
        scores = found["targets"]["DE24"]["ensemble"]
        assert scores["r2"] == pytest.approx(r2(truth[:, None], said[:, None])[0])
        assert scores["r2"] > 0.2
        assert scores["mae"] == pytest.approx(np.abs(truth - said).mean())

    def test_particles_that_were_trained_on_are_told(self, nano_model, nano_table):
        found = evaluate_model(nano_model, read_library(nano_table.head(5), purpose="predict"))
        assert "5 of 5 particles have the properties" in found["meta"]["warnings"][0]

    def test_a_target_that_nobody_measured_has_no_scores(self, nano_model, others):
        others = others[0].head(1)
        table = others.drop([name for name in (*TARGETS, "Demax") if name in others.columns])
        table = table.drop("PT").with_columns(others["DE24"])
        found = evaluate_model(nano_model, read_library(table, purpose="predict"))
        assert set(found["targets"]["KTRESn"]["ensemble"].values()) == {None}
        one = found["targets"]["DE24"]["ensemble"]
        assert one["r2"] is None  # of one particle
        assert one["rmse"] == pytest.approx(one["mae"])
        assert found["meta"]["scored"]["DE24"] == 1

    def test_what_is_trained_on_scores_better(self, nano_model, nano_table, nano_rows, found):
        whole = physiology(read_library(nano_table).particles)
        seen = score_model(nano_model, nano_rows, whole)
        assert (
            seen["DE24"]["extra_trees"]["r2"] > found["targets"]["DE24"]["extra_trees"]["r2"] + 0.2
        )


def test_training_rows_of_evaluation_are_those_of_a_fit(library, nano_rows):
    rows = training_rows(library, scheme_groups(library, "study"))[0]
    np.testing.assert_array_equal(rows.target, nano_rows.target)
    np.testing.assert_array_equal(rows.groups, nano_rows.groups)
