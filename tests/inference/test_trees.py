import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

from latentpk.inference.trees import BoostSettings, ForestSettings, fit_boosters, fit_forest
from latentpk.models.forest import Forest

SMALL = ForestSettings(trees=20)
FEW = BoostSettings(rounds=20)
GROWERS = {"random": RandomForestRegressor, "extra": ExtraTreesRegressor}
TARGETS = ("cmax", "auc", "thalf")


def table(count, seed=0, columns=8):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, columns))
    y = x[:, :3] + np.sin(2 * x[:, 3:6]) + 0.1 * rng.standard_normal((count, 3))
    return x, y


def holed(x, seed=0):
    return np.where(np.random.default_rng(seed).random(x.shape) < 0.2, np.nan, x)


def same(one, other):
    return all(np.array_equal(array, other.to_arrays()[n]) for n, array in one.to_arrays().items())


@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", GROWERS)
def test_a_forest_predicts_what_scikit_learn_predicts(kind, weighted, targets):
    x, y = table(100)
    weight = np.random.default_rng(1).uniform(0.2, 2, 100) if weighted else None
    estimator = GROWERS[kind](20, max_features=0.4, min_samples_leaf=2, random_state=5)
    estimator.fit(x, y[:, 0] if targets == 1 else y[:, :targets], sample_weight=weight)
    found = fit_forest(x, y[:, :targets], kind=kind, settings=SMALL, seed=5, weight=weight)
    x = np.concatenate([x, table(300, seed=2)[0]])
    wanted = estimator.predict(x).reshape(len(x), targets)
    np.testing.assert_allclose(found.predict(x), wanted, rtol=1e-12)
    single = [one.predict(x).reshape(len(x), targets) for one in estimator.estimators_]
    np.testing.assert_allclose(found.spread(x), np.std(single, axis=0), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("kind", GROWERS)
def test_a_grown_forest_passes_the_checks_of_a_stored_one(kind):
    x, y = table(60)
    forest = fit_forest(x, y, kind=kind, settings=SMALL, seed=0)
    assert same(forest, Forest.from_arrays(forest.to_arrays(), features=8, targets=3))


def test_targets_that_never_vary_give_trees_of_one_leaf():
    x, y = table(30)
    forest = fit_forest(x, np.ones_like(y), kind="random", settings=SMALL, seed=0)
    forest = Forest.from_arrays(forest.to_arrays(), features=8, targets=3)
    np.testing.assert_allclose(forest.predict(x), 1.0, rtol=1e-12)


@pytest.mark.parametrize("kind", GROWERS)
def test_the_same_seed_grows_the_same_forest(kind):
    x, y = table(60)
    one, again, other = (
        fit_forest(x, y, kind=kind, settings=SMALL, seed=seed, threads=threads)
        for seed, threads in ((3, 1), (3, 2), (4, 1))
    )
    assert same(one, again)
    assert not same(one, other)


def test_the_same_seed_boosts_the_same_trees():
    x, y = table(60)
    models = [
        fit_boosters(x, y, targets=TARGETS, settings=FEW, seed=seed).models for seed in (3, 3, 4)
    ]
    assert models[0] == models[1]
    assert models[0] != models[2]


@pytest.mark.parametrize("fit", ["random", "extra", "boosters"])
def test_what_was_learnt_holds_for_other_rows(fit):
    (x, y), (new, truth) = table(300), table(200, seed=9)
    if fit == "boosters":
        model = fit_boosters(x, y, targets=TARGETS, seed=0)
    else:
        model = fit_forest(x, y, kind=fit, settings=ForestSettings(trees=50), seed=0)
    error = np.mean((model.predict(new) - truth) ** 2, axis=0)
    assert (error < 0.6 * truth.var(axis=0)).all()


def test_boosters_read_missing_columns():
    x, y = table(200)
    x = holed(x)
    boosters = fit_boosters(x, y, targets=TARGETS, settings=FEW, seed=0)
    predicted = boosters.predict(np.full((1, 8), np.nan))
    assert np.isfinite(predicted).all()
    assert np.isfinite(boosters.predict(holed(table(50, seed=1)[0]))).all()


def test_missing_says_something_of_its_own():
    x, _ = table(200)
    x[::2, 0] = np.nan
    y = np.isnan(x[:, :1]) * 3.0
    predicted = fit_boosters(x, y, targets=["cmax"], seed=0).predict(x)
    np.testing.assert_allclose(predicted, y, atol=0.5)


def test_a_row_without_a_target_is_dropped_for_that_target_alone():
    x, y = table(80)
    weight = np.random.default_rng(1).uniform(0.5, 2, 80)
    known = np.arange(80) % 3 > 0
    partly = np.where(known[:, None] | np.array([True, False, True]), y, np.nan)
    found = fit_boosters(x, partly, targets=TARGETS, settings=FEW, seed=0, weight=weight)
    whole = fit_boosters(x, y, targets=TARGETS, settings=FEW, seed=0, weight=weight)
    fewer = fit_boosters(
        x[known], y[known], targets=TARGETS, settings=FEW, seed=0, weight=weight[known]
    )
    assert found.models[0] == whole.models[0]
    assert found.models[1] == fewer.models[1]
    assert found.models[2] == whole.models[2]


@pytest.mark.parametrize("fit", ["random", "extra", "boosters"])
def test_rows_without_weight_teach_nothing(fit):
    x, y = table(200)
    odd = np.arange(200) % 2 == 1
    false = np.where(odd[:, None], y + 50, y)
    weight = np.where(odd, 0.0, 1.0)
    if fit == "boosters":
        model = fit_boosters(x, false, targets=TARGETS, settings=FEW, seed=0, weight=weight)
    else:
        model = fit_forest(x, false, kind=fit, settings=SMALL, seed=0, weight=weight)
    assert np.abs(model.predict(x)).max() < 10


def test_a_forest_refuses_what_is_missing():
    x, y = table(20)
    with pytest.raises(ValueError, match="reads finite columns"):
        fit_forest(holed(x), y, kind="extra", settings=SMALL, seed=0)
    with pytest.raises(ValueError, match=r"targets are finite.*use fit_boosters"):
        fit_forest(x, holed(y), kind="random", settings=SMALL, seed=0)


X, Y = table(20)
WRONG = {
    "an infinite column": (np.where(X > 1, np.inf, X), Y, {}, "not infinite"),
    "an infinite target": (X, np.where(Y > 1, -np.inf, Y), {}, "not infinite"),
    "a target never known": (X, Y * np.array([1, np.nan, 1]), {}, "No row knows .* auc"),
    "other names": (X, Y, {"targets": ["cmax"]}, "3 targets, 1 have names"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_boosters_cannot_learn_from_is_refused(wrong):
    x, y, options, words = WRONG[wrong]
    with pytest.raises(ValueError, match=words):
        fit_boosters(x, y, **{"targets": TARGETS, "settings": FEW, "seed": 0, **options})
