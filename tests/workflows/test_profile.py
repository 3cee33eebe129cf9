import numpy as np
import polars as pl
import pytest

from latentpk import ArtifactError, InputError, NotFittedError, ProfileVAE, read_nonmem
from latentpk.models.bundle import to_arrays
from latentpk.workflows.simulate import simulate


def test_settings_are_checked():
    with pytest.raises(InputError, match="decoder"):
        ProfileVAE(decoder="magic")
    with pytest.raises(InputError, match="epochs"):
        ProfileVAE(epochs=0)
    with pytest.raises(InputError, match="hidden"):
        ProfileVAE(hidden=3)
    with pytest.raises(InputError, match="4c-iv"):
        ProfileVAE(structure="4c-iv")
    with pytest.raises(InputError, match="has no compartments"):
        ProfileVAE(decoder="kernel", structure="2c-iv")


def test_nothing_is_answered_before_the_fit(ward):
    model = ProfileVAE()
    cohort = read_nonmem(ward)
    for ask in (
        lambda: model.notices,
        lambda: model.card(),
        lambda: model.posterior(cohort[0]),
        lambda: model.forecast(cohort),
        lambda: model.save("nowhere"),
    ):
        with pytest.raises(NotFittedError, match="fit"):
            ask()


def test_the_population_is_found(fitted):
    # true: CL 4 L/h and V 40 L at 70 kg, SD of logs 0.3 and 0.2, error 10 %; 24 patients
    typical = np.exp(np.asarray(fitted.model.prior.typical))
    assert typical == pytest.approx([4.0, 40.0], rel=0.25)
    spread = np.sqrt(np.sum(np.asarray(fitted.model.prior.chol()) ** 2, axis=1))
    assert 0.2 < spread[0] < 0.55
    assert np.exp(float(fitted.model.residual.log_b)) == pytest.approx(0.1, abs=0.05)


@pytest.fixture(scope="module")
def loaded(fitted_folder):
    return ProfileVAE.load(fitted_folder)


class TestSaved:
    def test_arrays_and_choices_are_the_same(self, fitted, loaded):
        before, after = to_arrays(fitted.model), to_arrays(loaded.model)
        assert before.keys() == after.keys()
        for name in before:
            np.testing.assert_array_equal(before[name], after[name])
        assert loaded.settings == fitted.settings
        assert loaded.notices == fitted.notices
        assert loaded.reading() == fitted.reading()
        assert loaded.fitted.chosen == fitted.fitted.chosen

    def test_forecasts_are_the_same_bits(self, fitted, loaded, patients):
        cohort = read_nonmem(patients, **fitted.reading(), purpose="forecast")
        assert loaded.forecast(cohort).equals(fitted.forecast(cohort))

    def test_the_card_names_hashes_and_versions(self, loaded):
        card = loaded.card()
        assert len(card["hashes"]["model"]) == 64
        assert len(card["hashes"]["data"]) == 64
        assert card["data"]["subjects"] == 24
        assert card["data"]["levels"] == 96
        assert card["versions"]["latentpk"]
        assert [c["name"] for c in card["covariates"]] == ["WT"]

    def test_another_kind_of_bundle_is_refused(self, tmp_path):
        from latentpk.storage import write_bundle

        write_bundle(tmp_path / "x", kind="thesis", schema=1, manifest={}, arrays={})
        with pytest.raises(ArtifactError, match="thesis"):
            ProfileVAE.load(tmp_path / "x")


@pytest.fixture(scope="module")
def patient(fitted, patients):
    return read_nonmem(patients, **fitted.reading(), purpose="forecast")[2]


@pytest.fixture(scope="module")
def posterior(fitted, patient):
    return fitted.posterior(patient)


class TestPosterior:
    def test_a_profile_is_ordered_and_finite(self, posterior):
        profile = posterior.predict([0.5, 2.0, 11.0, 30.0])
        names = ("pi_lo", "lo", "ipred", "hi", "pi_hi")
        values = np.stack([getattr(profile, name) for name in names])
        assert np.isfinite(values).all()
        assert (values[1:4] >= values[0:3] - 1e-12)[1:].all()
        assert (np.diff(values[[0, 2, 4]], axis=0) >= 0).all()
        assert (values >= 0).all()

    def test_levels_pull_and_narrow(self, posterior, patient):
        drawn = posterior.parameters
        assert drawn.columns == ["cl", "v1"]
        assert drawn.shape[0] == 1024
        factor = np.asarray(posterior.model.prior.chol())
        prior_sd = float(np.linalg.norm(factor[0]))
        assert float(drawn["cl"].log().std()) < 0.6 * prior_sd
        before = posterior.predict(patient.levels.time)
        error = np.abs(np.log(before.ipred / patient.levels.value)).mean()
        assert error < np.abs(np.log(before.pred / patient.levels.value)).mean() + 0.02

    def test_map_lies_within_the_draws(self, posterior):
        point, draws = posterior.map, posterior.parameters
        for name, value in point.items():
            assert draws[name].min() < value < draws[name].max()

    def test_it_is_the_forecast(self, fitted, patients, posterior, patient):
        cohort = read_nonmem(patients, **fitted.reading(), purpose="forecast")
        table = fitted.forecast(cohort).filter(pl.col("ID") == patient.id)
        profile = posterior.predict(patient.levels.time)
        np.testing.assert_allclose(table["IPRED"].to_numpy(), profile.ipred, rtol=1e-9)


def test_a_cohort_read_otherwise_is_refused(fitted, patients):
    other = read_nonmem(patients, covariates=[], purpose="forecast")
    with pytest.raises(InputError, match=r"needs WT.*reading\(\)"):
        fitted.forecast(other)


@pytest.mark.long
def test_the_same_seed_gives_the_same_bits(fitted, ward):
    again = ProfileVAE(**fitted.settings.model_dump()).fit(read_nonmem(ward))
    first, second = to_arrays(fitted.model), to_arrays(again.model)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.long
def test_few_sparse_patients_do_not_invent_a_deep_compartment():
    """Without the weak prior: 0.69 L/h, and 1400 L, for this cohort of 40 (truth: 3 and 45)."""
    clinic = read_nonmem(simulate("vancomycin-goti-2018", 40, seed=3), covariates=["WT", "CRCL"])
    model = ProfileVAE(decoder="compartment", structure="2c-iv").fit(clinic)
    names = model.model.decoder.structure.names
    typical = dict(zip(names, np.exp(np.asarray(model.model.prior.typical)), strict=True))
    assert 1.2 < typical["cl"] < 6
    assert typical["v2"] < 500
    spread = np.sqrt(np.sum(np.asarray(model.model.prior.chol()) ** 2, axis=1))
    assert (spread > 0.05).all()
