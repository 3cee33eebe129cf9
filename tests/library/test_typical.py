"""Typical values against the printed formulas, worked out by hand for one patient or two."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.library.catalog import read_model
from latentpk.models.published import loading, log_typical, occasion_loading


def typical(name, **covariates):
    population = read_model(name).population
    x = jnp.array([float(covariates[name]) for name in population.covariates])
    values = np.exp(log_typical(population)(x))
    return dict(zip(population.names, (float(value) for value in values), strict=True))


@pytest.mark.parametrize(
    ("name", "covariates", "expected"),
    [
        (
            "vancomycin-frymoyer-2014",
            {"WT": 2.9, "PMA": 34.8, "SCR": 1},
            {"cl": 0.345 / 2, "v1": 1.75},
        ),
        (
            "vancomycin-frymoyer-2014",
            {"WT": 1.45, "PMA": 28, "SCR": 0.6},
            {"cl": 0.345 * 0.5**0.75 / (1 + (28 / 34.8) ** -4.53) * (1 / 0.6) ** 0.267},
        ),
        (
            "vancomycin-dao-2019",
            {"WT": 2, "PMA": 46.4, "SCR": 0.61},
            {"cl": 0.273 * 2**0.438 / 2, "v1": 1.256},
        ),
        (
            "gentamicin-fuchs-2014",
            {"WT": 2.17, "GA": 34, "PNA": 1 / 365.25, "DOPA": 0},
            {"cl": 0.089, "v1": 0.908, "q2": 0.157, "v2": 0.560},
        ),
        (
            "gentamicin-fuchs-2014",
            {"WT": 1.085, "GA": 28, "PNA": 5 / 365.25, "DOPA": 1},
            {
                "cl": 0.089
                * 0.5**0.75
                * (1 + 1.87 * (28 / 34 - 1))
                * (1 + 0.054 * (5 / 1 - 1))
                * (1 - 0.12),
                "v1": 0.908 * 0.5 * (1 - 0.922 * (28 / 34 - 1)),
                "q2": 0.157 * 0.5**0.75,
                "v2": 0.280,
            },
        ),
        (
            "tobramycin-conil-2010",
            {"CRCL": 50, "HT": 160},
            {"cl": 3.83 - 0.020 * 44 - 0.052 * 12, "v1": 25.5, "q2": 4.74, "v2": 30.6},
        ),
        ("busulfan-paci-2012", {"WT": 9}, {"cl": 2.18, "v1": 6.6}),
        ("busulfan-paci-2012", {"WT": 4.5}, {"cl": 2.18 * 0.5**1.25, "v1": 6.6 * 0.5**0.86}),
        ("busulfan-paci-2012", {"WT": 36}, {"cl": 2.18 * 4**0.76, "v1": 6.6 * 4**0.86}),
        ("busulfan-choe-2012", {"WT": 65, "SEX": 0}, {"cl": 7.6, "v1": 29.1}),
        (
            "busulfan-choe-2012",
            {"WT": 81, "SEX": 1},
            {"cl": 7.6 * 9 / math.sqrt(65), "v1": 29.1 * 1.105 * 9 / math.sqrt(65)},
        ),
        (
            "infliximab-fasanmade-2009",
            {"WT": 77, "ALB": 4.1, "ADA": 0, "SEX": 1},
            {"cl": 0.407 / 24, "v1": 3.29, "q2": 7.14 / 24, "v2": 4.13},
        ),
        (
            "infliximab-fasanmade-2009",
            {"WT": 60, "ALB": 3, "ADA": 1, "SEX": 0},
            {
                "cl": 0.407 / 24 * (3 / 4.1) ** -1.54 * 1.471 * (1 - 0.236),
                "v1": 3.29 * (60 / 77) ** 0.538 * (1 - 0.137),
            },
        ),
        (
            "adalimumab-nader-2017",
            {"WT": 94, "CRP": 7.9, "ADA": 0},
            {"cl": 0.667 / 24, "v1": 13.5, "ka": 0.195 / 24},
        ),
        (
            "adalimumab-nader-2017",
            {"WT": 70, "CRP": 20, "ADA": 1},
            {
                "cl": 0.667 / 24 * 6.76 * (20 / 7.9) ** 0.173 * (70 / 94) ** 0.888,
                "v1": 13.5 * (70 / 94) ** 0.707,
            },
        ),
        (
            "busulfan-mccune-2014",
            {"FFM": 50, "WT": 70, "PMA": 45.7, "SEX": 1, "TAFD": 0},
            {
                "cl": 11.4 * ((50 + 0.509 * 20) / 70) ** 0.75 / 2,
                "v1": 13.9 * (50 + 0.203 * 20) / 70,
                "q2": 135.2 * ((50 + 0.509 * 20) / 70) ** 0.75,
                "v2": 29.9 * (50 + 0.203 * 20) / 70,
            },
        ),
        (
            "busulfan-mccune-2014",
            {"FFM": 10, "WT": 10, "PMA": 300, "SEX": 0, "TAFD": 36},
            {
                "cl": 11.4 / 7**0.75 / (1 + (300 / 45.7) ** -2.3) * 0.919,
                "v1": 13.9 / 7 * 1.07,
                "v2": 29.9 / 7 * 1.07,
            },
        ),
        ("piperacillin-klastrup-2020", {"CRCL": 40}, {"cl": 2.25 + 0.119 * 40, "v1": 35.8}),
    ],
)
def test_typical_values_are_those_of_the_printed_formula(name, covariates, expected):
    found = typical(name, **covariates)
    for parameter, value in expected.items():
        assert found[parameter] == pytest.approx(value, rel=1e-7), parameter


def creatinine_expected(years):
    return math.exp(-1.22839 + 0.67190 * math.log10(years) + 6.27017 * math.exp(-3.10940 * years))


def colin_clearance(weight, weeks, creatinine):
    """Colin 2019 with 5.312 L/h at maturity; ages in years since the last menstruation."""

    def matures(years):
        return years**2.8864 / (0.8932**2.8864 + years**2.8864)

    def declines(years):
        return years**-2.241 / (61.559**-2.241 + years**-2.241)

    years = weeks / 52
    age = matures(years) * declines(years)
    renal = math.exp(-0.64856 * (creatinine - creatinine_expected(years)))
    return 5.312 * (weight / 70) ** 0.75 * age * renal


@pytest.mark.parametrize(
    ("weight", "weeks", "creatinine"), [(1.2, 29, 0.9), (20, 352, 0.4), (82, 3900, 1.7)]
)
def test_colin_holds_from_the_incubator_to_old_age(weight, weeks, creatinine):
    found = typical("vancomycin-colin-2019", WT=weight, PMA=weeks, SCR=creatinine)
    assert found["cl"] == pytest.approx(colin_clearance(weight, weeks, creatinine), rel=1e-10)
    assert found["v1"] == pytest.approx(42.52 * weight / 70)
    assert found["q2"] == pytest.approx(3.222 * (weight / 70) ** 0.75)
    assert found["v2"] == pytest.approx(41.68 * weight / 70)


def test_the_reference_adult_of_colin_is_the_one_of_the_abstract():
    expected = creatinine_expected(35 + 40 / 52)
    assert expected == pytest.approx(0.83, abs=0.005)  # mg/dL
    found = typical("vancomycin-colin-2019", WT=70, PMA=1860, SCR=expected)
    assert found["cl"] == pytest.approx(4.10, abs=0.005)
    assert found["v2"] == pytest.approx(41.7, abs=0.05)
    assert found["q2"] == pytest.approx(3.22, abs=0.005)


def test_the_variant_of_colin_has_the_ratios_of_its_encoding():
    adult = {"WT": 70, "PMA": 1860, "SCR": creatinine_expected(35 + 40 / 52)}
    found = typical("vancomycin-colin-2019-age-ratio", **adult)
    assert found["cl"] == pytest.approx(5.312, rel=1e-12)
    infant = {"WT": 5, "PMA": 60, "SCR": 0.3}
    names = ("vancomycin-colin-2019-age-ratio", "vancomycin-colin-2019")
    for patient in (adult, infant):
        ratio, plain = (typical(name, **patient)["cl"] for name in names)
        assert ratio / plain == pytest.approx(5.312 / colin_clearance(70, 1860, adult["SCR"]))


def test_in_colin_clearance_moves_with_the_patients_own_volumes():
    root = loading(read_model("vancomycin-colin-2019").population)
    cl, v1, q2, v2 = root @ root.T
    assert cl[0] == pytest.approx(0.0746 + 0.75**2 * 0.0716)
    assert cl[1] == pytest.approx(0.75 * 0.0716)
    assert (v1[1], v2[3]) == pytest.approx((0.0716, 0.684))
    assert (q2[2], q2[3]) == pytest.approx((0.75**2 * 0.684, 0.75 * 0.684))


def test_variances_follow_from_the_printed_coefficients_of_variation():
    for name, spread in (
        ("busulfan-paci-2012", (0.23, 0.22)),
        ("busulfan-choe-2012", (0.16, 0.09)),
    ):
        matrix = read_model(name).population.variability.matrix()
        np.testing.assert_allclose(np.diag(matrix), np.log1p(np.square(spread)), rtol=1e-4)
    gentamicin = read_model("gentamicin-fuchs-2014").population.variability.matrix()
    np.testing.assert_allclose(np.diag(gentamicin), np.log1p([0.28**2, 0.18**2]), rtol=1e-4)
    correlation = gentamicin[0, 1] / np.sqrt(gentamicin[0, 0] * gentamicin[1, 1])
    assert correlation == pytest.approx(0.87, abs=1e-4)


def test_the_days_of_mccune_vary_as_encoded():
    population = read_model("busulfan-mccune-2014").population
    within = occasion_loading(population)
    np.testing.assert_allclose(np.diag(within @ within.T), [0.113**2, 0.224**2, 0, 0])
    assert occasion_loading(read_model("busulfan-paci-2012").population) is None
    course = [
        typical("busulfan-mccune-2014", FFM=50, WT=70, PMA=2000, SEX=1, TAFD=hours)["cl"]
        for hours in (0, 6, 36)
    ]
    np.testing.assert_allclose(np.array(course) / course[0], [1, 0.932, 0.919])
