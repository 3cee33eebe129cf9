"""The mouse against tables of two stiff solvers, its dense matrix, and what must be conserved."""

import csv

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.kinetics.conftest import TABLES

from latentpk.compilation import count_programs
from latentpk.kinetics.mouse import (
    BILE,
    END,
    INFUSION,
    KIDNEY,
    LIVER,
    ORGANS,
    STATES,
    TUMOR,
    URINE,
    VENOUS,
    WEIGHTS,
    Tumor,
    _rates,
    _solve,
    follow,
    rate_matrix,
    time_grid,
)

COLUMNS = ["QTC", "VTC", "BVT", "PT", "PATC", "KTRESrelease", "KTRESmax", "KTRES50", "KTRESn"]
TIMES = np.array([0.5, 1, 4, 12, 24, 48, 72, 168])
# the least and the most of each in the data set of the published model
LEAST = (0.01, 0.0007, 0.01, 0.000255, 4.9e-6, 1e-4, 0.001, 1e-5, 0.01)
MOST = (0.055, 0.2, 0.5, 8.0, 0.8, 14.0, 25.0, 180.0, 10.0)
USUAL = Tumor(0.01, 0.02, 0.02, 0.1, 0.01, 0.1, 0.3, 12.0, 1.9)


def read(name):
    with (TABLES / name).open(encoding="utf-8") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def tumor_of(row):
    return Tumor(*(row[name] for name in COLUMNS))


def parts(course):
    """As the table's columns."""
    return {
        "PLASMA": course.plasma,
        "TUMOUR_TISSUE": course.tissue("tumor"),
        "TUMOUR_BLOOD": course.blood("tumor"),
        "LIVER": course.organ("liver"),
        "SPLEEN": course.organ("spleen"),
        "KIDNEY": course.organ("kidney"),
        "LUNG": course.organ("lung"),
        "URINE": course.amounts[:, URINE],
        "BILE": course.amounts[:, BILE],
    }


INPUTS, AMOUNTS = read("pbpk_mouse_inputs.csv"), read("pbpk_mouse.csv")


@pytest.mark.parametrize(
    ("resolution", "amounts", "delivery"), [("fine", 1e-6, 1e-6), ("fast", 1e-4, 2e-5)]
)
def test_courses_and_deliveries_are_those_of_two_stiff_solvers(resolution, amounts, delivery):
    assert len(INPUTS) == 12
    for row in INPUTS:
        course = follow(tumor_of(row), row["BW"] / 1000, TIMES, resolution=resolution)
        wanted = [one for one in AMOUNTS if one["ID"] == row["ID"]]
        for name, found in parts(course).items():
            expected = [one[name] for one in wanted]
            np.testing.assert_allclose(found, expected, rtol=amounts, err_msg=f"{row['ID']} {name}")
        found = [float(x) for x in (course.de24, course.de168, course.demax)]
        assert found == pytest.approx([row["DE24"], row["DE168"], row["DEmax"]], rel=delivery)
        assert float(course.tmax) == pytest.approx(row["Tmax"], rel=0.01)


def extremes(count=40, seed=3):
    """Tumors spread over the data's ranges, their corners first."""
    rng = np.random.default_rng(seed)
    low, high = np.log(LEAST), np.log(MOST)
    corners = [
        low,
        high,
        np.where(np.arange(9) == 8, low, high),
        np.where(np.arange(9) > 6, low, high),
    ]
    drawn = rng.uniform(low, high, (count - len(corners), 9))
    return np.exp(np.concatenate([corners, drawn]))


def test_nothing_is_lost_nor_negative_at_the_datas_extremes():
    times = np.concatenate([[0.0, INFUSION / 2], TIMES, [END]])
    tumors = Tumor(*jnp.asarray(extremes()).T)
    amounts = jax.vmap(lambda one: follow(one, 0.02, times).amounts)(tumors)
    given = 100 * np.minimum(times / INFUSION, 1)
    assert (np.asarray(amounts) >= 0).all()
    np.testing.assert_allclose(
        np.asarray(amounts).sum(axis=2)[:, 2:], np.broadcast_to(given[2:], (40, 9)), rtol=1e-9
    )
    assert np.asarray(amounts)[:, 0] == pytest.approx(0)


@pytest.mark.long
def test_the_fast_path_is_the_fine_one_at_the_datas_extremes():
    tumors = Tumor(*jnp.asarray(extremes()).T)

    def run(resolution):
        course = jax.vmap(lambda one: follow(one, 0.025, TIMES, resolution=resolution))(tumors)
        return course.amounts[:, :, 8 + TUMOR], jnp.stack([course.de24, course.de168, course.demax])

    (fast, few), (fine, many) = run("fast"), run("fine")
    np.testing.assert_allclose(fast, fine, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(few, many, rtol=1e-4)


def test_columns_of_the_matrix_sum_to_nothing():
    matrix = np.asarray(rate_matrix(USUAL, 0.02, 7.0))
    assert matrix.shape == (STATES, STATES)
    np.testing.assert_allclose(matrix.sum(axis=0), 0, atol=1e-9 * np.abs(matrix).max())
    off = matrix - np.diag(np.diag(matrix))
    assert (off >= 0).all()
    assert -matrix[VENOUS, VENOUS] == pytest.approx(16.5 * 0.02**0.75 / (0.8 * 0.0355 * 0.02))


@pytest.mark.parametrize("c", [1e-6, 1e-3, 0.7, 50.0])
def test_the_closed_form_solves_the_dense_system(c):
    time = jnp.asarray(9.0)
    given = jnp.asarray(np.random.default_rng(1).uniform(0, 10, STATES))
    dense = np.eye(STATES) - c * np.asarray(rate_matrix(USUAL, 0.03, time))
    found = _solve(_rates(USUAL, jnp.asarray(0.03), "mouse"), time, jnp.asarray(c), given)
    np.testing.assert_allclose(found, np.linalg.solve(dense, given), rtol=1e-9)


def test_gradients_are_finite_at_the_extremes_and_those_of_differences():
    def log_delivery(values):
        course = follow(Tumor(*values), 0.02, jnp.array([0.0, 1.0, 24.0]))
        tissue = course.tissue("tumor")
        return jnp.log(course.de168) + jnp.sum(tissue) / 100

    for values in extremes(8):
        assert np.isfinite(jax.grad(log_delivery)(jnp.asarray(values))).all()
    usual = jnp.asarray(USUAL)
    gradient = np.asarray(jax.grad(log_delivery)(usual)) * np.asarray(usual)
    for k in range(9):
        step = jnp.zeros(9).at[k].set(1e-5)
        ends = [float(log_delivery(usual * jnp.exp(sign * step))) for sign in (1, -1)]
        assert gradient[k] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5, abs=1e-8)


def test_the_grid_holds_the_times_that_matter():
    for resolution in ("fast", "fine"):
        grid = time_grid(resolution)
        assert (np.diff(grid) > 0).all()
        for time in (0.0, INFUSION, 24.0, 168.0, END):
            assert np.min(np.abs(grid - time)) < 1e-9


def test_a_larger_body_is_slower():
    """Clearances go with weight to the power 3/4: a turnover goes with its power -1/4."""
    mouse, human = (
        np.asarray(rate_matrix(USUAL, weight, 24.0, species))
        for species, weight in (("mouse", 0.02), ("human", WEIGHTS["human"]))
    )
    slower = (70 / 0.02) ** -0.25
    liver, kidney = 8 + LIVER, KIDNEY
    assert human[BILE, liver] == pytest.approx(slower * mouse[BILE, liver])
    assert human[URINE, kidney] == pytest.approx(slower * mouse[URINE, kidney])
    cells = 16 + ORGANS.index("spleen")
    assert human[cells, cells] == pytest.approx(slower * mouse[cells, cells])
    course = follow(USUAL, 70.0, TIMES, species="human")
    np.testing.assert_allclose(np.asarray(course.amounts).sum(axis=1), 100, rtol=1e-9)


def test_one_program_serves_every_mouse():
    """A body weight or a rate that were a constant of the program would be compiled anew."""
    times = jnp.array([1.0, 24.0])
    follow(Tumor(*[0.1] * 9), 0.02, times)
    with count_programs() as programs:
        follow(Tumor(*[0.2] * 9), 0.03, times)
    assert programs.built == 0
