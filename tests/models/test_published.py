import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError

from latentpk.kinetics.doses import Doses
from latentpk.kinetics.structure import Structure
from latentpk.kinetics.superposition import concentration
from latentpk.library.catalog import list_models, read_model
from latentpk.models.effects import (
    Additive,
    AgeExpected,
    BentPower,
    Category,
    Course,
    Exponential,
    Linear,
    NormalFatMass,
    Power,
    Sigmoid,
)
from latentpk.models.published import (
    PopulationModel,
    RandomEffects,
    ResidualError,
    build_published,
    loading,
    log_typical,
)


def values(model, **covariates):
    population = read_model(model).population
    x = jnp.array([float(covariates[name]) for name in population.covariates])
    return dict(zip(population.names, np.exp(log_typical(population)(x)), strict=True))


def test_golden_patient_has_its_published_typical_values():
    theta = values("vancomycin-goti-2018", WT=70, CRCL=90, DIAL=0)
    # CL of the reference table of MAP estimates, patient 1
    assert theta["cl"] == pytest.approx(3.57488046353974, rel=1e-13)
    assert theta["v1"] == pytest.approx(58.4, rel=1e-13)
    assert theta["v2"] == pytest.approx(38.4, rel=1e-13)
    assert theta["q2"] == pytest.approx(6.5, rel=1e-13)


def test_dialysis_and_weight_act_as_published():
    theta = values("vancomycin-goti-2018", WT=95, CRCL=20, DIAL=1)
    assert theta["cl"] == pytest.approx(4.5 * (20 / 120) ** 0.8 * 0.7, rel=1e-13)
    assert theta["v1"] == pytest.approx(58.4 * 95 / 70 * 0.5, rel=1e-13)
    assert theta["v2"] == pytest.approx(38.4 * 95 / 70, rel=1e-13)


def test_thomson_clearance_is_linear_and_stays_positive():
    assert values("vancomycin-thomson-2009", WT=70, CRCL=66)["cl"] == pytest.approx(2.99)
    assert values("vancomycin-thomson-2009", WT=70, CRCL=100)["cl"] == pytest.approx(
        2.99 * (1 + 0.0154 * 34)
    )
    assert values("vancomycin-thomson-2009", WT=70, CRCL=0)["cl"] == pytest.approx(2.99 * 0.05)


@pytest.mark.parametrize(
    ("effect", "x", "expected"),
    [
        (Power(kind="power", covariate="X", reference=2, exponent=3), 4.0, 80.0),
        (Linear(kind="linear", covariate="X", reference=2, slope=0.1), 4.0, 12.0),
        (Linear(kind="linear", covariate="X", reference=2, slope=-10, floor=0.2), 4.0, 2.0),
        (Additive(kind="additive", covariate="X", reference=2, slope=0.5), 4.0, 11.0),
        (Additive(kind="additive", covariate="X", reference=2, slope=-50, floor=0.1), 4.0, 1.0),
        (Exponential(kind="exponential", covariate="X", reference=2, slope=0.5), 4.0, 27.1828183),
        (Sigmoid(kind="sigmoid", covariate="X", half=4, hill=3), 4.0, 5.0),
        (Sigmoid(kind="sigmoid", covariate="X", half=2, hill=2), 4.0, 8.0),
        (Sigmoid(kind="sigmoid", covariate="X", half=2, hill=2, reference=2), 4.0, 16.0),
        (Sigmoid(kind="sigmoid", covariate="X", half=2, hill=2, reference=4), 4.0, 10.0),
        (BentPower(kind="bent_power", covariate="X", reference=4, below=2, above=0.5), 2.0, 2.5),
        (BentPower(kind="bent_power", covariate="X", reference=4, below=2, above=0.5), 4.0, 10.0),
        (BentPower(kind="bent_power", covariate="X", reference=4, below=2, above=0.5), 9.0, 15.0),
        (Category(kind="factor", covariate="X", factor=0.7), 1.0, 7.0),
        (Category(kind="factor", covariate="X", factor=0.7), 0.0, 10.0),
        (Category(kind="factor", covariate="X", equals=3, factor=0.7), 3.0, 7.0),
    ],
)
def test_each_effect_follows_its_formula(effect, x, expected):
    assert float(effect.apply(jnp.asarray(10.0), jnp.asarray(x))) == pytest.approx(expected)
    assert "X" in effect.formula()


def test_a_covariate_can_be_judged_against_what_is_expected_at_an_age():
    curve = {"slope": -0.5, "level": 0.1, "rise": 0.7, "early": 6.0, "fade": 3.0}
    effect = AgeExpected(kind="age_expected", covariate="X", age="A", year=12, **curve)
    assert effect.reads == ("X", "A")
    expected = np.exp(0.1 + 0.7 * np.log10(2.0) + 6.0 * np.exp(-6.0))  # at 24 months
    for x in (expected, 3.0):
        found = effect.apply(jnp.asarray(10.0), jnp.asarray(x), jnp.asarray(24.0))
        assert float(found) == pytest.approx(10 * np.exp(-0.5 * (x - expected)))
    assert "a = A/12" in effect.formula()


def test_fat_counts_by_its_share_of_the_lean_mass():
    mass = {"lean": "FFM", "weight": "WT", "reference": 70, "exponent": 0.75}
    effect = NormalFatMass(kind="normal_fat_mass", share=0.5, **mass)
    assert effect.reads == ("FFM", "WT")
    found = effect.apply(jnp.asarray(10.0), jnp.asarray(50.0), jnp.asarray(80.0))
    assert float(found) == pytest.approx(10 * (65 / 70) ** 0.75)
    assert effect.formula() == " x ((FFM + 0.5 (WT - FFM))/70)^0.75"


def test_a_course_has_the_factor_of_its_last_step():
    course = Course(kind="course", steps=((6, 0.9), (36, 0.5)))
    assert course.reads == ("TAFD",)
    for hours, factor in ((0.0, 1.0), (6.0, 0.9), (35.0, 0.9), (36.0, 0.5)):
        assert float(course.apply(jnp.asarray(10.0), jnp.asarray(hours))) == 10 * factor
    assert course.formula() == " x [0.9 from 6 h, 0.5 from 36 h after the first dose]"
    with pytest.raises(ValidationError, match="increasing"):
        Course(kind="course", steps=((36, 0.5), (6, 0.9)))


def test_hours_since_the_first_dose_are_the_last_covariate():
    population = read_model("busulfan-mccune-2014").population
    assert population.covariates == ("FFM", "WT", "PMA", "SEX", "TAFD")
    assert population.hours == (6, 36)
    assert read_model("busulfan-paci-2012").population.hours == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"variances": (0.1,)}, "one variance"),
        ({"parameters": ("cl", "cl")}, "one variance"),
        ({"variances": (0.1, 0.0)}, "greater than 0"),
        ({"starts": (48.0, 24.0)}, "increasing"),
        ({"parameters": ("cl", "q2")}, "unknown parameters"),
    ],
)
def test_occasions_that_cannot_be_are_refused(change, words):
    good = {"parameters": ("cl", "v1"), "variances": (0.1, 0.2), "convention": ""}
    population = read_model("busulfan-paci-2012").population.model_dump()
    assert PopulationModel.model_validate(population | {"occasions": good}).occasions is not None
    with pytest.raises(ValidationError, match=words):
        PopulationModel.model_validate(population | {"occasions": good | change})


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_typical_values_are_finite_with_finite_gradients_in_either_precision(name, dtype):
    model = read_model(name)
    population = model.population
    for end in (0, 1):
        hours = [0.0, 99.0][end : end + len(population.covariates) - len(model.required)]
        x = jnp.array([*(c.hard[end] for c in model.required), *hours], dtype)
        assert x.size == len(population.covariates)
        theta = log_typical(population)(x)
        assert theta.shape == (len(population.names),)
        assert theta.dtype == dtype
        assert np.isfinite(theta).all()
        assert np.isfinite(jax.jacfwd(log_typical(population))(x)).all()


def test_loading_reproduces_the_covariance_and_leaves_fixed_parameters_at_zero():
    population = read_model("vancomycin-goti-2018").population
    root = loading(population)
    assert root.shape == (4, 3)
    assert (root[population.names.index("q2")] == 0).all()
    full = root @ root.T
    np.testing.assert_allclose(np.diag(full), [0.14705, 0.51019, 0, 0.28232], rtol=1e-12)

    correlated = read_model("vancomycin-thomson-2009").population
    covariance = loading(correlated) @ loading(correlated).T
    assert covariance[0, 1] == pytest.approx(0.01, rel=1e-12)


def test_a_parameter_may_share_the_random_effect_of_another():
    population = read_model("voriconazole-friberg-2012").population
    root = dict(zip(population.names, loading(population), strict=True))
    np.testing.assert_allclose(root["vmax"], 0.584 * root["km"])
    assert root["km"][0] == pytest.approx(1.36)


def test_nonlinear_models_have_the_numbers_their_papers_print():
    adult = values("voriconazole-friberg-2012", WT=70, CYP2C19_IM=0, CYP2C19_PM=0)
    assert adult["vmax"] == pytest.approx(114)
    assert adult["vinh"] == pytest.approx(0.818, abs=5e-4)
    assert adult["fodds"] / (1 + adult["fodds"]) == pytest.approx(0.642, abs=5e-4)
    slow = values("voriconazole-friberg-2012", WT=70, CYP2C19_IM=1, CYP2C19_PM=0)
    assert slow["vinh"] == pytest.approx(1)

    molar = 0.3203  # mg in 1 umol of mycophenolic acid
    kidney = values("mycophenolate-dewinter-2009", CRCL=25, ALB=0.06 * 66.5, CSA=1)
    assert kidney["koff"] / kidney["kon"] / molar == pytest.approx(1100, rel=0.01)
    assert kidney["koffm"] / kidney["konm"] / molar == pytest.approx(7000, rel=0.01)
    assert kidney["bmax"] / molar == pytest.approx(45200, rel=0.005)
    assert kidney["clm"] == pytest.approx(2.14, abs=0.005)
    assert kidney["kbile"] == pytest.approx(0.000159, abs=5e-7)

    molar = 0.15  # mg in 1 nmol of omalizumab
    atopic = values("omalizumab-hayashi-2007", WT=61.1, IGE=482.4)
    assert atopic["base"] / molar * 190 == pytest.approx(482.4)
    assert atopic["kin"] / molar * 190 / 1000 == pytest.approx(0.0303, rel=1e-3)
    assert atopic["kd0"] / molar == pytest.approx(1.07)


def test_residual_formula_says_which_combined_it_is():
    two = ResidualError(kind="combined2", additive=3.4, proportional=0.227)
    assert two.formula() == "sd = sqrt(3.4^2 + (0.227 f)^2) mg/L"
    one = ResidualError(kind="combined1", additive=3.4, proportional=0.227)
    assert one.formula() == "sd = 3.4 + 0.227 f mg/L"


@pytest.mark.parametrize(
    "terms",
    [
        {"kind": "additive", "proportional": 0.1},
        {"kind": "additive", "additive": 1.0, "proportional": 0.1},
        {"kind": "proportional", "additive": 1.0},
        {"kind": "combined2", "additive": 1.0},
        {"kind": "lognormal", "additive": 1.0, "proportional": 0.2},
        {"kind": "combined3", "additive": 1.0, "proportional": 0.2},
    ],
)
def test_a_residual_error_with_the_wrong_terms_is_refused(terms):
    with pytest.raises(ValidationError):
        ResidualError(**terms)


def test_a_covariance_that_is_not_positive_definite_is_refused():
    with pytest.raises(ValidationError, match="positive definite"):
        RandomEffects(parameters=("cl", "v1"), covariance=((1.0,), (1.5, 1.0)), convention="")
    with pytest.raises(ValidationError, match="lower-triangle"):
        RandomEffects(parameters=("cl", "v1"), covariance=((1.0, 0.0), (0.0, 1.0)), convention="")


def test_a_shared_effect_moves_both_parameters():
    population = read_model("vancomycin-goti-2018").population.model_dump()
    shared = [{"parameter": "q2", "of": "v2", "exponent": 0.75}]
    shared += [{"parameter": "cl", "of": "v1", "exponent": 0.5}]
    population["variability"]["shared"] = shared
    root = loading(PopulationModel.model_validate(population))
    full = root @ root.T
    assert full[2, 2] == pytest.approx(0.75**2 * 0.28232)
    assert full[2, 3] == pytest.approx(0.75 * 0.28232)
    assert full[0, 0] == pytest.approx(0.14705 + 0.5**2 * 0.51019)
    assert full[0, 1] == pytest.approx(0.5 * 0.51019)
    for wrong in ({"of": "q2"}, {"parameter": "q3"}):
        population["variability"]["shared"] = [shared[0] | wrong]
        with pytest.raises(ValidationError, match=r"q2|q3"):
            PopulationModel.model_validate(population)


def test_parameters_must_be_those_of_the_structure():
    good = read_model("theophylline").population.model_dump()
    with pytest.raises(ValidationError, match="1c-oral-lag has parameters"):
        PopulationModel.model_validate(good | {"structure": "1c-oral-lag"})


@pytest.mark.parametrize("name", list_models())
def test_a_published_model_is_a_latent_model(name):
    card = read_model(name)
    population = card.population
    model = build_published(population)
    x = jnp.array([c.soft[0] for c in card.required])
    x = jnp.pad(x, (0, len(population.covariates) - x.size))  # TAFD, where there is one
    assert model.effects == len(population.variability.parameters)
    assert model.encoder is None
    np.testing.assert_array_equal(model.prior.location(x), log_typical(population)(x))
    np.testing.assert_array_equal(model.prior.chol(), loading(population))
    assert str(model.decoder.structure) == population.structure


def test_its_residual_is_the_published_one():
    residual = build_published(read_model("vancomycin-goti-2018").population).residual
    f = jnp.array([0.0, 10.0, 30.0])
    np.testing.assert_allclose(residual.sd(f), np.hypot(3.4, 0.227 * f), rtol=1e-8)
    additive = build_published(read_model("theophylline").population).residual
    np.testing.assert_allclose(additive.sd(f), 0.694, rtol=1e-8)


def test_it_can_be_compiled_and_differentiated():
    model = build_published(read_model("vancomycin-goti-2018").population)
    place = eqx.filter_jit(lambda m, x: m.prior.location(x) + m.prior.chol() @ jnp.ones(3))
    x = jnp.array([90.0, 0.0, 70.0])
    assert np.isfinite(place(model, x)).all()
    slope = eqx.filter_grad(lambda m: place(m, x).sum())(model)
    assert np.isfinite(slope.prior.root).all()


def test_golden_patient_has_the_reference_population_prediction():
    population = read_model("vancomycin-goti-2018").population
    x = jnp.array([90.0, 0.0, 70.0])  # CRCL, DIAL, WT
    assert population.covariates == ("CRCL", "DIAL", "WT")
    structure = Structure.parse(population.structure)
    doses = Doses.of(jnp.array([0.0, 12.0, 24.0, 36.0]), 1000.0, duration=1.0)
    response = structure.response(jnp.exp(log_typical(population)(x)))
    pred = concentration(doses, jnp.array([39.0, 47.5]), response=response)
    # PRED of patient 1 in the reference table of MAP estimates
    np.testing.assert_allclose(pred, [22.8916765413132, 14.4002330666161], rtol=1e-10)
