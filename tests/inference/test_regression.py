"""Networks that learn numbers from views: in float32, in one program, each on rows of its own."""

import jax
import numpy as np
import pytest

from latentpk import precision
from latentpk.inference.regression import (
    Lessons,
    RegressionSettings,
    train_networks,
    train_one,
)
from latentpk.models.multiview import NetworkConfig, Networks, network_size

CONFIG = NetworkConfig(views=((0, 1, 1), (0, 1)), targets=2, width=4)
SETTINGS = RegressionSettings(steps=200, noise=0.02, decay=1e-5)
SIGNAL = np.array([[1.0, 0.5], [0.0, -1.0], [0.5, 0.0]])


@pytest.fixture(scope="module")
def lessons():
    rng = np.random.default_rng(0)
    raw, other = rng.normal(size=(2, 64, 3)), rng.normal(size=(2, 64, 2))
    target = raw @ SIGNAL
    return Lessons((raw, other), target, np.ones_like(target))


@pytest.fixture(scope="module")
def trained(lessons):
    return train_networks(CONFIG, lessons, SETTINGS, seeds=[1, 2])


def inner_jaxprs(jaxpr):
    """Every equation of a program, those of its inner programs too."""
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for one in value if isinstance(value, (tuple, list)) else [value]:
                inner = getattr(one, "jaxpr", one)
                if hasattr(inner, "eqns"):
                    yield from inner_jaxprs(inner)


def test_a_training_step_has_no_float64(lessons):
    batch = precision.single(jax.tree_util.tree_map(lambda x: jax.numpy.asarray(x[0]), lessons))
    program = jax.make_jaxpr(lambda key, rows: train_one(CONFIG, SETTINGS, key, rows))(
        jax.random.key(0), batch
    )
    scans = [one for one in inner_jaxprs(program.jaxpr) if one.primitive.name == "scan"]
    assert len(scans) == 1
    steps = list(inner_jaxprs(scans[0].params["jaxpr"].jaxpr))
    assert len(steps) > 100
    # the rate and Adam's correction of its first steps are single numbers, in any precision
    arrays = {str(v.aval.dtype) for one in steps for v in one.outvars if v.aval.shape}
    assert "float32" in arrays
    assert "float64" not in arrays


@pytest.mark.long
def test_the_same_seed_and_lessons_give_the_same_bits(lessons, trained):
    again = train_networks(CONFIG, lessons, SETTINGS, seeds=[1, 2])
    np.testing.assert_array_equal(again, trained)
    other = train_networks(CONFIG, lessons, SETTINGS, seeds=[1, 3])
    np.testing.assert_array_equal(other[0], trained[0])
    assert (other[1] != trained[1]).any()


def test_what_is_stored_is_float64_of_float32(trained):
    assert trained.shape == (2, network_size(CONFIG.key))
    assert trained.dtype == np.float64
    np.testing.assert_array_equal(trained.astype(np.float32), trained)


def test_networks_learn(trained):
    rng = np.random.default_rng(1)
    raw, other = rng.normal(size=(200, 3)), rng.normal(size=(200, 2))
    truth = raw @ SIGNAL
    for weights in trained:
        found = Networks(CONFIG, weights[None]).predict((raw, other))
        assert np.mean((found - truth) ** 2) < 0.2 * np.mean(truth**2)


def test_rows_without_weight_teach_nothing(lessons):
    weight = lessons.weight.copy()
    weight[:, 40:] = 0
    target = lessons.target.copy()
    target[:, 40:] = 99.0
    some = lessons._replace(weight=weight)
    one = train_networks(CONFIG, some, SETTINGS, seeds=[1, 2])
    other = train_networks(CONFIG, some._replace(target=target), SETTINGS, seeds=[1, 2])
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_target_that_a_row_lacks_is_left_out_and_the_others_count(lessons):
    weight = lessons.weight.copy()
    weight[:, :, 1] = 0
    target = lessons.target.copy()
    target[:, :, 1] = -5.0
    only = lessons._replace(weight=weight, target=target)
    found = Networks(CONFIG, train_networks(CONFIG, only, SETTINGS, seeds=[1, 2]))
    said = found.predict((lessons.views[0][0], lessons.views[1][0]))
    assert np.corrcoef(said[:, 0], lessons.target[0, :, 0])[0, 1] > 0.8
    assert said[:, 1].mean() > -1.0  # nothing was learned of -5


def test_each_network_learns_from_rows_of_its_own(lessons, trained):
    changed = lessons.target.copy()
    changed[1] *= -1
    found = train_networks(CONFIG, lessons._replace(target=changed), SETTINGS, seeds=[1, 2])
    np.testing.assert_allclose(found[0], trained[0], atol=1e-6)
    assert np.abs(found[1] - trained[1]).max() > 0.1


@pytest.mark.long
def test_attention_does_not_collapse_under_a_penalty():
    """A penalty on queries and keys makes attention uniform: a named sign of failure."""
    rng = np.random.default_rng(0)
    config = NetworkConfig(views=(tuple(range(4)), tuple(range(5))), targets=2, width=8)
    views = (rng.normal(size=(1, 60, 4)), rng.normal(size=(1, 60, 5)))
    target = np.stack([views[0][0, :, 0] * views[1][0, :, 1], views[1][0, :, 2]], axis=1)[None]
    lessons = Lessons(views, target, np.ones_like(target))
    settings = RegressionSettings(steps=150, decay=1e-2)
    weights = train_networks(config, lessons, settings, seeds=[0])
    attention = Networks(config, weights).attention(tuple(view[0] for view in views))[0]
    share = attention / attention.sum(axis=-1, keepdims=True)
    entropy = -np.sum(share * np.log(share), axis=-1).mean() / np.log(5)
    assert entropy < 0.97
