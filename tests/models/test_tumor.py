import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from latentpk.errors import ArtifactError
from latentpk.kinetics.mouse import Tumor, follow
from latentpk.models.tumor import (
    FEW,
    LATENT,
    Mouse,
    TumorModel,
    decode,
    gaussian,
    log_likelihood,
)

BODY = (0.02, 0.01, 0.02, 0.022)
TIMES = np.array([0.5, 6.0, 24.0, 168.0])
RNG = np.random.default_rng(0)
POINTS = np.log([0.29, 12.0, 1.9, 0.097, 0.08, 0.003]) + 0.5 * RNG.standard_normal((5, len(LATENT)))


class TestDecode:
    @pytest.mark.long
    def test_is_the_pbpk_model_of_the_parameters(self):
        found = decode(POINTS, BODY, TIMES)
        for point, tissue, blood in zip(POINTS, found.tissue, found.blood, strict=True):
            largest, half, power, release, partition, permeability = np.exp(point)
            tumor = Tumor(*BODY[:3], partition, permeability, release, largest, half, power)
            course = follow(tumor, BODY[3], jnp.asarray(TIMES))
            np.testing.assert_allclose(tissue, course.tissue("tumor"), rtol=1e-9)
            np.testing.assert_allclose(blood, course.blood("tumor"), rtol=1e-9)

    def test_how_many_times_are_asked_changes_nothing(self):
        many = np.linspace(0.5, 168.0, 3 * FEW)
        whole = decode(POINTS, BODY, many)
        one = decode(POINTS[2:3], BODY, many[7:9])
        np.testing.assert_allclose(one.tissue[0], whole.tissue[2, 7:9], rtol=1e-9)
        np.testing.assert_allclose(one.organs[0], whole.organs[2, 7:9], rtol=1e-9)

    def test_the_dose_is_never_exceeded(self):
        found = decode(POINTS, BODY, TIMES)
        total = found.tissue + found.blood + found.organs.sum(axis=2)
        assert (found.organs >= 0).all()
        assert (total <= 100 + 1e-6).all()

    def test_points_beyond_all_reason_stay_finite(self):
        far = np.array([[40.0, -40, 40, -40, 40, -40], [-40.0, 40, -40, 40, -40, 40]])
        found = decode(far, BODY, TIMES)
        assert all(np.isfinite(part).all() for part in found)


def test_the_likelihood_is_normal_on_logs_and_a_tail_below_a_limit():
    log_found, log_seen = np.array([0.3, -1.0, 2.0]), np.array([0.5, -1.5, 9.0])
    measured, censored = np.array([1.0, 1.0, 0.0]), np.array([0.0, 1.0, 0.0])
    found = log_likelihood(
        jnp.asarray(log_found), jnp.asarray(log_seen), jnp.asarray(measured),
        jnp.asarray(censored), jnp.log(0.4),
    )  # fmt: skip
    expected = norm.logpdf(0.5, 0.3, 0.4) + norm.logcdf((-1.5 + 1.0) / 0.4)
    assert float(found) == pytest.approx(expected, abs=1e-12)


def test_the_gaussian_is_scipys():
    factor = np.tril(RNG.standard_normal((6, 6)), -1) + np.diag(RNG.uniform(0.5, 2, 6))
    middle = RNG.standard_normal(6)
    expected = multivariate_normal(middle, factor @ factor.T).logpdf(POINTS)
    np.testing.assert_allclose(gaussian(POINTS, middle, factor), expected, rtol=1e-10)


def test_a_mouse_is_one_row():
    mice = Mouse(*(np.arange(3.0) + k for k in range(4)))
    assert mice.body(1) == (1.0, 2.0, 3.0, 4.0)
    assert mice.take(np.array([2])).body(0) == mice.body(2)


@pytest.fixture(scope="module")
def latent(nano_joined):
    return nano_joined.joint.latent


class TestPrior:
    @pytest.mark.long
    def test_its_density_is_the_mixtures(self, latent):
        location = np.stack([POINTS[0], POINTS[1], POINTS[2]])
        each = [
            multivariate_normal(middle, factor @ factor.T).pdf(POINTS)
            for middle, factor in zip(location, latent.factor, strict=True)
        ]
        np.testing.assert_allclose(
            latent.log_prior(POINTS, location), np.log(np.mean(each, axis=0)), rtol=1e-9
        )

    def test_draws_have_its_mean(self, latent):
        location = np.stack([POINTS[0], POINTS[1], POINTS[2]])
        drawn = latent.draw(location, 6000, seed=1)
        error = np.abs(drawn.z.mean(axis=0) - location.mean(axis=0))
        assert (error < 4 * drawn.z.std(axis=0) / np.sqrt(6000)).all()
        np.testing.assert_allclose(drawn.log_density, latent.log_prior(drawn.z, location))

    def test_it_comes_back_to_the_last_bit(self, latent):
        manifest, arrays = latent.to_parts()
        again = TumorModel.from_parts(manifest, arrays)
        assert again.config == latent.config
        np.testing.assert_array_equal(again.factor, latent.factor)

    @pytest.mark.parametrize("name", ["weights", "typical", "factor", "log_sigma"])
    def test_damage_is_refused(self, latent, name):
        manifest, arrays = latent.to_parts()
        for broken in (
            {k: v for k, v in arrays.items() if k != name},
            arrays | {name: arrays[name][:1]},
            arrays | {name: np.full_like(arrays[name], np.nan)},
        ):
            with pytest.raises(ArtifactError):
                TumorModel.from_parts(manifest, broken)
        with pytest.raises(ArtifactError):
            TumorModel.from_parts({**manifest, "assay": "bone"}, arrays)
