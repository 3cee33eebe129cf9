import numpy as np
import pytest

from latentpk.dosing.exposure import (
    Window,
    areas,
    at_steady_state,
    heights,
    measure,
    quantiles,
    steady,
)
from latentpk.dosing.metric import Metric, parse_metric
from latentpk.dosing.patient import Patient


def parameters(patient):
    """CL, V1, Q, V2 of every draw, from nothing but the model's published formulas."""
    scale = np.sqrt([0.14705, 0.51019, 0.28232])
    effect = np.exp(patient.eps * scale)
    cl = 4.5 * (90 / 120) ** 0.8 * effect[:, 0]
    return cl, 58.4 * effect[:, 1], np.full_like(cl, 6.5), 38.4 * effect[:, 2]


def curve(patient, times, doses=((0, 1000), (12, 1000), (24, 1000), (36, 1000))):
    """Two compartments, one-hour infusions, written out for this test: (draw, time) [mg/L]."""
    cl, v1, q, v2 = (x[:, None] for x in parameters(patient))
    k10, k12, k21 = cl / v1, q / v1, q / v2
    total = k10 + k12 + k21
    root = np.sqrt(total**2 - 4 * k10 * k21)
    fast, slow = (total + root) / 2, (total - root) / 2
    found = np.zeros((patient.eps.shape[0], times.size))
    for start, amount in doses:
        since = times - start
        on, off = np.clip(since, 0, 1), np.maximum(since - 1, 0)
        for rate, weight in ((fast, (fast - k21) / root), (slow, (k21 - slow) / root)):
            found += amount * weight / v1 / rate * (1 - np.exp(-rate * on)) * np.exp(-rate * off)
    return found


@pytest.fixture(scope="module")
def few(patient):
    return Patient(patient.model, patient.record, patient.eps[:40], np.full(40, 1 / 40))


def test_an_area_is_the_integral_of_the_curve(few):
    node, weight = np.polynomial.legendre.leggauss(40)
    edges = np.array([24.0, 25, 36, 37, 48])
    middle, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
    times = (middle[:, None] + half[:, None] * node).ravel()
    truth = curve(few, times) @ (half[:, None] * weight).ravel()
    np.testing.assert_allclose(areas(few, 24.0, 48.0), truth, rtol=1e-9)
    np.testing.assert_allclose(measure(parse_metric("average"), few, 24.0), truth / 24, rtol=1e-9)


def test_a_cumulative_area_begins_at_the_first_dose(few):
    whole = measure(parse_metric("auc_cum"), few, 48.0, first=0.0)
    np.testing.assert_allclose(whole, areas(few, 0.0, 24.0) + areas(few, 24.0, 48.0), rtol=1e-12)


def test_trough_and_peak_are_the_ends_of_the_curve(few):
    # when an infusion begins, and at the end; at an infusion's end
    ends = curve(few, np.array([24.0, 36.0, 48.0]))
    np.testing.assert_allclose(measure(Metric("trough"), few, 24.0), ends.min(axis=1), rtol=1e-9)
    tops = curve(few, np.array([25.0, 37.0]))
    np.testing.assert_allclose(measure(Metric("peak"), few, 24.0), tops.max(axis=1), rtol=1e-9)


def test_the_peak_of_an_absorbed_dose_lies_between_the_windows_times():
    """One compartment by mouth, once a day: the peak is narrow against the window's steps."""
    from latentpk.models.record import stack_records, take
    from latentpk.workflows.predictor import open_predictor

    model = open_predictor("theophylline").model
    eps = np.random.default_rng(2).standard_normal((40, 3))
    record = take(stack_records([volunteer()]), 0)
    patient = Patient(model, record, eps, np.full(40, 1 / 40)).given(steady(24.0, 0.0, 1.0))
    cl, v, ka = np.exp(np.log([2.75, 31.8, 1.59]) + eps * np.sqrt([0.0691, 0.0194, 0.402])).T
    ke, fine = (cl / v)[:, None], np.linspace(0, 24, 20_001)
    ka, v = ka[:, None], v[:, None]
    tail = [np.exp(-rate * fine) / (1 - np.exp(-rate * 24)) for rate in (ke, ka)]
    truth = ka / v / (ka - ke) * (tail[0] - tail[1])
    for kind, extreme in (("peak", truth.max(axis=1)), ("trough", truth.min(axis=1))):
        found = at_steady_state(Metric(kind), patient, 24.0)
        np.testing.assert_allclose(found, extreme, rtol=1e-3)


def volunteer():
    import polars as pl

    from latentpk import read_nonmem

    rows = {"ID": [1, 1], "TIME": [0.0, 1.0], "EVID": [1, 0], "CMT": [1, 2]}
    table = pl.DataFrame(rows | {"AMT": [300.0, 0.0], "DV": [None, 5.0]})
    return read_nonmem(table, purpose="dose")[0]


def test_time_above_a_mic_is_counted_on_the_curve(few):
    fine = np.linspace(24, 48, 200_001)
    truth = 100 * (0.6 * curve(few, fine) > 9).mean(axis=1)
    found = measure(Metric("ft_mic", mic=9.0, unbound=0.6), few, 24.0)
    np.testing.assert_allclose(found, truth, atol=0.05)
    always = measure(Metric("ft_mic", mic=1e-6), few, 24.0)
    np.testing.assert_allclose(always, 100, rtol=1e-12)
    assert (measure(Metric("ft_mic", mic=1e6), few, 24.0) == 0).all()


@pytest.mark.parametrize("interval", [8.0, 12.0, 36.0])
def test_a_day_at_steady_state_is_the_daily_dose_over_clearance(few, interval):
    regimen = few.settled().given(steady(interval, 1.0, 0.0, amount=750.0))
    found = at_steady_state(parse_metric("auc24"), regimen, interval)
    truth = 750 * 24 / interval / parameters(few)[0]
    np.testing.assert_allclose(found, truth, rtol=1e-9)


def test_a_long_regimen_comes_to_its_steady_state(few):
    doses = tuple((12.0 * k, 500.0) for k in range(1500))
    last = curve(few, np.array([18_000.0]), doses)[:, 0]
    regimen = few.settled().given(steady(12.0, 1.0, 0.0, amount=500.0))
    np.testing.assert_allclose(at_steady_state(Metric("trough"), regimen, 12.0), last, rtol=1e-6)


def test_a_window_holds_both_sides_of_a_dose(few):
    window = Window.of(24.0, 48.0, few.record.doses)
    assert (np.diff(window.time) >= 0).all()
    at = window.time == 36.0
    assert set(window.order[at]) == {-np.inf, np.inf}
    assert 37.0 in window.time
    assert heights(few, window).min() >= 0


def test_quantiles_of_weighted_draws():
    rng = np.random.default_rng(0)
    values = rng.standard_normal(4000)
    weight = np.exp(0.5 * values)  # shifts the mean to 0.5
    found = quantiles(values, weight / weight.sum(), (0.05, 0.5, 0.95))
    np.testing.assert_allclose(found, 0.5 + np.array([-1.645, 0, 1.645]), atol=0.12)
    even = np.full(5, 0.2)
    assert quantiles(np.array([5.0, 1, 4, 2, 3]), even, (0.5,)) == pytest.approx([3.0])
