"""Roots and shares against exact arithmetic, where they spread or coincide."""

from decimal import Decimal, getcontext

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.kinetics.modes import cubic_roots, three_modes, two_modes

CASES = {
    "spread by 1e4": (0.4, (0.3, 0.01), (0.1, 1e-4)),
    "spread by 1e8": (50.0, (20.0, 3.0), (0.5, 1e-6)),
    "remifentanil-like": (2.6 / 5, (2.0, 0.076), (1.0, 0.015)),
    "slow elimination": (1e-6, (1.0, 0.1), (2.0, 0.05)),
    "nearly equal returns": (0.3, (0.5, 0.4), (0.2, 0.2 * (1 + 1e-7))),
}


def exact(k10, outward, back):
    """Roots and shares to 50 digits: bisection between the poles of the secular equation."""
    getcontext().prec = 50
    k10, k12, k13, k21, k31 = map(Decimal, (k10, *outward, *back))

    def polynomial(x):
        first = (k10 + k12 + k13 - x) * (k21 - x) * (k31 - x)
        return first - k12 * k21 * (k31 - x) - k13 * k31 * (k21 - x)

    low, high = sorted((k21, k31))
    top = k10 + k12 + k13 + k21 + k31
    roots = []
    for left, right in ((high, top), (low, high), (Decimal(0), low)):
        a, b, sign = left, right, polynomial(right) > 0
        for _ in range(170):
            middle = (a + b) / 2
            a, b = (a, middle) if (polynomial(middle) > 0) == sign else (middle, b)
        roots.append(a)
    shares = []
    for x in roots:
        others = [y for y in roots if y is not x]
        shares.append((k21 - x) * (k31 - x) / ((others[0] - x) * (others[1] - x)))
    return [float(x) for x in roots], [float(x) for x in shares]


def stacked(k):
    return jnp.stack(three_modes(k[0], (k[1], k[2]), (k[3], k[4])))


@jax.jit
def derivatives(k):
    two = jax.jacfwd(lambda k: jnp.stack(two_modes(k[0], k[1], k[3])))(k)
    return stacked(k), jax.jacfwd(stacked)(k), two


modes_of_three, modes_of_two = jax.jit(three_modes), jax.jit(two_modes)


@pytest.mark.parametrize("case", CASES)
def test_three_modes_are_accurate_relative_to_each(case):
    k10, outward, back = CASES[case]
    roots, shares = exact(k10, outward, back)
    found = modes_of_three(
        jnp.array(k10), tuple(map(jnp.array, outward)), tuple(map(jnp.array, back))
    )
    loose = case == "nearly equal returns"  # a pair's shares are only determined together
    np.testing.assert_allclose(found[0], roots, rtol=1e-7 if loose else 1e-12)
    np.testing.assert_allclose(found[1], shares, rtol=1e-12, atol=1e-6 if loose else 1e-16)


@pytest.mark.parametrize("back", [0.0, 0.3, 0.1, 0.05])
def test_an_unused_third_compartment_changes_nothing(back):
    k10, k12, k21 = jnp.array(0.1), jnp.array(0.5), jnp.array(0.3)
    two = modes_of_two(k10, k12, k21)
    three = modes_of_three(k10, (k12, jnp.array(0.0)), (k21, jnp.array(back)))
    time = jnp.linspace(0.0, 100.0, 21)

    def bolus(modes):
        return jnp.exp(-time[:, None] * modes[0]) @ modes[1]

    np.testing.assert_allclose(bolus(three), bolus(two), rtol=1e-13)


def test_an_unused_second_compartment_changes_nothing():
    for k21 in (0.0, 0.1, 0.7):
        rates, shares = modes_of_two(jnp.array(0.1), jnp.array(0.0), jnp.array(k21))
        np.testing.assert_allclose(
            jnp.sum(shares * jnp.exp(-rates * 7.0)), np.exp(-0.7), rtol=1e-15
        )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize(
    "case",
    [
        (0.1, 0.0, 0.0, 0.0, 0.0),
        (0.1, 0.2, 0.2, 0.3, 0.3),  # equal returns
        (0.0, 0.2, 0.2, 0.3, 0.1),
        (1e4, 1e-8, 1e4, 1e-8, 1e4),
        (0.1, 0.5, 0.0, 0.3, 0.733095189484530),  # the fast root of the other two
        (0.0, 0.2, 0.0, 0.1, 0.0),  # nothing leaves, one compartment unused
    ],
)
def test_degenerate_systems_have_finite_derivatives(dtype, case):
    k = jnp.array(case, dtype)
    value, three, two = derivatives(k)
    assert value.dtype == dtype
    assert jnp.all(jnp.isfinite(value))
    assert jnp.all(value >= 0)
    np.testing.assert_allclose(value[1].sum(), 1.0, rtol=1e-6)
    assert jnp.all(jnp.isfinite(three))
    assert jnp.all(jnp.isfinite(two))


def test_roots_have_the_derivatives_of_their_polynomial():
    def roots_from_roots(x):
        a, b, c = x
        return cubic_roots(jnp.stack([a + b + c, a * b + b * c + c * a, a * b * c]))

    x = jnp.array([3.0, 0.2, 1e-4])
    np.testing.assert_allclose(jax.jit(roots_from_roots)(x), x, rtol=1e-12)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(roots_from_roots))(x), jnp.eye(3), atol=1e-9)
    second = jax.jit(jax.jacfwd(jax.jacrev(roots_from_roots)))(x)
    np.testing.assert_allclose(second, jnp.zeros((3, 3, 3)), atol=1e-6)
