from dataclasses import replace

import numpy as np
import pytest

from latentpk.inference.ensemble import EnsembleSettings, fit_ensemble
from latentpk.inference.members import MemberSettings
from latentpk.inference.regression import RegressionSettings
from latentpk.models.attribution import PLAYERS
from latentpk.models.tumor import Mouse
from latentpk.views.particle import FEATURES
from latentpk.workflows.nano.attribute import attention_map, attribute, shares, usual_mouse
from latentpk.workflows.nano.model import attention_entropy


def mice(known):
    """With tumors of a blood flow and volume that properties do not tell."""
    usual, rng = usual_mouse(known), np.random.default_rng(3)
    factors = rng.uniform(0.5, 2, (3, len(known)))
    return Mouse(
        usual.flow * factors[0], usual.volume * factors[1], usual.blood * factors[2], usual.weight
    )


@pytest.fixture(scope="module")
def methods(nano_model, nano_rows):
    return attribute(nano_model, nano_rows.known, mice(nano_rows.known), background=3, seed=1)


def test_contributions_sum_to_each_methods_own_prediction(methods, nano_model, nano_rows):
    ensemble = nano_model.ensemble
    members = ensemble.members(nano_rows.known)
    wanted = {
        name: ensemble.center + ensemble.scale * members[name] for name in ("xgboost", "network")
    }
    wanted["prediction"] = ensemble.predict(nano_rows.known).median
    tolerance = {"prediction": 1e-10, "xgboost": 1e-4, "network": 1e-4}
    for name, one in methods.items():
        np.testing.assert_allclose(one.prediction, wanted[name], atol=1e-10)
        total = one.base + one.properties.sum(axis=2)
        np.testing.assert_allclose(total, wanted[name], atol=tolerance[name])
        np.testing.assert_allclose(one.gap, wanted[name] - total, atol=1e-12)
        assert np.abs(wanted[name] - one.base).mean() > 10 * tolerance[name]


def test_bases_are_what_each_method_starts_from(methods, nano_model):
    """The network at the mean of the training particles' columns, boosters at their mean."""
    ensemble = nano_model.ensemble
    found = []
    for learner in ensemble.learners:
        views = learner.descriptors.encode(ensemble.domain.known).views
        mean = tuple(view.mean(axis=0, keepdims=True) for view in views)
        found.append(learner.networks[0].predict(mean)[0])
    wanted = ensemble.center + ensemble.scale * np.mean(found, axis=0)
    np.testing.assert_allclose(methods["network"].base, wanted, atol=1e-10)
    np.testing.assert_allclose(methods["xgboost"].base, ensemble.center, atol=0.05)


def test_features_sum_to_properties(methods, nano_model):
    features = nano_model.ensemble.descriptors.features
    for name in ("xgboost", "network"):
        one = methods[name]
        for k, player in enumerate(PLAYERS.values()):
            own = [features.index(feature) for feature in player.features]
            np.testing.assert_allclose(
                one.features[:, :, own].sum(axis=2), one.properties[:, :, k], atol=1e-12
            )
    assert methods["prediction"].features is None


def test_columns_of_boosters_go_to_their_feature(methods, nano_model, nano_rows):
    ensemble = nano_model.ensemble
    gaps = ensemble.descriptors.encode(nano_rows.known).gaps
    added = ensemble.fitted["xgboost"].contributions(gaps)
    size = added[:, :, [0, 1]].sum(axis=2) * ensemble.scale  # the value and whether it is missing
    np.testing.assert_allclose(methods["xgboost"].features[:, :, 0], size, atol=1e-12)


def test_knowledge_is_split_evenly_among_what_it_needs(methods, nano_model):
    descriptors = nano_model.ensemble.descriptors
    split = shares(descriptors)
    np.testing.assert_allclose(split.sum(axis=1), 1)
    row = [feature.name for feature in FEATURES].index("targeted_and_fit")
    chosen = {f: v for f, v in zip(descriptors.features, split[row], strict=True) if v}
    assert chosen == {"HD": 0.5, "TS": 0.5}
    assert methods["network"].knowledge.shape[2] == len(FEATURES)
    assert np.abs(methods["network"].knowledge).max() > 0


def test_what_the_data_hold_is_found(methods):
    """The targets of the made table fall with size, and KTRES50 with nothing."""
    importance = np.abs(methods["prediction"].properties).mean(axis=0)
    assert importance[4].argmax() == list(PLAYERS).index("size")
    assert importance[4].max() > 2 * np.sort(importance[4])[-2]


def test_the_other_rows_change_nothing(nano_model, nano_rows):
    some = nano_rows.known.take(np.arange(3))
    middle, mouse = np.array([1]), mice(some)
    alone = attribute(nano_model, some.take(middle), mouse.take(middle), background=3, seed=1)
    beside = attribute(nano_model, some, mouse, background=3, seed=1)
    for name in alone:
        np.testing.assert_allclose(alone[name].properties[0], beside[name].properties[1], atol=2e-5)


def test_the_latent_models_share_is_explained_too(model_with_latent, nano_model, nano_rows):
    known = nano_rows.known.take(np.arange(5))
    mouse = mice(known)
    asked = {"background": 2, "seed": 1}
    found = attribute(model_with_latent, known, mouse, **asked)["prediction"]
    wanted = model_with_latent.predict_known(known, mouse).median
    np.testing.assert_allclose(found.prediction, wanted, atol=1e-12)
    np.testing.assert_allclose(found.base + found.properties.sum(axis=2), wanted, atol=1e-9)
    alone = attribute(nano_model, known, mouse, **asked)["prediction"]
    np.testing.assert_allclose(found.properties[:, :4], alone.properties[:, :4], atol=1e-12)
    assert np.abs(found.properties[:, 4:] - alone.properties[:, 4:]).max() > 0.05
    # a tumor of more blood is told under its size, a heavier mouse under its weight
    names = list(PLAYERS)
    richer = attribute(model_with_latent, known, mouse._replace(flow=3 * mouse.flow), **asked)[
        "prediction"
    ]
    change = np.abs(richer.properties - found.properties)[:, 4:].max(axis=(0, 1))
    assert names[change.argmax()] == "tumor size"
    assert change.max() > 1e-3


def test_maps_sum_to_one_and_have_the_models_entropy(nano_model):
    ensemble = nano_model.ensemble
    maps = attention_map(ensemble, ensemble.domain.known)
    assert maps.shape == (len(ensemble.domain.known), 7, 14, 16)
    np.testing.assert_allclose(maps.sum(axis=(2, 3)), 1, atol=1e-9)
    from latentpk.workflows.nano.explain import attention_entropy_of

    # of one learner they are the same; of several, a mean of maps is no less even than each
    assert attention_entropy_of(maps) >= attention_entropy(ensemble) - 1e-9


@pytest.mark.long
@pytest.mark.parametrize(
    "members",
    [{"knowledge": False}, {"tasks": "single"}, {"attends": False}, {"tokens": 3}],
    ids=["raw view alone", "a network for each target", "no attention", "abstract tokens"],
)
def test_networks_of_every_kind_are_explained(members, nano_model, nano_rows, nano_settings):
    small = {"networks": 1, "width": 3, "training": RegressionSettings(steps=10)}
    settings = EnsembleSettings(folds=2, members=MemberSettings(**small, **members))
    ensemble, _ = fit_ensemble(nano_rows, settings, seed=0)
    known = nano_rows.known.take(np.arange(4))
    model = replace(nano_model, ensemble=ensemble)
    found = attribute(model, known, mice(known), background=1, seed=0)["network"]
    assert np.abs(found.gap).max() < 1e-4
    assert (found.knowledge is None) == (members.get("knowledge") is False)
    maps = attention_map(ensemble, known)
    assert (maps is None) == (members.get("tasks") != "single")
    if maps is not None:
        assert maps.shape == (4, 7, 14, 16)
