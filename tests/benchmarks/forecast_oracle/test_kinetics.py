import numpy as np
import pytest
from benchmarks.forecast_oracle.kinetics import (
    Doses,
    oral_one_compartment,
    two_compartment_infusion,
)
from scipy.integrate import solve_ivp


def integrate(derivative, state, times, breaks):
    """Integrate from break to break, so that no step runs across a dose."""
    found, begun = {}, 0.0
    for end in [*breaks, times[-1] + 1]:
        inside = [t for t in times if begun < t <= end]
        solved = solve_ivp(
            derivative, (begun, end), state, rtol=1e-10, atol=1e-12, t_eval=sorted({*inside, end})
        )
        found |= dict(zip(inside, solved.y.T, strict=False))
        state, begun = solved.y[:, -1], end
    return np.array([found[t] for t in times])


def test_two_compartments_agree_with_an_integrated_system():
    cl, v1, q, v2 = 4.0, 40.0, 3.0, 60.0
    doses = Doses(
        np.array([[0.0, 9.5, 0.0]]), np.array([[1000.0, 1500.0, 0.0]]), np.array([[1.0, 2.0, 1.0]])
    )
    times = np.array([0.5, 1.0, 5.0, 10.0, 11.5, 30.0])

    def derivative(t, a):
        rate = 1000.0 * (t < 1) + 750.0 * (9.5 < t < 11.5)
        flow = q * (a[0] / v1 - a[1] / v2)
        return [rate - cl / v1 * a[0] - flow, flow]

    expected = integrate(derivative, [0.0, 0.0], times, [1.0, 9.5, 11.5])[:, 0] / v1
    found = two_compartment_infusion(np.array([[[cl, v1, q, v2]]]), times[None], doses)
    np.testing.assert_allclose(found[0, 0], expected, rtol=1e-7)


def test_two_sites_agree_with_an_integrated_system():
    cl, v, lag = 8.0, 25.0, 3.0
    doses = Doses(np.array([[0.0, 12.0]]), np.array([[200.0, 200.0]]), np.zeros((1, 2)))
    times = np.array([0.5, 2.9, 4.0, 12.5, 16.0, 24.0])

    def one_dose(times):
        def derivative(t, a):
            late = a[1] * (t > lag)
            return [-2.5 * a[0], -0.6 * late, 2.5 * a[0] + 0.6 * late - cl / v * a[2]]

        return integrate(derivative, [70.0, 130.0, 0.0], times, [lag])[:, 2] / v

    since = times[times > 12] - 12
    expected = one_dose(times)
    expected[times > 12] += one_dose(since)
    ones = np.ones((1, 1))
    sites = [(0.35, 2.5 * ones, 0 * ones), (0.65, 0.6 * ones, lag * ones)]
    found = oral_one_compartment(np.array([[[cl, v]]]), sites, times[None], doses)
    np.testing.assert_allclose(found[0, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("apart", [0.0, 1e-9, 1e-6, 1e-3])
def test_equal_rates_are_no_singularity(apart):
    doses = Doses(np.zeros((1, 1)), np.full((1, 1), 100.0), np.zeros((1, 1)))
    ka = np.full((1, 1), 0.2 + apart)
    found = oral_one_compartment(
        np.array([[[4.0, 20.0]]]), [(1.0, ka, np.zeros((1, 1)))], np.array([[5.0]]), doses
    )
    # The limit is k t exp(-k t); its first-order correction in the difference is below `apart * t`.
    assert found[0, 0, 0] == pytest.approx(5 * 0.2 * 5 * np.exp(-1.0), rel=1e-8 + 10 * apart)
