"""Patients whose log parameters are known up to a Gaussian, and effects that act on them."""

import numpy as np
import pytest

SHAPES = ("power", "exponential", "linear")


def make_problem(subjects, seed, effects=(), information=40.0):
    """Three parameters, a weight, an age, noise and a code; exact Gaussian summaries."""
    from latentpk.evaluate.effects import Candidate, Problem, Summaries

    rng = np.random.default_rng(seed)
    weight = 70 * np.exp(0.25 * rng.standard_normal(subjects))
    age, noise = rng.uniform(20, 80, subjects), 5 + rng.standard_normal(subjects)
    sex = rng.integers(0, 2, subjects).astype(float)
    columns, candidates = [], []
    for name, x in (("WT", weight), ("AGE", age), ("NOISE", noise)):
        apart = (x - x.mean()) / x.std()
        for shape in SHAPES:
            columns.append(np.log(x / x.mean()) if shape == "power" else apart)
            candidates += [Candidate(k, name, shape, (len(columns) - 1,)) for k in range(3)]
    columns.append(sex)
    candidates += [Candidate(k, "SEX", "category", (len(columns) - 1,)) for k in range(3)]
    values = np.array([0.0, 1.0, 3.0]) + 0.3 * rng.standard_normal((subjects, 3))
    for parameter, effect in effects:
        values[:, parameter] += effect({"WT": weight, "AGE": age, "SEX": sex})
    root = 0.3 * rng.standard_normal((subjects, 3, 3)) + np.eye(3)
    own = information * np.einsum("nij,nkj->nik", root, root)
    error = np.einsum(
        "nji,nj->ni", np.linalg.inv(np.linalg.cholesky(own)), rng.standard_normal((subjects, 3))
    )
    pull = np.einsum("nij,nj->ni", own, values + error)
    return Problem(Summaries(pull, own), np.stack(columns, axis=1), tuple(candidates))


def truth(values):
    """Weight on two parameters, a code on the third."""
    return [
        (0, lambda x: 0.75 * np.log(x["WT"] / 70)),
        (1, lambda x: np.log(x["WT"] / 70)),
        (2, lambda x: -0.4 * x["SEX"]),
    ][:values]


@pytest.fixture(scope="session")
def make():
    """The maker of such patients."""
    return make_problem


@pytest.fixture(scope="session")
def acting():
    """The first few of three effects."""
    return truth


@pytest.fixture(scope="session")
def problem():
    """120 patients on whom all three act."""
    return make_problem(120, 3, truth(3))
