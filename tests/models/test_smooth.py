"""The regressors that are a formula, and what is refused of a stored one."""

import numpy as np
import pytest

from latentpk.errors import ArtifactError
from latentpk.models.smooth import GaussianProcess, Linear, check_arrays


@pytest.fixture
def linear():
    return {"slope": np.array([[1.0, 0.0], [2.0, -1.0]]), "level": np.array([0.5, 1.0])}


@pytest.fixture
def process():
    rng = np.random.default_rng(0)
    arrays = {"support": rng.normal(size=(5, 3)), "dual": rng.normal(size=(5, 2))}
    return arrays | {"length": np.array([1.0, 2.0])}


def test_a_linear_map_is_one(linear):
    found = Linear.from_arrays(linear, columns=2, targets=2).predict(np.array([[1.0, 3.0]]))
    np.testing.assert_allclose(found, [[7.5, -2.0]])


def test_a_process_is_a_sum_of_exponentials(process):
    found = GaussianProcess.from_arrays(process, columns=3, targets=2)
    x = np.array([[0.3, -1.0, 0.2]])
    distance = np.linalg.norm(x - process["support"], axis=1)
    expected = [
        np.exp(-distance / k) @ own for k, own in zip((1.0, 2.0), process["dual"].T, strict=True)
    ]
    np.testing.assert_allclose(found.predict(x)[0], expected)


def test_blocks_of_many_rows_are_seamless(process):
    found = GaussianProcess.from_arrays(process, columns=3, targets=2)
    x = np.random.default_rng(1).normal(size=(3000, 3))
    alone = np.concatenate([found.predict(x[k : k + 1]) for k in (0, 1499, 1500, 2999)])
    np.testing.assert_allclose(found.predict(x)[[0, 1499, 1500, 2999]], alone, rtol=1e-10)


def test_a_process_is_stored_to_the_last_bit(process):
    found = GaussianProcess.from_arrays(process, columns=3, targets=2).to_arrays()
    assert found.keys() == process.keys()
    for name, value in found.items():
        np.testing.assert_array_equal(value, process[name])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: a.pop("slope"), "slope is missing"),
        (lambda a: a.update(other=np.zeros(1)), "other is unknown"),
        (lambda a: a.update(level=np.zeros(3)), "level is float64"),
        (lambda a: a.update(level=np.zeros(2, np.float32)), "level is float32"),
        (lambda a: a.update(level=np.array([0, np.nan])), "level holds a value that is not finite"),
    ],
)
def test_a_damaged_map_is_refused(linear, change, said):
    change(linear)
    with pytest.raises(ArtifactError, match=said):
        Linear.from_arrays(linear, columns=2, targets=2)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.pop("support"),
        lambda a: a.update(support=np.zeros(())),
        lambda a: a.update(support=a["support"][:, :2]),
        lambda a: a.update(dual=a["dual"][:4]),
        lambda a: a.update(length=np.array([1.0, 0.0])),
        lambda a: a.update(length=np.array([1.0, np.inf])),
    ],
)
def test_a_damaged_process_is_refused(process, change):
    change(process)
    with pytest.raises(ArtifactError):
        GaussianProcess.from_arrays(process, columns=3, targets=2)


def test_every_fault_is_named_at_once():
    with pytest.raises(ArtifactError, match=r"thing do not fit: .*a is missing; b is unknown"):
        check_arrays({"b": np.zeros(1)}, {"a": (1,)}, "thing")
